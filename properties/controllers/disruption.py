"""What disruption budgets promise, how the controller's steps map to its spec, and seeded bugs.

Source: Kubernetes documentation, "Disruptions" and "Specifying a Disruption Budget".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.api import selectors
from model.api.conditions import find
from model.api.objects import milliseconds, rest_fields
from model.api.records import canonical_json, write
from model.api.requests import Patch, Request, patch
from model.controllers.disruption import SPEC
from model.kernel.action import Action
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, is_ready, objects, stored, title
from reference_impl.apiserver.access.authentication import ADMIN, component
from reference_impl.controllers.disruption import BUDGETS, PODS, Disruption, State

NAME = "controllers/disruption"
WORK = Part(NAME, "work")
QUEUE = Part(NAME, "queue")
OWN_WRITES = f"txn/{NAME}/"
GRANT_LASTS_MS = 120_000
CLEARLY_YOUNG_MS = 30_000
PLURALS = {"ReplicationController": "replicationcontrollers", "ReplicaSet": "replicasets",
           "Deployment": "deployments", "StatefulSet": "statefulsets"}
BEYOND = 1_000_000_000
"""A need that no number of pods meets."""


# ---- what the documents ask for ----------------------------------------------------------------


def stays(pod: Any) -> bool:
    """Whether a pod is not being deleted."""
    return pod.metadata.deletion_timestamp is None


def covers(budget: Any, pod: Any) -> bool:
    """Whether a budget speaks of a pod."""
    return (budget.spec is not None and pod.metadata.namespace == budget.metadata.namespace
            and selectors.matches(selectors.from_object(budget.spec.selector),
                                  pod.metadata.labels))


def share(value: Any, total: int) -> int:
    """A number, or a percentage of a total in whole pods, rounded up."""
    if isinstance(value, int):
        return value
    parts = int(value[:-1]) * total
    return parts // 100 + (1 if parts % 100 else 0)


def controller(owner_of: Any, obj: Any) -> Any:
    """The object that controls another one; None when there is none that counts."""
    for ref in obj.metadata.owner_references or ():
        plural = PLURALS.get(ref.kind)
        if ref.controller and plural is not None:
            found = owner_of(plural, obj.metadata.namespace, ref.name)
            return found if found is not None and found.metadata.uid == ref.uid else None
    return None


def wish(owner: Any) -> int:
    """The number of pods that an owner wants."""
    if hasattr(owner, "spec"):
        return 1 if owner.spec is None or owner.spec.replicas is None else int(owner.spec.replicas)
    replicas = rest_fields(owner).get("spec", {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def need_of(budget: Any, pods: list[Any], owner_of: Any) -> int:
    """How many healthy pods a budget asks for; BEYOND where that cannot be told, or nothing is to
    be allowed because there are no pods to speak of."""
    spec = budget.spec
    if isinstance(spec.min_available, int) and spec.max_unavailable is None:
        return spec.min_available if pods else BEYOND
    wishes: dict[str, int] = {}
    for pod in pods:
        if not any(ref.controller for ref in pod.metadata.owner_references or ()):
            continue
        owner = controller(owner_of, pod)
        if owner is None:
            return BEYOND
        if owner.kind == "ReplicaSet":
            above = [ref for ref in owner.metadata.owner_references or ()
                     if ref.controller and ref.kind == "Deployment"]
            owner = controller(owner_of, owner) if above else owner
            if owner is None:
                return BEYOND
        wishes[owner.metadata.uid] = wish(owner)
    total = sum(wishes.values())
    if not total:
        return BEYOND
    if spec.max_unavailable is not None:
        return max(0, total - share(spec.max_unavailable, total))
    return share(spec.min_available, total) if spec.min_available is not None else BEYOND


def notes_of(budget: Any) -> dict[str, str]:
    """The pods whose eviction was granted, with the time."""
    return dict((budget.status.disrupted_pods if budget.status is not None else None) or ())


def healthy(pods: list[Any], notes: dict[str, str]) -> int:
    """How many pods are ready and stay."""
    return len([pod for pod in pods
                if is_ready(pod) and stays(pod) and pod.metadata.name not in notes])


def told_by(budget: Any) -> int:
    """How many evictions a budget allows."""
    return (budget.status.disruptions_allowed if budget.status is not None else None) or 0


def in_caches(local: State) -> Any:
    """A look-up of owners in the controller's caches."""
    return lambda plural, namespace, name: local.caches[plural].store.get(f"{namespace}/{name}")


# ---- promises ----------------------------------------------------------------------------------


