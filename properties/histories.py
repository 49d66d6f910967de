"""Recorded histories, judged after the fact: the guarantees of a watch, old reads, linearizability.

Each guarantee that etcd states for watches (etcd.io/docs, "KV API guarantees") is one function on
what one watch received and on what really happened; the text of a failure states the guarantee.
Linearizability is decided by the search of Wing and Gong with memory of visited configurations
(Lowe, "Testing for linearizability", 2017): exponential in the worst case, meant for small
histories.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from model.api.storage import FROM_KEY, Event, KeyValue, Range, RangeReply, Watch, WatchReply


class Watched(NamedTuple):
    """What one watch received, from acknowledgement to end, over all its reconnections.

    `replies` in the order of arrival; a later Watch of the same client that resumed it appears as
    a reply with `created`.
    """

    request: Watch
    replies: tuple[WatchReply, ...]

    @property
    def events(self) -> tuple[Event, ...]:
        """All events in the order of arrival."""
        return tuple(event for reply in self.replies for event in reply.events)


Guarantee = Callable[[Watched, Sequence[Event]], str | None]


def ordered(watched: Watched, happened: Sequence[Event]) -> str | None:
    """Events are ordered by revision."""
    last = 0
    for event in watched.events:
        revision = event.kv.mod_revision
        if revision < last:
            return f"ordered: revision {revision} came after {last}"
        last = revision
    return None


def unique(watched: Watched, happened: Sequence[Event]) -> str | None:
    """An event never appears twice."""
    seen: dict[tuple[str, str, int], None] = {}
    for event in watched.events:
        name = (event.type, event.kv.key, event.kv.mod_revision)
        if name in seen:
            return f"unique: {event.type} {event.kv.key}@{event.kv.mod_revision} came twice"
        seen[name] = None
    return None


def atomic(watched: Watched, happened: Sequence[Event]) -> str | None:
    """The events of one revision come in one reply."""
    place: dict[int, int] = {}
    for number, reply in enumerate(watched.replies):
        for event in reply.events:
            if place.setdefault(event.kv.mod_revision, number) != number:
                return f"atomic: revision {event.kv.mod_revision} came in two replies"
    return None


def reliable(watched: Watched, happened: Sequence[Event]) -> str | None:
    """No event between the first and the last that was seen is missing, and none was invented."""
    events = watched.events
    if not events:
        return None
    start = watched.request.start_revision or events[0].kv.mod_revision
    until = events[-1].kv.mod_revision
    missing = [event for event in _wanted(watched.request, happened)
               if start <= event.kv.mod_revision <= until and not _has(events, event)]
    if missing:
        return f"reliable: {_named(missing)} never came"
    invented = [event for event in events if not _has(tuple(happened), event)]
    return f"reliable: {_named(invented)} never happened" if invented else None


def resumable(watched: Watched, happened: Sequence[Event]) -> str | None:
    """A watch from a revision gets all from there on, or is told that it is compacted."""
    start = watched.request.start_revision
    first = next((event for event in _wanted(watched.request, happened)
                  if event.kv.mod_revision >= start), None)
    if not start or first is None or not watched.events:
        return None
    got = watched.events[0].kv
    if got.mod_revision > first.kv.mod_revision:
        return (f"resumable: asked from {start}, {_named([first])} is the first, "
                f"{got.key}@{got.mod_revision} came first")
    return None


def bookmarkable(watched: Watched, happened: Sequence[Event]) -> str | None:
    """After a notice of progress at a revision nothing up to it comes, and nothing was missing."""
    noticed = 0
    got: list[Event] = []
    for reply in watched.replies:
        for event in reply.events:
            if event.kv.mod_revision <= noticed:
                return f"bookmarkable: {_named([event])} came after the notice {noticed}"
            got.append(event)
        if not (reply.events or reply.created or reply.cancelled):
            noticed = reply.revision
            owed = [event for event in _wanted(watched.request, happened)
                    if max(1, watched.request.start_revision) <= event.kv.mod_revision <= noticed]
            missing = [event for event in owed if not _has(tuple(got), event)]
            if watched.request.start_revision and missing:
                return f"bookmarkable: the notice {noticed} came before {_named(missing)}"
    return None


def previous_value(watched: Watched, happened: Sequence[Event]) -> str | None:
    """The value before a change is the one that the key had one revision earlier."""
    if not watched.request.previous:
        return None
    state: dict[str, KeyValue] = {}
    before: dict[tuple[str, int], KeyValue | None] = {}
    for event in happened:
        key, revision = event.kv.key, event.kv.mod_revision
        before.setdefault((key, revision), state.get(key))
        if event.type == "PUT":
            state[key] = event.kv
        else:
            state.pop(key, None)
    for event in watched.events:
        expected = before.get((event.kv.key, event.kv.mod_revision))
        if event.previous is not None and event.previous != expected:
            return f"previous value: wrong at {_named([event])}"
    return None


def filtered(watched: Watched, happened: Sequence[Event]) -> str | None:
    """Only what was asked for comes."""
    request = watched.request
    others = [event for event in watched.events if event.type in request.filters
              or not _in_range(event.kv.key, request.key, request.range_end)
              or event.kv.mod_revision < request.start_revision]
    return f"filter: {_named(others)} was not asked for" if others else None


GUARANTEES: tuple[Guarantee, ...] = (ordered, unique, atomic, reliable, resumable, bookmarkable,
                                     previous_value, filtered)


def broken_guarantees(watched: Watched, happened: Sequence[Event]) -> list[str]:
    """The texts of all guarantees that a watch did not get. `happened`: all events ever."""
    texts = [guarantee(watched, happened) for guarantee in GUARANTEES]
    return [text for text in texts if text is not None]


def changed_reads(reads: Iterable[tuple[Range, RangeReply]]) -> str | None:
    """Reads of one range at one revision always give the same, whenever they are made."""
    first: dict[Hashable, tuple[KeyValue, ...]] = {}
    for request, reply in reads:
        revision = request.revision or reply.revision
        name = (request.key, request.range_end, request.limit, revision)
        if first.setdefault(name, reply.kvs) != reply.kvs:
            return f"the read of {request.key} at {revision} gave another result later"
    return None


def _in_range(key: str, start: str, end: str) -> bool:
    return key == start if not end else start <= key and (end == FROM_KEY or key < end)


def _wanted(request: Watch, happened: Sequence[Event]) -> list[Event]:
    return [event for event in happened if event.type not in request.filters
            and _in_range(event.kv.key, request.key, request.range_end)]


def _has(events: Sequence[Event], wanted: Event) -> bool:
    return any(event.type == wanted.type and event.kv == wanted.kv for event in events)


def _named(events: Iterable[Event]) -> str:
    return ", ".join(f"{each.type} {each.kv.key}@{each.kv.mod_revision}" for each in events)


# -- linearizability -----------------------------------------------------------------------------


class Operation(NamedTuple):
    """One call of a client. `returned` None: the reply was lost, it may have happened or not."""

    client: str
    called: int
    returned: int | None
    request: Any
    reply: Any


def linearization(operations: Sequence[Operation], state: Hashable,
                  step: Callable[[Any, Any], tuple[Hashable, Any]],
                  ) -> tuple[Operation, ...] | None:
    """An order of the operations that explains all replies, None when there is none.

    `step(state, request)` gives the next state and the reply. An operation comes after every one
    that had returned before it was called. Operations without a reply may be left out.
    """
    done = 0
    needed = sum(1 << at for at, each in enumerate(operations) if each.returned is not None)
    order: list[int] = []
    visited: dict[tuple[int, Hashable], None] = {}
    # An entry is (configuration, candidates left to try there).
    stack = [(done, state, _candidates(operations, done))]
    while stack:
        done, state, left = stack[-1]
        if done & needed == needed:
            return tuple(operations[at] for at in order)
        if not left:
            stack.pop()
            if order and stack:
                order.pop()
            continue
        at = left.pop()
        after, reply = step(state, operations[at].request)
        reached = (done | 1 << at, after)
        fits = operations[at].returned is None or reply == operations[at].reply
        if fits and reached not in visited:
            visited[reached] = None
            order.append(at)
            stack.append((*reached, _candidates(operations, reached[0])))
    return None


def _candidates(operations: Sequence[Operation], done: int) -> list[int]:
    """The operations that may come next: called before any pending one returned."""
    open_ones = [at for at in range(len(operations)) if not done >> at & 1]
    first_return = min((each.returned for at in open_ones
                        if (each := operations[at]).returned is not None), default=None)
    return [at for at in reversed(open_ones)
            if first_return is None or operations[at].called <= first_return]
