"""How properties read a world: the store's objects by collection, without asking a server."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from model.kernel.property import Part
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import UP, World

KV = Part("etcd", "kv")
REGISTRY = "/registry/"


def objects(world: World, plural: str) -> Iterator[Any]:
    """The stored objects of a collection, in key order, with no resource version filled in.

    Costs a sort of all keys in a large world: for goals and whole-world checks, not for each step.
    """
    kv = world["etcd"].kv
    prefix = f"{REGISTRY}{plural}/"
    keys = kv.keys()
    for at in range(bisect_left(keys, prefix), len(keys)):
        if not keys[at].startswith(prefix):
            return
        yield kv[keys[at]].value


class Index:
    """The stored objects of a collection by group, kept up to date by differences.

    `group(object)` names the group, None for none. Asking costs what changed since the last time.
    """

    def __init__(self, plural: str, group: Callable[[Any], Hashable]) -> None:
        self._prefix = f"{REGISTRY}{plural}/"
        self._group = group
        self._kv: FrozenMap[str, Any] = EMPTY
        self._groups: dict[Any, dict[str, Any]] = {}

    def of(self, world: World) -> Mapping[Any, Mapping[str, Any]]:
        """Group -> key -> stored entry, in no order; good until the next question."""
        kv = world["etcd"].kv
        if kv is not self._kv:
            for key, old, new in self._kv.diff(kv):
                if key.startswith(self._prefix):
                    self._move(key, old, new)
            self._kv = kv
        return self._groups

    def _move(self, key: str, old: Any, new: Any) -> None:
        group = None if old is None else self._group(old.value)
        if group is not None:
            members = self._groups[group]
            del members[key]
            if not members:
                del self._groups[group]
        group = None if new is None else self._group(new.value)
        if group is not None:
            self._groups.setdefault(group, {})[key] = new


def stored(world: World, plural: str, namespace: str, name: str) -> Any:
    """One stored object, or None; `namespace` is "" in the cluster scope."""
    path = f"{namespace}/{name}" if namespace else name
    entry = world["etcd"].kv.get(f"{REGISTRY}{plural}/{path}")
    return None if entry is None else entry.value


def title(obj: Any) -> str:
    """How messages name an object: `default/web`, or `node-1` in the cluster scope."""
    metadata = obj.metadata
    return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else str(metadata.name)


def is_live(pod: Any) -> bool:
    """Whether a pod counts towards a wish: not terminating, not finished."""
    phase = pod.status.phase if pod.status is not None else None
    return pod.metadata.deletion_timestamp is None and phase not in ("Succeeded", "Failed")


def is_ready(pod: Any) -> bool:
    """Whether a pod's condition Ready is True."""
    conditions = (pod.status.conditions if pod.status is not None else None) or ()
    return any(each.type == "Ready" and each.status == "True" for each in conditions)


def live_nodes(world: World) -> list[str]:
    """The machines whose kubelet is up and reaches the others."""
    return [name.removeprefix("kubelet/") for name, at in world.names.items()
            if name.startswith("kubelet/") and world.slots[at].status == UP
            and name.removeprefix("kubelet/") not in world.isolated]
