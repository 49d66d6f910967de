"""The queue between an informer's connection and its store: what lists do to what waits."""

from __future__ import annotations

from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib.delta_fifo import (
    DELETED,
    EMPTY_FIFO,
    UPDATED,
    Delta,
    DeltaFifo,
    pop,
    put,
    replace,
)


def kinds(fifo: DeltaFifo, key: str) -> list[str]:
    return [delta.type for delta in fifo.items.get(key, ())]


def test_keys_are_taken_in_the_order_in_which_they_came() -> None:
    """With all that came for them meanwhile."""
    fifo = put(put(EMPTY_FIFO, "b", Delta(UPDATED, 1)), "a", Delta(UPDATED, 2))
    fifo, key, deltas = pop(put(fifo, "b", Delta(DELETED, 3)))
    assert (key, [delta.type for delta in deltas]) == ("b", [UPDATED, DELETED])
    assert fifo.order == ("a",)


def test_what_only_waits_vanishes_too() -> None:
    """Kubernetes issue 115658: it is in no store yet."""
    fifo = replace(put(EMPTY_FIFO, "x", Delta(UPDATED, 1)), {}, EMPTY)
    assert kinds(fifo, "x") == [UPDATED, DELETED]


def test_what_was_made_again_is_listed_after_its_deletion() -> None:
    """Kubernetes issue 83810: the list is no repetition."""
    store = FrozenMap([("x", 1)])
    fifo = replace(put(EMPTY_FIFO, "x", Delta(DELETED, 1)), {"x": 2}, store)
    assert kinds(fifo, "x") == [DELETED, UPDATED]


def test_a_deletion_is_queued_once() -> None:
    """What waits as deleted is not deleted again."""
    fifo = replace(put(EMPTY_FIFO, "x", Delta(DELETED, 1)), {}, FrozenMap([("x", 1), ("y", 2)]))
    assert (kinds(fifo, "x"), kinds(fifo, "y")) == ([DELETED], [DELETED])
