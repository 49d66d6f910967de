"""The judges of recorded histories: each guarantee passes a good history and fails a bad one."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from model.api.storage import (
    Compare,
    Delete,
    Event,
    KeyValue,
    Put,
    Range,
    RangeReply,
    Txn,
    TxnReply,
    Watch,
    WatchReply,
)
from properties.histories import (
    Operation,
    Watched,
    apart,
    broken_guarantees,
    carried_out,
    changed_reads,
    keys_of,
    linearization,
    told,
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


def test_keys_are_judged_apart_unless_a_transaction_joins_them() -> None:
    """Groups of operations that share no key; a transaction on two keys makes one group of both."""
    history = [operation(0, 1, Put("/a", 1)), operation(2, 3, Put("/b", 1)),
               operation(4, 5, Put("/c", 1)),
               operation(6, 7, Txn((Compare("/a", "value", "=", 1),), (Put("/b", 2),)))]
    history = [each._replace(request=each.request[0]) for each in history]
    assert [len(group) for group in apart(history, keys_of)] == [3, 1]


def test_etcd_by_values_alone() -> None:
    """What a swap, a deletion and reads tell is explained, or not, without revisions."""
    swap = Txn((Compare("/a", "value", "=", 1),), (Put("/a", 2),), (Range("/a"),))
    requests = (Put("/a", 1), swap, swap, Delete("/a"), Range("/a"))
    replies = []
    state: Any = ()
    for request in requests:
        state, reply = carried_out(state, request)
        replies.append(reply)
    assert replies == [("written",), ("done", True, ("written",)),
                       ("done", False, ("read", 2)), ("deleted", True), ("read", None)]
    one = RangeReply(5, (KeyValue("/a", 2, 2, 3, 2),), 1)
    assert told(swap, TxnReply(5, False, (one,))) == ("done", False, ("read", 2))


@pytest.mark.parametrize("keys", [1, 8])
def test_a_long_history_is_judged_and_one_stale_read_in_it_found(keys: int) -> None:
    """Eight clients; one stale read among them is found. The full size is in tests/bench."""
    history = made_history(random.Random(1), 2_000, 8, keys)
    groups = apart(history, keys_of)
    assert all(linearization(group, (), carried_out) for group in groups)
    groups = apart(with_a_stale_read(history), keys_of)
    assert not all(linearization(group, (), carried_out) for group in groups)


def by_brute_force(history: list[Operation]) -> bool:
    """Every order of every choice of the lost ones, tried."""
    closed = [each for each in history if each.returned is not None]
    lost = [each for each in history if each.returned is None]
    for count in range(len(lost) + 1):
        for chosen in itertools.combinations(lost, count):
            for order in itertools.permutations([*closed, *chosen]):
                if _explains(order):
                    return True
    return False


def _explains(order: tuple[Operation, ...]) -> bool:
    state: Any = ()
    for at, each in enumerate(order):
        if any(later.returned is not None and later.returned < each.called
               for later in order[at + 1:]):
            return False
        state, reply = carried_out(state, each.request)
        if each.returned is not None and reply != each.reply:
            return False
    return True


def test_the_search_agrees_with_brute_force() -> None:
    """Small histories in which some reads show anything, so that many have no order."""
    verdicts = []
    for seed in range(150):
        draw = random.Random(seed)
        history = made_history(draw, 6, 3, 1, 0.2)
        for at, each in enumerate(history):
            if type(each.request) is Range and each.returned is not None and draw.random() < 0.5:
                history[at] = each._replace(reply=("read", draw.choice((None, 0, 1, 2, 3, 4))))
        verdict = linearization(history, (), carried_out) is not None
        assert verdict == by_brute_force(history), seed
        verdicts.append(verdict)
    assert 30 < verdicts.count(False) < 120


def made_history(draw: random.Random, count: int, clients: int, keys: int,
                 lost: float = 0.01) -> list[Operation]:
    """Operations of clients that overlap at random, each taking effect somewhere in between; some
    lose their reply."""
    free = [0] * clients
    effects = []
    for number in range(count):
        client = min(range(clients), key=free.__getitem__)
        called = free[client] + draw.randrange(5)
        effect = called + draw.randrange(20)
        free[client] = effect + 1 + draw.randrange(20)
        key = f"/{draw.randrange(keys)}"
        request = draw.choice((Put(key, number), Range(key), Range(key), Delete(key),
                               Txn((Compare(key, "value", "=", number - 9),), (Put(key, number),),
                                   (Range(key),))))
        returned = None if draw.random() < lost else free[client]
        effects.append((effect, number,
                        Operation(f"client-{client}", called, returned, request, None)))
    state: Any = ()
    found = {}
    for _, number, each in sorted(effects, key=lambda entry: entry[:2]):
        state, reply = carried_out(state, each.request)
        found[number] = each if each.returned is None else each._replace(reply=reply)
    return [found[number] for number in range(count)]


def with_a_stale_read(history: list[Operation]) -> list[Operation]:
    """The history with a read in its last third that shows what a write long before it wrote."""
    key = "/0"
    writes = [each for each in history if type(each.request) is Put and each.request.key == key]
    old = writes[len(writes) // 3]
    at = next(at for at in range(len(history) * 2 // 3, len(history))
              if type(history[at].request) is Range and history[at].request.key == key
              and history[at].returned is not None)
    stale = history[at]._replace(reply=("read", old.request.value))
    return [*history[:at], stale, *history[at + 1:]]
