"""Every step of the scheduler, and of the store about pods and nodes, is a step of the spec.

Pods are named by uid, so that a pod made again under its name is another pod. Room is processor,
in thousandths. A pod that has ended, or that is deleted before it was bound, is absent.
"""

from __future__ import annotations

from typing import Any

from model.api.quantities import milli
from model.kernel.property import Part, Property
from model.kernel.refine import Derived, refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from model.scheduler import SPEC
from properties.reading import KV
from properties.scheduler.facts import asks_of, takes_room
from properties.scheduler.histories import NODES, PODS, SCHEDULER, node_of

Fate = tuple[str, str, str, int]
"""uid, fate, node and size of a stored pod."""


def _millis(amount: int) -> int:
    return -(-amount // 10 ** 6)


def stored_fate(key: str, entry: Any) -> Fate | None:
    """What the spec says about a stored pod; None: it is absent."""
    if not key.startswith(PODS) or entry is None:
        return None
    pod = entry.value
    node = node_of(pod)
    if not takes_room(pod) or (not node and pod.metadata.deletion_timestamp is not None):
        return None
    size = _millis(asks_of(pod.spec).get("cpu", 0)) if pod.spec is not None else 0
    return pod.metadata.uid, "bound" if node else "pending", node, size


def stored_room(key: str, entry: Any) -> tuple[str, int] | None:
    """Name and room of a stored node; None: it is absent."""
    if not key.startswith(NODES) or entry is None:
        return None
    node = entry.value
    for name, text in (node.status.allocatable or () if node.status is not None else ()):
        if name == "cpu":
            return node.metadata.name, milli(text)
    return node.metadata.name, 0


def _fate_entry(key: str, entry: Any) -> tuple[str, str] | None:
    found = stored_fate(key, entry)
    return None if found is None else (found[0], found[1])


def _node_entry(key: str, entry: Any) -> tuple[str, str] | None:
    found = stored_fate(key, entry)
    return None if found is None or not found[2] else (found[0], found[2])


class Sizes:
    """Sizes and rooms: kept when pod or node go, as in the spec, and never different by world."""

    def __init__(self) -> None:
        self.pods: FrozenMap[str, int] = EMPTY
        self._source: FrozenMap[str, Any] = EMPTY

    def of(self, kv: FrozenMap[str, Any]) -> FrozenMap[str, int]:
        """The size of every pod that was ever stored."""
        for key, _, new in self._source.diff(kv):
            found = stored_fate(key, new)
            if found is not None and self.pods.get(found[0]) != found[3]:
                self.pods = self.pods.set(found[0], found[3])
        self._source = kv
        return self.pods


_FATES: Derived[str, Any] = Derived(_fate_entry)
_PLACES: Derived[str, Any] = Derived(_node_entry)
_ROOMS: Derived[str, Any] = Derived(stored_room)
_UP: Derived[str, Any] = Derived(
    lambda key, entry: None if (found := stored_room(key, entry)) is None else (found[0], True))
_KNOWN: Derived[str, Any] = Derived(lambda name, node: (name, True))
_SEEN: Derived[str, Any] = Derived(lambda name, node: (name, node.room.cpu))
_QUEUED: Derived[str, Any] = Derived(lambda key, waiting: (waiting.pod.uid, True))
_TAKEN: Derived[str, Any] = Derived(lambda key, pod: (pod.uid, pod.node))
_SIZES = Sizes()


def spec_state(world: World) -> dict[str, Any]:
    """The state of the spec that a world stands for."""
    kv, local = world["etcd"].kv, world[SCHEDULER]
    flight: FrozenMap[str, bool] = EMPTY if local.flight is None else FrozenMap(
        ((local.flight.waiting.pod.uid, True),))
    return {"fate": _FATES.of(kv), "node": _PLACES.of(kv), "size": _SIZES.of(kv),
            "up": _UP.of(kv), "room": _ROOMS.of(kv), "synced": local.synced,
            "known": _KNOWN.of(local.snapshot.nodes), "seen": _SEEN.of(local.snapshot.nodes),
            "queued": _QUEUED.of(local.queue.pods),
            "taken": _TAKEN.of(local.snapshot.pods), "flight": flight}


def store_labels(step: Transition) -> tuple[Label, ...]:
    """What a write of the store is, in the words of the spec."""
    flight = step.before[SCHEDULER].flight
    labels: list[Label] = []
    for key, old, new in step.before["etcd"].kv.diff(step.after["etcd"].kv):
        if key.startswith(PODS):
            labels += _pod_labels(stored_fate(key, old), stored_fate(key, new), flight)
        elif key.startswith(NODES):
            labels += _node_labels(stored_room(key, old), stored_room(key, new))
    return tuple(labels)


def _pod_labels(old: Fate | None, new: Fate | None, flight: Any) -> list[Label]:
    labels = []
    if old is not None and (new is None or new[0] != old[0]):
        labels.append(Label("delete", (old[0],)))
        old = None
    if new is None:
        return labels
    if old is None:
        labels.append(Label("create", (new[0], new[3])))
    if new[2] and (old is None or not old[2]):
        ours = (flight is not None and flight.waiting.pod.uid == new[0]
                and flight.node == new[2])
        labels.append(Label("commit" if ours else "place", (new[0], new[2])))
    return labels


def _node_labels(old: tuple[str, int] | None, new: tuple[str, int] | None) -> list[Label]:
    if new is None:
        return [] if old is None else [Label("leave", (old[0],))]
    if old is None:
        return [Label("join", new)]
    return [] if old == new else [Label("resize", new)]


def scheduler_labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the scheduler is, in the words of the spec."""
    before, after = step.before[SCHEDULER], step.after[SCHEDULER]
    if step.action.verb == "restart":
        return (Label("restart", ()),)
    labels = [
        Label("see_node", (name, new is not None, 0 if new is None else new.room.cpu))
        for name, old, new in before.snapshot.nodes.diff(after.snapshot.nodes)
        if old is None or new is None or old.room.cpu != new.room.cpu]
    old_flight, new_flight = _flying(before), _flying(after)
    taken = _TAKEN.of(before.snapshot.pods).diff(_TAKEN.of(after.snapshot.pods))
    forgotten = ""
    for uid, was, now in taken:
        if now is not None:
            continue
        if uid == old_flight and not new_flight and uid in _FATES.of(step.before["etcd"].kv):
            labels.append(Label("forget", (uid, was)))
            forgotten = uid
        else:
            labels.append(Label("release", (uid,)))
    if old_flight and old_flight != new_flight and old_flight != forgotten:
        labels.append(Label("settle", (old_flight,)))
    queued = _QUEUED.of(before.queue.pods).diff(_QUEUED.of(after.queue.pods))
    placed = {uid for uid, _, now in taken if now is not None}
    labels += [Label("drop", (uid,)) for uid, _, now in queued
               if now is None and uid not in placed]
    for uid, _, now in taken:
        if now is not None:
            ours = uid == new_flight and old_flight != new_flight
            labels.append(Label("assume" if ours else "adopt", (uid, now)))
    labels += [Label("see_pod", (uid,)) for uid, was, now in queued
               if was is None and now is not None]
    if after.synced and not before.synced:
        labels.append(Label("sync", ()))
    return tuple(labels)


def _flying(local: Any) -> str:
    return "" if local.flight is None else local.flight.waiting.pod.uid


def labels_of(step: Transition) -> tuple[Label, ...]:
    """The steps of the spec that a transition stands for."""
    if step.before["etcd"].kv is not step.after["etcd"].kv:
        return store_labels(step)
    return scheduler_labels(step)


every_step_about_placement_is_one_of_the_spec: Property = refinement(
    "every_step_about_placement_is_one_of_the_spec", SPEC,
    reads=(KV, Part(SCHEDULER, "snapshot.nodes"), Part(SCHEDULER, "snapshot.pods"),
           Part(SCHEDULER, "queue.pods"), Part(SCHEDULER, "flight"), Part(SCHEDULER, "synced")),
    state=spec_state, labels=labels_of,
    why="what is proved of the spec then holds of the scheduler",
    constants={"capacity": 10 ** 12})
