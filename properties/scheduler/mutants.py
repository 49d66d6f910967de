"""Bugs of kube-scheduler, seeded into the implementation one at a time: historical ones, and
mistakes that are easy to make about scores and victims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.kernel.component import Io
from model.kernel.mutant import Mutant
from reference_impl.lib.informer import Change
from reference_impl.scheduler import cache, preemption, read
from reference_impl.scheduler import queue as queues
from reference_impl.scheduler.component import Flight, Local, Scheduler
from reference_impl.scheduler.framework import SCORE_MAX, Plugin, Profile, Rejection
from reference_impl.scheduler.plugins import node_resources_fit
from reference_impl.scheduler.plugins.node_resources_fit import NodeResourcesFit
from reference_impl.scheduler.plugins.taint_toleration import TaintToleration
from reference_impl.scheduler.preemption import Candidate
from reference_impl.scheduler.queue import Rank, Waiting
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot

COMPONENT = "reference_impl.scheduler.component:Scheduler"
EXPIRY = "expire:"
_assume, _timer, _pod_gone, _seen_pod = (
    Scheduler.assume, Scheduler.timer, Scheduler.pod_gone, Scheduler.seen_pod)
_score_all, _lacking = NodeResourcesFit.score_all, node_resources_fit.lacking
_importance, _candidate = preemption._importance, preemption._candidate
_without_pod_on = cache.without_pod_on


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


def room_for_scores_upside_down(self: NodeResourcesFit, state: Any, pod: PodInfo,
                                nodes: Sequence[NodeInfo]) -> list[int]:
    """Most allocated where least allocated is the default."""
    return [SCORE_MAX - score for score in _score_all(self, state, pod, nodes)]


def disliked_taints_attract(self: TaintToleration, state: Any, scores: list[int],
                            nodes: Sequence[NodeInfo]) -> list[int]:
    """The count of taints is scaled, and not turned round."""
    most = max(scores)
    return [SCORE_MAX * score // most if most else SCORE_MAX for score in scores]


def exactly_is_too_much(pod: PodInfo, node: NodeInfo) -> tuple[str, ...]:
    """What fits exactly is refused."""
    free = node.room.cpu - node.used.cpu
    if pod.needs.request.cpu and pod.needs.request.cpu == free:
        return ("Insufficient cpu",)
    return _lacking(pod, node)


def exactly_is_too_much_of_many(self: NodeResourcesFit, state: Any, pod: PodInfo,
                                nodes: Sequence[NodeInfo],
                                rejected: dict[str, Rejection]) -> Sequence[NodeInfo]:
    """The same over all nodes."""
    return Plugin.filter_all(self, state, pod, nodes, rejected)


def the_important_go_first(pod: PodInfo) -> tuple[int, int, str]:
    """The order in which victims are spared is turned round."""
    priority, started, key = _importance(pod)
    return -priority, started, key


def nobody_is_spared(profile: Profile, pod: PodInfo, name: str,
                     snapshot: Snapshot) -> Candidate | Rejection:
    """Everybody of lower priority goes, needed or not."""
    found = _candidate(profile, pod, name, snapshot)
    if isinstance(found, Rejection):
        return found
    lower = tuple(snapshot.pods[key] for key in snapshot.nodes[name].pods
                  if snapshot.pods[key].needs.priority < pod.needs.priority)
    return found._replace(victims=tuple(sorted(lower, key=_importance)))


def scored_room_is_not_given_back(node: NodeInfo, pod: PodInfo) -> NodeInfo:
    """A pod that leaves keeps the room that scores count."""
    found = _without_pod_on(node, pod)
    return found._replace(scored_cpu=node.scored_cpu, scored_memory=node.scored_memory)


BEST = "the_chosen_node_is_among_the_best"
VICTIMS = "victims_are_needed_and_the_least_important"
FITS = "a_pod_is_bound_to_a_node_where_it_fits"
COUNTS = "the_scheduler_counts_the_pods_that_the_store_holds"
SCENARIO, CONTESTED = "crowded-nodes", "contested-room"

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
    Mutant("scheduler-prefers-the-fullest", "the taken share of room is scored, not the free one",
           BEST,
           (("reference_impl.scheduler.plugins.node_resources_fit:NodeResourcesFit.score_all",
             room_for_scores_upside_down),), SCENARIO),
    Mutant("scheduler-likes-disliked-taints", "taints that are disliked are counted for a node",
           BEST, (("reference_impl.scheduler.plugins.taint_toleration:TaintToleration.normalize",
                   disliked_taints_attract),), CONTESTED),
    Mutant("scheduler-refuses-an-exact-fit", "a pod that fits exactly is refused",
           "a_pod_is_refused_only_when_no_node_takes_it",
           (("reference_impl.scheduler.plugins.node_resources_fit:lacking", exactly_is_too_much),
            ("reference_impl.scheduler.plugins.node_resources_fit:NodeResourcesFit.filter_all",
             exactly_is_too_much_of_many)), SCENARIO),
    Mutant("scheduler-removes-the-important", "victims are spared from the least important on",
           VICTIMS, (("reference_impl.scheduler.preemption:_importance", the_important_go_first),),
           CONTESTED),
    Mutant("scheduler-spares-nobody", "every pod of lower priority on the node is removed", VICTIMS,
           (("reference_impl.scheduler.preemption:_candidate", nobody_is_spared),), CONTESTED),
    Mutant("scheduler-keeps-scored-room", "room that scores count is not given back",
           "a_nodes_cached_totals_are_the_sum_of_its_pods",
           (("reference_impl.scheduler.cache:without_pod_on", scored_room_is_not_given_back),),
           SCENARIO),
)
