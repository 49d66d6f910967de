"""The work queue of a controller, as a value: keys to sync, each at most once, never two at a time.

What holds (source: client-go, util/workqueue): `order` holds exactly the keys that are dirty and
not being processed, oldest first. A key that is added while it is processed becomes dirty and
enters `order` when that processing is done, so a change is never lost and a key is never
processed twice at once. `failures` counts failed syncs in a row; a success forgets them.

Not modelled: priorities, several queues, shutting down. A delayed add is a timer of the component
(`later:KEY`, or `retry:KEY` after a failure), so it is lost in a crash, like the whole queue.
"""

from __future__ import annotations

from typing import NamedTuple

from model.kernel.component import Io
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib.backoff import WORK

RETRY = "retry:"
LATER = "later:"


class WorkQueue(NamedTuple):
    """`order`: keys that wait; `dirty`: keys that must be synced (again); `processing`: keys that
    a worker has in hand; `failures`: failed syncs in a row by key."""

    order: tuple[str, ...] = ()
    dirty: FrozenMap[str, int] = EMPTY
    processing: FrozenMap[str, int] = EMPTY
    failures: FrozenMap[str, int] = EMPTY


EMPTY_QUEUE = WorkQueue()


def add(queue: WorkQueue, key: str) -> WorkQueue:
    """Mark a key dirty."""
    order, dirty, processing, failures = queue
    if key in dirty:
        return queue
    if key not in processing:
        order = (*order, key)
    return WorkQueue(order, dirty.set(key, 1), processing, failures)


def take(queue: WorkQueue) -> tuple[WorkQueue, str]:
    """The oldest key, now being processed. The queue must not be empty."""
    order, dirty, processing, failures = queue
    key = order[0]
    return WorkQueue(order[1:], dirty.drop(key), processing.set(key, 1), failures), key


def done(queue: WorkQueue, key: str) -> WorkQueue:
    """The worker has finished with a key; it waits again when it became dirty meanwhile."""
    order, dirty, processing, failures = queue
    if key in dirty:
        order = (*order, key)
    return WorkQueue(order, dirty, processing.drop(key), failures)


def forget(queue: WorkQueue, key: str) -> WorkQueue:
    """A sync succeeded: the next failure starts from the shortest delay."""
    if key not in queue.failures:
        return queue
    return WorkQueue(queue.order, queue.dirty, queue.processing, queue.failures.drop(key))


def add_after(io: Io, key: str, delay_ms: int) -> None:
    """Mark a key dirty later: arms the timer `later:KEY` (a later call moves it)."""
    io.after(delay_ms, LATER + key)


def add_rate_limited(queue: WorkQueue, key: str, io: Io) -> WorkQueue:
    """Mark a key dirty after its back-off. However often it failed, it is never dropped."""
    failures = queue.failures.get(key, 0) + 1
    io.after(WORK.delay_ms(failures), RETRY + key)
    return WorkQueue(queue.order, queue.dirty, queue.processing, queue.failures.set(key, failures))
