"""Recorded histories, judged after the fact: the guarantees of a watch, old reads, linearizability.

Each guarantee that etcd states for watches (etcd.io/docs, "KV API guarantees") is one function on
what one watch received and on what really happened; the text of a failure states the guarantee.
Linearizability is decided by the search of Wing and Gong with memory of visited configurations
(Lowe, "Testing for linearizability", 2017), key by key: exponential in the number of operations
that overlap, linear in the length of the history.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from model.api.storage import (
    FROM_KEY,
    Delete,
    DeleteReply,
    Event,
    Failure,
    KeyValue,
    Put,
    PutReply,
    Range,
    RangeReply,
    Txn,
    TxnReply,
    Watch,
    WatchReply,
)
from model.kernel.system import Transition


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


Step = Callable[[Any, Any], tuple[Hashable, Any]]


def linearization(operations: Sequence[Operation], state: Hashable,
                  step: Step) -> tuple[Operation, ...] | None:
    """An order of the operations that explains all replies, None when there is none.

    `step(state, request)` gives the next state and the reply. An operation comes after every one
    that had returned before it was called. Operations without a reply may be left out.
    """
    return _Order(operations, state, step).found()


class _Order:
    """The search: depth first, with memory of configurations.

    A configuration is which operations have been placed, and the state. Those with a reply stand in
    the order of their calls, so that "all before `low`, and the bits of `ahead` from there" tells
    which: with a few clients `ahead` stays a small number however long the history is. Those
    without a reply are tried last; `lost` has a bit for each that was placed.
    """

    def __init__(self, operations: Sequence[Operation], state: Hashable, step: Step) -> None:
        by_call = sorted(operations, key=lambda each: each.called)
        self.closed = [each for each in by_call if each.returned is not None]
        self.open = [each for each in by_call if each.returned is None]
        self.called = [each.called for each in self.closed]
        self.returned = [each.returned or 0 for each in self.closed]
        self.step = step
        self.start = (0, 0, 0, state)
        self.visited: dict[tuple[int, int, Hashable], list[int]] = {(0, 0, state): [0]}

    def found(self) -> tuple[Operation, ...] | None:
        """An order, or None."""
        placed: list[Operation] = []
        stack = [(self.start, self._candidates(*self.start))]
        while stack:
            (low, ahead, lost, state), left = stack[-1]
            if low == len(self.closed):
                return tuple(placed)
            if not left:
                stack.pop()
                if placed:
                    placed.pop()
                continue
            at, optional = left.pop()
            operation = self.open[at] if optional else self.closed[at]
            after, reply = self.step(state, operation.request)
            if not optional and reply != operation.reply:
                continue
            reached = (low, ahead, lost | 1 << at, after) if optional else (
                *_placed(low, ahead, at), lost, after)
            if self._is_new(*reached):
                placed.append(operation)
                stack.append((reached, self._candidates(*reached)))
        return None

    def _is_new(self, low: int, ahead: int, lost: int, state: Hashable) -> bool:
        """Whether nothing was tried there that had no more of the lost ones used up: whatever is
        possible with fewer left is possible with more."""
        tried = self.visited.setdefault((low, ahead, state), [])
        if any(mask & lost == mask for mask in tried):
            return False
        tried.append(lost)
        return True

    def _candidates(self, low: int, ahead: int, lost: int,
                    state: Hashable) -> list[tuple[int, bool]]:
        """What may come next: called before any that is not placed had returned. Last is first.

        One that fits and changes nothing is the only choice: to place it now rules nothing out.
        """
        found: list[tuple[int, bool]] = []
        called, returned = self.called, self.returned
        bound: int | None = None
        for at in range(low, len(called)):
            if bound is not None and called[at] > bound:
                break
            if not ahead >> (at - low) & 1:
                operation = self.closed[at]
                after, reply = self.step(state, operation.request)
                if reply == operation.reply:
                    if after == state:
                        return [(at, False)]
                    found.append((at, False))
                if bound is None or returned[at] < bound:
                    bound = returned[at]
        found.sort(key=lambda each: -returned[each[0]])
        optional = [(at, True) for at, each in enumerate(self.open)
                    if not lost >> at & 1 and (bound is None or each.called <= bound)]
        return optional + found


def _placed(low: int, ahead: int, at: int) -> tuple[int, int]:
    """(low, ahead) with one more placed."""
    ahead |= 1 << (at - low)
    while ahead & 1:
        low, ahead = low + 1, ahead >> 1
    return low, ahead


def apart(operations: Sequence[Operation],
          keys: Callable[[Any], Iterable[str]]) -> list[list[Operation]]:
    """The operations in groups that share no key: each may be judged for itself, since a history
    is linearizable exactly when that of each object is (Herlihy and Wing, 1990)."""
    group: dict[str, str] = {}

    def leader(key: str) -> str:
        while group.setdefault(key, key) != key:
            key = group[key]
        return key

    for each in operations:
        first, *others = (leader(key) for key in keys(each.request))
        for other in others:
            group[leader(other)] = leader(first)
    found: dict[str, list[Operation]] = {}
    for each in operations:
        found.setdefault(leader(next(iter(keys(each.request)))), []).append(each)
    return [found[key] for key in sorted(found)]


# -- what clients of etcd asked and were told ------------------------------------------------------


def keys_of(request: Any) -> tuple[str, ...]:
    """The keys of a request for single keys."""
    if type(request) is Txn:
        parts = (*request.compares, *request.success, *request.failure)
        return tuple(dict.fromkeys(each.key for each in parts))
    return (request.key,)


def carried_out(values: tuple[tuple[str, Any], ...],
                request: Any) -> tuple[tuple[tuple[str, Any], ...], Any]:
    """The values of some keys after a request for single keys, and what its client may be told.

    Revisions are left out: what clients are told must be explained by the values alone.
    """
    held = dict(values)
    answer = _carried_out(held, request)
    return tuple(sorted(held.items())), answer


def _carried_out(held: dict[str, Any], request: Any) -> Any:
    kind = type(request)
    if kind is Range:
        return ("old",) if request.revision else ("read", held.get(request.key))
    if kind is Put:
        held[request.key] = request.value
        return ("written",)
    if kind is Delete:
        return ("deleted", held.pop(request.key, None) is not None)
    holds = all((held.get(each.key) == each.operand) == (each.relation == "=")
                for each in request.compares)
    branch = request.success if holds else request.failure
    return ("done", holds, *[_carried_out(held, each) for each in branch])


def told(request: Any, reply: Any) -> Any:
    """A reply of etcd in the same terms."""
    kind = type(request)
    if kind is Range:
        value = reply.kvs[0].value if reply.kvs else None
        return ("old",) if request.revision else ("read", value)
    if kind is Put:
        return ("written",)
    if kind is Delete:
        return ("deleted", reply.deleted > 0)
    branch = request.success if reply.succeeded else request.failure
    return ("done", reply.succeeded, *map(told, branch, reply.replies))


class Recorder:
    """Collects what one client component asked and was told: `see` goes along with a run."""

    def __init__(self, client: str, asked: tuple[type, ...] = (Range, Put, Delete, Txn)) -> None:
        self.client, self.asked = client, asked
        self.operations: list[Operation] = []
        self._open: dict[str, int] = {}
        self._moment = 0

    def see(self, step: Transition) -> None:
        """One transition: a request leaves, an answer comes, or the outcome stays unknown."""
        self._moment += 1
        if step.action.actor != self.client:
            return
        if step.message is not None and step.message.lane in self._open:
            at = self._open.pop(step.message.lane)
            body = step.message.body
            if type(body) in (RangeReply, PutReply, DeleteReply, TxnReply):
                asked = self.operations[at]
                self.operations[at] = asked._replace(
                    returned=self._moment, reply=told(asked.request, body))
            elif type(body) is Failure:
                # It changed nothing, and says nothing about what is there.
                self.operations[at] = self.operations[at]._replace(request=None)
        for _, lane, body in step.sent:
            serializable = type(body) is Range and body.serializable
            if type(body) in self.asked and not serializable:
                self._open[lane] = len(self.operations)
                self.operations.append(Operation(lane, self._moment, None, body, None))

    def judged(self) -> str | None:
        """What is wrong with the history: the keys for which no order explains the replies."""
        history = [each for each in self.operations if each.request is not None]
        for group in apart(history, keys_of):
            if linearization(group, (), carried_out) is None:
                names = sorted({key for each in group for key in keys_of(each.request)})
                return f"no order explains what clients were told of {', '.join(names)}"
        return None
