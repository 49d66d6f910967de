"""How good a node is for a pod, by the documents: the independent score.

Sources: "Scheduler Configuration" (plug-ins and weights), "Resource Bin Packing" (least allocated),
"Assigning Pods to Nodes" (preferred affinity), "Taints and Tolerations", "Pod Topology Spread
Constraints" (ScheduleAnyway, built-in defaults); the arithmetic where the documents are silent is
what recorded scores of Kubernetes 1.32 show. Written apart from the scheduler's plug-ins: plainly,
node by node and pod by pod. Scores are compared exactly, so fractions are the same double numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log
from typing import Any, NamedTuple

from model.api.objects import LabelSelector, TopologySpreadConstraint
from properties.scheduler import rules
from properties.scheduler.facts import NANO, NodeFacts, PodFacts, asks_for_scores, covers
from properties.scheduler.rules import Placement

BEST = 100
HOSTNAME = "kubernetes.io/hostname"
DEFAULT_SPREAD = (("topology.kubernetes.io/zone", 5), (HOSTNAME, 3))
MEBIBYTE = 2 ** 20


class Scene(NamedTuple):
    """What is decided upon: the placement; images and their sizes by node; pods that are being
    deleted; and what Services and the owner of the pod select together (None: nothing)."""

    placement: Placement
    images: Mapping[str, Mapping[str, int]] = {}
    terminating: frozenset[str] = frozenset()
    kin: LabelSelector | None = None


Scores = dict[str, dict[str, int]]
"""By node, the weighted score of each plug-in."""


def scores(pod: PodFacts, names: Sequence[str], scene: Scene) -> Scores:
    """The scores of the nodes that passed every filter."""
    nodes = [scene.placement.nodes[name] for name in names]
    found: Scores = {name: {} for name in names}
    for plugin, (weight, score) in PLUGINS.items():
        for name, value in zip(names, score(pod, nodes, scene), strict=True):
            found[name][plugin] = weight * value
    return found


def best(pod: PodFacts, names: Sequence[str], scene: Scene) -> frozenset[str]:
    """The nodes with the highest sum; of one node nothing is asked."""
    if len(names) < 2:
        return frozenset(names)
    totals = {name: sum(parts.values()) for name, parts in scores(pod, names, scene).items()}
    top = max(totals.values())
    return frozenset(name for name, total in totals.items() if total == top)


def _on(node: NodeFacts, scene: Scene) -> list[PodFacts]:
    return [scene.placement.pods[key] for key, name in scene.placement.where.items()
            if name == node.name]


def _millis(nano: int) -> int:
    return -(-nano // 10 ** 6)


def _units(nano: int) -> int:
    return -(-nano // NANO)


def least_allocated(pod: PodFacts, nodes: Sequence[NodeFacts], scene: Scene) -> list[int]:
    """The share of processor and memory that stays free, in per cent, their mean."""
    found = []
    for node in nodes:
        parts = []
        for resource, unit in (("cpu", _millis), ("memory", _units)):
            room = unit(node.has.get(resource, 0))
            taken = sum(unit(asks_for_scores(each.spec).get(resource, 0))
                        for each in [*_on(node, scene), pod])
            if room:
                parts.append((room - taken) * BEST // room if taken <= room else 0)
        found.append(sum(parts) // len(parts) if parts else 0)
    return found


def balanced(pod: PodFacts, nodes: Sequence[NodeFacts], scene: Scene) -> list[int]:
    """One minus the standard deviation of the shares of processor and memory that are used."""
    found = []
    for node in nodes:
        shares = []
        for resource, unit in (("cpu", _millis), ("memory", _units)):
            room = unit(node.has.get(resource, 0))
            taken = sum(unit(each.asks.get(resource, 0)) for each in [*_on(node, scene), pod])
            if room:
                shares.append(min(1.0, taken / room))
        deviation = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
        found.append(int((1 - deviation) * BEST))
    return found


def taints(pod: PodFacts, nodes: Sequence[NodeFacts], scene: Scene) -> list[int]:
    """The fewer PreferNoSchedule taints are not tolerated, the better."""
    counts = [sum(taint[2] == "PreferNoSchedule" and not any(
        covers(each, *taint) for each in pod.spec.tolerations or ()) for taint in node.taints)
        for node in nodes]
    most = max(counts)
    return [BEST - BEST * count // most if most else BEST for count in counts]


def node_wishes(pod: PodFacts, nodes: Sequence[NodeFacts], scene: Scene) -> list[int]:
    """The weights of the preferred terms that a node meets, of the highest sum of any node."""
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    wishes = (affinity.preferred_during_scheduling_ignored_during_execution or ()) \
        if affinity is not None else ()
    sums = [sum(wish.weight or 0 for wish in wishes if _meets(wish.preference, node))
            for node in nodes]
    most = max(sums)
    return [BEST * each // most if most else 0 for each in sums]


def _meets(term: Any, node: NodeFacts) -> bool:
    """Whether a preferred term holds of a node; an empty one is no wish."""
    expressions = (term.match_expressions or ()) if term is not None else ()
    fields = (term.match_fields or ()) if term is not None else ()
    return bool(expressions or fields) and all(
        rules.holds(each, node.labels) for each in expressions) and all(
        rules.holds(each, {"metadata.name": node.name}) for each in fields)


def images(pod: PodFacts, nodes: Sequence[NodeFacts], scene: Scene) -> list[int]:
    """The size of the pod's images that a node holds, each counted by the share of nodes with it,
    between 23 MiB (nothing) and 1000 MiB a container (all)."""
    wanted = [tagged(container.image or "") for container in (
        *(pod.spec.init_containers or ()), *(pod.spec.containers or ()))]
    least, most = 23 * MEBIBYTE, 1000 * MEBIBYTE * max(len(wanted), 1)
    everywhere = len(scene.placement.nodes)
    holders = {image: sum(image in held for held in scene.images.values()) for image in wanted}
    found = []
    for node in nodes:
        held = scene.images.get(node.name, {})
        size = sum(int(held[image] * (holders[image] / everywhere)) for image in wanted
                   if image in held)
        found.append(BEST * (min(max(size, least), most) - least) // (most - least))
    return found


def tagged(image: str) -> str:
    """The name of an image with a tag."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def neighbours(pod: PodFacts, nodes: Sequence[NodeFacts], scene: Scene) -> list[int]:
    """Wishes of the pod about pods that are placed, and theirs about it, summed over the domain.

    A required affinity of a pod that is placed counts as a wish of weight 1.
    """
    sums = [0] * len(nodes)
    for key, name in scene.placement.where.items():
        other, there = scene.placement.pods[key], scene.placement.nodes.get(name)
        if there is None:
            continue
        for owner, peer in ((pod, other), (other, pod)):
            for term, weight in _wishes(owner, owner is other):
                if weight and rules.speaks_of(term, owner, peer, scene.placement):
                    for at, node in enumerate(nodes):
                        if rules.same_domain(term.topology_key or "", node, there):
                            sums[at] += weight
    low, high = min(sums), max(sums)
    if low == high:
        return [0] * len(nodes)
    return [int(BEST * ((each - low) / (high - low))) for each in sums]


