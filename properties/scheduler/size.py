"""The fewest of a cluster's nodes that take all pods.

With CP-SAT the number is proved least (or a bound is told); without, nodes are given up one by one
while everything still fits, and the number is proved only when a sum of requests excludes fewer.
"""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from properties.scheduler import solver
from properties.scheduler.greedy import solve
from properties.scheduler.problem import Problem, recheck, without
from properties.scheduler.verdict import decide


class Size(NamedTuple):
    """The nodes that are enough, and no fewer than `least`; `proved`: it is the least number.

    `nodes` None: the pods do not fit on all nodes, or it was not decided.
    """

    nodes: tuple[str, ...] | None
    least: int
    proved: bool


def nodes_needed(problem: Problem, seconds: float = 10.0) -> Size:
    """The fewest nodes on which all pods fit; pods tied to the other nodes are gone."""
    least = _by_sums(problem)
    if solver.has_cp_sat():
        used, bound = solver.Counted(problem, fewest_nodes=True).fewest(seconds)
        if used is not None and _holds(problem, used):
            least = max(least, bound)
            return Size(_names(problem, used), least, len(used) <= least)
    used = _given_up(problem, monotonic() + seconds)
    if used is None:
        return Size(None, least, False)
    return Size(_names(problem, used), least, len(used) <= least)


def _names(problem: Problem, used: frozenset[int]) -> tuple[str, ...]:
    return tuple(problem.nodes[at].name for at in sorted(used))


def _holds(problem: Problem, used: frozenset[int]) -> bool:
    """Whether a checked placement on these nodes exists."""
    rest = without(problem, frozenset(range(len(problem.nodes))) - used)
    return bool(decide(rest).fits)


def _by_sums(problem: Problem) -> int:
    """No fewer nodes than the biggest ones that together have what is asked for."""
    least = 1 if problem.kinds else 0
    for column in range(len(problem.resources)):
        need = sum(kind.asks[column] * len(kind.pods) for kind in problem.kinds if not kind.tied)
        rooms = sorted((row[column] for row in problem.room), reverse=True)
        count = 0
        while need > 0 and count < len(rooms):
            need -= rooms[count]
            count += 1
        least = max(least, count)
    return least


def _given_up(problem: Problem, until: float) -> frozenset[int] | None:
    """Give up nodes while an easy placement exists."""
    everything = frozenset(range(len(problem.nodes)))
    lost: frozenset[int] = frozenset()
    if not decide(problem).fits:
        return None
    for at in sorted(everything, key=lambda each: sum(problem.room[each])):
        if monotonic() > until:
            break
        rest = without(problem, lost | {at})
        answer = solve(rest)
        if answer is not None and not recheck(rest, answer):
            lost |= {at}
    return everything - lost
