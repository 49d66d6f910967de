"""Why pods do not fit, minimised over groups: which rule of which pods, the room of which nodes.

A group is a class of pods with one kind of constraint (what it requests, which nodes it tolerates
or chooses, whom it keeps away or wants near, how it is spread), or the room of a class of nodes.
A group is lifted by taking the constraint out of the pods, or by giving the nodes room without
end; the rest is built and decided anew, so that the checker judges every placement by what is
left. A reason is `minimal` when lifting any one of its groups leaves a checked placement.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import Any, NamedTuple

from model.api.objects import Affinity, Toleration
from properties.scheduler import rules
from properties.scheduler.facts import NANO, NodeFacts, PodFacts
from properties.scheduler.problem import Problem, build, hard_spread
from properties.scheduler.verdict import Verdict, decide

ENDLESS = 10 ** 15 * NANO
HOSTNAME = "kubernetes.io/hostname"
REQUESTS, TAINTS, CHOICE, PORTS, APART, NEAR, SPREAD, ROOM = (
    "requests", "taints that it does not tolerate", "node selector or affinity", "host ports",
    "anti-affinity", "affinity", "topology spread", "room")


class Group(NamedTuple):
    """Pods (indexes of kinds) or nodes (indexes) and the constraint of theirs that is meant."""

    what: str
    members: tuple[int, ...]
    name: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


class Reason(NamedTuple):
    """The groups that together leave no placement. `text` is the first engine's sentence."""

    text: str
    groups: tuple[Group, ...]
    minimal: bool


def explain(problem: Problem, verdict: Verdict, seconds: float = 5.0) -> Reason:
    """The reason of a verdict that pods do not fit, with as few groups as found in the time."""
    until = monotonic() + seconds
    kept = groups_of(problem, verdict.kinds)
    best = decide(lifted(problem, verdict.kinds, kept), seconds / 4)
    if best.fits is not False:
        return Reason(verdict.reason, tuple(kept), False)
    needed: set[Group] = set()
    while len(needed) < len(kept):
        group = next(each for each in kept if each not in needed)
        rest = [each for each in kept if each != group]
        left = until - monotonic()
        trial = decide(lifted(problem, verdict.kinds, rest), left / 2) if left > 0 \
            else Verdict(None)
        if trial.fits is None:
            return Reason(verdict.reason, tuple(kept), False)
        if trial.fits:
            needed.add(group)
        else:
            kept = rest
            # Fewer rules only ever help, unless they decide which domains a spread counts.
            needed = needed if problem.exact else set()
    return Reason(verdict.reason, tuple(kept), True)


def groups_of(problem: Problem, kinds: Iterable[int]) -> list[Group]:
    """Every group that may take part in a reason about some kinds of pods."""
    found = []
    for at in kinds:
        kind = problem.kinds[at]
        spec, affinity = kind.facts.spec, kind.facts.spec.affinity
        repelled = any(rules.taints(kind.facts, node) is not None for node in problem.nodes)
        chosen = any(rules.node_choice(kind.facts, node) is not None for node in problem.nodes)
        for what, there in (
                (REQUESTS, set(kind.facts.asks) != {"pods"}), (TAINTS, repelled),
                (CHOICE, chosen), (PORTS, bool(rules.ports_of(kind.facts))),
                (APART, affinity is not None and affinity.pod_anti_affinity is not None),
                (NEAR, bool(rules.affinity_terms(kind.facts))),
                (SPREAD, bool(hard_spread(kind.facts)) and spec is not None)):
            if there:
                found.append(Group(what, (at,), kind.name))
    return found + node_classes(problem)


def node_classes(problem: Problem) -> list[Group]:
    """The room of nodes that are alike but for their names."""
    classes: dict[Any, list[int]] = {}
    for at, node in enumerate(problem.nodes):
        labels = tuple(sorted((key, value) for key, value in node.labels.items()
                              if key != HOSTNAME))
        key = labels, node.taints, node.cordoned, tuple(sorted(node.has.items()))
        classes.setdefault(key, []).append(at)
    return [Group(ROOM, tuple(members), _called(problem, members)) for members in classes.values()]


def _called(problem: Problem, members: list[int]) -> str:
    first = problem.nodes[members[0]].name
    return f"node {first}" if len(members) == 1 else f"{len(members)} nodes like {first}"


def lifted(problem: Problem, kinds: Iterable[int], kept: Iterable[Group]) -> Problem:
    """The problem of some kinds of pods under the groups that are kept, built anew."""
    stays: dict[int, set[str]] = {}
    limited: set[int] = set()
    for group in kept:
        if group.what == ROOM:
            limited.update(group.members)
        else:
            stays.setdefault(group.members[0], set()).add(group.what)
    pods, owners = [], {}
    for at in kinds:
        kind = problem.kinds[at]
        facts = without_rules(kind.facts, stays.get(at, set()))
        for key in kind.pods:
            pods.append(facts._replace(key=key))
            owners[key] = kind.name
    wanted = {name for pod in pods for name in pod.asks}
    nodes = [node if at in limited else endless(node, wanted)
             for at, node in enumerate(problem.nodes)]
    tied = frozenset(key for kind in problem.kinds if kind.tied for key in kind.pods)
    return build(nodes, pods, problem.namespaces, owners, tied)


def endless(node: NodeFacts, names: Iterable[str]) -> NodeFacts:
    """The node with room for everything."""
    return node._replace(has={**node.has, **dict.fromkeys(names, ENDLESS)})


def without_rules(pod: PodFacts, stays: set[str]) -> PodFacts:
    """The pod with the constraints that stay, and no others."""
    spec, asks = pod.spec, pod.asks
    if REQUESTS not in stays:
        asks = {"pods": NANO}
    if TAINTS not in stays:
        spec = spec._replace(tolerations=(Toleration(operator="Exists"),))
    affinity = spec.affinity or Affinity()
    if CHOICE not in stays:
        spec = spec._replace(node_selector=None)
        affinity = affinity._replace(node_affinity=None)
    if APART not in stays:
        affinity = affinity._replace(pod_anti_affinity=None)
    if NEAR not in stays:
        affinity = affinity._replace(pod_affinity=None)
    if SPREAD not in stays:
        spec = spec._replace(topology_spread_constraints=None)
    if PORTS not in stays:
        spec = spec._replace(
            containers=_without_ports(spec.containers),
            init_containers=_without_ports(spec.init_containers))
    return pod._replace(spec=spec._replace(affinity=affinity), asks=asks)


def _without_ports(containers: Any) -> Any:
    return containers and tuple(each._replace(ports=None) for each in containers)
