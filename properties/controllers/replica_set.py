"""What the ReplicaSet controller promises, and its seeded bugs.

That it plans as the replication controller does is the refinement of that one's spec, read by
`properties.replicas`. What ReplicaSets add, pods that count only once they have been ready long
enough, is a goal here; its rule stands in `model.controllers.replica_set`.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import Pod, milliseconds
from model.api.records import Pairs
from model.api.selectors import from_object, matches
from model.kernel.mutant import Mutant
from model.kernel.property import Property, each, leads_to, sometimes
from model.kernel.world import World
from properties.controllers.replication import CONVERGES_MS, may_be_refused, owned_live
from properties.reading import KV, is_ready, objects, title
from properties.replicas import Planning
from reference_impl.controllers.replica_set import SETS
from reference_impl.lib.replicas import next_available_ms

NAME = "controllers/replica-set"


def chooses(selector: Any, labels: Pairs | None) -> bool:
    """Whether a ReplicaSet's selector matches labels."""
    return selector is not None and matches(from_object(selector), labels)


REFINEMENT = Planning(NAME, SETS, "ReplicaSet", chooses).refinement(
    "the_replica_set_controller_plans_as_the_spec_of_replication_allows",
    "acting on a cache that is known to be stale makes too many pods or deletes too many")


def ready_for_ms(pod: Any, now_ms: int) -> int:
    """How long a pod has been ready; -1 when it is not."""
    if not is_ready(pod):
        return -1
    return max((now_ms - milliseconds(each.last_transition_time or "")
                for each in pod.status.conditions if each.type == "Ready"), default=-1)


@each(of=KV, prefix="/registry/replicasets/", why="a rollout goes by these counts")
def a_status_counts_available_pods_among_the_ready_ones(
        world: World, key: str, old: Any, new: Any) -> str | None:
    """The status of a ReplicaSet has no more available than ready pods, and no more than it has."""
    status = None if new is None else new.value.status
    if status is None:
        return None
    has, ready = status.replicas or 0, status.ready_replicas or 0
    available = status.available_replicas or 0
    if available <= ready <= has:
        return None
    return f"{title(new.value)} tells {available} available of {ready} ready of {has} pods"


@leads_to(within_ms=CONVERGES_MS, reads=(KV,), why="a Deployment waits for these counts")
def replica_sets_have_what_they_wish_and_tell_what_is_available(world: World) -> str | None:
    """Each ReplicaSet has as many live pods as it wishes; its status says so, and counts as
    available exactly those that have been ready long enough."""
    for found in objects(world, "replicasets"):
        if found.metadata.deletion_timestamp is not None or may_be_refused(
                world, found.metadata.namespace):
            continue
        wish, status = found.spec.replicas or 0, found.status
        pods = owned_live(world, found.metadata.uid or "")
        told = 0 if status is None else status.replicas or 0
        if len(pods) != wish or told != wish:
            return (f"{title(found)} wishes {wish} pods, has {len(pods)}, and its status says "
                    f"{told}")
        least_ms = 1000 * (found.spec.min_ready_seconds or 0)
        available = sum(ready_for_ms(pod, world.now) >= least_ms for pod in pods)
        counted = 0 if status is None else status.available_replicas or 0
        if counted != available:
            return (f"{title(found)} has {available} pods that were ready for {least_ms} ms, and "
                    f"its status counts {counted}")
    return None


@sometimes(reads=(KV,), why="minReadySeconds means nothing where nobody waits for it")
def a_ready_pod_is_not_yet_available(world: World) -> bool:
    """Some ReplicaSet has a ready pod that does not count as available."""
    return any(found.status is not None and (found.status.ready_replicas or 0)
               > (found.status.available_replicas or 0) for found in objects(world, "replicasets"))


@sometimes(reads=(KV,), why="without a fulfilled wish nothing was shown")
def a_replica_set_has_what_it_wishes(world: World) -> bool:
    """Some ReplicaSet that wishes pods has them, available."""
    return any(found.status is not None and (found.spec.replicas or 0) > 0
               and found.status.available_replicas == found.spec.replicas
               for found in objects(world, "replicasets"))


PROPERTIES: tuple[Property, ...] = (
    a_status_counts_available_pods_among_the_ready_ones,
    replica_sets_have_what_they_wish_and_tell_what_is_available,
    a_ready_pod_is_not_yet_available, a_replica_set_has_what_it_wishes, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def only_when_all_are_ready(pods: tuple[Pod, ...], settle_ms: int, now_ms: int) -> int | None:
    if not all(is_ready(pod) for pod in pods):
        return None
    return next_available_ms(pods, settle_ms, now_ms)




MUTANTS = (
    Mutant("rs-min-ready-resync-skipped", "rs-min-ready-resync-skipped",
           "replica_sets_have_what_they_wish_and_tell_what_is_available",
           (("reference_impl.lib.replicas:next_available_ms", only_when_all_are_ready),),
           scenario="slow-start"),
)
