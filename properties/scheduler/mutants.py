"""Historical bugs of kube-scheduler, seeded into the implementation one at a time."""

from __future__ import annotations

from typing import Any

from model.kernel.component import Io
from model.kernel.mutant import Mutant
from reference_impl.lib.informer import Change
from reference_impl.scheduler import cache, read
from reference_impl.scheduler import queue as queues
from reference_impl.scheduler.component import Flight, Local, Scheduler
from reference_impl.scheduler.queue import Rank, Waiting
from reference_impl.scheduler.records import PodInfo, Snapshot

COMPONENT = "reference_impl.scheduler.component:Scheduler"
EXPIRY = "expire:"
_assume, _timer, _pod_gone, _seen_pod = (
    Scheduler.assume, Scheduler.timer, Scheduler.pod_gone, Scheduler.seen_pod)


def requeue_without_forgetting(self: Scheduler, local: Local, flight: Flight, pod: Any,
                               io: Io) -> Local:
    """A binding that failed leaves the pod assumed."""
    node = pod.spec.node_name if pod is not None and pod.spec is not None else None
    if node == flight.node:
        return self.succeeded(local, flight, io)
    local = local._replace(flight=None)
    cached = local.caches["pods"].store.get(flight.waiting.pod.key)
    if cached is None:
        return local
    return local._replace(queue=queues.back_off(local.queue, flight.waiting, io))


def deletion_of_an_assumed_pod_is_the_queues_business(self: Scheduler, local: Local, key: str,
                                                      io: Io) -> Local:
    """The cache is not told of the deletion of a pod that was never seen on a node."""
    if key in local.assumed:
        return self.unqueued(local, key)
    return _pod_gone(self, local, key, io)


def assume_for_a_moment(self: Scheduler, local: Local, waiting: Waiting, node: str,
                        io: Io) -> Local:
    """The time to live of an assumption begins before its binding has ended."""
    io.after(0, EXPIRY + waiting.pod.key)
    return _assume(self, local, waiting, node, io)


def expire(self: Scheduler, local: Local, key: str, io: Io) -> Local:
    """The clean-up of assumptions does not ask whether the pod is bound."""
    if not key.startswith(EXPIRY):
        return _timer(self, local, key, io)
    name = key[len(EXPIRY):]
    return self.forget(local, name) if name in local.assumed else local


def one_change_for_one_name(key: str, old: Any, new: Any) -> tuple[Change, ...]:
    """An object that was deleted and made again is told as updated."""
    return () if old is None and new is None else (Change(key, old, new),)


def replace_by_uid(self: Scheduler, local: Local, old: PodInfo | None, info: PodInfo) -> Local:
    """An update takes the new pod in, and the old one out only if it has the same uid."""
    snapshot = local.snapshot
    if old is not None and old.uid == info.uid:
        snapshot = cache.remove_pod(snapshot, info.key)
    return local._replace(snapshot=cache.add_pod(snapshot, info),
                          assumed=local.assumed.drop(info.key))


def never_helped_meanwhile(self: Scheduler, attempt: Any) -> bool:
    """Events move only the pods that are parked already."""
    return False


def rank_by_age(waiting: Waiting) -> Rank:
    """The order takes no account of the last attempt."""
    return -waiting.pod.needs.priority, waiting.pod.created, 0, waiting.pod.key


def nobody_is_nominated(node: str, pod: PodInfo, snapshot: Snapshot) -> list[PodInfo]:
    """The fit check overlooks pods that wait for the room that they made."""
    return []


def bound_pods_are_handled_later(self: Scheduler, local: Local, change: Change, io: Io) -> Local:
    """The store of the informer is filled, the cache of the scheduler is not: of the first list
    only the pods that wait are handled in time."""
    pod = change.new
    first = not local.caches["pods"].synced or (
        not local.synced and change.old is None)
    if first and pod is not None and read.pod_info(pod).node:
        return local
    return _seen_pod(self, local, change, io)


FITS = "a_pod_is_bound_to_a_node_where_it_fits"
COUNTS = "the_scheduler_counts_the_pods_that_the_store_holds"
SCENARIO = "crowded-nodes"

SEEDED_BUGS: tuple[Mutant, ...] = (
    Mutant("scheduler-bind-failure-not-forgotten", "scheduler-bind-failure-not-forgotten", COUNTS,
           ((f"{COMPONENT}.answered", requeue_without_forgetting),
            (f"{COMPONENT}.pod_gone", deletion_of_an_assumed_pod_is_the_queues_business)),
           SCENARIO),
    Mutant("scheduler-assume-expires-before-bind", "scheduler-assume-expires-before-bind", FITS,
           ((f"{COMPONENT}.assume", assume_for_a_moment), (f"{COMPONENT}.timer", expire)),
           SCENARIO),
    Mutant("scheduler-recreate-seen-as-update", "scheduler-recreate-seen-as-update", COUNTS,
           (("reference_impl.lib.informer:_changes", one_change_for_one_name),
            (f"{COMPONENT}.replace", replace_by_uid)), "recreated-pod", "crash"),
    Mutant("scheduler-event-during-attempt-lost", "scheduler-event-during-attempt-lost",
           "a_pod_that_fits_is_bound",
           ((f"{COMPONENT}.helped_meanwhile", never_helped_meanwhile),), "room-freed-late"),
    Mutant("scheduler-head-of-line-starvation", "scheduler-head-of-line-starvation",
           "the_pod_that_waits_longest_among_equals_is_attempted",
           (("reference_impl.scheduler.queue:rank", rank_by_age),), "picky-pods"),
    Mutant("scheduler-ignores-nominated-pods", "scheduler-ignores-nominated-pods",
           "room_made_by_preemption_is_not_given_to_lower_priority",
           (("reference_impl.scheduler.framework:nominated_on", nobody_is_nominated),), SCENARIO),
    Mutant("scheduler-starts-with-incomplete-cache", "scheduler-starts-with-incomplete-cache",
           FITS, ((f"{COMPONENT}.seen_pod", bound_pods_are_handled_later),), SCENARIO, "crash"),
)