def _wishes(owner: PodFacts, placed: bool) -> list[tuple[Any, int]]:
    """The terms of a pod with their weights; anti-affinity weighs against."""
    affinity = owner.spec.affinity
    if affinity is None:
        return []
    found = []
    for part, sign in ((affinity.pod_affinity, 1), (affinity.pod_anti_affinity, -1)):
        for wish in (part.preferred_during_scheduling_ignored_during_execution or ()) \
                if part is not None else ():
            if wish.pod_affinity_term is not None:
                found.append((wish.pod_affinity_term, sign * (wish.weight or 0)))
    if placed:
        found += [(term, 1) for term in rules.affinity_terms(owner)]
    return found


def spread(pod: PodFacts, nodes: Sequence[NodeFacts], scene: Scene) -> list[int]:
    """The fewer pods of the kind a domain holds, the better; scarce domains weigh less."""
    own = pod.spec.topology_spread_constraints or ()
    soft = [each for each in own if each.when_unsatisfiable == "ScheduleAnyway"]
    if not own and scene.kin is not None:
        soft = [TopologySpreadConstraint(max_skew=skew, topology_key=key, label_selector=scene.kin,
                                         when_unsatisfiable="ScheduleAnyway")
                for key, skew in DEFAULT_SPREAD]
    if not soft:
        return [0] * len(nodes)
    keys = [each.topology_key or "" for each in soft] if own else []
    taking_part = [node for node in nodes if all(key in node.labels for key in keys)]
    sums = dict.fromkeys((node.name for node in taking_part), 0.0)
    for constraint in soft:
        _add_spread(constraint, keys, pod, taking_part, scene, sums)
    rounded = {name: int(value + 0.5) for name, value in sums.items()}
    if not rounded:
        return [0] * len(nodes)
    low, high = min(rounded.values()), max(rounded.values())
    return [0 if node.name not in rounded else BEST if not high else
            BEST * (high + low - rounded[node.name]) // high for node in nodes]


def _add_spread(constraint: TopologySpreadConstraint, keys: list[str], pod: PodFacts,
                nodes: list[NodeFacts], scene: Scene, sums: dict[str, float]) -> None:
    """Add what one constraint says about each node."""
    key = constraint.topology_key or ""
    by_node = key == HOSTNAME
    domains = {node.labels.get(key, "") for node in nodes}
    counted: dict[str, int] = {}
    for name in scene.placement.nodes:
        there = scene.placement.nodes[name]
        if not by_node and not (all(each in there.labels for each in keys)
                                and rules.is_domain(constraint, pod, there)):
            continue
        place = name if by_node else there.labels.get(key, "")
        for pod_key, at in scene.placement.where.items():
            other = scene.placement.pods[pod_key]
            if (at == name and other.namespace == pod.namespace
                    and pod_key not in scene.terminating
                    and rules.counts(constraint, pod, other)):
                counted[place] = counted.get(place, 0) + 1
    weight = log((len(nodes) if by_node else len(domains)) + 2)
    for node in nodes:
        if key in node.labels:
            place = node.name if by_node else node.labels[key]
            sums[node.name] += counted.get(place, 0) * weight + ((constraint.max_skew or 1) - 1)


Plugin = Callable[[PodFacts, Sequence[NodeFacts], Scene], list[int]]
PLUGINS: dict[str, tuple[int, Plugin]] = {
    "TaintToleration": (3, taints), "NodeAffinity": (2, node_wishes),
    "NodeResourcesFit": (1, least_allocated), "PodTopologySpread": (2, spread),
    "InterPodAffinity": (2, neighbours), "NodeResourcesBalancedAllocation": (1, balanced),
    "ImageLocality": (1, images)}
"""Weight and score of each plug-in of the default profile."""
