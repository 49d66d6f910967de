"""What the replication controller promises, how its state maps to its spec, and its seeded bugs.

The refinement reads the controller's own state only: what it does with what it knows. That what it
knows is the truth of some moment is List-Watch's promise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.metadata import controller_of
from model.api.requests import Reply
from model.api.selectors import selects
from model.controllers.replication import Replication as Spec
from model.kernel.action import Action
from model.kernel.component import CUT, Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, Index, is_live, objects, stored, title
from reference_impl.controllers.replication import RCS
from reference_impl.lib import work_queue
from reference_impl.lib.expectations import Expectations
from reference_impl.lib.informer import Informer
from reference_impl.lib.replicas import PODS, Replicas, State
from reference_impl.lib.work_queue import WorkQueue

NAME = "controllers/replication"
WHOLE = Part(NAME)
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


# ---- refinement --------------------------------------------------------------------------------


class View(NamedTuple):
    """What the caches tell, in the words of the spec."""

    known: FrozenMap[str, int]
    seen: FrozenMap[str, str]
    owner: FrozenMap[str, str]


def stage(pod: Any) -> str:
    """Where a pod is in its life, as the controller counts."""
    if pod.metadata.deletion_timestamp is not None:
        return "ending"
    return "live" if is_live(pod) else "finished"


class Caches:
    """Derives the view of the two caches, from the last one by differences."""

    def __init__(self) -> None:
        self.rcs: FrozenMap[str, Any] = EMPTY
        self.pods: FrozenMap[str, Any] = EMPTY
        self.selectors: dict[str, Any] = {}
        self.view = View(EMPTY, EMPTY, EMPTY)

    def of(self, rcs: FrozenMap[str, Any], pods: FrozenMap[str, Any]) -> View:
        """The view of these stores."""
        if rcs is self.rcs and pods is self.pods:
            return self.view
        view, source = self.view, self.pods
        if rcs is not self.rcs:
            selectors = {rc.metadata.uid: rc.spec.selector for rc in rcs.values()}
            known: FrozenMap[str, int] = FrozenMap(
                (rc.metadata.uid, rc.spec.replicas) for rc in rcs.values() if rc.spec.replicas)
            if selectors != self.selectors:
                self.selectors = selectors
                view, source = View(known, EMPTY, EMPTY), EMPTY
            else:
                view = view._replace(known=known)
        seen, owner = view.seen, view.owner
        for _, old, new in source.diff(pods):
            if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
                seen, owner = seen.drop(old.metadata.uid), owner.drop(old.metadata.uid)
            if new is not None:
                uid, made = new.metadata.uid, controller_of(new.metadata)
                if (made is None or made.kind != "ReplicationController" or not selects(
                        self.selectors.get(made.uid or "", new.metadata.labels),
                        new.metadata.labels)):
                    seen, owner = seen.drop(uid), owner.drop(uid)
                elif seen.get(uid) != stage(new) or owner.get(uid) != made.uid:
                    seen, owner = seen.set(uid, stage(new)), owner.set(uid, made.uid or "")
        self.rcs, self.pods = rcs, pods
        self.view = View(view.known, seen, owner)
        return self.view


_CACHES = Caches()


def view_of(local: State) -> View:
    """The view of a local state. Neighbouring states differ little, so one deriver serves all."""
    return _CACHES.of(local.caches[RCS].store, local.caches[PODS].store)


def expected(local: State) -> tuple[FrozenMap[str, int], FrozenMap[str, bool]]:
    """Creations awaited by controller, and pods whose deletion is awaited."""
    rcs = local.caches[RCS].store
    awaited = FrozenMap((rcs[key].metadata.uid, found.creations)
                        for key, found in local.memory.items() if found.creations and key in rcs)
    doomed = FrozenMap((uid, True) for key, found in local.memory.items() if key in rcs
                       for uid in found.deletions)
    return awaited, doomed


def asked(local: State) -> FrozenMap[str, int]:
    """Creations still to be answered."""
    work = local.work
    if work is None or work.at != "create":
        return EMPTY
    return FrozenMap([(work.owner.metadata.uid, work.missing)])


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    view = view_of(local)
    awaited, doomed = expected(local)
    return {"stored": EMPTY, "maker": EMPTY, "limbo": EMPTY, "shaken": False, "calm": False,
            "known": view.known, "seen": view.seen, "owner": view.owner, "awaited": awaited,
            "asked": asked(local), "doomed": doomed, "synced": local.synced}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    if step.action.verb == "restart":
        return (Label("crash", ()),)
    found: list[Label] = []
    message = step.message
    if message is not None:
        if message.lane in (RCS, PODS):
            found = cache_labels(old, new)
        elif message.lane == "work" and old.work is not None:
            found = answer_labels(old, message.body)
    slot = step.after.slots[step.mover]
    return (*found, *decision_labels(old, new, step.after.now + slot.skew))


def cache_labels(old: State, new: State) -> list[Label]:
    """The labels of a delivery to one of the caches."""
    found: list[Label] = []
    before, after = view_of(old), view_of(new)
    rcs = old.caches[RCS].store
    for _, past, present in rcs.diff(new.caches[RCS].store):
        if past is not None and (present is None or present.metadata.uid != past.metadata.uid):
            found.append(Label("retire", (past.metadata.uid,)))
        if present is not None:
            uid = present.metadata.uid
            wish = present.spec.replicas or 0
            if before.known.get(uid, 0) != wish:
                found.append(Label("learn", (uid, wish)))
    counted = counted_uids(old, new)
    for uid in dict.fromkeys((*(key for key, _, _ in before.seen.diff(after.seen)),
                              *(key for key, _, _ in before.owner.diff(after.owner)))):
        past_owner, owner = before.owner.get(uid), after.owner.get(uid)
        if past_owner is not None and owner is not None and past_owner != owner:
            found.append(Label("observe", (past_owner, uid, "absent", False)))
        found.append(Label("observe", (owner or past_owner, uid, after.seen.get(uid, "absent"),
                                       uid in counted)))
    if new.synced and not old.synced:
        found.append(Label("sync", ()))
    return found


def counted_uids(old: State, new: State) -> set[str]:
    """The pods whose change meets an expectation: new and live, or seen to go."""
    rcs = new.caches[RCS].store
    found = set()
    for _, past, present in old.caches[PODS].store.diff(new.caches[PODS].store):
        replaced = past is not None and present is not None and \
            past.metadata.uid != present.metadata.uid
        for pod, is_new in ((past, False), (present, past is None or replaced)):
            if pod is None or (pod is past and present is not None and not replaced):
                continue
            owner = controller_of(pod.metadata)
            rc = None if owner is None else rcs.get(f"{pod.metadata.namespace}/{owner.name}")
            if rc is None or owner is None or rc.metadata.uid != owner.uid:
                continue
            going = pod is past or pod.metadata.deletion_timestamp is not None
            if going or is_new:
                found.add(pod.metadata.uid)
    return found


def answer_labels(old: State, body: Any) -> list[Label]:
    """The labels of an answer to the worker."""
    work = old.work
    uid = work.owner.metadata.uid
    if work.at == "create":
        if body == CUT:
            return [Label("lose", (uid, ""))]
        assert isinstance(body, Reply)
        return [Label("create" if body.code < 400 else "refuse",
                      (uid, "") if body.code < 400 else (uid,))]
    if work.at == "delete":
        doomed = expected(old)[1]
        failed = (work.left if body == CUT else work.left[:1] if body.code >= 400 else ())
        return [Label("pardon", (pod.metadata.uid,)) for pod in failed
                if pod.metadata.uid in doomed]
    return []


def has_expired(local: State, rc: Any, now_ms: int) -> bool:
    """Whether what was expected has been expected for five minutes."""
    found = local.memory.get(f"{rc.metadata.namespace}/{rc.metadata.name}")
    return found is not None and found.since_ms + 300_000 <= now_ms


def decision_labels(old: State, new: State, now_ms: int) -> list[Label]:
    """The labels of a decision of the worker: what to create, whom to delete."""
    was, work = old.work, new.work
    if work is None or work.at not in ("create", "delete") or (
            was is not None and was.at == work.at):
        return []
    uid = work.owner.metadata.uid
    awaited, doomed = expected(old)
    outstanding = awaited.get(uid, 0) or any(view_of(old).owner.get(pod) == uid for pod in doomed)
    expires = outstanding and has_expired(old, work.owner, now_ms)
    found = [Label("expire", (uid,))] if expires else []
    if work.at == "create":
        return [*found, Label("plan", (uid, work.missing))]
    return [*found, *(Label("doom", (uid, pod.metadata.uid)) for pod in work.left)]


REFINEMENT = refinement(
    "the_controller_plans_as_its_spec_allows", Spec, reads=(WHOLE,), state=state, labels=labels,
    constants={"server": 0, "ceiling": 10**9},
    why="acting on a cache that is known to be stale makes too many pods or deletes too many")

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
