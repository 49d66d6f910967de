"""Stage four, reading side: keys in etcd, the watch cache, and the watches served from it.

One stream from etcd feeds the cache of every resource; each resource keeps a bounded window of
recent changes, from which interrupted watches resume. Source: Kubernetes documentation,
"Kubernetes API Concepts" (efficient detection of changes), KEP-2340 (consistent reads from cache).

Not modelled: one etcd watch for each resource. With one stream the cache of all resources shows
one revision, which allows fewer histories than independent streams would: stale reads of one kind
beside fresh reads of another appear to clients all the same, because watches of different
resources are delivered in any order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from model.api import selectors
from model.api.objects import Generic, Metadata, put, with_resource_version
from model.api.requests import WatchEvent, too_old
from model.api.resources import BY_GROUP_RESOURCE, BY_NAME, Resource
from model.api.storage import Compare, Delete, Event, KeyValue, Put, Range, Txn
from model.kernel.component import CUT, Io
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.apiserver.state import Change, Channel, State, Watcher, Window

PREFIX = "/registry/"
NO_WATCHERS: tuple[Watcher, ...] = ()


# -- keys and transactions ----------------------------------------------------------------------

def storage_key(resource: str, key: str) -> str:
    """Where an object lies in etcd; `key` is "namespace/name" or "name"."""
    return f"{PREFIX}{resource}/{key}"


def cache_key(namespace: str, name: str) -> str:
    """The key of an object within its resource."""
    return f"{namespace}/{name}" if namespace else name


@lru_cache(maxsize=65536)
def split_key(key: str) -> tuple[str, str]:
    """Resource and cache key of a key in etcd."""
    resource, _, rest = key[len(PREFIX):].partition("/")
    return resource, rest


def resource_named(name: str) -> Resource | None:
    """The resource with this plural or `plural.group`."""
    return BY_NAME.get(name) or BY_GROUP_RESOURCE.get(name)


def decoded(kv: KeyValue) -> Any:
    """The object of a key-value, with its revision filled in."""
    return with_resource_version(kv.value, str(kv.mod_revision))


def creating(key: str, obj: Any) -> Txn:
    """Store an object if its key is free."""
    return Txn((Compare(key, "mod", "=", 0),), (Put(key, with_resource_version(obj, None)),),
               (Range(key),))


def replacing(key: str, base: Any, obj: Any) -> Txn:
    """Store `obj` if the stored object is still the one that `base` shows."""
    return Txn((Compare(key, "mod", "=", int(base[1].resource_version)),),
               (Put(key, with_resource_version(obj, None)),), (Range(key),))


def removing(key: str, base: Any) -> Txn:
    """Delete an object if it is still the one that `base` shows."""
    return Txn((Compare(key, "mod", "=", int(base[1].resource_version)),), (Delete(key),),
               (Range(key),))


# -- the watch cache ----------------------------------------------------------------------------

def listed(local: State, revision: int, kvs: tuple[KeyValue, ...], io: Io) -> State:
    """The state after a full list from etcd. Open watches cannot be continued: they end."""
    by_resource: dict[str, list[tuple[str, Any]]] = {}
    for kv in kvs:
        resource, key = split_key(kv.key)
        by_resource.setdefault(resource, []).append((key, decoded(kv)))
    cache = FrozenMap((name, FrozenMap(entries)) for name, entries in sorted(by_resource.items()))
    for client, lane in local.watchers:
        io.reply(client, lane, CUT)
    return local._replace(ready=True, revision=revision, listed_at=revision, cache=cache,
                          windows=EMPTY, watchers=EMPTY, listeners=EMPTY, node_listeners=EMPTY)


def absorb(local: State, events: tuple[Event, ...], revision: int, capacity: int,
           io: Io) -> State:
    """The state after some events of the stream; watchers are told in the same step."""
    cache, windows = local.cache, local.windows
    for event in events:
        kv = event.kv
        resource, key = split_key(kv.key)
        objects: FrozenMap[str, Any] = cache.get(resource, EMPTY)
        old = objects.get(key)
        if event.type == "PUT":
            change = Change(kv.mod_revision, key, old, decoded(kv))
            cache = cache.set(resource, objects.set(key, change.new))
        elif old is None:
            continue
        else:
            change = Change(kv.mod_revision, key, last_state(old, kv.mod_revision), None)
            cache = cache.set(resource, objects.drop(key))
        windows = windows.set(resource, remembered(
            windows.get(resource) or Window(local.listed_at), change, capacity))
        publish(local, resource, change, io)
    made: State = local._replace(revision=max(revision, local.revision), cache=cache,
                                 windows=windows)
    return made


def last_state(obj: Any, revision: int) -> Any:
    """What an event says of an object that went (or that a watcher may no longer see): its last
    state, with the revision of the change."""
    return with_resource_version(obj, str(revision))


def remembered(window: Window, change: Change, capacity: int) -> Window:
    """The window with one more change; beyond its capacity the oldest is forgotten."""
    oldest, first, following, changes = window
    changes = changes.set(following, change)
    if following - first >= capacity:
        oldest = changes[first].revision
        changes = changes.drop(first)
        first += 1
    return Window(oldest, first, following + 1, changes)


def oldest_known(local: State, resource: str) -> int:
    """The earliest revision after which every change of the resource is still remembered."""
    window = local.windows.get(resource)
    return local.listed_at if window is None else window.oldest


# -- watches ------------------------------------------------------------------------------------

def publish(local: State, resource: str, change: Change, io: Io) -> None:
    """Tell every watcher that one change concerns."""
    watchers = local.listeners.get(resource, NO_WATCHERS)
    if resource == "pods" and len(local.node_listeners):
        for node in dict.fromkeys((node_of(change.old), node_of(change.new))):
            watchers = watchers + local.node_listeners.get(node, NO_WATCHERS)
    plain: WatchEvent | None = None
    for watcher in watchers:
        if change.revision <= watcher.since:
            continue
        if watcher.namespace or watcher.labels or watcher.fields:
            event = event_for(watcher, change)
        else:
            if plain is None:
                plain = plain_event(change)
            event = plain
        if event is not None:
            io.reply(watcher.client, watcher.lane, event)


def plain_event(change: Change) -> WatchEvent:
    """The event of a change for a watcher that sees everything."""
    if change.new is None:
        return WatchEvent("DELETED", change.old)
    return WatchEvent("ADDED" if change.old is None else "MODIFIED", change.new)


def event_for(watcher: Watcher, change: Change) -> WatchEvent | None:
    """The event of a change for a watcher with selectors: what begins to match is added, what
    ceases to match is deleted, in its last matching state with the new revision."""
    before = change.old is not None and selected(watcher, change.old)
    after = change.new is not None and selected(watcher, change.new)
    if after:
        return WatchEvent("MODIFIED" if before else "ADDED", change.new)
    if before:
        return WatchEvent("DELETED", last_state(change.old, change.revision))
    return None


def selected(watcher: Watcher, obj: Any) -> bool:
    """Whether a watcher sees an object in this state."""
    metadata: Metadata = obj[1]
    if watcher.namespace and metadata.namespace != watcher.namespace:
        return False
    return matches(watcher.labels, watcher.fields, obj)


def matches(labels: str, fields: str, obj: Any) -> bool:
    """Whether an object satisfies a label and a field selector, both as text."""
    if labels and not selectors.matches(selectors.parse_labels(labels), obj[1].labels):
        return False
    return not fields or selectors.matches_fields(selectors.parse_fields(fields), obj)


def node_of(obj: Any) -> str:
    """The node that a pod is bound to, "" when none (or no pod)."""
    return obj.spec.node_name or "" if obj is not None and obj.spec is not None else ""


@lru_cache(maxsize=4096)
def one_node(resource: str, fields: str) -> str:
    """The node whose pods alone a field selector lets through, "" for none."""
    if resource != "pods" or "spec.nodeName=" not in fields:
        return ""
    for requirement in selectors.parse_fields(fields):
        if requirement.path == "spec.nodeName" and not requirement.negated:
            return requirement.value
    return ""


def watching(local: State, watcher: Watcher) -> State:
    """The state with a watch opened."""
    channel = (watcher.client, watcher.lane)
    watchers = local.watchers.set(channel, watcher)
    node = one_node(watcher.resource, watcher.fields)
    if node:
        known = local.node_listeners.get(node, NO_WATCHERS)
        return local._replace(watchers=watchers, node_listeners=local.node_listeners.set(
            node, tuple(sorted((*known, watcher)))))
    known = local.listeners.get(watcher.resource, NO_WATCHERS)
    return local._replace(watchers=watchers, listeners=local.listeners.set(
        watcher.resource, tuple(sorted((*known, watcher)))))


def unwatched(local: State, channel: Channel) -> State:
    """The state with the watch of a connection closed, if it had one."""
    watcher = local.watchers.get(channel)
    if watcher is None:
        return local
    watchers = local.watchers.drop(channel)
    node = one_node(watcher.resource, watcher.fields)
    table, key = ((local.node_listeners, node) if node
                  else (local.listeners, watcher.resource))
    left = tuple(each for each in table[key] if each is not watcher and each != watcher)
    table = table.set(key, left) if left else table.drop(key)
    if node:
        return local._replace(watchers=watchers, node_listeners=table)
    return local._replace(watchers=watchers, listeners=table)


def resume(local: State, watcher: Watcher, io: Io) -> State | Any:
    """Open a watch after the revision `since`: what the window holds is sent at once. A Status
    when the window begins later."""
    oldest = oldest_known(local, watcher.resource)
    if watcher.since < oldest:
        return too_old(watcher.since, oldest)
    window = local.windows.get(watcher.resource)
    if window is not None and watcher.since < local.revision:
        for at in range(window.first, window.next):
            change = window.changes[at]
            if change.revision > watcher.since:
                event = event_for(watcher, change)
                if event is not None:
                    io.reply(watcher.client, watcher.lane, event)
    return watching(local, watcher)


def bookmark(resource: Resource, revision: int, ends_initial_events: bool = False) -> WatchEvent:
    """A bookmark: an empty object of the kind that carries only a resource version."""
    metadata = Metadata(resource_version=str(revision))
    if ends_initial_events:
        metadata = put(metadata, "annotations", (("k8s.io/initial-events-end", "true"),))
    return WatchEvent("BOOKMARK", empty_object(resource, metadata))


def empty_object(resource: Resource, metadata: Metadata) -> Any:
    """An object of a resource's kind with nothing but metadata."""
    if resource.record is None:
        return Generic(resource.kind, metadata, resource.api_version)
    return resource.record(resource.kind, metadata)
