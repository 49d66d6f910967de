"""What the Deployment controller promises, how its state maps to its spec, and its seeded bugs.

The refinement reads the controller's own state: the sizes and counts that a sync goes by, and what
it makes of them. That those were the truth of some moment is List-Watch's promise; that a size is
written only over the one that was seen is the API server's.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from model.api.metadata import annotation, controller_of
from model.api.objects import PodTemplateSpec, ReplicaSet, put
from model.api.records import write
from model.api.requests import Reply
from model.controllers.deployment import Rollout as Spec
from model.kernel.action import Action
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, each, leads_to, sometimes, step_rule
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.controllers.replication import CONVERGES_MS, may_be_refused
from properties.reading import KV, Index, is_live, is_ready, objects, title
from reference_impl.controllers.deployment import PODS, Deployments, State, Work
from reference_impl.lib import rollout
from reference_impl.lib.rollout import Sets, Sizes

NAME = "controllers/deployment"
WORK = Part(NAME, "work")
HASH = "pod-template-hash"
DESIRED = "deployment.kubernetes.io/desired-replicas"
FINAL_PHASES = ("Succeeded", "Failed")


# ---- reading -----------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def meaning(template: PodTemplateSpec | None) -> str:
    """What a template asks for, its hash aside, as text to compare."""
    shown = write(template or PodTemplateSpec())
    metadata = shown.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    return repr((sorted(labels.items()), sorted((metadata.get("annotations") or {}).items()),
                 shown.get("spec")))


def owner_uid(found: Any) -> str | None:
    """The uid of the controlling owner."""
    owner = controller_of(found.metadata)
    return None if owner is None else owner.uid


_SETS = Index("replicasets", owner_uid)
_PODS = Index("pods", owner_uid)


def sets_of(world: World, uid: str | None) -> list[Any]:
    """The stored ReplicaSets of a deployment, in key order."""
    found = _SETS.of(world).get(uid or "", {})
    return [found[key].value for key in sorted(found)]


def pods_of(world: World, uid: str | None) -> list[Any]:
    """The stored pods of a ReplicaSet, in key order."""
    found = _PODS.of(world).get(uid or "", {})
    return [found[key].value for key in sorted(found)]


def recreates(deployment: Any) -> bool:
    """Whether the strategy is Recreate."""
    strategy = deployment.spec.strategy
    return strategy is not None and strategy.type == "Recreate"


def allowance(value: Any, of: int, up: bool) -> int:
    """A number or a percentage of `of`."""
    if isinstance(value, int):
        return value
    share = of * int((value or "0%").rstrip("%")) / 100
    return math.ceil(share) if up else math.floor(share)


def surge_and_slack(deployment: Any) -> tuple[int, int]:
    """How many pods there may be beyond the wish, and how many may lack."""
    rolling = deployment.spec.strategy.rolling_update if deployment.spec.strategy else None
    if recreates(deployment) or rolling is None:
        return 0, 0
    wish = deployment.spec.replicas or 0
    surge = allowance(rolling.max_surge, wish, True)
    slack = allowance(rolling.max_unavailable, wish, False)
    return surge, min(slack if surge or slack else 1, wish)


# ---- promises ----------------------------------------------------------------------------------


@each(of=KV, prefix="/registry/replicasets/",
      why="two ReplicaSets of one template would share pods and hide the history")
def a_deployment_has_one_replica_set_for_each_template(world: World, key: str, old: Any,
                                                       new: Any) -> str | None:
    """No two ReplicaSets of a deployment have the same template."""
    if new is None or (old is not None and old.value.spec == new.value.spec):
        return None
    found = new.value
    owner = controller_of(found.metadata)
    if owner is None:
        return None
    for other in sets_of(world, owner.uid):
        if other.metadata.uid != found.metadata.uid and (
                meaning(other.spec.template) == meaning(found.spec.template)):
            return f"{title(found)} has the template of {title(other)}"
    return None


@step_rule(reads=(WORK,), why="an interrupted scaling must end where an uninterrupted one does")
def sizes_are_leveled_once_for_each_wish(before: World, action: Action,
                                         after: World) -> str | None:
    """Sizes are leveled while paused or after a change of the wish; what has been sized for the
    present wish keeps its size until all others are sized for it too."""
    old, new = before[NAME].work, after[NAME].work
    if new is None or not new.sizes or new.rolls or (old is not None and old.sizes):
        return None
    deployment = new.deployment
    wish = str(deployment.spec.replicas)
    living = [found for found in new.sets if found.spec.replicas]
    told = {found.metadata.name: annotation(found.metadata, DESIRED) for found in living}
    late = [name for name in told if told[name] not in (wish, None)]
    if not late and not deployment.spec.paused:
        return f"{title(deployment)} is leveled although all are sized for its wish of {wish}"
    if not late or len(living) < 2:
        return None
    sizes = {found.metadata.name: found.spec.replicas for found in living}
    for name, size in new.sizes:
        if told.get(name) == wish and size not in (0, sizes[name]):
            return (f"{title(deployment)} gives {name} {size} pods after {sizes[name]}, though "
                    f"that was for the present wish of {wish}, while {', '.join(late)} waits")
    return None


@leads_to(within_ms=CONVERGES_MS, reads=(KV,), why="this is what the user asked for")
def rollouts_end_with_the_pods_that_are_wished(world: World) -> str | None:
    """The new ReplicaSet of each deployment has all its pods, older ones have none, and the status
    says that it has progressed; unless pods cannot run, or somebody refuses or pauses it."""
    for found in objects(world, "deployments"):
        spec, status = found.spec, found.status
        if found.metadata.deletion_timestamp is not None or spec.paused or (
                may_be_refused(world, found.metadata.namespace)):
            continue
        sets = sets_of(world, found.metadata.uid)
        pods = [pod for each_set in sets for pod in pods_of(world, each_set.metadata.uid)]
        if any(is_live(pod) and not is_ready(pod) for pod in pods):
            continue
        wish = spec.replicas or 0
        sizes = {title(one): one.spec.replicas or 0 for one in sets}
        new = [title(one) for one in sets if meaning(one.spec.template) == meaning(spec.template)]
        if len(new) != 1 or any(size != (wish if name in new else 0)
                                for name, size in sizes.items()):
            return f"{title(found)} wishes {wish} pods of {new}, and its sizes are {sizes}"
        told = (status.observed_generation, status.replicas or 0, status.updated_replicas or 0,
                status.available_replicas or 0)
        if told != (found.metadata.generation, wish, wish, wish):
            return f"{title(found)} wishes {wish} pods, and its status says {told}"
        limit = spec.revision_history_limit
        if limit is not None and len(sets) > limit + 1:
            return f"{title(found)} keeps {len(sets) - 1} old ReplicaSets, not {limit}"
    return None


@sometimes(reads=(KV,), why="a rollout that never overlaps shows nothing")
def two_templates_of_a_deployment_have_pods(world: World) -> bool:
    """Old and new pods of one deployment are available at once."""
    return any(sum(bool(one.status and one.status.available_replicas)
                   for one in sets_of(world, found.metadata.uid)) > 1
               for found in objects(world, "deployments"))


@sometimes(reads=(KV,), why="history and revisions show only then")
def a_deployment_has_rolled_out_twice(world: World) -> bool:
    """Some deployment is complete at its second revision or a later one."""
    return any(found.status.updated_replicas and found.status.updated_replicas
               == found.status.replicas == found.status.available_replicas
               and int(annotation(found.metadata, "deployment.kubernetes.io/revision") or 0) > 1
               for found in objects(world, "deployments"))


# ---- refinement --------------------------------------------------------------------------------


Entry = tuple[int, int, bool]
"""What a sync knows of a ReplicaSet: its size, its available pods, whether pods of it remain."""
NOTHING: Entry = (0, 0, False)
IDLE = (0, 1, 0, False, False)


def declared(work: Work | None) -> tuple[int, int, int, bool, bool]:
    """Wish, surge, slack, whether it recreates, whether sizes are leveled."""
    if work is None or work.deployment.spec is None:
        return IDLE
    deployment = work.deployment
    return (work.deployment.spec.replicas or 0, *surge_and_slack(deployment),
            recreates(deployment), not work.rolls)


def fresh_of(work: Work | None) -> str | None:
    """The uid of the ReplicaSet that has the deployment's template."""
    if work is None or work.deployment.spec is None:
        return None
    wanted = meaning(work.deployment.spec.template)
    found = [one for one in work.sets
             if one.spec is not None and meaning(one.spec.template) == wanted]
    found.sort(key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name or ""))
    return found[0].metadata.uid if found else None