@leads_to(within_ms=900_000, reads=(KV, WORK), why="evictions look at nothing but the status")
def a_budget_tells_how_many_pods_may_go(world: World) -> str | None:
    """In the end: the healthy pods above the need."""
    pods = list(objects(world, PODS))
    for budget in objects(world, BUDGETS):
        mine = [pod for pod in pods if covers(budget, pod)]
        need = need_of(budget, mine, lambda *place: stored(world, *place))
        wanted = max(0, healthy(mine, notes_of(budget)) - need)
        if told_by(budget) != wanted:
            return (f"PodDisruptionBudget {title(budget)} allows {told_by(budget)} evictions,"
                    f" {wanted} are right")
        if budget.status is None or budget.status.observed_generation != \
                budget.metadata.generation:
            return f"PodDisruptionBudget {title(budget)} was not looked at"
    return None


def change_of_budgets(before: World, after: World) -> Iterator[tuple[Any, Any]]:
    """The budgets that a step changed in the store, before and after."""
    for key, old, new in before["etcd"].kv.diff(after["etcd"].kv):
        if key.startswith(f"/registry/{BUDGETS}/") and old is not None and new is not None:
            yield old, new


@step_rule(reads=(WORK, KV), why="a budget is there to be kept")
def an_eviction_keeps_the_budget(before: World, action: Action, after: World) -> str | None:
    """When an eviction is granted of a budget that its controller has nothing to do about, enough
    healthy pods are left; those that failed unnoticed count as left."""
    if action.actor != "etcd" or action.verb != "deliver" or str(
            action.args[1]).startswith(OWN_WRITES):
        return None
    local: State = before[NAME]
    for old, new in change_of_budgets(before, after):
        budget = new.value
        if told_by(budget) >= told_by(old.value) or not settled(local, old):
            continue
        notes = notes_of(budget)
        mine = {pod.metadata.uid: pod for pod in objects(after, PODS) if covers(budget, pod)}
        unnoticed = len([pod for pod in local.caches[PODS].store.values()
                         if covers(budget, pod) and is_ready(pod) and stays(pod)
                         and pod.metadata.name not in notes and not (
                             pod.metadata.uid in mine and is_ready(mine[pod.metadata.uid])
                             and stays(mine[pod.metadata.uid]))])
        left = healthy(list(mine.values()), notes) + unnoticed
        if left < (budget.status.desired_healthy or 0):
            return (f"PodDisruptionBudget {title(budget)} needs {budget.status.desired_healthy}"
                    f" healthy pods, an eviction left {left}")
    return None


def settled(local: State, entry: Any) -> bool:
    """Whether the controller has seen a stored budget as it is, and has nothing to do about it."""
    key = title(entry.value)
    cached = local.caches[BUDGETS].store.get(key)
    queue = local.queue
    return (cached is not None and int(cached.metadata.resource_version) == entry.mod_revision
            and key not in queue.dirty and key not in queue.processing
            and key not in queue.failures)


@step_rule(reads=(WORK, KV), why="a granted eviction that is forgotten is granted twice")
def a_grant_is_not_forgotten(before: World, action: Action, after: World) -> str | None:
    """The controller's own write keeps every note of a pod that its cache does not show leaving,
    unless the note is old: else it counts the pod again."""
    if action.actor != "etcd" or action.verb != "deliver" or not str(
            action.args[1]).startswith(OWN_WRITES):
        return None
    seen = before[NAME].caches[PODS].store
    for old, new in change_of_budgets(before, after):
        for name, moment in notes_of(old.value).items():
            pod = seen.get(f"{old.value.metadata.namespace}/{name}")
            young = abs(before.now - milliseconds(moment)) < CLEARLY_YOUNG_MS
            if (name not in notes_of(new.value) and young and pod is not None and stays(pod)
                    and (pod.metadata.creation_timestamp or "") <= moment):
                return f"the eviction of {name} was granted at {moment} and is forgotten"
    return None


@step_rule(reads=(WORK, QUEUE), why="a wrong number is believed until the next change")
def a_budget_is_put_away_only_when_it_tells_what_is_counted(before: World, action: Action,
                                                            after: World) -> str | None:
    """A look that ends without a write found the number that the caches ask for."""
    local: State = after[NAME]
    if action.verb != "work" or action.actor != NAME or local.work is not None:
        return None
    budget = local.caches[BUDGETS].store.get(before[NAME].queue.order[0])
    if budget is None:
        return None
    mine = [pod for pod in local.caches[PODS].store.values() if covers(budget, pod)]
    wanted = max(0, healthy(mine, notes_of(budget)) - need_of(budget, mine, in_caches(local)))
    if told_by(budget) == wanted:
        return None
    return (f"PodDisruptionBudget {title(budget)} is put away with {told_by(budget)} allowed,"
            f" {wanted} are counted")


@sometimes(reads=(KV, WORK), why="a budget that allows nothing keeps itself")
def an_eviction_is_granted(world: World) -> bool:
    """Some budget notes a pod."""
    return any(notes_of(budget) for budget in objects(world, BUDGETS))


