"""The scheduling queue: active, backing off, unschedulable, gated.

Source: Kubernetes documentation, "Pod Priority and Preemption" (order), and the kube-scheduler
design of the three queues. Pods are taken by priority, then by the time since which they wait
where they are, so that a pod that failed goes behind its equals. A pod that failed waits until an
event can help it, and at least for its back-off: 1 s, doubled for each attempt, at most 10 s.
Back-offs are looked at once a second, so that pods whose wait ends in one second come together
and go by priority.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

from model.kernel.component import Io
from model.kernel.values import FrozenMap
from reference_impl.lib.backoff import Backoff
from reference_impl.scheduler.records import PodInfo

BACKOFF = Backoff(1_000, 10_000)
TIMER = "backoff:"
STUCK_MS_MAX = 300_000
LOOK_MS = 1_000
ACTIVE, BACKING_OFF, UNSCHEDULABLE, GATED, ATTEMPTED = (
    "active", "backing off", "unschedulable", "gated", "attempted")
Rank = tuple[int, int, int, str]


class Waiting(NamedTuple):
    """A pod in the queue: where it is, since when, and which plug-ins refused it last."""

    pod: PodInfo
    place: str
    since_ms: int
    attempts: int = 0
    refused_by: tuple[str, ...] = ()


class Queue(NamedTuple):
    """`pods` are all pods that wait, by key; `active` is the order in which they are taken;
    `parked` are the unschedulable ones."""

    pods: FrozenMap[str, Waiting] = FrozenMap()
    active: tuple[Rank, ...] = ()
    parked: FrozenMap[str, bool] = FrozenMap()


EMPTY_QUEUE = Queue()


def rank(waiting: Waiting) -> Rank:
    """Its place in the order: priority, then who waits longest, then who tried least."""
    pod = waiting.pod
    return -pod.needs.priority, waiting.since_ms, waiting.attempts, pod.key


def _place(queue: Queue, waiting: Waiting) -> Queue:
    """The queue with a pod put (again) where `waiting.place` says."""
    key = waiting.pod.key
    queue = drop(queue, key)
    active, parked = queue.active, queue.parked
    if waiting.place == ACTIVE:
        order = list(active)
        insort(order, rank(waiting))
        active = tuple(order)
    elif waiting.place == UNSCHEDULABLE:
        parked = parked.set(key, True)
    return Queue(queue.pods.set(key, waiting), active, parked)


def drop(queue: Queue, key: str) -> Queue:
    """The queue without a pod."""
    old = queue.pods.get(key)
    if old is None:
        return queue
    active = queue.active
    if old.place == ACTIVE:
        at = bisect_left(active, rank(old))
        active = active[:at] + active[at + 1:]
    return Queue(queue.pods.drop(key), active, queue.parked.drop(key))


def add(queue: Queue, pod: PodInfo, now_ms: int) -> Queue:
    """A pod that is new to the queue."""
    return _place(queue, Waiting(pod, GATED if pod.needs.gates else ACTIVE, now_ms))


def refresh(queue: Queue, pod: PodInfo) -> Queue:
    """New contents for a pod that stays where it is."""
    old = queue.pods[pod.key]
    fresh = old._replace(pod=pod)
    if rank(old) != rank(fresh):
        return _place(queue, fresh)
    return queue._replace(pods=queue.pods.set(pod.key, fresh))


def take(queue: Queue) -> tuple[Queue, Waiting]:
    """The pod whose turn it is, now being attempted."""
    head = queue.pods[queue.active[0][3]]
    taken = head._replace(place=ATTEMPTED, attempts=head.attempts + 1)
    return Queue(queue.pods.set(head.pod.key, taken), queue.active[1:], queue.parked), taken


def park(queue: Queue, key: str, refused_by: tuple[str, ...], now_ms: int) -> Queue:
    """The attempt failed and nothing happened meanwhile: wait for an event that helps."""
    waiting = queue.pods[key]._replace(place=UNSCHEDULABLE, since_ms=now_ms, refused_by=refused_by)
    return _place(queue, waiting)


def back_off(queue: Queue, waiting: Waiting, io: Io) -> Queue:
    """The attempt failed, but another one is worth it, after a while."""
    _alarm(waiting.pod.key, BACKOFF.delay_ms(max(waiting.attempts, 1)), io)
    return _place(queue, waiting._replace(place=BACKING_OFF, since_ms=io.now))


def _alarm(key: str, delay_ms: int, io: Io) -> None:
    """Set the timer of a back-off, for the first look after its end."""
    ends = io.now + delay_ms
    io.after(-(-ends // LOOK_MS) * LOOK_MS - io.now, TIMER + key)


def activate(queue: Queue, key: str, now_ms: int) -> Queue:
    """The back-off of a pod is over, or its gates were removed."""
    waiting = queue.pods.get(key)
    if waiting is None or waiting.place not in (BACKING_OFF, GATED):
        return queue
    return _place(queue, waiting._replace(place=ACTIVE, since_ms=now_ms))


def wake(queue: Queue, key: str, io: Io) -> Queue:
    """An event helps an unschedulable pod: active, or first through the rest of its back-off."""
    waiting = queue.pods.get(key)
    if waiting is None or waiting.place != UNSCHEDULABLE:
        return queue
    left_ms = waiting.since_ms + BACKOFF.delay_ms(max(waiting.attempts, 1)) - io.now
    if left_ms <= 0:
        return _place(queue, waiting._replace(place=ACTIVE, since_ms=io.now))
    _alarm(key, left_ms, io)
    return _place(queue, waiting._replace(place=BACKING_OFF))
