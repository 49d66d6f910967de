"""Placement as a problem: which pods onto which nodes, under which rules.

Pods that are alike form a class; so verdicts speak of "30 pods of web" and solvers see numbers, not
names. Rules are read by `properties.scheduler.rules`, once for each class and node. Amounts are
integers: processor in thousandths, all else in units, needs rounded up and room rounded down.

Required affinity and spread are kept as they are and judged by the final checker; what the
solver cannot encode exactly it says (`exact`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from properties.scheduler import rules
from properties.scheduler.facts import NANO, NodeFacts, PodFacts
from properties.scheduler.rules import Placement

NODE = ""
"""The topology key that stands for the node itself."""


class Kind(NamedTuple):
    """A class of pods that are alike. `allowed` are the indexes of the nodes that may take one."""

    name: str
    pods: tuple[str, ...]
    facts: PodFacts
    asks: tuple[int, ...]
    allowed: tuple[int, ...]
    priority: int


class Exclusion(NamedTuple):
    """No domain of `key` may hold both a pod of kind `left` and another of kind `right`."""

    left: int
    right: int
    key: str
    why: str


class Problem(NamedTuple):
    """The nodes, the kinds of pods, the resources that count, who excludes whom.

    `exact`: nothing but room, allowed nodes and exclusions matters. `domains` is by topology key
    the domain of each node (None: it has no such label).
    """

    nodes: tuple[NodeFacts, ...]
    kinds: tuple[Kind, ...]
    resources: tuple[str, ...]
    room: tuple[tuple[int, ...], ...]
    exclusions: tuple[Exclusion, ...]
    domains: Mapping[str, tuple[str | None, ...]]
    namespaces: Mapping[str, Mapping[str, str]]
    exact: bool

    @property
    def pod_count(self) -> int:
        """How many pods are to be placed."""
        return sum(len(kind.pods) for kind in self.kinds)


Answer = dict[str, str]
"""Pod key -> node name."""


def _unit(name: str) -> int:
    return NANO // 1000 if name == "cpu" else NANO


def amount_text(name: str, amount: int) -> str:
    """An amount of a resource for people: 52.0 CPU, 3.5 GiB memory."""
    if name == "cpu":
        return f"{amount / 1000:.1f} CPU"
    if name in ("memory", "ephemeral-storage"):
        return f"{amount / 2 ** 30:.1f} GiB {name}"
    return f"{amount} {name}"


def signature(pod: PodFacts) -> tuple[Any, ...]:
    """What makes two pods alike."""
    return pod.namespace, tuple(sorted(pod.labels.items())), pod.spec


def build(nodes: Iterable[NodeFacts], pods: Iterable[PodFacts],
          namespaces: Mapping[str, Mapping[str, str]] | None = None,
          owners: Mapping[str, str] | None = None) -> Problem:
    """The problem of placing `pods` on `nodes`. `owners` names the workload of a pod."""
    places = tuple(nodes)
    groups: dict[tuple[Any, ...], list[PodFacts]] = {}
    for pod in pods:
        groups.setdefault(signature(pod), []).append(pod)
    wanted = {name for group in groups.values() for name in group[0].asks}
    resources = tuple(sorted(wanted))
    room = tuple(tuple(node.has.get(name, 0) // _unit(name) for name in resources)
                 for node in places)
    kinds = []
    for group in groups.values():
        first = group[0]
        asks = tuple(-(-first.asks.get(name, 0) // _unit(name)) for name in resources)
        allowed = tuple(at for at, node in enumerate(places)
                        if rules.taints(first, node) is None
                        and rules.node_choice(first, node) is None
                        and all(ask <= have for ask, have in zip(asks, room[at], strict=True)))
        keys = tuple(pod.key for pod in group)
        name = (owners or {}).get(keys[0], keys[0])
        kinds.append(Kind(name, keys, first, asks, allowed, first.spec.priority or 0))
    spaces = namespaces or {}
    exclusions = tuple(_exclusions(kinds, spaces))
    keys_used = {each.key for each in exclusions if each.key} | {
        key for kind in kinds for key in _topology_keys(kind.facts)}
    domains = {key: tuple(node.labels.get(key) for node in places) for key in sorted(keys_used)}
    domains[NODE] = tuple(node.name for node in places)
    exact = not any(rules.depends_on_others(kind.facts) for kind in kinds)
    return Problem(places, tuple(kinds), resources, room, exclusions, domains, spaces, exact)


def _topology_keys(pod: PodFacts) -> list[str]:
    keys = [each.topology_key or "" for each in pod.spec.topology_spread_constraints or ()]
    return keys + [term.topology_key or "" for term in rules.affinity_terms(pod)]


def _exclusions(kinds: list[Kind], namespaces: Mapping[str, Mapping[str, str]]
                ) -> Iterable[Exclusion]:
    placement = Placement({}, {}, {}, namespaces)
    for left, kind in enumerate(kinds):
        for term in rules.anti_affinity_terms(kind.facts):
            for right, other in enumerate(kinds):
                if rules.speaks_of(term, kind.facts, other.facts, placement):
                    yield Exclusion(left, right, term.topology_key or "",
                                    f"anti-affinity over {term.topology_key}")
    ported = [at for at, kind in enumerate(kinds) if rules.ports_of(kind.facts)]
    for at, left in enumerate(ported):
        for right in ported[at:]:
            pair = (kinds[left].facts, kinds[right].facts._replace(key="(another)"))
            if rules.host_ports(pair, NodeFacts("", {}, (), False, {})) is not None:
                yield Exclusion(left, right, NODE, "host ports")


def placement_of(problem: Problem, answer: Answer) -> Placement:
    """An answer as the independent rules read it."""
    pods = {key: kind.facts._replace(key=key) for kind in problem.kinds for key in kind.pods
            if key in answer}
    return Placement({node.name: node for node in problem.nodes}, pods, answer,
                     problem.namespaces)


def recheck(problem: Problem, answer: Answer) -> list[str]:
    """What is wrong with an answer, by the rules restated from the documents; [] when nothing."""
    missing = [key for kind in problem.kinds for key in kind.pods if key not in answer]
    if missing:
        return [f"{missing[0]} is not placed"]
    return rules.check(placement_of(problem, answer))


def without(problem: Problem, lost: frozenset[int]) -> Problem:
    """The problem on the nodes that are left, by index."""
    keep = [at for at in range(len(problem.nodes)) if at not in lost]
    new = {old: at for at, old in enumerate(keep)}
    return problem._replace(
        nodes=tuple(problem.nodes[at] for at in keep),
        room=tuple(problem.room[at] for at in keep),
        kinds=tuple(kind._replace(allowed=tuple(new[at] for at in kind.allowed if at in new))
                    for kind in problem.kinds),
        domains={key: tuple(values[at] for at in keep)
                 for key, values in problem.domains.items()})
