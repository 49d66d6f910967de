"""The judges of recorded histories: each guarantee passes a good history and fails a bad one."""

from __future__ import annotations

from typing import Any

import pytest

from model.api.storage import Event, KeyValue, Range, RangeReply, Watch, WatchReply
from properties.histories import (
    Operation,
    Watched,
    broken_guarantees,
    changed_reads,
    linearization,
)


def kv(revision: int, key: str = "/a") -> KeyValue:
    return KeyValue(key, revision, 2, revision, revision - 1)


def put(revision: int, key: str = "/a") -> Event:
    before = kv(revision - 1, key) if revision > 2 else None
    return Event("PUT", kv(revision, key), before)


HAPPENED = tuple(put(revision) for revision in range(2, 7))
NOTICE = WatchReply(4)


def watched(*replies: WatchReply, start: int = 2, previous: bool = True) -> Watched:
    return Watched(Watch("/a", start_revision=start, previous=previous), replies)


def sent(*revisions: int) -> WatchReply:
    return WatchReply(6, tuple(put(revision) for revision in revisions))


def test_a_good_watch_breaks_no_guarantee() -> None:
    """Events in several replies, and a notice where it is true."""
    assert broken_guarantees(watched(sent(2, 3), sent(4), NOTICE, sent(5)), HAPPENED) == []


@pytest.mark.parametrize(("replies", "guarantee"), [
    ((sent(3), sent(2)), "ordered"),
    ((sent(2), sent(2)), "unique"),
    ((sent(2), sent(2)), "atomic"),
    ((sent(2), sent(4)), "reliable"),
    ((sent(3),), "resumable"),
    ((NOTICE, sent(2, 3, 4)), "bookmarkable"),
    ((sent(2), NOTICE), "bookmarkable"),
    ((sent(2), WatchReply(6, (Event("PUT", kv(3), kv(7)),))), "previous value"),
    ((WatchReply(6, (put(2, "/b"),)),), "filter"),
])
def test_each_guarantee_can_fail(replies: tuple[WatchReply, ...], guarantee: str) -> None:
    """The text begins with the guarantee's name."""
    texts = broken_guarantees(watched(*replies), HAPPENED)
    assert guarantee in [text.split(":")[0] for text in texts]


def test_a_read_at_a_revision_must_not_change() -> None:
    """The same range at the same revision, twice."""
    request = Range("/a", revision=3)
    good = (request, RangeReply(5, (kv(3),), 1))
    assert changed_reads([good, good]) is None
    assert "at 3" in str(changed_reads([good, (request, RangeReply(6, (), 0))]))


def register(state: Any, request: Any) -> tuple[Any, Any]:
    """A register: ("write", v) answers "ok", ("read",) answers the value."""
    return (request[1], "ok") if request[0] == "write" else (state, state)


def operation(called: int, returned: int | None, *request: Any, reply: Any = "ok") -> Operation:
    return Operation(f"client-{called}", called, returned, request, reply)


def test_a_linearizable_history_has_an_order() -> None:
    """Concurrent writes may take effect either way; a lost reply may or may not have happened."""
    history = [operation(0, 5, "write", 1), operation(1, 2, "write", 2),
               operation(3, 4, "read", reply=2), operation(6, 7, "read", reply=1)]
    order = linearization(history, 0, register)
    assert order is not None
    assert [each.request for each in order] == [("write", 2), ("read",), ("write", 1), ("read",)]
    for answer in (0, 9):
        lost = [operation(0, None, "write", 9), operation(1, 2, "read", reply=answer)]
        assert linearization(lost, 0, register) is not None


def test_a_stale_read_is_not_linearizable() -> None:
    """A read that begins after a write was acknowledged must see it."""
    history = [operation(0, 1, "write", 1), operation(2, 3, "read", reply=0)]
    assert linearization(history, 0, register) is None
    flip = [operation(0, None, "write", 1), operation(1, 2, "read", reply=1),
            operation(3, 4, "read", reply=0)]
    assert linearization(flip, 0, register) is None
