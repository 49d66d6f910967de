"""Placement as a problem: which pods onto which nodes, under which rules.

Pods that are alike form a class; so verdicts speak of "30 pods of web" and solvers see numbers, not
names. Rules are read by `properties.scheduler.rules`, once for each class and node. Amounts are
integers: processor in thousandths, all else in units, needs rounded up and room rounded down.

Required affinity and hard spread become numbers too: which kinds count, in which domains. A
placement that is found is judged by `rules` and `binding_order`, which know nothing of this form.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

from properties.scheduler import binding_order, rules
from properties.scheduler.facts import NANO, NodeFacts, PodFacts
from properties.scheduler.rules import Placement

NODE = ""
"""The topology key that stands for the node itself."""


class Kind(NamedTuple):
    """A class of pods that are alike. `allowed` are the indexes of the nodes that may take one.

    `tied`: they belong to their node, as those of a DaemonSet, and go with it.
    """

    name: str
    pods: tuple[str, ...]
    facts: PodFacts
    asks: tuple[int, ...]
    allowed: tuple[int, ...]
    priority: int
    tied: bool = False


class Exclusion(NamedTuple):
    """No domain of `key` may hold both a pod of kind `left` and another of kind `right`."""

    left: int
    right: int
    key: str
    why: str


class Spreading(NamedTuple):
    """A hard spread constraint of pods of a kind.

    `places` is the domain of each node that counts (None: it does not), `counted` are the kinds
    that it counts; `own`: its own pods count for themselves. With fewer than `min_domains`
    domains the fewest pods of a domain are taken to be none.
    """

    kind: int
    key: str
    places: tuple[str | None, ...]
    counted: tuple[int, ...]
    max_skew: int
    min_domains: int
    own: bool


class Company(NamedTuple):
    """The required affinity of a kind: in its domain of each key one of `wanted` is there.

    `own`: its own kind is one of them, so that its first pod may start anywhere.
    """

    kind: int
    keys: tuple[str, ...]
    wanted: tuple[int, ...]
    own: bool


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
    spreadings: tuple[Spreading, ...] = ()
    companies: tuple[Company, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether it does not matter who is there already, beyond room and exclusion."""
        return not (self.spreadings or self.companies)

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
          owners: Mapping[str, str] | None = None,
          tied: Container[str] = frozenset()) -> Problem:
    """The problem of placing `pods` on `nodes`.

    `owners` names the workload of a pod; `tied` are the pods that go with their node.
    """
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
                        and all(key in node.labels for key in topology_keys(first))
                        and all(ask <= have for ask, have in zip(asks, room[at], strict=True)))
        keys = tuple(pod.key for pod in group)
        name = (owners or {}).get(keys[0], keys[0])
        kinds.append(Kind(name, keys, first, asks, allowed, first.spec.priority or 0,
                          keys[0] in tied))
    spaces = namespaces or {}
    exclusions = tuple(_exclusions(kinds, spaces))
    keys_used = {each.key for each in exclusions if each.key} | {
        key for kind in kinds for key in topology_keys(kind.facts)}
    domains = {key: tuple(node.labels.get(key) for node in places) for key in sorted(keys_used)}
    domains[NODE] = tuple(node.name for node in places)
    structured = [(at, kind) for at, kind in enumerate(kinds)
                  if rules.depends_on_others(kind.facts)]
    spreadings = tuple(each for at, kind in structured
                       for each in _spreadings(at, kind.facts, kinds, places))
    companies = tuple(_company(at, kind.facts, kinds, spaces) for at, kind in structured
                      if rules.affinity_terms(kind.facts))
    return Problem(places, tuple(kinds), resources, room, exclusions, domains, spaces, spreadings,
                   companies)


def hard_spread(pod: PodFacts) -> list[Any]:
    """The spread constraints that forbid."""
    return [each for each in pod.spec.topology_spread_constraints or ()
            if each.when_unsatisfiable != "ScheduleAnyway"]


