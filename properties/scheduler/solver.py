"""Placement by solver: one incremental Z3 solver with assumptions, and CP-SAT if installed.

Both see numbers of pods of each kind on each node, since pods of a kind are alike. Room, allowed
nodes and exclusions are encoded exactly. Affinity and spread speak of the moment of binding; what
is encoded holds at the end of every order of bindings: of pods with one spread constraint a
domain holds at most maxSkew more than the fewest counted anywhere (think of the last one that
came); a domain with pods that want company holds some of it from outside their group, or is the
one in which their group began (think of the first one). So "unsatisfiable" is sound, and an answer
counts only when the rules accept it, the order included.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from time import monotonic
from typing import Any, NamedTuple

from properties.scheduler.problem import (
    Answer,
    Problem,
    Spreading,
    recheck,
    without,
    wrong_with,
)
from properties.scheduler.rules import Placement

REFUSALS_MAX = 25
"""How many answers that no order of bindings reaches are looked at before giving up."""


class Found(NamedTuple):
    """What a solver says. `fits` None: unknown. `core`: kinds that cannot fit together."""

    fits: bool | None
    answer: Answer | None = None
    core: tuple[int, ...] = ()
    engine: str = ""


class Family(NamedTuple):
    """One spread constraint: `kinds` are limited by it, `counted` all that it counts."""

    kinds: tuple[int, ...]
    counted: tuple[int, ...]
    places: tuple[str | None, ...]
    max_skew: int
    min_domains: int


class Circle(NamedTuple):
    """Kinds that want the same company. `outside`: what they want beside themselves; `first`: the
    first of them may start anywhere."""

    kinds: tuple[int, ...]
    outside: tuple[int, ...]
    keys: tuple[str, ...]
    first: bool


def families(problem: Problem) -> list[Family]:
    """The spread constraints, those that are alike as one."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for each in problem.spreadings:
        if each.own and each.kind in each.counted:
            found.setdefault(_likeness(each), []).append(each.kind)
    return [Family(tuple(kinds), counted, places, skew, least)
            for (_, places, counted, skew, least), kinds in found.items()]


def _likeness(each: Spreading) -> tuple[Any, ...]:
    return each.key, each.places, each.counted, each.max_skew, each.min_domains


