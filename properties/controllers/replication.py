"""What the replication controller promises, how its state maps to its spec, and its seeded bugs.

The refinement reads the controller's own state only: what it does with what it knows. That what it
knows is the truth of some moment is List-Watch's promise.
"""

from __future__ import annotations

from typing import Any

from model.api.metadata import controller_of
from model.api.selectors import selects
from model.kernel.action import Action
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.values import FrozenMap
from model.kernel.world import World
from properties.reading import KV, Index, is_live, objects, stored, title
from properties.replicas import Planning
from reference_impl.controllers.replication import RCS
from reference_impl.lib import work_queue
from reference_impl.lib.expectations import Expectations
from reference_impl.lib.informer import Informer
from reference_impl.lib.replicas import PODS, Replicas
from reference_impl.lib.work_queue import WorkQueue

NAME = "controllers/replication"
CONVERGES_MS = 600_000


# ---- promises ----------------------------------------------------------------------------------


def owned_live(world: World, uid: str) -> list[Any]:
    """The stored live pods of a controller."""
    return [entry.value for entry in _OWNED_LIVE.of(world).get(uid, {}).values()]


def live_owner(pod: Any) -> str | None:
    """The uid of the controller in whose wish a pod counts."""
    owner = controller_of(pod.metadata)
    return owner.uid if owner is not None and is_live(pod) else None


_OWNED_LIVE = Index("pods", live_owner)


@step_rule(reads=(Part(NAME, "work"),),
           why="a second set of pods costs money, and its removal interrupts the first")
def no_pod_is_asked_for_while_enough_are_known(before: World, action: Action,
                                               after: World) -> str | None:
    """A plan to create takes into account every stored live pod that its caches can know of."""
    old, new = before[NAME].work, after[NAME].work
    if new is None or new.at != "create" or (old is not None and old.at == "create"):
        return None
    cache: Informer = after[NAME].caches[PODS]
    rc = new.owner
    # While it lists anew nobody can tell how old the cache is; before its first list it knows all
    # that is stored, since it must not act.
    version = int(cache.resource_version or 0) if cache.synced else None
    known = sum(1 for entry in _OWNED_LIVE.of(after).get(rc.metadata.uid, {}).values()
                if (version is None or entry.mod_revision <= version)
                and selects(rc.spec.selector, entry.value.metadata.labels))
    wish = rc.spec.replicas or 0
    if known + new.missing <= wish:
        return None
    return (f"{title(rc)} wants {wish} pods, {known} are stored where its caches can see them, and "
            f"{new.missing} more are asked for")


def may_be_refused(world: World, namespace: str) -> bool:
    """Whether a quota, limits or the end of the namespace may refuse what is wished."""
    home = stored(world, "namespaces", "", namespace)
    return (home is None or home.metadata.deletion_timestamp is not None
            or any(each.metadata.namespace == namespace
                   for plural in ("resourcequotas", "limitranges")
                   for each in objects(world, plural)))


@step_rule(reads=(Part(NAME, "work"),),
           why="an owner that is being deleted must not take pods back")
def only_an_owner_that_stays_adopts(before: World, action: Action, after: World) -> str | None:
    """Orphans are adopted only after a live look at an owner that is not being deleted."""
    old, new = before[NAME].work, after[NAME].work
    if old is None or old.at != "look" or new is None or new.at != "claim":
        return None
    slot = before.slots[before.names[NAME]]
    reply = slot.inbox[("apiserver", "work")][0]
    if reply.code < 400 and reply.body.metadata.deletion_timestamp is None:
        return None
    return f"{title(old.owner)} is being deleted and adopts {title(new.left[0])}"


