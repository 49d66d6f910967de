"""A placement found quickly, if an easy one exists: the witness that pods fit.

Pods with the fewest nodes first, then the big ones; each goes where least is left over. The result
is no promise until it is rechecked, and no verdict when it fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from properties.scheduler.problem import Answer, Company, Problem, Spreading


class Filler:
    """Nodes being filled: room left, and how many pods of each kind each domain holds.

    What affinity and spread count is kept by domain, one table for all rules that count alike.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.left = [list(row) for row in problem.room]
        self.answer: Answer = {}
        self.held: dict[tuple[str, Any], list[int]] = {}
        self._barred: list[list[tuple[str, int]]] = [[] for _ in problem.kinds]
        for left, right, key, _ in problem.exclusions:
            self._barred[left].append((key, right))
            self._barred[right].append((key, left))
        keys = {key for barred in self._barred for key, _ in barred}
        self._keys = tuple(sorted(keys))
        sizes = [max((row[column] for row in problem.room), default=0)
                 for column in range(len(problem.resources))]
        self._parts = [tuple((column, ask, 1 / sizes[column] if sizes[column] else 0.0)
                             for column, ask in enumerate(kind.asks) if ask)
                       for kind in problem.kinds]
        self._tables: dict[Any, dict[str | None, int]] = {}
        self._heard: list[list[tuple[dict[str | None, int], tuple[str | None, ...]]]] = [
            [] for _ in problem.kinds]
        self._skews: list[list[tuple[Spreading, dict[str | None, int]]]] = [
            [] for _ in problem.kinds]
        self._wants: list[list[tuple[Company, list[dict[str | None, int]]]]] = [
            [] for _ in problem.kinds]
        for spreading in problem.spreadings:
            table = self._table(spreading.places, spreading.counted)
            self._skews[spreading.kind].append((spreading, table))
        for company in problem.companies:
            tables = [self._table(problem.domains[key], company.wanted) for key in company.keys]
            self._wants[company.kind].append((company, tables))

    def _table(self, places: tuple[str | None, ...],
               kinds: tuple[int, ...]) -> dict[str | None, int]:
        """How many pods of some kinds are in each domain, kept up to date by `put`."""
        table = self._tables.get((places, kinds))
        if table is None:
            table = {place: 0 for place in places if place is not None}
            self._tables[places, kinds] = table
            for kind in kinds:
                self._heard[kind].append((table, places))
        return table

    def fair(self, kind: int, nodes: Iterable[int]) -> list[int]:
        """The nodes to which affinity and spread let one more pod of a kind come now."""
        found = list(nodes)
        for spreading, table in self._skews[kind]:
            few = len(table) < spreading.min_domains
            most = spreading.max_skew - spreading.own + (0 if few else min(table.values(),
                                                                           default=0))
            found = [node for node in found if table.get(spreading.places[node], 0) <= most]
        for company, tables in self._wants[kind]:
            if company.own and not any(any(table.values()) for table in tables):
                continue
            for key, table in zip(company.keys, tables, strict=True):
                places = self.problem.domains[key]
                found = [node for node in found if table.get(places[node], 0)]
        return found

    def has_rules(self, kind: int) -> bool:
        """Whether affinity or spread limit a kind."""
        return bool(self._skews[kind] or self._wants[kind])

    def fits(self, kind: int, node: int) -> bool:
        """Whether a pod of a kind may come to a node now; affinity and spread not counted."""
        row = self.left[node]
        for column, ask, _ in self._parts[kind]:
            if ask > row[column]:
                return False
        return not self._barred[kind] or self._welcome(kind, node)

    def _welcome(self, kind: int, node: int) -> bool:
        """Whether no pod in a domain of the node excludes the kind."""
        for key, other in self._barred[kind]:
            place = self.problem.domains[key][node]
            if place is not None:
                held = self.held.get((key, place))
                if held is not None and held[other]:
                    return False
        return True

    def put(self, kind: int, pod: str, node: int, sign: int = 1) -> None:
        """Place a pod, or take it away again with `sign` -1."""
        row = self.left[node]
        for column, ask in enumerate(self.problem.kinds[kind].asks):
            row[column] -= sign * ask
        for key in self._keys:
            place = self.problem.domains[key][node]
            if place is not None:
                held = self.held.get((key, place))
                if held is None:
                    held = self.held[key, place] = [0] * len(self.problem.kinds)
                held[kind] += sign
        for table, places in self._heard[kind]:
            place = places[node]
            if place is not None:
                table[place] += sign
        if sign > 0:
            self.answer[pod] = self.problem.nodes[node].name
        else:
            del self.answer[pod]

    def best(self, kind: int, nodes: Iterable[int]) -> int:
        """The fitting node on which least is left over; -1 for none."""
        chosen, least = -1, 0.0
        left, parts, barred = self.left, self._parts[kind], self._barred[kind]
        for node in nodes:
            row = left[node]
            rest = 0.0
            for column, ask, factor in parts:
                spare = row[column] - ask
                if spare < 0:
                    break
                rest += spare * factor
            else:
                if (chosen < 0 or rest < least) and not (barred and not self._welcome(kind, node)):
                    chosen, least = node, rest
        return chosen


def order_of(problem: Problem) -> list[int]:
    """Kinds with few nodes and many rules first, then by size."""
    biggest = [max((row[column] for row in problem.room), default=1) or 1
               for column in range(len(problem.resources))]

    barred = Counter(at for each in problem.exclusions for at in (each.left, each.right))
    barred.update(each.kind for each in problem.spreadings)
    follows = following(problem)

    def hardness(at: int) -> tuple[int, int, int, float]:
        kind = problem.kinds[at]
        size = max((ask / most for ask, most in zip(kind.asks, biggest, strict=True)),
                   default=0.0)
        return follows[at], len(kind.allowed), -barred[at], -size

    return sorted(range(len(problem.kinds)), key=hardness)


def following(problem: Problem) -> list[int]:
    """By kind, after how many others it comes because it wants them in its domain."""
    depth = [0] * len(problem.kinds)
    for _ in range(min(len(problem.companies), 4)):
        for company in problem.companies:
            before = [depth[at] for at in company.wanted if at != company.kind]
            if before and not company.own:
                depth[company.kind] = min(1 + max(before), 4)
    return depth


def solve(problem: Problem, orders: Sequence[str] = ("hard", "big")) -> Answer | None:
    """A placement of all pods, or None when none of the orders finds one."""
    by_hardness = order_of(problem)
    for order in orders:
        answer = _fill(problem, by_hardness if order == "hard" else _by_size(problem))
        if answer is not None:
            return answer
    return None


def _by_size(problem: Problem) -> list[int]:
    """Kinds by the largest share of all room that one pod takes."""
    totals = [sum(row[column] for row in problem.room) or 1
              for column in range(len(problem.resources))]
    shares = [max((ask / total for ask, total in zip(kind.asks, totals, strict=True)), default=0.0)
              for kind in problem.kinds]
    follows = following(problem)
    return sorted(range(len(shares)), key=lambda at: (follows[at], -shares[at]))


def _fill(problem: Problem, order: list[int]) -> Answer | None:
    filler = Filler(problem)
    for kind in order:
        found = problem.kinds[kind]
        ruled = filler.has_rules(kind)
        for pod in found.pods:
            node = filler.best(kind, filler.fair(kind, found.allowed) if ruled else found.allowed)
            if node < 0:
                return None
            filler.put(kind, pod, node)
    return filler.answer