# ---- refinement --------------------------------------------------------------------------------


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0). What the cache shows is
    part of the state only within the step that counts."""
    local: State = world[NAME]
    kept = EMPTY
    if local.work is not None and not is_fault(local.work):
        kept = FrozenMap((name, True) for name, _ in local.work.disrupted_pods or ())
    return {"pod": EMPTY, "granted": EMPTY, "going": EMPTY, "allowed": 0, "moved": False,
            "fresh": False, "failed": 0, "unseen": EMPTY, "calm": False, "seen": EMPTY,
            "noted": EMPTY, "due": False, "stage": "idle" if local.work is None else "writing",
            "kept": kept,
            "amount": 0 if local.work is None else local.work.disruptions_allowed or 0}


def is_fault(status: Any) -> bool:
    """Whether a status tells that its budget cannot be measured."""
    known = find(status.conditions, "DisruptionAllowed")
    return known is not None and known.reason == "SyncFailed"


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    if step.action.verb == "restart":
        return (Label("crash"),)
    if step.action.verb == "work":
        return tuple(counted(step, old, new))
    if old.work is not None and new.work is None:
        return (Label("put_away"),)
    return ()


def counted(step: Transition, old: State, new: State) -> Iterator[Label]:
    """The worker counts. Notes are given up after two minutes by its own clock."""
    budget = new.caches[BUDGETS].store.get(old.queue.order[0])
    if budget is None:
        return
    mine = [pod for pod in new.caches[PODS].store.values() if covers(budget, pod)]
    states = {pod.metadata.name: "leaving" if not stays(pod) else
              "ready" if is_ready(pod) else "unready" for pod in mine}
    notes = notes_of(budget)
    now = step.before.now + max(0, step.before.slots[step.mover].skew)
    for name, shown in states.items():
        yield Label("observe", (name, shown))
    for name in notes:
        yield Label("read_note", (name, True))
    yield Label("begin")
    fault = new.work is not None and is_fault(new.work)
    for name, moment in notes.items():
        there = states.get(name) in ("ready", "unready")
        if there and (fault or now - milliseconds(moment) >= GRANT_LASTS_MS):
            yield Label("expire", (name,))
    yield Label("go", (need_of(budget, mine, in_caches(new)),))
    if new.work is None:
        yield Label("put_away")
    for name in states:
        yield Label("observe", (name, "absent"))
    for name in notes:
        yield Label("read_note", (name, False))


REFINEMENT = refinement(
    "budgets_are_counted_as_their_spec_allows", SPEC, reads=(WORK, QUEUE), state=state,
    labels=labels, constants={"server": 0},
    why="whatever is counted wrongly is evicted wrongly")

PROPERTIES: tuple[Property, ...] = (
    a_budget_tells_how_many_pods_may_go, an_eviction_keeps_the_budget, a_grant_is_not_forgotten,
    a_budget_is_put_away_only_when_it_tells_what_is_counted, an_eviction_is_granted, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def whatever_is_there_is_overwritten(self: Disruption, budget: Any, status: Any) -> Request:
    """The status is put in place without a look at the version that it was counted over."""
    document = canonical_json([{"op": "add", "path": "/status", "value": write(status)}])
    return patch(BUDGETS, budget.metadata.namespace, budget.metadata.name,
                 Patch("json", document), "status")


def controllers_are_administrators(name: str, verb: str) -> Any:
    """Controllers with one credential that may do everything, patches of status as well."""
    return ADMIN if name.startswith("controllers/") else component(name, verb)


def leaving_pods_are_healthy(pods: list[Any], noted: tuple[tuple[str, str], ...]) -> int:
    """A pod that is being deleted counts for as long as it is ready."""
    going = {name for name, _ in noted}
    return len([pod for pod in pods if is_ready(pod) and pod.metadata.name not in going])


def shares_are_rounded_down(value: Any, total: int) -> int:
    """Half of three pods is one."""
    return value if isinstance(value, int) else int(value[:-1]) * total // 100


HOME = "reference_impl.controllers.disruption"
MUTANTS = (
    Mutant("budget-overwrites-grants",
           "the controller's status overwrites an eviction that was granted meanwhile",
           "a_grant_is_not_forgotten",
           ((f"{HOME}:Disruption.writing", whatever_is_there_is_overwritten),
            ("reference_impl.apiserver.access.authentication:component",
             controllers_are_administrators)),
           scenario="budgets"),
    Mutant("budget-counts-leaving-pods", "pods that are being deleted count as healthy",
           "budgets_are_counted_as_their_spec_allows",
           ((f"{HOME}:healthy_among", leaving_pods_are_healthy),), scenario="budgets"),
    Mutant("budget-share-rounded-down", "a share of pods is rounded down",
           "budgets_are_counted_as_their_spec_allows",
           ((f"{HOME}:scaled", shares_are_rounded_down),), scenario="budget-share"),
)