@leads_to(within_ms=CONVERGES_MS, reads=(KV,), why="this is what the user asked for")
def replica_counts_converge_to_the_wish(world: World) -> str | None:
    """Each controller has as many live pods as it wishes, and its status says so."""
    for rc in objects(world, "replicationcontrollers"):
        if rc.metadata.deletion_timestamp is not None:
            continue
        if may_be_refused(world, rc.metadata.namespace):
            continue
        status = rc.status
        wish = rc.spec.replicas or 0
        live = len(owned_live(world, rc.metadata.uid or ""))
        told = None if status is None else status.replicas
        if live != wish or told != wish:
            return f"{title(rc)} wishes {wish} pods, has {live}, and its status says {told}"
    return None


@sometimes(reads=(KV,), why="without a fulfilled wish nothing was shown")
def a_wish_is_fulfilled(world: World) -> bool:
    """Some controller that wishes pods has exactly those."""
    return any((rc.spec.replicas or 0) > 0
               and len(owned_live(world, rc.metadata.uid or "")) == rc.spec.replicas
               for rc in objects(world, "replicationcontrollers"))


@sometimes(reads=(Part(NAME, "work"),), why="scaling down must be reached to mean anything")
def a_surplus_pod_is_deleted(world: World) -> bool:
    """The controller deletes a pod."""
    work = world[NAME].work
    return work is not None and work.at == "delete"


PLANNING = Planning(NAME, RCS, "ReplicationController", selects)
REFINEMENT = PLANNING.refinement(
    "the_controller_plans_as_its_spec_allows",
    "acting on a cache that is known to be stale makes too many pods or deletes too many")

PROPERTIES: tuple[Property, ...] = (
    no_pod_is_asked_for_while_enough_are_known, only_an_owner_that_stays_adopts,
    replica_counts_converge_to_the_wish,
    a_wish_is_fulfilled, a_surplus_pod_is_deleted, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def synced_without_pods(self: Replicas, caches: FrozenMap[str, Informer]) -> bool:
    return caches[RCS].synced if RCS in caches else all(each.synced for each in caches.values())


def counted_for_any_pod(book: Expectations, key: str, pod: str) -> Expectations:
    found = book.get(key)
    if found is None or not found.deletions:
        return book
    left = found.deletions[1:]
    return book.set(key, found._replace(deletions=left)) if left else book.drop(key)


def dropped_after_two_failures(queue: WorkQueue, key: str, io: Io) -> WorkQueue:
    failures = queue.failures.get(key, 0) + 1
    if failures > 2:
        return work_queue.forget(queue, key)
    io.after(5 << failures, work_queue.RETRY + key)
    return queue._replace(failures=queue.failures.set(key, failures))


def never_waits(book: Expectations, key: str, now_ms: int) -> int:
    return 0


def adopts_by_the_cache(self: Replicas, cached: Any, live: Any) -> bool:
    return cached.metadata.deletion_timestamp is None


LIB = "reference_impl.lib"
MUTANTS = (
    Mutant("rc-syncs-before-pod-store-synced", "rc-syncs-before-pod-store-synced",
           "no_pod_is_asked_for_while_enough_are_known",
           ((f"{LIB}.controller:Controller.has_synced", synced_without_pods),),
           scenario="restarts", faults="crash"),
    Mutant("rc-expectation-counts-delete-twice", "rc-expectation-counts-delete-twice",
           "the_controller_plans_as_its_spec_allows",
           ((f"{LIB}.expectations:deletion_observed", counted_for_any_pod),),
           scenario="scaled-down"),
    Mutant("rc-ignores-expectations",
           "a controller that creates again before it has seen what it created",
           "the_controller_plans_as_its_spec_allows",
           ((f"{LIB}.expectations:waits_ms", never_waits),)),
    Mutant("workqueue-drop-after-max-retries", "workqueue-drop-after-max-retries",
           "replica_counts_converge_to_the_wish",
           ((f"{LIB}.work_queue:add_rate_limited", dropped_after_two_failures),),
           scenario="refused-for-a-while"),
    Mutant("controller-adopts-during-orphan-delete", "controller-adopts-during-orphan-delete",
           "only_an_owner_that_stays_adopts",
           ((f"{LIB}.replicas:Replicas.may_adopt", adopts_by_the_cache),), scenario="orphans",
           faults="cut"),
)
