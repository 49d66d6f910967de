"""A decision of the scheduler put to Z3: may the pod be on that node, and is there really none.

The node is the unknown; what nodes and pods are is told as tables, and each rule is a formula over
them, written from the documents and apart from `rules` (labels and taints are numbers here). A
sample of the decisions of histories goes through it, and every decision of a trace that fails.
Sources as in `rules`. Volumes and pods that wait for room elsewhere are not modelled: such
decisions are not asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from model.kernel.action import Action
from model.kernel.system import System
from model.kernel.world import World
from properties.scheduler.decisions import Sight, decided
from properties.scheduler.facts import NodeFacts, PodFacts
from properties.scheduler.rules import (
    NOT_SCHEDULABLE,
    Placement,
    affinity_terms,
    anti_affinity_terms,
    ports_of,
)


class Question:
    """Where one pod may go in a placement, as formulas over the unknown node."""

    def __init__(self, pod: PodFacts, placement: Placement,
                 terminating: frozenset[str] = frozenset()) -> None:
        import z3

        self.z3, self.pod, self.placement = z3, pod, placement
        self.terminating = terminating
        self.names = list(placement.nodes)
        self.nodes = list(placement.nodes.values())
        self.others = [(placement.pods[key], self.names.index(name))
                       for key, name in placement.where.items()
                       if key != pod.key and name in placement.nodes]
        self.codes: dict[str, int] = {}
        self.at = z3.Int("node")
        self.solver = z3.Solver()
        self.solver.add(self.at >= 0, self.at < len(self.nodes))
        for rule in () if not self.nodes else (
                self._taints, self._choice, self._room, self._ports, self._keep_away,
                self._company, self._spread):
            self.solver.add(*rule())

    def allows(self, name: str) -> bool:
        """Whether the pod may be on a node."""
        return bool(self.solver.check(self.at == self.names.index(name)) == self.z3.sat)

    def somewhere(self) -> str | None:
        """A node that the pod may be on, if there is one."""
        if self.solver.check() != self.z3.sat:
            return None
        return self.names[int(self.solver.model()[self.at].as_long())]

    # -- tables -----------------------------------------------------------------------------------

    def _code(self, text: str) -> Any:
        return self.z3.IntVal(self.codes.setdefault(text, len(self.codes) + 1))

    def _value(self, labels: Mapping[str, str], key: str) -> Any:
        """A label as a number, 0 when it is missing."""
        return self._code(labels[key]) if key in labels else self.z3.IntVal(0)

    def _of_node(self, values: list[Any]) -> Any:
        """The entry of the unknown node in a table."""
        found = values[-1]
        for number in range(len(values) - 2, -1, -1):
            found = self.z3.If(self.at == number, values[number], found)
        return found

    def _label(self, key: str) -> Any:
        return self._of_node([self._value(node.labels, key) for node in self.nodes])

    # -- selectors --------------------------------------------------------------------------------

    def _requirement(self, each: Any, value: Any, number: Any = None) -> Any:
        z3 = self.z3
        among = z3.Or([value == self._code(text) for text in each.values or ()])
        if each.operator == "In":
            return z3.And(value != 0, among)
        if each.operator == "NotIn":
            return z3.Not(among)
        if each.operator in ("Exists", "DoesNotExist"):
            return (value != 0) == z3.BoolVal(each.operator == "Exists")
        bound = (each.values or ("",))[0]
        if number is None or len(each.values or ()) != 1 or not bound.lstrip("-").isdigit():
            return z3.BoolVal(False)
        is_number, amount = number
        limit = z3.IntVal(int(bound))
        return z3.And(is_number, amount > limit if each.operator == "Gt" else amount < limit)

    def _selected(self, selector: Any, labels: Mapping[str, str]) -> Any:
        z3 = self.z3
        if selector is None:
            return z3.BoolVal(False)
        return z3.And([self._value(labels, key) == self._code(value)
                       for key, value in selector.match_labels or ()]
                      + [self._requirement(each, self._value(labels, each.key))
                         for each in selector.match_expressions or ()])

    def _spoken_of(self, term: Any, owner: PodFacts, other: PodFacts) -> Any:
        """Whether an affinity term of a pod is about another."""
        z3 = self.z3
        named = term.namespaces or (() if term.namespace_selector is not None
                                    else (owner.namespace,))
        inside = z3.Or([self._code(other.namespace) == self._code(name) for name in named])
        if term.namespace_selector is not None:
            labels = self.placement.namespaces.get(other.namespace)
            empty = not (term.namespace_selector.match_labels
                         or term.namespace_selector.match_expressions)
            chosen = z3.BoolVal(empty) if empty or labels is None else self._selected(
                term.namespace_selector, labels)
            inside = z3.Or(inside, chosen)
        return z3.And(inside, self._selected(term.label_selector, other.labels),
                      *self._same(term.match_label_keys, owner, other, True),
                      *self._same(term.mismatch_label_keys, owner, other, False))

    def _same(self, keys: Any, owner: PodFacts, other: PodFacts, wanted: bool) -> list[Any]:
        return [(self._value(owner.labels, key) == self._value(other.labels, key))
                == self.z3.BoolVal(wanted) for key in keys or () if key in owner.labels]

    # -- rules ------------------------------------------------------------------------------------

    def _repelled(self, node: NodeFacts, effects: tuple[str, ...]) -> Any:
        """Whether a taint of the node with one of the effects is not tolerated."""
        z3 = self.z3
        taints = [*node.taints, *((NOT_SCHEDULABLE,) if node.cordoned else ())]
        return z3.Or([z3.Not(z3.Or([self._covers(each, taint)
                                    for each in self.pod.spec.tolerations or ()]))
                      for taint in taints if taint[2] in effects])

    def _covers(self, each: Any, taint: tuple[str, str, str]) -> Any:
        z3 = self.z3
        key, value, effect = map(self._code, taint)
        parts = []
        if each.effect:
            parts.append(self._code(each.effect) == effect)
        if each.key:
            parts.append(self._code(each.key) == key)
        if each.operator != "Exists":
            parts.append(self._code(each.value or "") == value)
        return z3.And(parts)

    def _taints(self) -> Iterable[Any]:
        for number, node in enumerate(self.nodes):
            yield self.z3.Implies(self.at == number,
                                  self.z3.Not(self._repelled(node, ("NoSchedule", "NoExecute"))))

    def _admitted(self, node: NodeFacts) -> Any:
        """nodeSelector and required node affinity of one node."""
        z3, spec = self.z3, self.pod.spec
        found = [self._value(node.labels, key) == self._code(value)
                 for key, value in spec.node_selector or ()]
        wanted = spec.affinity.node_affinity if spec.affinity is not None else None
        required = wanted.required_during_scheduling_ignored_during_execution \
            if wanted is not None else None
        if required is not None:
            found.append(z3.Or([self._term(term, node)
                                for term in required.node_selector_terms or ()]))
        return z3.And(found)

    def _term(self, term: Any, node: NodeFacts) -> Any:
        expressions, fields = term.match_expressions or (), term.match_fields or ()
        if not expressions and not fields:
            return self.z3.BoolVal(False)
        parts = [self._requirement(each, self._code(node.name)) for each in fields]
        for each in expressions:
            text = node.labels.get(each.key, "")
            number = text.lstrip("-").isdigit()
            parts.append(self._requirement(
                each, self._value(node.labels, each.key),
                (self.z3.BoolVal(number), self.z3.IntVal(int(text) if number else 0))))
        return self.z3.And(parts)

    def _choice(self) -> Iterable[Any]:
        for number, node in enumerate(self.nodes):
            yield self.z3.Implies(self.at == number, self._admitted(node))

    def _room(self) -> Iterable[Any]:
        z3 = self.z3
        for name, amount in self.pod.asks.items():
            used = self._of_node([z3.Sum([z3.IntVal(other.asks.get(name, 0))
                                          for other, there in self.others if there == number]
                                         + [z3.IntVal(0)]) for number in range(len(self.nodes))])
            has = self._of_node([z3.IntVal(node.has.get(name, 0)) for node in self.nodes])
            yield z3.Or(z3.IntVal(amount) == 0, used + amount <= has)

    def _ports(self) -> Iterable[Any]:
        z3 = self.z3
        for other, there in self.others:
            for protocol, number, address in ports_of(self.pod):
                for held_protocol, held_number, held_address in ports_of(other):
                    every = self._code("0.0.0.0")
                    mine, theirs = self._code(address), self._code(held_address)
                    clash = z3.And(self._code(protocol) == self._code(held_protocol),
                                   z3.IntVal(number) == held_number,
                                   z3.Or(mine == theirs, mine == every, theirs == every))
                    yield z3.Not(z3.And(self.at == there, clash))

    def _together(self, key: str, there: int) -> Any:
        """Whether the unknown node is in the domain of another node."""
        place = self._value(self.nodes[there].labels, key)
        return self.z3.And(place != 0, self._label(key) == place)

    def _keep_away(self) -> Iterable[Any]:
        z3 = self.z3
        for other, there in self.others:
            for owner, peer in ((self.pod, other), (other, self.pod)):
                for term in anti_affinity_terms(owner):
                    yield z3.Not(z3.And(self._spoken_of(term, owner, peer),
                                        self._together(term.topology_key or "", there)))

    def _company(self) -> Iterable[Any]:
        z3, terms = self.z3, affinity_terms(self.pod)
        if not terms:
            return
        wanted = [(z3.And([self._spoken_of(term, self.pod, other) for term in terms]), there)
                  for other, there in self.others]
        keys = [term.topology_key or "" for term in terms]
        yield from (self._label(key) != 0 for key in keys)
        anywhere = z3.Or([z3.And(matches, z3.Or([self._value(self.nodes[there].labels, key) != 0
                                                 for key in keys])) for matches, there in wanted])
        itself = z3.And([self._spoken_of(term, self.pod, self.pod) for term in terms])
        near = z3.And([z3.Or([z3.And(matches, self._together(key, there))
                              for matches, there in wanted]) for key in keys])
        yield z3.Or(z3.And(z3.Not(anywhere), itself), near)

    def _spread(self) -> Iterable[Any]:
        hard = [each for each in self.pod.spec.topology_spread_constraints or ()
                if each.when_unsatisfiable != "ScheduleAnyway"]
        for each in hard:
            yield from self._skew(each, [one.topology_key or "" for one in hard])

    def _skew(self, each: Any, keys: list[str]) -> Iterable[Any]:
        """Pods of the domain of the unknown node, itself included, against every other domain."""
        z3, key = self.z3, each.topology_key or ""
        counts = [z3.And([self._value(node.labels, name) != 0 for name in keys]
                         + ([self._admitted(node)] if each.node_affinity_policy != "Ignore" else [])
                         + ([z3.Not(self._repelled(node._replace(cordoned=False),
                                                   ("NoSchedule", "NoExecute")))]
                            if each.node_taints_policy == "Honor" else []))
                  for node in self.nodes]
        selector = each.label_selector
        nothing = selector is None or not (selector.match_labels or selector.match_expressions
                                           or each.match_label_keys)
        chosen = [(z3.And(self._selected(selector, other.labels),
                          *self._same(each.match_label_keys, self.pod, other, True), counts[there]),
                   there) for other, there in self.others
                  if not nothing and other.namespace == self.pod.namespace
                  and other.key not in self.terminating]
        places = sorted({node.labels[key] for node in self.nodes if key in node.labels})
        pods = {place: z3.Sum([z3.If(matches, 1, 0) for matches, there in chosen
                               if self.nodes[there].labels.get(key) == place] + [z3.IntVal(0)])
                for place in places}
        there_is = {place: z3.Or([counts[number] for number, node in enumerate(self.nodes)
                                  if node.labels.get(key) == place]) for place in places}
        own = z3.If(z3.And(self._selected(selector, self.pod.labels)), 1, 0)
        mine = z3.Sum([z3.If(self._label(key) == self._code(place), pods[place], 0)
                       for place in places] + [own])
        few = z3.Sum([z3.If(there_is[place], 1, 0) for place in places]
                     + [z3.IntVal(0)]) < (each.min_domains or 1)
        most = each.max_skew or 1
        yield self._label(key) != 0
        yield z3.Implies(few, mine <= most)
        yield from (z3.Implies(z3.And(z3.Not(few), there_is[place]), mine - pods[place] <= most)
                    for place in places)


class Recheck(NamedTuple):
    """How many decisions Z3 was asked about, and what it found wrong."""

    asked: int
    wrong: tuple[str, ...]


def wrong_with(decision: Any, sight: Sight) -> str | None:
    """What Z3 finds wrong with a decision."""
    question = Question(sight.pod, sight.contest.placement, sight.contest.terminating)
    for name in decision.best:
        if not question.allows(name):
            return f"{sight.pod.key} may not be on {name}"
    node = None if decision.best or any(sight.contest.nominated.values()) else question.somewhere()
    return None if node is None else f"{sight.pod.key} is refused, but may be on {node}"


def recheck(system: System, start: World, actions: Iterable[Action], one_in: int = 1) -> Recheck:
    """Put the decisions of a history to Z3, or one of so many of them."""
    asked = seen = 0
    wrong = []
    world = start
    for action in actions:
        after = system.apply(world, action)
        if after is None:
            break
        found = decided(world, after)
        world = after
        if found is None:
            continue
        seen += 1
        if seen % one_in == 0:
            asked += 1
            text = wrong_with(*found)
            if text is not None:
                wrong.append(text)
    return Recheck(asked, tuple(wrong))
