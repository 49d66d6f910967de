"""Making room for a pod by removing pods of lower priority.

Source: Kubernetes documentation, "Pod Priority and Preemption". On each node that removing pods
could help: take away all pods of lower priority, see whether the pod fits, then give back as many
as possible, those first whose removal would break a disruption budget, the more important ones
before the others. Of the nodes that remain choose by fewest broken budgets, lowest top priority
of the victims, smallest sum of priorities, fewest victims, and latest start of the most important
victim.

Not modelled: the random node from which kube-scheduler starts among very many candidates (it looks
at 100 or a tenth of the nodes at least); here they are taken in order of name.
"""

from __future__ import annotations

from typing import NamedTuple

from reference_impl.scheduler.cache import add_pod, remove_pod
from reference_impl.scheduler.framework import (
    Profile,
    Rejection,
    first_rejection,
    message_of,
    nominated_on,
    prepare,
)
from reference_impl.scheduler.matching import selects
from reference_impl.scheduler.records import PodInfo, Snapshot

CANDIDATES_MIN = 100
CANDIDATES_PERCENT = 10
PRIORITY_SHIFT = 2 ** 31
NOT_STARTED = 2 ** 62
NOT_HELPFUL = Rejection("DefaultPreemption", ("Preemption is not helpful for scheduling",), False)
NO_VICTIMS = Rejection("DefaultPreemption", ("No preemption victims found for incoming pod",))
NEVER = "preemption: not eligible due to preemptionPolicy=Never."
UNDER_WAY = "preemption: not eligible due to terminating pod on the nominated node."


class Outcome(NamedTuple):
    """The node and the victims, or a message that tells why there are none."""

    node: str = ""
    victims: tuple[str, ...] = ()
    message: str = ""


class Candidate(NamedTuple):
    """A node on which the pod would fit without `victims`; the most important one first."""

    node: str
    victims: tuple[PodInfo, ...]
    broken_budgets: int


def preempt(profile: Profile, pod: PodInfo, snapshot: Snapshot,
            rejected: dict[str, Rejection]) -> Outcome:
    """Find victims for a pod that no node takes."""
    if pod.needs.never_preempts:
        return Outcome(message=NEVER)
    if _waits_for_victims(pod, snapshot, rejected):
        return Outcome(message=UNDER_WAY)
    told: dict[str, Rejection] = {}
    candidates: list[Candidate] = []
    total = len(snapshot.nodes)
    wanted = max(total * CANDIDATES_PERCENT // 100, CANDIDATES_MIN)
    for name in snapshot.nodes:
        reason = rejected.get(name)
        if reason is None or not reason.resolvable:
            told[name] = NOT_HELPFUL
        elif len(candidates) < wanted:
            found = _candidate(profile, pod, name, snapshot)
            if isinstance(found, Candidate):
                candidates.append(found)
            else:
                told[name] = found
    if not candidates:
        return Outcome(message=f"preemption: {message_of(total, told)}")
    best = candidates[0]
    for candidate in candidates[1:]:
        cost, least = _cost(candidate), _cost(best)
        # What has not started counts as starting when it is looked at, so the later look wins.
        if cost < least or (cost == least and cost[-1] == -NOT_STARTED):
            best = candidate
    return Outcome(best.node, tuple(victim.key for victim in best.victims))


def _waits_for_victims(pod: PodInfo, snapshot: Snapshot, rejected: dict[str, Rejection]) -> bool:
    """Whether room is being made for the pod already; then it has to wait."""
    if not pod.nominated or pod.nominated not in snapshot.nodes:
        return False
    reason = rejected.get(pod.nominated)
    if reason is not None and not reason.resolvable:
        return False
    return any(snapshot.pods[key].terminating
               and snapshot.pods[key].needs.priority < pod.needs.priority
               for key in snapshot.nodes[pod.nominated].pods)


def _importance(pod: PodInfo) -> tuple[int, int, str]:
    """Sorts the more important pod first: higher priority, then earlier start."""
    started = NOT_STARTED if pod.started is None else pod.started
    return -pod.needs.priority, started, pod.key


def _fits(profile: Profile, pod: PodInfo, name: str, snapshot: Snapshot) -> Rejection | None:
    """Why the pod does not fit on a node of the snapshot, nominated pods counted or not."""
    for others in (nominated_on(name, pod, snapshot), []):
        trial = snapshot
        for other in others:
            trial = add_pod(trial, other._replace(node=name))
        prepared = prepare(profile, pod, trial)
        reason = prepared.refused or first_rejection(prepared, pod, trial.nodes[name])
        if reason is not None:
            return reason
        if not others:
            return None
    return None


def _candidate(profile: Profile, pod: PodInfo, name: str,
               snapshot: Snapshot) -> Candidate | Rejection:
    """The fewest victims on one node, or why there are none."""
    lower = [snapshot.pods[key] for key in snapshot.nodes[name].pods
             if snapshot.pods[key].needs.priority < pod.needs.priority]
    if not lower:
        return NO_VICTIMS
    trial = snapshot
    for victim in lower:
        trial = remove_pod(trial, victim.key)
    reason = _fits(profile, pod, name, trial)
    if reason is not None:
        return reason
    lower.sort(key=_importance)
    guarded, free = _split_by_budget(lower, snapshot)
    victims: list[PodInfo] = []
    broken = 0
    for group, counts in ((guarded, 1), (free, 0)):
        for victim in group:
            kept = add_pod(trial, victim)
            if _fits(profile, pod, name, kept) is None:
                trial = kept
            else:
                victims.append(victim)
                broken += counts
    victims.sort(key=_importance)
    return Candidate(name, tuple(victims), broken)


def _split_by_budget(pods: list[PodInfo],
                     snapshot: Snapshot) -> tuple[list[PodInfo], list[PodInfo]]:
    """Pods whose removal breaks a disruption budget, and the others, both in the given order."""
    budgets = tuple(snapshot.catalog.budgets.values())
    left = [budget.allowed for budget in budgets]
    guarded: list[PodInfo] = []
    free: list[PodInfo] = []
    for pod in pods:
        breaks = False
        name = pod.key.partition("/")[2]
        for at, budget in enumerate(budgets):
            if (pod.needs.labels and budget.selector and budget.namespace == pod.needs.namespace
                    and selects(budget.selector, pod.needs.labels)
                    and name not in budget.disrupted):
                left[at] -= 1
                breaks = breaks or left[at] < 0
        (guarded if breaks else free).append(pod)
    return guarded, free


def _cost(candidate: Candidate) -> tuple[int, int, int, int, int]:
    """Orders candidates; a node where nobody has to go costs least."""
    victims = candidate.victims
    if not victims:
        return 0, -PRIORITY_SHIFT, 0, 0, 0
    top = victims[0].needs.priority
    earliest = min(NOT_STARTED if victim.started is None else victim.started
                   for victim in victims if victim.needs.priority == top)
    return (candidate.broken_budgets, top,
            sum(victim.needs.priority + PRIORITY_SHIFT for victim in victims), len(victims),
            -earliest)