def known(local: State) -> dict[str, Entry]:
    """What the sync in hand knows of each ReplicaSet, by uid, blank entries left out."""
    work: Work | None = local.work
    if work is None:
        return {}
    looks = recreates(work.deployment)
    found: dict[str, Entry] = {}
    for one in work.sets:
        spec, status = one.spec, one.status
        entry = ((spec.replicas if spec else 0) or 0,
                 (status.available_replicas if status else 0) or 0,
                 looks and remains(local, one))
        if entry != NOTHING:
            found[one.metadata.uid or ""] = entry
    return found


def remains(local: State, one: ReplicaSet) -> bool:
    """Whether pods of a ReplicaSet remain, as its status or the cache of pods tells."""
    if one.status is not None and one.status.replicas:
        return True
    return any(owner_uid(pod) == one.metadata.uid
               and (pod.status is None or pod.status.phase not in FINAL_PHASES)
               for pod in local.caches[PODS].store.values())


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    wish, surge, slack, anew, levels = declared(local.work)
    entries = known(local)
    return {
        "wish": wish, "surge": surge, "slack": slack, "recreates": anew, "levels": levels,
        "fresh": fresh_of(local.work), "calm": False, "shaken": False,
        "size": EMPTY, "ready": EMPTY, "alive": EMPTY,
        "seen": FrozenMap((uid, entry[0]) for uid, entry in entries.items() if entry[0]),
        "counted": FrozenMap((uid, entry[1]) for uid, entry in entries.items() if entry[1]),
        "felt": FrozenMap((uid, True) for uid, entry in entries.items() if entry[2])}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec: at most one new size, with what
    the sync knew, and then what it has learned."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    entries, present = known(old), known(new)
    told, fresh = declared(old.work), fresh_of(old.work)
    found: list[Label] = []
    made = written(old, step.message.body if step.message is not None else None)
    if made is not None:
        one, size = made
        uid = one.metadata.uid or ""
        if old.work.at == "create" and fresh != uid:
            found.append(Label("turn", (uid,)))
            fresh = uid
        before = entries.get(uid, NOTHING)
        if size != before[0]:
            found.append(Label("grow" if size > before[0] else "shrink", (uid, size)))
            entries[uid] = (size, *before[1:])
    if told != declared(new.work):
        found.append(Label("declare", declared(new.work)))
    if fresh != fresh_of(new.work):
        turned = fresh_of(new.work)
        found.append(Label("turn_away", ()) if turned is None else Label("turn", (turned,)))
    for uid in sorted({*entries, *present}):
        if entries.get(uid, NOTHING) != present.get(uid, NOTHING):
            found.append(Label("look", (uid, *present.get(uid, NOTHING))))
    return tuple(found)


