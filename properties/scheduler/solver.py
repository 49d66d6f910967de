"""Placement by solver: one incremental Z3 solver with assumptions, and CP-SAT if installed.

The encoding holds room, allowed nodes and exclusions exactly. Affinity towards pods and spread are
left out, so "unsatisfiable" is sound, and an answer counts only when the rules accept it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from properties.scheduler.problem import Answer, Problem, recheck


class Found(NamedTuple):
    """What a solver says. `fits` None: unknown. `core`: kinds that cannot fit together."""

    fits: bool | None
    answer: Answer | None = None
    core: tuple[int, ...] = ()
    engine: str = ""


class Incremental:
    """A Z3 solver for one problem, asked again and again under other assumptions.

    Assumptions: that all pods of a kind are placed, and that a node is there. What one question
    taught the solver helps with the next.
    """

    def __init__(self, problem: Problem) -> None:
        import z3

        self.problem = problem
        self.z3 = z3
        self.solver = z3.SolverFor("QF_FD")
        self.here = [z3.Bool(f"node:{at}") for at in range(len(problem.nodes))]
        self.placed = [z3.Bool(f"kind:{at}") for at in range(len(problem.kinds))]
        self.on: dict[tuple[str, int], Any] = {}
        for at, kind in enumerate(problem.kinds):
            for pod in kind.pods:
                options = []
                for node in kind.allowed:
                    variable = z3.Bool(f"{pod}@{node}")
                    self.on[pod, node] = variable
                    self.solver.add(z3.Implies(variable, self.here[node]))
                    options.append(variable)
                self.solver.add(z3.Implies(self.placed[at], z3.Or(options)))
        self._room()
        self._exclusions()

    def _room(self) -> None:
        z3, problem = self.z3, self.problem
        for node in range(len(problem.nodes)):
            for column in range(len(problem.resources)):
                weighted = [(self.on[pod, node], kind.asks[column]) for kind in problem.kinds
                            if kind.asks[column] for pod in kind.pods if (pod, node) in self.on]
                if sum(ask for _, ask in weighted) > problem.room[node][column]:
                    scaled, most = _reduced(weighted, problem.room[node][column])
                    self.solver.add(z3.PbLe(scaled, most))

    def _exclusions(self) -> None:
        z3, problem = self.z3, self.problem
        for left, right, key, _ in problem.exclusions:
            groups: dict[str, list[int]] = {}
            for node, place in enumerate(problem.domains[key]):
                if place is not None:
                    groups.setdefault(place, []).append(node)
            for nodes in groups.values():
                mine = self._variables(left, nodes)
                if left == right:
                    if len(mine) > 1:
                        self.solver.add(z3.AtMost(*mine, 1))
                    continue
                theirs = self._variables(right, nodes)
                if mine and theirs:
                    self.solver.add(z3.Not(z3.And(z3.Or(mine), z3.Or(theirs))))

    def _variables(self, kind: int, nodes: Iterable[int]) -> list[Any]:
        return [self.on[pod, node] for pod in self.problem.kinds[kind].pods for node in nodes
                if (pod, node) in self.on]

    def ask(self, kinds: Iterable[int] | None = None, lost: frozenset[int] = frozenset(),
            seconds: float = 10.0) -> Found:
        """Whether the pods of `kinds` (all by default) fit without the nodes `lost`."""
        z3, problem = self.z3, self.problem
        wanted = tuple(range(len(problem.kinds))) if kinds is None else tuple(kinds)
        self.solver.set("timeout", max(1, int(seconds * 1000)))
        assumptions = [self.placed[at] for at in wanted]
        assumptions += [z3.Not(self.here[at]) if at in lost else self.here[at]
                        for at in range(len(problem.nodes))]
        result = self.solver.check(assumptions)
        if result == z3.unsat:
            core = {str(each) for each in self.solver.unsat_core()}
            return Found(False, core=tuple(at for at in wanted if f"kind:{at}" in core),
                         engine="z3")
        if result != z3.sat:
            return Found(None, engine="z3")
        model = self.solver.model()
        answer = {}
        for at in wanted:
            for pod in problem.kinds[at].pods:
                node = next(node for node in problem.kinds[at].allowed
                            if z3.is_true(model.eval(self.on[pod, node])))
                answer[pod] = problem.nodes[node].name
        return Found(True, answer, engine="z3")


def _reduced(weighted: list[tuple[Any, int]], most: int) -> tuple[list[tuple[Any, int]], int]:
    """The same inequality with a common factor of the weights divided out."""
    from math import gcd

    factor = gcd(*(ask for _, ask in weighted)) or 1
    return [(variable, ask // factor) for variable, ask in weighted], most // factor


def has_cp_sat() -> bool:
    """Whether the optional solver is installed."""
    import importlib.util

    return importlib.util.find_spec("ortools") is not None


def cp_sat(problem: Problem, seconds: float = 10.0) -> Found:
    """The same question to CP-SAT: numbers of pods of each kind on each node."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    count: dict[tuple[int, int], Any] = {}
    for at, kind in enumerate(problem.kinds):
        for node in kind.allowed:
            count[at, node] = model.new_int_var(0, len(kind.pods), f"{at}@{node}")
        model.add(sum(count[at, node] for node in kind.allowed) == len(kind.pods))
    for node in range(len(problem.nodes)):
        for column in range(len(problem.resources)):
            terms = [kind.asks[column] * count[at, node] for at, kind in enumerate(problem.kinds)
                     if kind.asks[column] and (at, node) in count]
            if terms:
                model.add(sum(terms) <= problem.room[node][column])
    _cp_exclusions(model, problem, count)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return Found(False, engine="cp-sat")
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Found(None, engine="cp-sat")
    answer: Answer = {}
    for at, kind in enumerate(problem.kinds):
        pods = iter(kind.pods)
        for node in kind.allowed:
            for _ in range(solver.value(count[at, node])):
                answer[next(pods)] = problem.nodes[node].name
    return Found(True, answer, engine="cp-sat")


def _cp_exclusions(model: Any, problem: Problem, count: dict[tuple[int, int], Any]) -> None:
    for number, (left, right, key, _) in enumerate(problem.exclusions):
        groups: dict[str, list[int]] = {}
        for node, place in enumerate(problem.domains[key]):
            if place is not None:
                groups.setdefault(place, []).append(node)
        for place, nodes in groups.items():
            mine = [count[left, node] for node in nodes if (left, node) in count]
            theirs = [count[right, node] for node in nodes if (right, node) in count]
            if left == right:
                model.add(sum(mine) <= 1)
            elif mine and theirs:
                mine_first = model.new_bool_var(f"exclusion {number} {place}")
                model.add(sum(theirs) == 0).only_enforce_if(mine_first)
                model.add(sum(mine) == 0).only_enforce_if(~mine_first)


def accepted(problem: Problem, found: Found) -> Found:
    """The answer if the rules accept it; unknown when they do not."""
    if found.fits and found.answer is not None and recheck(problem, found.answer):
        return found._replace(fits=None, answer=None)
    return found
