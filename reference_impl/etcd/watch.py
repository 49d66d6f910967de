"""Watches: who is to be told what. Pure functions on a store and a watcher.

A watcher that has been sent everything is *synced* and gets each event in the step that makes it.
One that starts in the past is *unsynced*: it catches up in steps of its own, between which the
store may go on, even compact away what the watcher still wanted. Source: etcd.io/docs, "Watch API",
and the guarantees listed there (ordered, unique, reliable, atomic, resumable, bookmarkable).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from model.api.storage import Event, Watch, WatchReply
from reference_impl.etcd.store import Store, matches

REVISIONS_MAX = 16  # how many revisions an unsynced watcher is sent at once


class Watcher(NamedTuple):
    """One stream. `next_revision` is what it wants next; of a synced one, the first it wanted.

    `owed`: a progress notice was asked for while it was unsynced.
    """

    key: str
    range_end: str
    next_revision: int
    previous: bool
    progress: bool
    filters: tuple[Literal["PUT", "DELETE"], ...]
    owed: bool = False


def opened(store: Store, request: Watch) -> tuple[Watcher, bool]:
    """The watcher of a request, and whether it is synced from the start."""
    start = request.start_revision or store.revision + 1
    key, range_end = request.key or "\0", request.range_end
    watcher = Watcher(key, range_end, start, request.previous, request.progress, request.filters)
    return watcher, start > store.revision


def is_empty(request: Watch) -> bool:
    """Whether the range of a request holds no key; etcd refuses such a watch."""
    end = request.range_end
    return bool(end) and end != "\0" and (request.key or "\0") >= end


def wanted(watcher: Watcher, events: tuple[Event, ...], compacted: int) -> tuple[Event, ...]:
    """The events that concern the watcher, as it asked for them.

    The value before a change of the compacted revision itself is not known any more.
    """
    key, range_end, next_revision, previous, _, filters, _ = watcher
    return tuple([
        _with_previous(event, events) if previous and event.kv.mod_revision > compacted
        else Event(event.type, event.kv)
        for event in events
        if event.kv.mod_revision >= next_revision and event.type not in filters
        and matches(event.kv.key, key, range_end)])


def _with_previous(event: Event, events: tuple[Event, ...]) -> Event:
    """The event with the value before its revision, also where one transaction wrote twice."""
    kv, before = event.kv, event.previous
    if before is None or before.mod_revision < kv.mod_revision:
        return event
    first = next(each for each in events
                 if each.kv.key == kv.key and each.kv.mod_revision == kv.mod_revision)
    created = event.type == "PUT" and kv.create_revision == kv.mod_revision
    return Event(event.type, kv, None if created else first.previous)


def caught_up(store: Store, watcher: Watcher) -> tuple[Watcher | None, WatchReply | None, bool]:
    """One step towards the present: the watcher after it, what to send, and whether it is synced.

    None for the watcher: it wanted what has been compacted away and is told so.
    """
    if watcher.next_revision < store.compacted:
        end = WatchReply(store.revision, cancelled=True, compact_revision=store.compacted)
        return None, end, False
    until = min(watcher.next_revision + REVISIONS_MAX, store.revision + 1)
    due = [event for event in store.log.since(watcher.next_revision)
           if event.kv.mod_revision < until]
    events = wanted(watcher, tuple(due), store.compacted)
    reply = WatchReply(store.revision, events) if events else None
    return watcher._replace(next_revision=until), reply, until > store.revision