def written(old: State, body: Any) -> tuple[ReplicaSet, int] | None:
    """The ReplicaSet whose new size a reply confirms, and that size."""
    work: Work | None = old.work
    if work is None or work.at not in ("scale", "create") or not isinstance(body, Reply) or (
            body.code >= 400) or not isinstance(body.body, ReplicaSet) or body.body.spec is None:
        return None
    return body.body, body.body.spec.replicas or 0


REFINEMENT = refinement(
    "a_rollout_keeps_within_its_bounds", Spec, reads=(Part(NAME, "work"), Part(NAME, "caches")),
    state=state, labels=labels, constants={"server": 0, "ceiling": 10**9},
    why="too few available pods fail the users, too many fail the machines, and pods of two "
        "templates at once may fail what Recreate was chosen for")

PROPERTIES: tuple[Property, ...] = (
    a_deployment_has_one_replica_set_for_each_template, sizes_are_leveled_once_for_each_wish,
    rollouts_end_with_the_pods_that_are_wished, two_templates_of_a_deployment_have_pods,
    a_deployment_has_rolled_out_twice, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def only_their_sizes(self: Deployments, local: State, old: Sets) -> bool:
    return False


def by_present_shares(deployment: Any, living: Sets) -> Sizes:
    allowed = (deployment.spec.replicas or 0) + surge_and_slack(deployment)[0]
    total = sum(map(rollout.size_of, living))
    return tuple((found.metadata.name or "", rollout.size_of(found) + round(
        (allowed - total) * rollout.size_of(found) / total)) for found in living)


def by_sizes_alone(deployment: Any, new: ReplicaSet, old: Sets) -> Sizes:
    living = rollout.oldest_first(rollout.active(old))
    spare = sum(map(rollout.size_of, (*living, new))) - rollout.least_available(deployment)
    writes = []
    for found in living:
        down = min(rollout.size_of(found), spare)
        if down > 0:
            spare -= down
            writes.append((found.metadata.name or "", rollout.size_of(found) - down))
    return tuple(writes)


def with_its_hash(template: Any) -> Any:
    return put(template, "rest", b"")


LIB = "reference_impl.lib.rollout"
MUTANTS = (
    Mutant("deployment-recreate-overlap", "deployment-recreate-overlap",
           "a_rollout_keeps_within_its_bounds",
           (("reference_impl.controllers.deployment:Deployments.pods_remain", only_their_sizes),),
           scenario="recreate"),
    Mutant("deployment-proportional-scale-not-reentrant",
           "deployment-proportional-scale-not-reentrant", "sizes_are_leveled_once_for_each_wish",
           ((f"{LIB}:proportional", by_present_shares),), scenario="stuck-rollout",
           faults="crash"),
    Mutant("rolling-update-counts-unready-old", "rolling-update-counts-unready-old",
           "a_rollout_keeps_within_its_bounds", ((f"{LIB}:scale_down", by_sizes_alone),),
           scenario="little-room"),
    Mutant("deployment-takes-its-own-old-set-for-another",
           "a deployment that compares templates with the hash label in never finds its ReplicaSet",
           "rollouts_end_with_the_pods_that_are_wished",
           ((f"{LIB}:plain_template", with_its_hash),), scenario="rollout"),
)
