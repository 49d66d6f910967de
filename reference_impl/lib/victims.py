"""Which pods a controller gives up first when it has too many.

Source: Kubernetes 1.32, `ActivePodsWithRanks`: not assigned to a node, Pending, Unknown, not ready,
lower deletion cost, more related pods on the same node, ready for less time (compared by the binary
logarithm of the age, and by uid within the same power), more restarts, younger (compared the same
way). Related pods are counted only for ReplicaSets of a Deployment; their controller does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cmp_to_key

from model.api.conditions import find
from model.api.metadata import annotation
from model.api.objects import Pod, milliseconds

COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, None: 0, "Unknown": 1, "Running": 2}


NO_SIBLINGS: Mapping[str, int] = {}


def to_delete(pods: tuple[Pod, ...], count: int, now_ms: int,
              siblings: Mapping[str, int] = NO_SIBLINGS) -> tuple[Pod, ...]:
    """The `count` pods to delete, first victim first. `siblings`: related pods by node."""
    if count >= len(pods):
        return pods

    def order(one: Pod, two: Pod) -> int:
        return compare(one, two, now_ms, siblings)

    return tuple(sorted(pods, key=cmp_to_key(order))[:count])


def compare(one: Pod, two: Pod, now_ms: int,
            siblings: Mapping[str, int] = NO_SIBLINGS) -> int:
    """Negative when `one` goes before `two`."""
    first, second = _rank(one, siblings), _rank(two, siblings)
    if first != second:
        return -1 if first < second else 1
    if first[2]:
        order = _by_age(_ready_since(one), _ready_since(two), one, two, now_ms)
        if order:
            return order
    restarts = _restarts(two) - _restarts(one)
    if restarts:
        return restarts
    return _by_age(_created(one), _created(two), one, two, now_ms)


def _rank(pod: Pod, siblings: Mapping[str, int]) -> tuple[int, int, int, int, int]:
    phase = None if pod.status is None else pod.status.phase
    node = (None if pod.spec is None else pod.spec.node_name) or ""
    return (int(bool(node)), _PHASES.get(phase, 2), int(_is_ready(pod)), deletion_cost(pod),
            -siblings.get(node, 0))


def deletion_cost(pod: Pod) -> int:
    """The cost that the pod's annotation names; 0 when it names none that is valid."""
    text = annotation(pod.metadata, COST)
    try:
        return int(text) if text is not None else 0
    except ValueError:
        return 0


def _is_ready(pod: Pod) -> bool:
    found = None if pod.status is None else find(pod.status.conditions, "Ready")
    return found is not None and found.status == "True"


def _ready_since(pod: Pod) -> int | None:
    found = None if pod.status is None else find(pod.status.conditions, "Ready")
    if found is None or found.last_transition_time is None:
        return None
    return milliseconds(found.last_transition_time)


def _created(pod: Pod) -> int | None:
    moment = pod.metadata.creation_timestamp
    return None if moment is None else milliseconds(moment)


def _restarts(pod: Pod) -> int:
    statuses = () if pod.status is None else pod.status.container_statuses or ()
    return max((each.restart_count or 0 for each in statuses), default=0)


def _by_age(since: int | None, other: int | None, one: Pod, two: Pod, now_ms: int) -> int:
    """The younger first; within one power of two of nanoseconds the lower uid."""
    if since == other:
        return 0
    if since is None or other is None:
        return -1 if since is None else 1
    powers = _power(now_ms - since) - _power(now_ms - other)
    if powers:
        return powers
    return -1 if (one.metadata.uid or "") < (two.metadata.uid or "") else 1


def _power(age_ms: int) -> int:
    return (age_ms * 1_000_000).bit_length() - 1 if age_ms > 0 else -1
