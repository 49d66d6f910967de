"""Verdicts with reasons: do these pods fit these nodes together, and which pods are to blame.

Engines in layers, the cheap ones first: cuts that name a reason, a greedy witness, the incremental
Z3 solver, CP-SAT where installed. Every placement is rechecked by the rules restated from the
documents.
"""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from properties.scheduler import cuts, greedy, solver
from properties.scheduler.problem import Answer, Problem, recheck, restricted

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
    needed: set[int] = set()
    while len(needed) < len(kept):
        at = next(each for each in kept if each not in needed)
        left = until - monotonic()
        rest = [each for each in kept if each != at]
        trial = decide(restricted(problem, rest), left / 2) if left > 0 else Verdict(None)
        if trial.fits is None:
            return best._replace(kinds=tuple(kept))
        if trial.fits:
            needed.add(at)
        else:
            kept, best = rest, trial
            # Fewer pods only ever help, unless some are wanted or counted by others.
            needed = needed if problem.exact else set()
    return best._replace(kinds=tuple(kept), minimal=True)
