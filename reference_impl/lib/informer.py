"""List and watch: a local copy of one collection, kept by a reflector, with incremental indexes.

`Reflector` is configuration (which collection, which indexes), `Informer` the value that lives in a
component's local state. The reflector lists, watches from the list's resource version, and applies
every event in the step that delivers it; handlers are what the component does with the returned
changes. Source: client-go, tools/cache (reflector.go, delta_fifo.go, shared_informer.go).

How it recovers:
- the stream ended (CUT): watch again from the last resource version seen; a list that was in
  flight is sent again;
- the version is too old (410), or unknown to a lagging or restored server ("too large"): list
  again, from the newest state the server can answer with;
- any other failure: wait, then list again.
A list replaces the store. Objects that vanished meanwhile are reported as deleted with the last
state known, which need not be their final one. An object that was replaced by another of the same
name (other uid) is reported as deleted and then added, whether or not the deletion was seen.

Not modelled: paging (the server answers in one page), periodic resync (it would only repeat what
a correct handler has seen), and initial lists through the watch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from model.api.requests import Options, Reply, Status, WatchEvent, list_, watch
from model.kernel.component import CUT, Io, Message
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib.backoff import REFLECTOR

IndexFunction = Callable[[Any], "str | tuple[str, ...] | None"]
Index = FrozenMap[str, tuple[str, ...]]
"""Value of an index function -> keys of the objects that have it, in order."""

STOPPED, LISTING, WATCHING, WAITING = "stopped", "listing", "watching", "waiting"
ANY_VERSION = "0"
NEWEST = ""
TIMER = "reflect:"


class Change(NamedTuple):
    """One change of a store: `old` is None for an addition, `new` for a deletion (then `old` is the
    last state that the store held)."""

    key: str
    old: Any
    new: Any


class Scope(NamedTuple):
    """What an informer is a copy of: a collection, or the part that a selector chooses."""

    resource: str
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""


class Informer(NamedTuple):
    """A copy of a collection. `store`: "namespace/name" (or "name") -> object. `phase`: stopped,
    listing, watching or waiting (for its back-off). `synced`: the first list has arrived."""

    scope: Scope
    store: FrozenMap[str, Any] = EMPTY
    indexes: tuple[Index, ...] = ()
    resource_version: str = ANY_VERSION
    phase: str = STOPPED
    synced: bool = False
    failures: int = 0


NO_CHANGES: tuple[Change, ...] = ()


def store_key(obj: Any) -> str:
    """The key of an object in a store: `default/web`, or `node-1` in the cluster scope."""
    metadata = obj[1]
    namespace = metadata[2]
    name: str = metadata[0]
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """Namespace and name of a store key."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


