"""The history of a store: an append-only sequence of events, as a value.

Events stand in chunks, so that an append copies one short tuple and a fork costs nothing. The hash
grows with the sequence: a world that is hashed after every step pays for the new events only.
"""

from __future__ import annotations

from typing import Any

from model.api.storage import Event

_CHUNK = 32
_MULTIPLIER = 1_000_003
_MASK = (1 << 61) - 1


class EventLog:
    """Events in the order of their revisions, those of one revision in the order of the writes."""

    __slots__ = ("_chunks", "_hash", "_size", "_tail")

    def __init__(self, events: tuple[Event, ...] = ()) -> None:
        whole = len(events) // _CHUNK * _CHUNK
        self._chunks = tuple(events[at:at + _CHUNK] for at in range(0, whole, _CHUNK))
        self._tail = events[whole:]
        self._size = len(events)
        self._hash: int | None = None

    def __len__(self) -> int:
        return self._size

    def appended(self, events: tuple[Event, ...]) -> EventLog:
        """The log with `events` at its end."""
        log = EventLog.__new__(EventLog)
        log._size = self._size + len(events)
        tail = self._tail + events
        chunks = self._chunks
        while len(tail) >= _CHUNK:
            chunks = (*chunks, tail[:_CHUNK])
            tail = tail[_CHUNK:]
        log._chunks = chunks
        log._tail = tail
        log._hash = None if self._hash is None else _folded(self._hash, events)
        return log

    def since(self, revision: int) -> tuple[Event, ...]:
        """The events of `revision` and later ones."""
        tail = self._tail
        if tail and tail[0].kv.mod_revision < revision:
            return _from(tail, revision)
        parts: list[tuple[Event, ...]] = [tail]
        for chunk in reversed(self._chunks):
            if chunk[-1].kv.mod_revision < revision:
                break
            parts.append(chunk if chunk[0].kv.mod_revision >= revision else _from(chunk, revision))
        return tuple(event for part in reversed(parts) for event in part)

    def kept_from(self, revision: int) -> EventLog:
        """The log without the events before `revision`."""
        kept = self.since(revision)
        return self if len(kept) == self._size else EventLog(kept)

    @property
    def first_revision(self) -> int | None:
        """The revision of the oldest event kept; None when the log is empty."""
        events = self._chunks[0] if self._chunks else self._tail
        return events[0].kv.mod_revision if events else None

    @property
    def last_revision(self) -> int | None:
        """The revision of the newest event; None when the log is empty."""
        events = self._tail or (self._chunks[-1] if self._chunks else ())
        return events[-1].kv.mod_revision if events else None

    def __hash__(self) -> int:
        digest = self._hash
        if digest is None:
            digest = 0
            for chunk in (*self._chunks, self._tail):
                digest = _folded(digest, chunk)
            self._hash = digest
        return digest

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, EventLog):
            return NotImplemented
        return (self._size == other._size and hash(self) == hash(other)
                and self._tail == other._tail and self._chunks == other._chunks)

    def __repr__(self) -> str:
        return f"EventLog({self.since(0)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return EventLog, (self.since(0),)


NO_EVENTS = EventLog()


def _from(events: tuple[Event, ...], revision: int) -> tuple[Event, ...]:
    at = len(events)
    while at and events[at - 1].kv.mod_revision >= revision:
        at -= 1
    return events[at:]


def _folded(digest: int, events: tuple[Event, ...]) -> int:
    for event in events:
        digest = (digest * _MULTIPLIER ^ hash(event)) & _MASK
    return digest
