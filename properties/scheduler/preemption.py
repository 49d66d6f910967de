"""Who has to go for a pod that no node takes, by the documents: the independent judge.

Source: Kubernetes documentation, "Pod Priority and Preemption", "Disruptions"; where it is silent,
what recorded clusters of 1.32 show. A pod of lower priority goes only when keeping it beside the
more important ones that are kept leaves no room; those whose removal breaks a budget are kept
before all others. Among the nodes the one is taken that breaks fewest budgets, then the one whose
most important victim is least important, then the smallest sum of priorities (each counted from
the lowest possible one), then fewest victims, then the victim that started last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from model.api.objects import LabelSelector
from properties.scheduler import rules
from properties.scheduler.facts import PodFacts
from properties.scheduler.rules import Placement, picks

LOWEST = -2 ** 31
NEVER_STARTED = 2 ** 62


class Budget(NamedTuple):
    """A disruption budget: whom it selects, how many may go, and who was let go already."""

    namespace: str
    selector: LabelSelector | None
    allowed: int
    disrupted: frozenset[str] = frozenset()


class Victims(NamedTuple):
    """The pods that must go from a node, by key, and how many of them break a budget."""

    keys: frozenset[str]
    broken: int


class Contest(NamedTuple):
    """Who is there, when each pod started (milliseconds), the budgets, the pods that wait for room
    on a node of their own, by node, and the pods that are being deleted."""

    placement: Placement
    started: Mapping[str, int] = {}
    budgets: Sequence[Budget] = ()
    nominated: Mapping[str, Sequence[PodFacts]] = {}
    terminating: frozenset[str] = frozenset()


def priority(pod: PodFacts) -> int:
    """The priority of a pod."""
    return pod.spec.priority or 0


def takes(pod: PodFacts, name: str, contest: Contest) -> bool:
    """Whether a node takes the pod, beside the equal and more important pods that wait for it and
    also without them."""
    placement = contest.placement
    if rules.against(pod, name, placement, contest.terminating) is not None:
        return False
    before = [other for other in contest.nominated.get(name, ())
              if other.key != pod.key and priority(other) >= priority(pod)]
    if not before:
        return True
    crowded = placement._replace(
        pods={**placement.pods, **{other.key: other for other in before}},
        where={**placement.where, **{other.key: name for other in before}})
    return rules.against(pod, name, crowded, contest.terminating) is None


def victims(pod: PodFacts, name: str, contest: Contest) -> Victims | None:
    """Who must go from a node; None when nobody there is lower, or when that does not help."""
    placement = contest.placement
    lower = [placement.pods[key] for key, at in placement.where.items()
             if at == name and priority(placement.pods[key]) < priority(pod)]
    if not lower:
        return None
    where = {key: at for key, at in placement.where.items()
             if key not in {other.key for other in lower}}
    if not takes(pod, name, contest._replace(placement=placement._replace(where=where))):
        return None
    lower.sort(key=lambda other: _importance(other, contest))
    breaking = _breaking(lower, contest)
    gone: set[str] = set()
    for other in [*(each for each in lower if each.key in breaking),
                  *(each for each in lower if each.key not in breaking)]:
        kept = {**where, other.key: name}
        if takes(pod, name, contest._replace(placement=placement._replace(where=kept))):
            where = kept
        else:
            gone.add(other.key)
    return Victims(frozenset(gone), len(gone & breaking))


def _importance(pod: PodFacts, contest: Contest) -> tuple[int, int, str]:
    """Sorts the more important pod first."""
    return -priority(pod), contest.started.get(pod.key, NEVER_STARTED), pod.key


def _breaking(pods: list[PodFacts], contest: Contest) -> set[str]:
    """Those whose removal, the more important ones counted first, breaks a budget."""
    left = [budget.allowed for budget in contest.budgets]
    found = set()
    for pod in pods:
        for at, budget in enumerate(contest.budgets):
            if _covers(budget, pod):
                left[at] -= 1
                if left[at] < 0:
                    found.add(pod.key)
    return found


def _covers(budget: Budget, pod: PodFacts) -> bool:
    selector = budget.selector
    return (selector is not None
            and bool(selector.match_labels or selector.match_expressions)
            and budget.namespace == pod.namespace and bool(pod.labels)
            and pod.key.partition("/")[2] not in budget.disrupted
            and picks(selector, pod.labels))


def cost(found: Victims, contest: Contest) -> tuple[int, int, int, int, int]:
    """Smaller is preferred."""
    pods = [contest.placement.pods[key] for key in found.keys]
    top = max(map(priority, pods), default=LOWEST)
    earliest = min((contest.started.get(pod.key, NEVER_STARTED) for pod in pods
                    if priority(pod) == top), default=0)
    return (found.broken, top, sum(priority(pod) - LOWEST for pod in pods), len(pods), -earliest)


def choices(pod: PodFacts, contest: Contest) -> dict[str, Victims]:
    """The nodes that may be chosen, with who must go from each; empty when nothing helps.

    Nodes that the pod may never use are none, whoever goes.
    """
    found: dict[str, Victims] = {}
    for name, node in contest.placement.nodes.items():
        if rules.taints(pod, node) is None and rules.node_choice(pod, node) is None:
            there = victims(pod, name, contest)
            if there is not None:
                found[name] = there
    if not found:
        return {}
    least = min(cost(there, contest) for there in found.values())
    return {name: there for name, there in found.items() if cost(there, contest) == least}