class Reflector:
    """What to list and watch, on the lane named after the resource unless `lane` is given.

    `indexes` maps names to functions of an object: the value (or values) under which it is found,
    None for not at all.
    """

    def __init__(self, resource: str, *, lane: str = "", namespace: str = "",
                 label_selector: str = "", field_selector: str = "",
                 indexes: Mapping[str, IndexFunction] | None = None,
                 server: str = "apiserver") -> None:
        self.resource = resource
        self.lane = lane or resource
        self.namespace = namespace
        self.server = server
        self.scope = Scope(resource, namespace, label_selector, field_selector)
        self.options = Options(label_selector=label_selector, field_selector=field_selector)
        named = dict(indexes or {})
        self.index_names = tuple(named)
        self.index_functions = tuple(named.values())

    # -- the life of an informer ----------------------------------------------------------------

    def init(self) -> Informer:
        """An informer that has asked nothing yet."""
        return Informer(self.scope, EMPTY, (EMPTY,) * len(self.index_functions))

    def start(self, informer: Informer, io: Io) -> Informer:
        """Send the first list. Called once, from a step of its own: a step sends one request."""
        return self._list(informer, informer.resource_version, io)

    def on_message(self, informer: Informer, message: Message,
                   io: Io) -> tuple[Informer, tuple[Change, ...]]:
        """Handle what came on this reflector's lane; the changes of the store, in order."""
        body = message.body
        phase = informer.phase
        if type(body) is WatchEvent:
            if phase == WATCHING:
                return self._on_event(informer, body, io)
        elif body == CUT:
            if phase == WATCHING:
                return self._resume(informer, io), NO_CHANGES
            if phase == LISTING:
                return self._list(informer, informer.resource_version, io), NO_CHANGES
        elif type(body) is Reply:
            if body.code >= 400:
                return self._refused(informer, body.body, io), NO_CHANGES
            if phase == LISTING:
                return self._replace(informer, body.body, io)
        return informer, NO_CHANGES

    def on_timer(self, informer: Informer, io: Io) -> Informer:
        """The back-off is over (the timer `reflect:LANE` fired): list again."""
        return self._list(informer, informer.resource_version, io)

    # -- reading --------------------------------------------------------------------------------

    def keys_by(self, informer: Informer, index: str, value: str) -> tuple[str, ...]:
        """Keys of the objects that an index has under `value`, in order."""
        return informer.indexes[self.index_names.index(index)].get(value, ())

    def by(self, informer: Informer, index: str, value: str) -> list[Any]:
        """The objects that an index has under `value`, in the order of their keys."""
        store = informer.store
        return [store[key] for key in self.keys_by(informer, index, value)]

    # -- inside ---------------------------------------------------------------------------------

    def _list(self, informer: Informer, version: str, io: Io) -> Informer:
        options = self.options if version == NEWEST else self.options._replace(
            resource_version=version)
        io.request(self.server, self.lane, list_(self.resource, self.namespace, options))
        return Informer(self.scope, informer.store, informer.indexes, version, LISTING,
                        informer.synced, informer.failures)

    def _watch(self, informer: Informer, io: Io) -> Informer:
        io.request(self.server, self.lane, watch(self.resource, informer.resource_version,
                                                 self.namespace, self.options))
        return informer

    def _resume(self, informer: Informer, io: Io) -> Informer:
        """Go on after a cut, right behind the last event that was seen."""
        return self._watch(informer, io)

    def _refused(self, informer: Informer, status: Any, io: Io) -> Informer:
        """A list or a watch failed. A version that the server cannot serve is forgotten."""
        if is_gone(status):
            return self._list(informer, NEWEST, io)
        version = NEWEST if is_too_large(status) else informer.resource_version
        failures = informer.failures + 1
        io.after(REFLECTOR.delay_ms(failures), TIMER + self.lane)
        return Informer(self.scope, informer.store, informer.indexes, version, WAITING,
                        informer.synced, failures)

    def _on_event(self, informer: Informer, event: WatchEvent,
                  io: Io) -> tuple[Informer, tuple[Change, ...]]:
        kind, obj = event
        if kind == "ERROR":
            return self._refused(informer, obj, io), NO_CHANGES
        scope, store, indexes, _, phase, synced, _ = informer
        version = obj[1][4]
        if kind == "BOOKMARK":
            return Informer(scope, store, indexes, version, phase, synced), NO_CHANGES
        key = store_key(obj)
        new = None if kind == "DELETED" else obj
        changes = _changes(key, store.get(key), new)
        if changes:
            store = store.drop(key) if new is None else store.set(key, new)
            indexes = self._reindexed(indexes, changes)
        return Informer(scope, store, indexes, version, phase, synced), changes

    def _replace(self, informer: Informer, page: Any,
                 io: Io) -> tuple[Informer, tuple[Change, ...]]:
        """Put a list in place of the store, then watch from its version on."""
        before = informer.store
        listed = {store_key(obj): obj for obj in page.items}
        changes: list[Change] = []
        for key in sorted({**listed, **dict.fromkeys(before.keys())}):
            old, new = before.get(key), listed.get(key)
            if old is None or new is None or old[1][4] != new[1][4]:
                changes.extend(_changes(key, old, new))
        store = before
        for key, _, new in changes:
            store = store.drop(key) if new is None else store.set(key, new)
        found = tuple(changes)
        after = Informer(self.scope, store, self._reindexed(informer.indexes, found),
                         page.resource_version, WATCHING, True)
        return self._watch(after, io), found

    def _reindexed(self, indexes: tuple[Index, ...],
                   changes: tuple[Change, ...]) -> tuple[Index, ...]:
        for at, function in enumerate(self.index_functions):
            index = indexes[at]
            for key, old, new in changes:
                before = None if old is None else function(old)
                after = None if new is None else function(new)
                if before != after:
                    index = _moved(index, key, _values(before), _values(after))
            if index is not indexes[at]:
                indexes = (*indexes[:at], index, *indexes[at + 1:])
        return indexes


def is_gone(status: Any) -> bool:
    """Whether a failure says that the resource version is no longer served (410)."""
    return isinstance(status, Status) and status.code == 410


def is_too_large(status: Any) -> bool:
    """Whether a failure says that the server does not know the resource version yet."""
    return isinstance(status, Status) and any(
        cause.reason == "ResourceVersionTooLarge" for cause in status.causes)


def _changes(key: str, old: Any, new: Any) -> tuple[Change, ...]:
    if old is None:
        return NO_CHANGES if new is None else (Change(key, None, new),)
    if new is not None and old[1][3] != new[1][3]:
        return Change(key, old, None), Change(key, None, new)
    return (Change(key, old, new),)


def _values(found: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if found is None:
        return ()
    return (found,) if isinstance(found, str) else found


def _moved(index: Index, key: str, before: tuple[str, ...], after: tuple[str, ...]) -> Index:
    for value in before:
        if value not in after:
            keys = index[value]
            at = bisect_left(keys, key)
            left = keys[:at] + keys[at + 1:]
            index = index.set(value, left) if left else index.drop(value)
    for value in after:
        if value not in before:
            keys = index.get(value, ())
            at = bisect_left(keys, key)
            index = index.set(value, (*keys[:at], key, *keys[at:]))
    return index
