"""What a controller has asked for and not yet seen in its cache.

Until the expectations of a key are met, its cached count is known to be stale and the controller
must not create or delete for it (source: Kubernetes, `ControllerExpectations` and
`UIDTrackingControllerExpectations`). Creations are counted. Deletions are remembered by the pod,
since both the start of a graceful deletion and its end may be seen for one deletion.
"""

from __future__ import annotations

from typing import NamedTuple

from model.kernel.values import FrozenMap

TIMEOUT_MS = 5 * 60 * 1000
"""After so long an expectation counts as met: the event it waits for was collapsed or lost."""


class Expectation(NamedTuple):
    """`creations`: pods still to appear; `deletions`: pods still to go, in order; `since_ms`: when
    it was last raised, on the controller's clock."""

    creations: int
    deletions: tuple[str, ...]
    since_ms: int


Expectations = FrozenMap[str, Expectation]


def expect_creations(book: Expectations, key: str, count: int, now_ms: int) -> Expectations:
    """`count` creations are about to be sent."""
    return book.set(key, Expectation(count, (), now_ms))


def expect_deletions(book: Expectations, key: str, pods: tuple[str, ...],
                     now_ms: int) -> Expectations:
    """Deletions of these pods are about to be sent."""
    return book.set(key, Expectation(0, pods, now_ms))


def creation_observed(book: Expectations, key: str, count: int = 1) -> Expectations:
    """Creations appeared in the cache, or failed, or will not be sent."""
    found = book.get(key)
    if found is None or found.creations <= 0:
        return book
    return _kept(book, key, found._replace(creations=max(found.creations - count, 0)))


def deletion_observed(book: Expectations, key: str, pod: str) -> Expectations:
    """A pod was seen terminating or gone, or its deletion failed. Each pod counts once."""
    found = book.get(key)
    if found is None or pod not in found.deletions:
        return book
    left = tuple(each for each in found.deletions if each != pod)
    return _kept(book, key, found._replace(deletions=left))


def forget(book: Expectations, key: str) -> Expectations:
    """The owner is gone."""
    return book.drop(key)


def waits_ms(book: Expectations, key: str, now_ms: int) -> int:
    """How long the key must still wait at most; 0 when its expectations are met or too old."""
    found = book.get(key)
    if found is None or (found.creations <= 0 and not found.deletions):
        return 0
    return max(found.since_ms + TIMEOUT_MS - now_ms, 0)


def _kept(book: Expectations, key: str, left: Expectation) -> Expectations:
    return book.set(key, left) if left.creations > 0 or left.deletions else book.drop(key)
