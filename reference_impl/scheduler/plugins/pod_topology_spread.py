"""Pods of a kind are spread over zones, nodes or any other domains.

Source: Kubernetes documentation, "Pod Topology Spread Constraints": DoNotSchedule filters,
ScheduleAnyway scores; minDomains, matchLabelKeys and the node inclusion policies count; pods
without constraints of their own are spread by the cluster's defaults (zone with maxSkew 5 and
hostname with maxSkew 3) when a service or a controller selects them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any, NamedTuple

from reference_impl.scheduler.framework import SCORE_MAX, SKIP, Plugin, Rejection
from reference_impl.scheduler.matching import admits_node, selects, untolerated
from reference_impl.scheduler.records import (
    Group,
    NodeInfo,
    PodInfo,
    Requirement,
    Selector,
    Snapshot,
    Spread,
)

ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"
DEFAULTS = ((5, ZONE), (3, HOSTNAME))

_SKEWED = Rejection("PodTopologySpread",
                    ("node(s) didn't match pod topology spread constraints",))
_NO_DOMAIN = Rejection(
    "PodTopologySpread",
    ("node(s) didn't match pod topology spread constraints (missing required label)",), False)


class Domains(NamedTuple):
    """One constraint with the pods counted in each domain, and the fewest that count."""

    spread: Spread
    counts: dict[str, int]
    fewest: int
    own: int


class Wishes(NamedTuple):
    """The soft constraints; each with its weight and its counts, by domain or by node."""

    parts: tuple[tuple[Spread, float, dict[str, int]], ...]
    ignored: frozenset[str]


def _selected(spread: Spread, pod: PodInfo, snapshot: Snapshot) -> list[Group]:
    """The groups that a constraint counts: of the pod's namespace, not terminating, selected."""
    if not spread.selector:
        return []
    namespace = pod.needs.namespace
    return [group for group in snapshot.groups.values()
            if group.needs.namespace == namespace and not group.terminating
            and selects(spread.selector, group.needs.labels)]


def _included(spread: Spread, pod: PodInfo, node: NodeInfo) -> bool:
    """The node inclusion policies."""
    if spread.honor_affinity and not admits_node(pod.needs, node):
        return False
    return not (spread.honor_taints and untolerated(pod.needs, node) is not None)


def _carries(labels: Any, spreads: Sequence[Spread]) -> bool:
    return all(spread.topology_key in labels for spread in spreads)


class PodTopologySpread(Plugin):
    name = "PodTopologySpread"
    weight = 2
    filters = True
    scores = True
    helped_by = ("pod placed", "pod gone", "pod labels changed", "node added", "node removed",
                 "node labels changed", "node taints changed")

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        hard = tuple(spread for spread in pod.needs.spread if spread.hard)
        if not hard:
            return SKIP
        eligible = [node for node in snapshot.nodes.values() if _carries(node.labels, hard)]
        return tuple(_domains(spread, pod, snapshot, eligible) for spread in hard)

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        for spread, counts, fewest, own in state:
            place = node.labels.get(spread.topology_key)
            if place is None:
                return _NO_DOMAIN
            if counts.get(place, 0) + own - fewest > spread.max_skew:
                return _SKEWED
        return None

    def pre_score(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
        if pod.needs.spread:
            soft = tuple(spread for spread in pod.needs.spread if not spread.hard)
            strict = True
        else:
            selector = default_selector(pod, snapshot)
            soft = () if not selector else tuple(
                Spread(skew, key, False, selector) for skew, key in DEFAULTS)
            strict = False
        if not soft:
            return SKIP
        ignored = frozenset(node.name for node in nodes
                            if strict and not _carries(node.labels, soft))
        kept = [node for node in nodes if node.name not in ignored]
        parts = []
        for spread in soft:
            if spread.topology_key == HOSTNAME:
                counts = _by_node(spread, pod, snapshot)
                size = len(kept)
            else:
                counts = _by_domain(spread, pod, snapshot, kept, soft if strict else ())
                size = len(counts)
            parts.append((spread, log(size + 2), counts))
        return Wishes(tuple(parts), ignored)

    def score(self, state: Any, pod: PodInfo, node: NodeInfo) -> int:
        if node.name in state.ignored:
            return -1
        total = 0.0
        for spread, weight, counts in state.parts:
            place = node.labels.get(spread.topology_key)
            if place is not None:
                at = node.name if spread.topology_key == HOSTNAME else place
                total += counts.get(at, 0) * weight + (spread.max_skew - 1)
        return int(total + 0.5)

    def normalize(self, state: Any, scores: list[int], nodes: Sequence[NodeInfo]) -> list[int]:
        """The fewer pods of the kind, the better; nodes without the labels get nothing."""
        counted = [score for score in scores if score >= 0]
        if not counted:
            return [0] * len(scores)
        low, high = min(counted), max(counted)
        if high == 0:
            return [SCORE_MAX if score >= 0 else 0 for score in scores]
        return [SCORE_MAX * (high + low - score) // high if score >= 0 else 0
                for score in scores]


def _domains(spread: Spread, pod: PodInfo, snapshot: Snapshot,
             eligible: Sequence[NodeInfo]) -> Domains:
    """Count the selected pods in each domain of the nodes that count."""
    places = {node.name: node.labels[spread.topology_key] for node in eligible
              if _included(spread, pod, node)}
    counts = dict.fromkeys(places.values(), 0)
    for group in _selected(spread, pod, snapshot):
        for name, count in group.nodes.items():
            place = places.get(name)
            if place is not None:
                counts[place] += count
    few = len(counts) < spread.min_domains
    fewest = 0 if few or not counts else min(counts.values())
    own = int(selects(spread.selector, pod.needs.labels))
    return Domains(spread, counts, fewest, own)


def _by_node(spread: Spread, pod: PodInfo, snapshot: Snapshot) -> dict[str, int]:
    counts: dict[str, int] = {}
    for group in _selected(spread, pod, snapshot):
        for name, count in group.nodes.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def _by_domain(spread: Spread, pod: PodInfo, snapshot: Snapshot, kept: Sequence[NodeInfo],
               needed: Sequence[Spread]) -> dict[str, int]:
    """Pods in each domain that a feasible node belongs to; unlabelled nodes form one domain."""
    key = spread.topology_key
    counts = {node.labels.get(key, ""): 0 for node in kept}
    for group in _selected(spread, pod, snapshot):
        for name, count in group.nodes.items():
            node = snapshot.nodes.get(name)
            if node is None or not _carries(node.labels, needed):
                continue
            place = node.labels.get(key, "")
            if place in counts and _included(spread, pod, node):
                counts[place] += count
    return counts


def default_selector(pod: PodInfo, snapshot: Snapshot) -> Selector:
    """What services and the owner of a pod select together; empty when nothing does."""
    catalog, needs = snapshot.catalog, pod.needs
    merged: dict[str, Requirement] = {}
    prefix = f"{needs.namespace}/"
    for key, selector in catalog.services.items():
        if key.startswith(prefix) and selector and selects(selector, needs.labels):
            merged.update({each.key: each for each in selector})
    extra: Selector = ()
    if pod.owner is not None:
        kind, name = pod.owner
        found = catalog.owners.get(f"{kind}/{prefix}{name}") or ()
        if kind == "ReplicationController":
            merged.update({each.key: each for each in found})
        else:
            extra = found
    return tuple(merged[key] for key in sorted(merged)) + extra
