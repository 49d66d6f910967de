"""Events about objects, written on a lane of their own, never in the way of the work.

Source: client-go, tools/record. Repeated events (same object, reason and message) are folded into
one whose count grows. Not modelled: the folding of more than ten similar events with different
messages into "(combined from similar events)", and the budget of 25 events an object; both only
reduce how much is written. An event is dropped when the server refuses it, and written again when
the outcome of the write is unknown. What waits is bounded; the oldest gives way.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from model.api.metadata import Metadata
from model.api.objects import Event, EventSource, reference_to, timestamp
from model.api.requests import create, update
from model.kernel.component import CUT, Io
from model.kernel.values import EMPTY, FrozenMap

LANE = "events"
WAITING_MAX = 64
REMEMBERED_MAX = 64


class Recorder(NamedTuple):
    """`waiting`: events to write, oldest first; `busy`: a write is in flight (its event is still
    the first of `waiting`); `written`: (object's uid, reason, message) -> the event as last
    written; `ordinal`: how many different events there were."""

    waiting: tuple[Event, ...] = ()
    busy: bool = False
    written: FrozenMap[tuple[str, str, str], Event] = EMPTY
    ordinal: int = 0


NO_EVENTS = Recorder()


def record(recorder: Recorder, about: Any, kind: Literal["Normal", "Warning"], reason: str,
           message: str, component: str, now_ms: int, host: str | None = None) -> Recorder:
    """Note that something happened to `about`; `offers` says when it can be written."""
    metadata = about.metadata
    identity = (metadata.uid or metadata.name or "", reason, message)
    before = recorder.written.get(identity)
    moment = timestamp(now_ms)
    if before is not None:
        event = before._replace(count_=(before.count_ or 1) + 1, last_timestamp=moment)
        ordinal = recorder.ordinal
    else:
        ordinal = recorder.ordinal + 1
        # Kubernetes appends the nanoseconds; ours are milliseconds and the event's ordinal.
        name = f"{metadata.name}.{now_ms * 1_000_000 + ordinal:016x}"
        event = Event(metadata=Metadata(name=name, namespace=metadata.namespace or "default"),
                      involved_object=reference_to(about), reason=reason, message=message,
                      source=EventSource(component, host), first_timestamp=moment,
                      last_timestamp=moment, count_=1, type=kind)
    waiting = recorder.waiting
    if len(waiting) >= WAITING_MAX:
        waiting = waiting[:1] + waiting[2:]
    written = recorder.written
    if len(written) >= REMEMBERED_MAX and before is None:
        written = EMPTY
    return Recorder((*waiting, event), recorder.busy, written.set(identity, event), ordinal)


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