def topology_keys(pod: PodFacts) -> list[str]:
    """The labels that a node must have because affinity or hard spread go by them."""
    keys = [each.topology_key or "" for each in hard_spread(pod)]
    return keys + [term.topology_key or "" for term in rules.affinity_terms(pod)]


def _spreadings(at: int, pod: PodFacts, kinds: list[Kind],
                places: tuple[NodeFacts, ...]) -> Iterable[Spreading]:
    constraints = hard_spread(pod)
    keys = [each.topology_key or "" for each in constraints]
    for each in constraints:
        key = each.topology_key or ""
        domains = tuple(
            node.labels[key] if all(name in node.labels for name in keys)
            and rules.is_domain(each, pod, node) else None for node in places)
        counted = tuple(other for other, kind in enumerate(kinds)
                        if kind.facts.namespace == pod.namespace
                        and rules.counts(each, pod, kind.facts))
        yield Spreading(at, key, domains, counted, each.max_skew or 1, each.min_domains or 1,
                        rules.counts(each, pod, pod, itself=True))


def _company(at: int, pod: PodFacts, kinds: list[Kind],
             namespaces: Mapping[str, Mapping[str, str]]) -> Company:
    terms = rules.affinity_terms(pod)
    placement = Placement({}, {}, {}, namespaces)
    wanted = tuple(other for other, kind in enumerate(kinds)
                   if all(rules.speaks_of(term, pod, kind.facts, placement) for term in terms))
    return Company(at, tuple(term.topology_key or "" for term in terms), wanted, at in wanted)


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
    return wrong_with(placement_of(problem, answer))


def wrong_with(placement: Placement) -> list[str]:
    """What is wrong with a placement, the order in which its pods come included."""
    found = rules.check(placement)
    if not found:
        stuck = binding_order.stuck(placement)
        found = [] if stuck is None else [stuck]
    return found


def without(problem: Problem, lost: frozenset[int]) -> Problem:
    """The problem on the nodes that are left, by index; pods tied to the others are gone."""
    left = frozenset(range(len(problem.nodes))) - lost
    gone = {at for at, kind in enumerate(problem.kinds)
            if kind.tied and not left.intersection(kind.allowed)}
    kinds = [at for at in range(len(problem.kinds)) if at not in gone]
    return on_nodes(restricted(problem, kinds) if gone else problem, sorted(left))


def on_nodes(problem: Problem, keep: list[int]) -> Problem:
    """The problem on some of the nodes."""
    new = {old: at for at, old in enumerate(keep)}
    return problem._replace(
        nodes=tuple(problem.nodes[at] for at in keep),
        room=tuple(problem.room[at] for at in keep),
        kinds=tuple(kind._replace(allowed=tuple(new[at] for at in kind.allowed if at in new))
                    for kind in problem.kinds),
        spreadings=tuple(each._replace(places=tuple(each.places[at] for at in keep))
                         for each in problem.spreadings),
        domains={key: tuple(values[at] for at in keep)
                 for key, values in problem.domains.items()})


def restricted(problem: Problem, kinds: Iterable[int]) -> Problem:
    """The problem with only some of the kinds of pods."""
    keep = sorted(set(kinds))
    new = {old: at for at, old in enumerate(keep)}

    def renumbered(found: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(new[at] for at in found if at in new)

    return problem._replace(
        kinds=tuple(problem.kinds[at] for at in keep),
        exclusions=tuple(each._replace(left=new[each.left], right=new[each.right])
                         for each in problem.exclusions
                         if each.left in new and each.right in new),
        spreadings=tuple(each._replace(kind=new[each.kind], counted=renumbered(each.counted))
                         for each in problem.spreadings if each.kind in new),
        companies=tuple(each._replace(kind=new[each.kind], wanted=renumbered(each.wanted))
                        for each in problem.companies if each.kind in new))
