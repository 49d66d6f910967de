"""Events about objects, written on a lane of their own, never in the way of the work.

Source: client-go, tools/record. Repeated events (same object, reason and message) are folded into
one whose count grows. From the tenth different message of one object, type and reason on, each of
them within ten minutes of the last, further ones are folded into one event, "(combined from similar
events): " and the latest. Not modelled: the budget of 25 events an object; it only reduces how much
is written. An event is dropped when the server refuses it, and written again when the outcome of
the write is unknown. What waits is bounded; the oldest gives way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, NamedTuple
from zlib import crc32

from model.api.metadata import Metadata
from model.api.objects import Event, EventSource, reference_to, timestamp
from model.api.records import canonical_json
from model.api.requests import create, update
from model.kernel.component import CUT, Io
from model.kernel.values import EMPTY, FrozenMap

LANE = "events"
WAITING_MAX = 64
REMEMBERED_MAX = 64
SIMILAR_MAX = 10
SIMILAR_MS = 10 * 60 * 1000
COMBINED = "(combined from similar events): "


class Similar(NamedTuple):
    """Messages about one object, with one type and reason, and when the last one came."""

    messages: tuple[str, ...]
    last_ms: int


class Recorder(NamedTuple):
    """`waiting`: events to write, oldest first; `busy`: a write is in flight (its event is still
    the first of `waiting`); `written`: (object's uid, with its revision
    where asked for, reason, message) -> the event as last
    written; `ordinal`: how many different events there were; `similar`: by object's uid, type and
    reason."""

    waiting: tuple[Event, ...] = ()
    busy: bool = False
    written: FrozenMap[tuple[str, str, str], Event] = EMPTY
    ordinal: int = 0
    similar: FrozenMap[tuple[str, str, str], Similar] = EMPTY


NO_EVENTS = Recorder()


def record(recorder: Recorder, about: Any, kind: Literal["Normal", "Warning"], reason: str,
           message: str, component: str, now_ms: int, host: str | None = None,
           by_revision: bool = False) -> Recorder:
    """Note that something happened to `about`; `offers` says when it can be written.

    `by_revision`: the same about another revision of the object is another event, as for those
    who write events of the newer API: there the reference with its revision is part of what is
    compared (client-go, tools/events).
    """
    metadata = about.metadata
    uid = metadata.uid or metadata.name or ""
    similar, combined = _noted(recorder.similar, (uid, kind, reason), message, now_ms)
    subject = f"{uid}@{metadata.resource_version}" if by_revision else uid
    identity = (subject, reason, COMBINED if combined else message)
    if combined:
        message = COMBINED + message
    before = recorder.written.get(identity)
    moment = timestamp(now_ms)
    if before is not None:
        event = before._replace(count_=(before.count_ or 1) + 1, last_timestamp=moment,
                                message=message)
        ordinal = recorder.ordinal
    else:
        ordinal = recorder.ordinal + 1
        name = f"{metadata.name}.{_nanoseconds(component, host or '', ordinal, now_ms):016x}"
        event = Event(metadata=Metadata(name=name, namespace=metadata.namespace or "default"),
                      involved_object=reference_to(about), reason=reason, message=message,
                      source=EventSource(component, host), first_timestamp=moment,
                      last_timestamp=moment, count_=1, type=kind,
                      rest=_reporter(component, host or ""))
    waiting = recorder.waiting
    if len(waiting) >= WAITING_MAX:
        waiting = waiting[:1] + waiting[2:]
    written = recorder.written
    if len(written) >= REMEMBERED_MAX and before is None:
        written = EMPTY
    return Recorder((*waiting, event), recorder.busy, written.set(identity, event), ordinal,
                    similar)


def _nanoseconds(component: str, host: str, ordinal: int, now_ms: int) -> int:
    """The moment that ends the name of an event. Kubernetes takes the clock's nanoseconds; ours
    counts milliseconds, so what is below them tells reporters and their events apart."""
    return now_ms * 1_000_000 + (_offset(component, host) + ordinal) % 1_000_000


@lru_cache(maxsize=256)
def _offset(component: str, host: str) -> int:
    """Where in the millisecond a reporter's events begin."""
    return crc32(f"{component}/{host}".encode())


@lru_cache(maxsize=256)
def _reporter(component: str, host: str) -> bytes:
    """Who reports, as the newer API of events names it."""
    return canonical_json({"reportingComponent": component, "reportingInstance": host})


def _noted(similar: FrozenMap[tuple[str, str, str], Similar], key: tuple[str, str, str],
           message: str, now_ms: int) -> tuple[FrozenMap[tuple[str, str, str], Similar], bool]:
    """The messages with one more, and whether it is to be combined with others."""
    found = similar.get(key)
    if found is None or now_ms - found.last_ms > SIMILAR_MS:
        if len(similar) >= REMEMBERED_MAX and found is None:
            similar = EMPTY
        return similar.set(key, Similar((message,), now_ms)), False
    messages = found.messages
    if message not in messages:
        messages = (*messages, message)
    combined = len(messages) >= SIMILAR_MAX
    if combined:
        messages = messages[1:]
    return similar.set(key, Similar(messages, now_ms)), combined


def offers(recorder: Recorder) -> bool:
    """Whether an event can be sent now (the step `record` is offered)."""
    return bool(recorder.waiting) and not recorder.busy


def send(recorder: Recorder, io: Io) -> Recorder:
    """Write the oldest event."""
    event = recorder.waiting[0]
    io.request("apiserver", LANE, create(event) if event.count_ == 1 else update(event))
    return recorder._replace(busy=True)


def replied(recorder: Recorder, body: Any, io: Io) -> Recorder:
    """The answer came on the lane `events`, or CUT."""
    if not recorder.busy:
        return recorder
    if body == CUT:
        return send(recorder, io)
    return recorder._replace(busy=False, waiting=recorder.waiting[1:])