def circles(problem: Problem) -> list[Circle]:
    """The required affinities, those that are alike as one."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for each in problem.companies:
        group = () if each.own else (each.kind,)
        found.setdefault((each.keys, each.wanted, each.own, group), []).append(each.kind)
    return [Circle(tuple(kinds), tuple(at for at in wanted if not own or at not in kinds), keys,
                   own) for (keys, wanted, own, _), kinds in found.items()]


def domains_of(places: Iterable[str | None]) -> dict[str, list[int]]:
    """The nodes of each domain."""
    groups: dict[str, list[int]] = {}
    for node, place in enumerate(places):
        if place is not None:
            groups.setdefault(place, []).append(node)
    return groups


def most_on(problem: Problem, kind: int, node: int) -> int:
    """How many pods of a kind an empty node has room for."""
    found = problem.kinds[kind]
    return min([len(found.pods), *(have // ask for ask, have in zip(
        found.asks, problem.room[node], strict=True) if ask)])


class Incremental:
    """A Z3 solver for one problem, asked again and again under other assumptions.

    Assumptions: that all pods of a kind are placed, that none of a kind is, and that a node is
    there. What one question taught the solver helps with the next. Numbers are unary: the n-th
    variable of a kind and a node says that at least n of its pods are there.
    """

    def __init__(self, problem: Problem) -> None:
        import z3

        self.problem = problem
        self.z3 = z3
        self.solver = z3.SolverFor("QF_FD")
        self.here = [z3.Bool(f"node:{at}") for at in range(len(problem.nodes))]
        self.placed = [z3.Bool(f"kind:{at}") for at in range(len(problem.kinds))]
        self.wanted = [z3.Bool(f"wanted:{at}") for at in range(len(problem.kinds))]
        self.on: dict[tuple[int, int], list[Any]] = {}
        for at, kind in enumerate(problem.kinds):
            self._number(at, kind.allowed, len(kind.pods))
        self._room()
        self._exclusions()
        for number, family in enumerate(families(problem)):
            self._spread(number, family)
        for number, circle in enumerate(circles(problem)):
            self._company(number, circle)

    def _number(self, kind: int, nodes: tuple[int, ...], pods: int) -> None:
        z3, every = self.z3, []
        for node in nodes:
            levels = [z3.Bool(f"{kind}@{node}#{level}")
                      for level in range(most_on(self.problem, kind, node))]
            if not levels:
                continue
            self.on[kind, node] = levels
            self.solver.add(z3.Implies(levels[0], z3.And(self.here[node], self.wanted[kind])))
            for lower, upper in pairwise(levels):
                self.solver.add(z3.Implies(upper, lower))
            every += levels
        if len(every) < pods:
            self.solver.add(z3.Not(self.placed[kind]))
            return
        self.solver.add(z3.PbLe([(each, 1) for each in every], pods))
        self.solver.add(z3.PbGe([*((each, 1) for each in every),
                                 (z3.Not(self.placed[kind]), pods)], pods))

    def _room(self) -> None:
        problem = self.problem
        for node in range(len(problem.nodes)):
            for column in range(len(problem.resources)):
                weighted = [(level, kind.asks[column]) for at, kind in enumerate(problem.kinds)
                            if kind.asks[column] for level in self.on.get((at, node), ())]
                if sum(ask for _, ask in weighted) > problem.room[node][column]:
                    scaled, most = _reduced(weighted, problem.room[node][column])
                    self.solver.add(self.z3.PbLe(scaled, most))

    def _exclusions(self) -> None:
        z3, problem = self.z3, self.problem
        for left, right, key, _ in problem.exclusions:
            for nodes in domains_of(problem.domains[key]).values():
                mine = self._levels([left], nodes)
                if left == right:
                    if len(mine) > 1:
                        self.solver.add(z3.AtMost(*mine, 1))
                    continue
                theirs = self._some([right], nodes)
                if mine and theirs:
                    self.solver.add(z3.Not(z3.And(z3.Or(self._some([left], nodes)),
                                                  z3.Or(theirs))))

    def _levels(self, kinds: Iterable[int], nodes: Iterable[int]) -> list[Any]:
        """All variables of some kinds on some nodes: as many are true as pods are there."""
        places = list(nodes)
        return [level for kind in kinds for node in places
                for level in self.on.get((kind, node), ())]

    def _some(self, kinds: Iterable[int], nodes: Iterable[int]) -> list[Any]:
        """Variables of which one is true when a pod of some kinds is on one of the nodes."""
        places = list(nodes)
        return [self.on[kind, node][0] for kind in kinds for node in places
                if (kind, node) in self.on]

    def _spread(self, number: int, family: Family) -> None:
        """The fewest pods of a domain, as a unary number that nothing may undercut."""
        z3, groups = self.z3, domains_of(family.places)
        pods = sum(len(self.problem.kinds[at].pods) for at in family.counted)
        fewest = [z3.Bool(f"fewest:{number}#{level}") for level in range(pods)]
        for lower, upper in pairwise(fewest):
            self.solver.add(z3.Implies(upper, lower))
        missing = [(z3.Not(each), 1) for each in fewest]
        present = {place: z3.Or([self.here[node] for node in nodes])
                   for place, nodes in groups.items()}
        for place, nodes in groups.items():
            counted = [(each, 1) for each in self._levels(family.counted, nodes)]
            gone = [(z3.Not(present[place]), pods)]
            self.solver.add(z3.PbGe([*counted, *missing, *gone], pods))
            limited = [(each, 1) for each in self._levels(family.kinds, nodes)]
            if limited:
                self.solver.add(z3.PbLe([*limited, *missing], family.max_skew + pods))
        if family.min_domains > 1:
            few = [(each, 1) for each in present.values()]
            self.solver.add(z3.PbGe([*few, (z3.Not(fewest[0]), family.min_domains)],
                                    family.min_domains))

    def _company(self, number: int, circle: Circle) -> None:
        z3 = self.z3
        first: dict[int, Any] = {}
        if circle.first:
            for node in range(len(self.problem.nodes)):
                own = self._some(circle.kinds, [node])
                if own:
                    first[node] = z3.Bool(f"first:{number}@{node}")
                    self.solver.add(z3.Implies(first[node], z3.Or(own)))
            if len(first) > 1:
                self.solver.add(z3.AtMost(*first.values(), 1))
        for key in circle.keys:
            for nodes in domains_of(self.problem.domains[key]).values():
                company = self._some(circle.outside, nodes)
                company += [first[node] for node in nodes if node in first]
                for member in self._some(circle.kinds, nodes):
                    self.solver.add(z3.Implies(member, z3.Or(company)))

    def ask(self, kinds: Iterable[int] | None = None, lost: frozenset[int] = frozenset(),
            seconds: float = 10.0) -> Found:
        """Whether the pods of `kinds` (all by default), and no others, fit without the nodes
        `lost`; pods that are tied to a lost node go with it."""
        z3, problem = self.z3, self.problem
        wanted = tuple(at for at in (range(len(problem.kinds)) if kinds is None else kinds)
                       if not (problem.kinds[at].tied and lost.issuperset(
                           problem.kinds[at].allowed)))
        assumptions = [self.placed[at] for at in wanted]
        assumptions += [z3.Not(self.wanted[at]) for at in range(len(problem.kinds))
                        if at not in wanted]
        assumptions += [z3.Not(self.here[at]) if at in lost else self.here[at]
                        for at in range(len(problem.nodes))]
        until = monotonic() + seconds
        self.solver.push()
        try:
            for tried in range(REFUSALS_MAX):
                left = until - monotonic()
                self.solver.set("timeout", max(1, int(left * 1000)))
                result = self.solver.check(assumptions)
                if result == z3.unsat and not tried:
                    core = {str(each) for each in self.solver.unsat_core()}
                    return Found(False, core=tuple(at for at in wanted if f"kind:{at}" in core),
                                 engine="z3")
                if result != z3.sat or left <= 0:
                    break
                answer = self._answer(wanted)
                if problem.exact or not self._refused(answer, wanted, lost):
                    return Found(True, answer, engine="z3")
        finally:
            self.solver.pop()
        return Found(None, engine="z3")

    def _refused(self, answer: Answer, wanted: tuple[int, ...], lost: frozenset[int]) -> bool:
        """Whether no order of bindings leads to the answer; then it is not offered again."""
        left = without(self.problem, lost) if lost else self.problem
        nodes = {node.name: node for node in left.nodes}
        facts = {key: self.problem.kinds[at].facts._replace(key=key)
                 for at in wanted for key in self.problem.kinds[at].pods}
        if not wrong_with(Placement(nodes, facts, answer, self.problem.namespaces)):
            return False
        model = self.solver.model()
        self.solver.add(self.z3.Or([
            self.z3.Not(level) if self.z3.is_true(model.eval(level)) else level
            for (at, _), levels in self.on.items() if at in wanted for level in levels]))
        return True

    def _answer(self, wanted: tuple[int, ...]) -> Answer:
        model = self.solver.model()
        answer: Answer = {}
        for at in wanted:
            kind = self.problem.kinds[at]
            pods = iter(kind.pods)
            for node in kind.allowed:
                for level in self.on.get((at, node), ()):
                    if self.z3.is_true(model.eval(level)):
                        answer[next(pods)] = self.problem.nodes[node].name
        return answer


def _reduced(weighted: list[tuple[Any, int]], most: int) -> tuple[list[tuple[Any, int]], int]:
    """The same inequality with a common factor of the weights divided out."""
    from math import gcd

    factor = gcd(*(ask for _, ask in weighted)) or 1
    return [(variable, ask // factor) for variable, ask in weighted], most // factor


def has_cp_sat() -> bool:
    """Whether the optional solver is installed."""
    import importlib.util

    return importlib.util.find_spec("ortools") is not None


class Counted:
    """A CP-SAT model of a problem: numbers of pods of each kind on each node.

    `fewest_nodes`: as few nodes as possible are to be used; pods tied to the others are gone.
    """

    def __init__(self, problem: Problem, fewest_nodes: bool = False) -> None:
        from ortools.sat.python import cp_model

        self.problem = problem
        self.cp_model = cp_model
        self.model: Any = cp_model.CpModel()
        self.count: dict[tuple[int, int], Any] = {}
        self._there: dict[tuple[tuple[int, ...], tuple[int, ...]], Any] = {}
        self.used = [self.model.new_bool_var(f"used {at}") for at in range(len(problem.nodes))] \
            if fewest_nodes else []
        for at, kind in enumerate(problem.kinds):
            for node in kind.allowed:
                most = most_on(problem, at, node)
                self.count[at, node] = self.model.new_int_var(0, most, f"{at}@{node}")
                if fewest_nodes:
                    self.model.add(self.count[at, node] <= most * self.used[node])
            total = self._sum([at], kind.allowed)
            if fewest_nodes and kind.tied and kind.allowed:
                self.model.add(total == len(kind.pods) * self.used[kind.allowed[0]])
            else:
                self.model.add(total == len(kind.pods))
        for node in range(len(problem.nodes)):
            for column in range(len(problem.resources)):
                terms = [kind.asks[column] * self.count[at, node]
                         for at, kind in enumerate(problem.kinds)
                         if kind.asks[column] and (at, node) in self.count]
                if terms:
                    self.model.add(sum(terms) <= problem.room[node][column])
        self._exclusions()
        for family in families(problem):
            self._spread(family)
        for circle in circles(problem):
            self._company(circle)

    def _sum(self, kinds: Iterable[int], nodes: Iterable[int]) -> Any:
        places = list(nodes)
        return sum(self.count[kind, node] for kind in kinds for node in places
                   if (kind, node) in self.count)

    def _some(self, kinds: tuple[int, ...], nodes: Iterable[int]) -> Any:
        """A variable that is true exactly when a pod of some kinds is on one of the nodes."""
        places = tuple(nodes)
        found = self._there.get((kinds, places))
        if found is None:
            found = self._there[kinds, places] = self.model.new_bool_var("")
            total = self._sum(kinds, places)
            self.model.add(total >= 1).only_enforce_if(found)
            self.model.add(total == 0).only_enforce_if(~found)
        return found

    def _exclusions(self) -> None:
        problem = self.problem
        for left, right, key, _ in problem.exclusions:
            for nodes in domains_of(problem.domains[key]).values():
                mine = [node for node in nodes if (left, node) in self.count]
                theirs = [node for node in nodes if (right, node) in self.count]
                if left == right:
                    self.model.add(self._sum([left], mine) <= 1)
                elif mine and theirs:
                    self.model.add_bool_or(~self._some((left,), mine),
                                           ~self._some((right,), theirs))

    def _spread(self, family: Family) -> None:
        groups = domains_of(family.places)
        pods = sum(len(self.problem.kinds[at].pods) for at in family.counted)
        fewest = self.model.new_int_var(
            0, 0 if len(groups) < family.min_domains else pods, "fewest")
        present = []
        for nodes in groups.values():
            counted = self.model.add(self._sum(family.counted, nodes) >= fewest)
            self.model.add(self._sum(family.kinds, nodes) <= fewest + family.max_skew)
            if self.used:
                there = self.model.new_bool_var("")
                self.model.add_max_equality(there, [self.used[node] for node in nodes])
                counted.only_enforce_if(there)
                present.append(there)
        if self.used and family.min_domains > 1:
            enough = self.model.new_bool_var("")
            self.model.add(sum(present) >= family.min_domains).only_enforce_if(enough)
            self.model.add(fewest == 0).only_enforce_if(~enough)

    def _company(self, circle: Circle) -> None:
        first: dict[int, Any] = {}
        if circle.first:
            for node in sorted({node for kind, node in self.count if kind in circle.kinds}):
                first[node] = self.model.new_bool_var("")
                self.model.add_implication(first[node], self._some(circle.kinds, [node]))
            self.model.add_at_most_one(first.values())
        for key in circle.keys:
            for nodes in domains_of(self.problem.domains[key]).values():
                members = [node for node in nodes
                           if any((kind, node) in self.count for kind in circle.kinds)]
                if members:
                    company = [first[node] for node in nodes if node in first]
                    if any((kind, node) in self.count for kind in circle.outside
                           for node in nodes):
                        company.append(self._some(circle.outside, nodes))
                    self.model.add_bool_or(*company, ~self._some(circle.kinds, members))

    def _run(self, seconds: float) -> tuple[Any, Any]:
        solver = self.cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = seconds
        solver.parameters.num_workers = 1
        return solver, solver.solve(self.model)

    def fewest(self, seconds: float) -> tuple[frozenset[int] | None, int]:
        """The nodes of the best answer found (None: none), and a number that no answer beats."""
        self.model.minimize(sum(self.used))
        solver, status = self._run(seconds)
        if status not in (self.cp_model.OPTIMAL, self.cp_model.FEASIBLE):
            return None, 0
        used = frozenset(at for at, each in enumerate(self.used) if solver.value(each))
        return used, -int(-solver.best_objective_bound // 1)

    def solve(self, seconds: float) -> Found:
        """The answer of CP-SAT on one core."""
        solver, status = self._run(seconds)
        if status == self.cp_model.INFEASIBLE:
            return Found(False, engine="cp-sat")
        if status not in (self.cp_model.OPTIMAL, self.cp_model.FEASIBLE):
            return Found(None, engine="cp-sat")
        answer: Answer = {}
        for at, kind in enumerate(self.problem.kinds):
            pods = iter(kind.pods)
            for node in kind.allowed:
                for _ in range(solver.value(self.count[at, node])):
                    answer[next(pods)] = self.problem.nodes[node].name
        return Found(True, answer, engine="cp-sat")


def cp_sat(problem: Problem, seconds: float = 10.0) -> Found:
    """The same question to CP-SAT."""
    return Counted(problem).solve(seconds)


def accepted(problem: Problem, found: Found) -> Found:
    """The answer if the rules accept it; unknown when they do not."""
    if found.fits and found.answer is not None and recheck(problem, found.answer):
        return found._replace(fits=None, answer=None)
    return found
