"""Verdicts with reasons: do these pods fit these nodes, do they survive, is the reason minimal.

Engines in layers, the cheap ones first: cuts that name a reason, a greedy witness, the incremental
Z3 solver, CP-SAT where installed. Every placement is rechecked by the rules restated from the
documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from time import monotonic
from typing import NamedTuple

from properties.scheduler import cuts, greedy, rules, solver
from properties.scheduler.greedy import Filler
from properties.scheduler.problem import (
    Answer,
    Problem,
    placement_of,
    recheck,
    restricted,
    without,
)

SOLVER_SECONDS = 10.0


class Verdict(NamedTuple):
    """`fits` None: unknown. `reason` says why not; `answer` is a checked placement.

    `minimal`: every kind of pod in `kinds` is needed for the reason (removing any one leaves a
    checked placement). `engine` is the layer that decided.
    """

    fits: bool | None
    reason: str = ""
    answer: Answer | None = None
    kinds: tuple[int, ...] = ()
    engine: str = ""
    minimal: bool = False


def decide(problem: Problem, seconds: float = SOLVER_SECONDS, use_cp_sat: bool = True) -> Verdict:
    """Whether all pods fit together on the nodes."""
    reason = cuts.find(problem)
    if reason is not None:
        return Verdict(False, reason.text, kinds=reason.kinds, engine="cuts")
    answer = greedy.solve(problem)
    if answer is not None and not recheck(problem, answer):
        return Verdict(True, answer=answer, engine="greedy")
    if use_cp_sat and solver.has_cp_sat():
        found = solver.accepted(problem, solver.cp_sat(problem, seconds))
        if found.fits is not None:
            return _told(problem, found)
    return _told(problem, solver.accepted(problem, solver.Incremental(problem).ask(
        seconds=seconds)))


def _told(problem: Problem, found: solver.Found) -> Verdict:
    if found.fits:
        return Verdict(True, answer=found.answer, engine=found.engine)
    if found.fits is None:
        return Verdict(None, "not decided within the time", engine=found.engine)
    kinds = found.core or tuple(range(len(problem.kinds)))
    text = (f"{cuts.count_of(problem.kinds[at] for at in kinds)} cannot be packed on the "
            f"{len(problem.nodes)} nodes: no sum is exceeded, but the pieces do not fit")
    rules_told = [name for name, found in (("spread", problem.spreadings),
                                           ("affinity", problem.companies),
                                           ("anti-affinity or host ports", problem.exclusions))
                  if found]
    if rules_told:
        text += f" with {' and '.join(rules_told)} kept"
    return Verdict(False, text, kinds=kinds, engine=found.engine)


def minimised(problem: Problem, verdict: Verdict, seconds: float = 2.0) -> Verdict:
    """The reason with as few kinds of pods as can be found in the time."""
    if verdict.fits is not False:
        return verdict
    until = monotonic() + seconds
    kept = list(verdict.kinds)
    best = decide(restricted(problem, kept), seconds / 4)
    if best.fits is not False:
        return verdict
    proved = True
    for at in tuple(kept):
        if monotonic() > until:
            proved = False
            break
        rest = [each for each in kept if each != at]
        trial = decide(restricted(problem, rest), max(0.05, (until - monotonic()) / 2))
        if trial.fits is False:
            kept, best = rest, trial
        elif trial.fits is None:
            proved = False
    return best._replace(kinds=tuple(kept), minimal=proved)


# -- losses ---------------------------------------------------------------------------------------


class Survival(NamedTuple):
    """`worst`: the smallest set of losses that leaves pods without a place, and its reason.

    `unknown` are sets of losses that were not decided; `tried` counts all.
    """

    survives: bool | None
    worst: tuple[str, ...] = ()
    reason: str = ""
    tried: int = 0
    unknown: tuple[tuple[str, ...], ...] = ()


def survives(problem: Problem, answer: Answer, losses: int, *, by: str = "",
             seconds: float = 2.0) -> Survival:
    """Whether all pods still fit after every loss of up to `losses` nodes.

    `by` is a label (a zone, say): then all nodes with one of its values are lost together. A
    placement is repaired first: only the pods of the lost nodes move.
    """
    units = _units(problem, by)
    tried = 0
    unknown: list[tuple[str, ...]] = []
    for size in range(1, losses + 1):
        for names in combinations(sorted(units), size):
            tried += 1
            lost = frozenset(at for name in names for at in units[name])
            if _repaired(problem, answer, lost):
                continue
            verdict = decide(without(problem, lost), seconds)
            if verdict.fits is False:
                return Survival(False, names, verdict.reason, tried, tuple(unknown))
            if verdict.fits is None:
                unknown.append(names)
    return Survival(None if unknown else True, tried=tried, unknown=tuple(unknown))


def _units(problem: Problem, by: str) -> dict[str, list[int]]:
    units: dict[str, list[int]] = {}
    for at, node in enumerate(problem.nodes):
        name = node.labels.get(by) if by else node.name
        if name is not None:
            units.setdefault(name, []).append(at)
    return units


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
    moving.sort(key=lambda each: -max(left.kinds[each[0]].asks, default=0))
    for at, pod in moving:
        allowed = left.kinds[at].allowed
        node = filler.best(at, filler.fair(at, allowed) if filler.has_rules(at) else allowed)
        if node < 0:
            return False
        filler.put(at, pod, node)
    return not _wrong_after_move(left, filler.answer, [pod for _, pod in moving])


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


def nodes_needed(problem: Problem, seconds: float = 5.0) -> tuple[int, bool]:
    """The fewest nodes (the first ones) on which all pods fit, and whether fewer are excluded."""
    low, high, certain = 1, len(problem.nodes), True
    while low < high:
        middle = (low + high) // 2
        lost = frozenset(range(middle, len(problem.nodes)))
        verdict = decide(without(problem, lost), seconds)
        if verdict.fits:
            high = middle
        else:
            certain = certain and verdict.fits is False
            low = middle + 1
    return high, certain
