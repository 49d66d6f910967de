"""How controllers that keep numbers of pods refine the spec of replication: one reading for both.

ReplicationControllers and ReplicaSets are kept by the same machine and obey the same rule. The
reading is of the controller's own state only: what it does with what it knows. That what it knows
is the truth of some moment is List-Watch's promise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from model.api.metadata import controller_of
from model.api.records import Pairs
from model.api.requests import Reply
from model.controllers.replication import Replication as Spec
from model.kernel.component import CUT
from model.kernel.property import Part, Property
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import is_live
from reference_impl.lib.replicas import PODS, State

Chooses = Callable[[Any, "Pairs | None"], bool]


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

    def __init__(self, kind: str, chooses: Chooses) -> None:
        self.kind = kind
        self.chooses = chooses
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
                if (made is None or made.kind != self.kind or not self.chooses(
                        self.selectors.get(made.uid or ""), new.metadata.labels)):
                    seen, owner = seen.drop(uid), owner.drop(uid)
                elif seen.get(uid) != stage(new) or owner.get(uid) != made.uid:
                    seen, owner = seen.set(uid, stage(new)), owner.set(uid, made.uid or "")
        self.rcs, self.pods = rcs, pods
        self.view = View(view.known, seen, owner)
        return self.view


def asked(local: State) -> FrozenMap[str, int]:
    """Creations still to be answered."""
    work = local.work
    if work is None or work.at != "create":
        return EMPTY
    return FrozenMap([(work.owner.metadata.uid, work.missing)])


def has_expired(local: State, rc: Any, now_ms: int) -> bool:
    """Whether what was expected has been expected for five minutes."""
    found = local.memory.get(f"{rc.metadata.namespace}/{rc.metadata.name}")
    return found is not None and found.since_ms + 300_000 <= now_ms


class Planning:
    """How the state and the steps of one such controller look in the words of the spec.

    `name` is the component's, `lane` the one of its owners, `kind` theirs; `chooses(selector,
    labels)` says whether a selector matches.
    """

    def __init__(self, name: str, lane: str, kind: str, chooses: Chooses) -> None:
        self.name = name
        self.lane = lane
        self.caches = Caches(kind, chooses)

    def view_of(self, local: State) -> View:
        """The view of a local state. Neighbouring states differ little: one deriver serves all."""
        return self.caches.of(local.caches[self.lane].store, local.caches[PODS].store)

    def refinement(self, title: str, why: str) -> Property:
        """The property that the controller plans as the spec allows."""
        return refinement(title, Spec, reads=(Part(self.name),), state=self.state,
                          labels=self.labels, constants={"server": 0, "ceiling": 10**9}, why=why)

    def expected(self, local: State) -> tuple[FrozenMap[str, int], FrozenMap[str, bool]]:
        """Creations awaited by controller, and pods whose deletion is awaited."""
        rcs = local.caches[self.lane].store
        awaited = FrozenMap((rcs[key].metadata.uid, found.creations)
                            for key, found in local.memory.items()
                            if found.creations and key in rcs)
        doomed = FrozenMap((uid, True) for key, found in local.memory.items() if key in rcs
                           for uid in found.deletions)
        return awaited, doomed

    def state(self, world: World) -> dict[str, Any]:
        """The spec's variables; the server's side is left out (`server` is 0)."""
        local: State = world[self.name]
        view = self.view_of(local)
        awaited, doomed = self.expected(local)
        return {"stored": EMPTY, "maker": EMPTY, "limbo": EMPTY, "shaken": False, "calm": False,
                "known": view.known, "seen": view.seen, "owner": view.owner, "awaited": awaited,
                "asked": asked(local), "doomed": doomed, "synced": local.synced}

    def labels(self, step: Transition) -> tuple[Label, ...]:
        """What a step of the controller is in the words of the spec."""
        old: State = step.before[self.name]
        new: State = step.after[self.name]
        if step.action.verb == "restart":
            return (Label("crash", ()),)
        found: list[Label] = []
        message = step.message
        if message is not None:
            if message.lane in (self.lane, PODS):
                found = self.cache_labels(old, new)
            elif message.lane == "work" and old.work is not None:
                found = self.answer_labels(old, message.body)
        slot = step.after.slots[step.mover]
        return (*found, *self.decision_labels(old, new, step.after.now + slot.skew))

    def cache_labels(self, old: State, new: State) -> list[Label]:
        """The labels of a delivery to one of the caches."""
        found: list[Label] = []
        before, after = self.view_of(old), self.view_of(new)
        rcs = old.caches[self.lane].store
        for _, past, present in rcs.diff(new.caches[self.lane].store):
            if past is not None and (present is None or present.metadata.uid != past.metadata.uid):
                found.append(Label("retire", (past.metadata.uid,)))
            if present is not None:
                uid = present.metadata.uid
                wish = present.spec.replicas or 0
                if before.known.get(uid, 0) != wish:
                    found.append(Label("learn", (uid, wish)))
        counted = self.counted_uids(old, new)
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

    def counted_uids(self, old: State, new: State) -> set[str]:
        """The pods whose change meets an expectation: new and live, or seen to go."""
        rcs = new.caches[self.lane].store
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

    def answer_labels(self, old: State, body: Any) -> list[Label]:
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
            doomed = self.expected(old)[1]
            failed = (work.left if body == CUT else work.left[:1] if body.code >= 400 else ())
            return [Label("pardon", (pod.metadata.uid,)) for pod in failed
                    if pod.metadata.uid in doomed]
        return []

    def decision_labels(self, old: State, new: State, now_ms: int) -> list[Label]:
        """The labels of a decision of the worker: what to create, whom to delete."""
        was, work = old.work, new.work
        if work is None or work.at not in ("create", "delete") or (
                was is not None and was.at == work.at):
            return []
        uid = work.owner.metadata.uid
        awaited, doomed = self.expected(old)
        owners = self.view_of(old).owner
        outstanding = awaited.get(uid, 0) or any(owners.get(pod) == uid for pod in doomed)
        expires = outstanding and has_expired(old, work.owner, now_ms)
        found = [Label("expire", (uid,))] if expires else []
        if work.at == "create":
            return [*found, Label("plan", (uid, work.missing))]
        return [*found, *(Label("doom", (uid, pod.metadata.uid)) for pod in work.left)]
