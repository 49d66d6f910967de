"""What a cluster survives: every loss of some nodes, zones or values of any label.

A loss is survived when a placement of all pods that count on what is left exists. First only the
pods of the lost nodes are moved, which is what Kubernetes does; when that fails all pods are placed
anew, and the loss is noted as one that needs others to move. Nodes that no rule tells apart are
lost once for all of their kind. Pods tied to a node (a DaemonSet's) go with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from time import monotonic
from typing import Any, NamedTuple

from properties.scheduler import rules
from properties.scheduler.greedy import Filler
from properties.scheduler.problem import Answer, Problem, placement_of, restricted, without
from properties.scheduler.verdict import decide


class Survival(NamedTuple):
    """`worst`: the smallest set of losses that leaves pods without a place, and its reason.

    `unknown` are sets of losses that were not decided, `moved` those that are survived only when
    pods move whose node was not lost; `tried` counts all.
    """

    survives: bool | None
    worst: tuple[str, ...] = ()
    reason: str = ""
    tried: int = 0
    unknown: tuple[tuple[str, ...], ...] = ()
    moved: tuple[tuple[str, ...], ...] = ()


class Guard(NamedTuple):
    """A disruption budget: of `pods` at least `need` must run."""

    name: str
    pods: frozenset[str]
    need: int


def needed(problem: Problem, priority: int, guards: Sequence[Guard] = ()) -> Problem:
    """The pods that must run: those of at least a priority, and of the others as many as the
    budgets ask for. A budget over several kinds of low priority is met by all of them."""
    kinds = []
    for kind in problem.kinds:
        pods = kind.pods
        if kind.priority < priority:
            keep = 0
            mine = frozenset(pods)
            for guard in guards:
                if mine <= guard.pods:
                    elsewhere = guard.pods - mine
                    keep = max(keep, guard.need if not elsewhere else len(mine))
            pods = pods[:keep]
        kinds.append(kind._replace(pods=pods))
    found = problem._replace(kinds=tuple(kinds))
    return restricted(found, [at for at, kind in enumerate(kinds) if kind.pods])


def survives(problem: Problem, answer: Answer, losses: int, *, by: str = "",
             seconds: float = 2.0, total: float = 60.0) -> Survival:
    """Whether all pods still fit after every loss of up to `losses` nodes.

    `by` is a label (a zone, say): then all nodes with one of its values are lost together.
    `answer` is the placement before the loss; `seconds` are for each question to a solver,
    `total` for all: what is not looked at in time is unknown.
    """
    units = _units(problem, by)
    likeness = _likeness(problem)
    known: dict[Any, tuple[bool | None, str]] = {}
    tried, until = 0, monotonic() + total
    unknown: list[tuple[str, ...]] = []
    moved: list[tuple[str, ...]] = []
    for names, lost in _sets(units, losses):
        tried += 1
        if _repaired(problem, answer, lost):
            continue
        kind = tuple(sorted(likeness[at] for at in lost))
        if kind not in known:
            left = min(seconds, until - monotonic())
            known[kind] = (None, "") if left <= 0 else _decided(problem, lost, left)
        fits, reason = known[kind]
        if fits is False:
            return Survival(False, names, reason, tried, tuple(unknown), tuple(moved))
        (moved if fits else unknown).append(names)
    return Survival(None if unknown else True, (), "", tried, tuple(unknown), tuple(moved))


def _decided(problem: Problem, lost: frozenset[int], seconds: float) -> tuple[bool | None, str]:
    verdict = decide(without(problem, lost), seconds)
    return verdict.fits, verdict.reason


def killing_set(problem: Problem, *, by: str = "", seconds: float = 2.0,
                total: float = 20.0) -> Survival:
    """The smallest set of losses after which the pods do not fit, however they move, and why.

    `survives` is False with the set in `worst`; None when the time was over first: then no smaller
    set than the last size tried is known.
    """
    units = _units(problem, by)
    likeness = _likeness(problem)
    seen: set[Any] = set()
    unknown: list[tuple[str, ...]] = []
    tried, until = 0, monotonic() + total
    for names, lost in _sets(units, len(units)):
        kind = tuple(sorted(likeness[at] for at in lost))
        if kind in seen:
            continue
        seen.add(kind)
        left = until - monotonic()
        if left <= 0:
            return Survival(None, (), f"no set smaller than {len(names)} kills", tried,
                            (*unknown, names))
        tried += 1
        fits, reason = _decided(problem, lost, min(seconds, left))
        if fits is False:
            return Survival(None if unknown else False, names, reason, tried, tuple(unknown))
        if fits is None:
            unknown.append(names)
    return Survival(True, tried=tried, unknown=tuple(unknown))


def _sets(units: dict[str, list[int]], most: int) -> Iterator[tuple[tuple[str, ...],
                                                                    frozenset[int]]]:
    """Sets of units to lose, small ones first."""
    names = sorted(units)
    for size in range(1, min(most, len(names)) + 1):
        for chosen in combinations(names, size):
            yield chosen, frozenset(at for name in chosen for at in units[name])


def _units(problem: Problem, by: str) -> dict[str, list[int]]:
    units: dict[str, list[int]] = {}
    for at, node in enumerate(problem.nodes):
        name = node.labels.get(by) if by else node.name
        if name is not None:
            units.setdefault(name, []).append(at)
    return units


def _likeness(problem: Problem) -> list[int]:
    """Numbers of the nodes, equal for nodes that no rule tells apart.

    They have the same room, take the same kinds, carry like pods that are tied to them, and are in
    the same domains, where a domain of one node is like another one of one node.
    """
    alone = {key: {place for place in places if places.count(place) == 1}
             for key, places in problem.domains.items()}
    takes: list[list[Any]] = [[] for _ in problem.nodes]
    for at, kind in enumerate(problem.kinds):
        tied = kind.tied and (kind.facts.namespace, tuple(sorted(kind.facts.labels.items())),
                              kind.asks, len(kind.pods),
                              tuple(rules.ports_of(kind.facts)))
        for node in kind.allowed:
            takes[node].append(tied or at)
    counted: list[list[Any]] = [[] for _ in problem.nodes]
    for each in problem.spreadings:
        for node, place in enumerate(each.places):
            counted[node].append(place is not None)
    numbers: dict[Any, int] = {}
    found = []
    for at in range(len(problem.nodes)):
        places = tuple("alone" if problem.domains[key][at] in alone[key]
                       else problem.domains[key][at] for key in sorted(problem.domains))
        key = problem.room[at], places, tuple(map(str, takes[at])), tuple(counted[at])
        found.append(numbers.setdefault(key, len(numbers)))
    return found


def stranded(problem: Problem, answer: Answer, lost: frozenset[int]) -> bool:
    """Whether pods of lost nodes find no place while the others stay where they are."""
    return not _repaired(problem, answer, lost)


def _repaired(problem: Problem, answer: Answer, lost: frozenset[int]) -> bool:
    """Whether the pods of the lost nodes find room on the others as they are; rechecked."""
    left = without(problem, lost)
    index = {node.name: at for at, node in enumerate(left.nodes)}
    filler = Filler(left)
    moving: list[tuple[int, str]] = []
    for at, kind in enumerate(left.kinds):
        for pod in kind.pods:
            node = index.get(answer[pod], -1)
            if node < 0:
                moving.append((at, pod))
            else:
                filler.put(at, pod, node)
    return settle(filler, moving) and not _wrong_after_move(left, filler.answer,
                                                            [pod for _, pod in moving])


def settle(filler: Filler, moving: Iterable[tuple[int, str]]) -> bool:
    """Put more pods where they fit, the big ones first; False as soon as one finds no node."""
    kinds = filler.problem.kinds
    for at, pod in sorted(moving, key=lambda each: -max(kinds[each[0]].asks, default=0)):
        allowed = kinds[at].allowed
        node = filler.best(at, filler.fair(at, allowed) if filler.has_rules(at) else allowed)
        if node < 0:
            return False
        filler.put(at, pod, node)
    return True


def _wrong_after_move(problem: Problem, answer: Answer, moved: Sequence[str]) -> bool:
    """Whether moving some pods of a checked placement broke a rule: each that moved is judged when
    it comes, by the pods that are there then."""
    placement = placement_of(problem, answer)
    where = {pod: name for pod, name in answer.items() if pod not in frozenset(moved)}
    for pod in moved:
        if rules.against(placement.pods[pod], answer[pod],
                         placement._replace(where=where)) is not None:
            return True
        where[pod] = answer[pod]
    return False


def as_it_stands(problem: Problem, bound: Answer) -> Answer | None:
    """A placement that leaves the pods of `bound` where they run and adds the others, if an easy
    one exists. Only those that are added are judged: rules are ignored during execution."""
    index = {node.name: at for at, node in enumerate(problem.nodes)}
    filler = Filler(problem)
    waiting = []
    for at, kind in enumerate(problem.kinds):
        for pod in kind.pods:
            node = index.get(bound.get(pod, ""), -1)
            if node < 0:
                waiting.append((at, pod))
            else:
                filler.put(at, pod, node)
    waiting.sort(key=lambda each: -problem.kinds[each[0]].priority)
    if any(left < 0 for row in filler.left for left in row) or not settle(filler, waiting):
        return None
    return None if _wrong_after_move(problem, filler.answer,
                                     [pod for _, pod in waiting]) else filler.answer
