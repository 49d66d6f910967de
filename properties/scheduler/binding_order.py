"""Whether the pods of a placement can come one after the other, each by its rules when it comes.

Affinity towards pods and spread speak of the moment at which a pod is bound: the first of its kind
may start anywhere, and a skew counts who is there already. A placement is reachable when some order
binds every pod; orders are tried from those with rules to those without, level by level. The rules
are those of `rules`, asked once for each pair of templates and kept as counters; a test holds
them equal. When no order is found the placement is refused, which may be too strict for rules
that cross each other, never too lax.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from properties.scheduler import rules
from properties.scheduler.facts import NodeFacts, PodFacts
from properties.scheduler.rules import Placement


class Skew:
    """One hard spread constraint of a template: pods counted in each domain."""

    def __init__(self, constraint: Any, pod: PodFacts, keys: list[str],
                 placement: Placement) -> None:
        self.constraint, self.pod = constraint, pod
        self.key = constraint.topology_key or ""
        self.places = {name: node.labels[self.key] for name, node in placement.nodes.items()
                       if all(each in node.labels for each in keys)
                       and rules.is_domain(constraint, pod, node)}
        self.counts = dict.fromkeys(self.places.values(), 0)
        self.own = int(rules.counts(constraint, pod, pod, itself=True))
        self.few = len(self.counts) < (constraint.min_domains or 1)

    def concerns(self, other: PodFacts) -> bool:
        """Whether pods of a template are counted."""
        return (other.namespace == self.pod.namespace
                and rules.counts(self.constraint, self.pod, other))

    def note(self, node: NodeFacts) -> None:
        """One more pod that counts is on the node."""
        place = self.places.get(node.name)
        if place is not None:
            self.counts[place] += 1

    def allows(self, node: NodeFacts) -> bool:
        """Whether one more pod of the template may come to the node."""
        place = node.labels.get(self.key)
        if place is None:
            return False
        fewest = 0 if self.few else min(self.counts.values(), default=0)
        return (self.counts.get(place, 0) + self.own - fewest
                <= (self.constraint.max_skew or 1))


class Company:
    """The required affinity of a template: where pods are that match all its terms."""

    def __init__(self, terms: tuple[Any, ...], pod: PodFacts, placement: Placement) -> None:
        self.terms, self.pod, self.placement = terms, pod, placement
        self.keys = [term.topology_key or "" for term in terms]
        self.there: dict[tuple[str, str], int] = {}
        self.own = self.concerns(pod)

    def concerns(self, other: PodFacts) -> bool:
        """Whether pods of a template are those that are wanted."""
        return all(rules.speaks_of(term, self.pod, other, self.placement) for term in self.terms)

    def note(self, node: NodeFacts) -> None:
        """One more pod that is wanted is on the node."""
        for key in self.keys:
            if key in node.labels:
                place = key, node.labels[key]
                self.there[place] = self.there.get(place, 0) + 1

    def allows(self, node: NodeFacts) -> bool:
        """Whether one more pod of the template may come to the node."""
        if any(key not in node.labels for key in self.keys):
            return False
        if not self.there and self.own:
            return True
        return all((key, node.labels[key]) in self.there for key in self.keys)


class Arrivals:
    """Pods by template as they come; `allows` says whether one more may come to a node."""

    def __init__(self, templates: list[PodFacts], placement: Placement) -> None:
        self.rules: list[list[Skew | Company]] = []
        for pod in templates:
            hard = [each for each in pod.spec.topology_spread_constraints or ()
                    if each.when_unsatisfiable != "ScheduleAnyway"]
            keys = [each.topology_key or "" for each in hard]
            own: list[Skew | Company] = [Skew(each, pod, keys, placement) for each in hard]
            terms = rules.affinity_terms(pod)
            if terms:
                own.append(Company(terms, pod, placement))
            self.rules.append(own)
        self.heard = [[rule for own in self.rules for rule in own if rule.concerns(pod)]
                      for pod in templates]

    def allows(self, template: int, node: NodeFacts) -> bool:
        """Whether affinity and spread let one more pod of the template come to the node."""
        return all(rule.allows(node) for rule in self.rules[template])

    def come(self, template: int, node: NodeFacts) -> None:
        """One more pod of the template is on the node."""
        for rule in self.heard[template]:
            rule.note(node)


def stuck(placement: Placement) -> str | None:
    """A sentence about a pod that no order tried can bind; None when all come."""
    numbers: dict[Any, int] = {}
    templates: list[PodFacts] = []
    groups: dict[tuple[int, str], list[str]] = {}
    for key, name in placement.where.items():
        pod = placement.pods[key]
        signature = pod.namespace, tuple(sorted(pod.labels.items())), pod.spec
        at = numbers.setdefault(signature, len(templates))
        if at == len(templates):
            templates.append(pod)
        groups.setdefault((at, name), []).append(key)
    if not any(rules.depends_on_others(pod) for pod in templates):
        return None
    arrivals = Arrivals(templates, placement)
    waiting = _bound_freely(arrivals, groups, placement)
    while waiting:
        left = dict(_round(arrivals, waiting, placement))
        if left == waiting and not _one_without_rules(arrivals, left, placement):
            (at, name), keys = next(iter(left.items()))
            return (f"{keys[0]} cannot come to {name}: affinity or spread of its template is "
                    f"not met in any order tried")
        waiting = {group: keys for group, keys in left.items() if keys}
    return None


Groups = dict[tuple[int, str], list[str]]
"""The pods that have not come yet, by template and node."""


def _bound_freely(arrivals: Arrivals, groups: Groups, placement: Placement) -> Groups:
    """Bind what has no rules and is counted by no spread; what is left."""
    left: Groups = {}
    for (at, name), keys in groups.items():
        free = not arrivals.rules[at] and not any(
            isinstance(rule, Skew) for rule in arrivals.heard[at])
        if free:
            arrivals.come(at, placement.nodes[name])
        else:
            left[at, name] = keys
    return left


def _round(arrivals: Arrivals, waiting: Groups,
           placement: Placement) -> Iterator[tuple[tuple[int, str], list[str]]]:
    """Bind one pod of each group that may come; what is left of each."""
    for (at, name), keys in waiting.items():
        node = placement.nodes[name]
        if arrivals.rules[at] and arrivals.allows(at, node):
            arrivals.come(at, node)
            keys = keys[1:]
        yield (at, name), keys


def _one_without_rules(arrivals: Arrivals, left: Groups, placement: Placement) -> bool:
    """Bind one pod that has no rules of its own, if there is one left."""
    for (at, name), keys in left.items():
        if keys and not arrivals.rules[at]:
            arrivals.come(at, placement.nodes[name])
            left[at, name] = keys[1:]
            return True
    return False
