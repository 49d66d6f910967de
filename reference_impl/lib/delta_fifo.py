"""A queue of changes between what receives them and what applies them, as a value.

Source: client-go, tools/cache/delta_fifo.go. For each key the queue holds the changes that came
since the key was last taken; keys are taken in the order in which they came. A list replaces what
is known: each listed object is queued, and each object that is known and not listed is queued as
deleted. Known are the objects of the store *and* those that wait in the queue (kubernetes issue
115658); and a listed object counts, even if the last that was queued of it is its deletion (issue
83810).

Not modelled: periodic resync, and the folding of equal changes: a change says the same twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from model.kernel.values import EMPTY, FrozenMap

UPDATED, DELETED = "updated", "deleted"


class Delta(NamedTuple):
    """One change: what happened, and the object as it was last seen."""

    type: str
    object: Any


class DeltaFifo(NamedTuple):
    """`order`: keys that wait, oldest first; `items`: their changes, oldest first."""

    order: tuple[str, ...] = ()
    items: FrozenMap[str, tuple[Delta, ...]] = EMPTY


EMPTY_FIFO = DeltaFifo()


def put(fifo: DeltaFifo, key: str, delta: Delta) -> DeltaFifo:
    """Queue one change."""
    waiting = fifo.items.get(key)
    order = (*fifo.order, key) if waiting is None else fifo.order
    return DeltaFifo(order, fifo.items.set(key, (*(waiting or ()), delta)))


def pop(fifo: DeltaFifo) -> tuple[DeltaFifo, str, tuple[Delta, ...]]:
    """The oldest key with its changes. The queue must not be empty."""
    key = fifo.order[0]
    return DeltaFifo(fifo.order[1:], fifo.items.drop(key)), key, fifo.items[key]


def replace(fifo: DeltaFifo, listed: Mapping[str, Any], store: FrozenMap[str, Any]) -> DeltaFifo:
    """Queue what a list tells, given what the store holds."""
    for key in sorted(listed):
        fifo = put(fifo, key, Delta(UPDATED, listed[key]))
    for key, obj in vanished(fifo, listed, store).items():
        fifo = put(fifo, key, Delta(DELETED, obj))
    return fifo


def vanished(fifo: DeltaFifo, listed: Mapping[str, Any],
             store: FrozenMap[str, Any]) -> dict[str, Any]:
    """What is known and not listed, in its last known state."""
    found: dict[str, Any] = {}
    for key in sorted({*store, *fifo.items}):
        if key in listed:
            continue
        waiting = fifo.items.get(key)
        if waiting is None:
            found[key] = store[key]
        elif waiting[-1].type != DELETED:
            found[key] = waiting[-1].object
    return found
