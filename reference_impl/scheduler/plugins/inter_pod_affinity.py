"""Affinity and anti-affinity between pods, required and preferred, in both directions.

Source: Kubernetes documentation, "Inter-pod affinity and anti-affinity". A required affinity holds
where a pod that matches all terms runs in the same domain of each term's topology key; the first
pod of a group that wants its own kind may start anywhere. Anti-affinity is symmetric: pods that
are there keep a newcomer away.

Pods alike are looked at once (`Group`), and where they are is counted by node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from reference_impl.scheduler.framework import SCORE_MAX, SKIP, Plugin, Rejection
from reference_impl.scheduler.matching import concerns
from reference_impl.scheduler.records import Group, Needs, NodeInfo, PodInfo, Snapshot, Term

HARD_AFFINITY_WEIGHT = 1
Domain = tuple[str, str]
"""A topology key and one of its values."""

_NO_FRIEND = Rejection("InterPodAffinity", ("node(s) didn't match pod affinity rules",), False)
_FOE = Rejection("InterPodAffinity", ("node(s) didn't match pod anti-affinity rules",))
_UNWANTED = Rejection("InterPodAffinity",
                      ("node(s) didn't satisfy existing pods anti-affinity rules",))


class Near(NamedTuple):
    """How many pods that matter are in each domain."""

    friends: dict[Domain, int]
    foes: dict[Domain, int]
    refusing: dict[Domain, int]
    first_of_its_kind: bool


def _add(counts: dict[Domain, int], term: Term, group: Group, snapshot: Snapshot,
         factor: int = 1) -> None:
    """Add the pods of a group to the domains of the term's topology key."""
    key = term.topology_key
    nodes = snapshot.nodes
    for name, count in group.nodes.items():
        node = nodes.get(name)
        place = node.labels.get(key) if node is not None else None
        if place is not None:
            domain = (key, place)
            counts[domain] = counts.get(domain, 0) + count * factor


def matches_all(terms: tuple[Term, ...], needs: Needs, snapshot: Snapshot) -> bool:
    """Whether a pod matches all required affinity terms."""
    return all(concerns(term, needs, snapshot) for term in terms)


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    weight = 2
    filters = True
    scores = True
    helped_by = ("pod placed", "pod gone", "pod labels changed", "node added",
                 "node labels changed")

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        needs = pod.needs
        if not (needs.affinity or needs.anti_affinity or snapshot.linked):
            return SKIP
        near = Near({}, {}, {}, False)
        if needs.affinity or needs.anti_affinity:
            for group in snapshot.groups.values():
                if needs.affinity and matches_all(needs.affinity, group.needs, snapshot):
                    for term in needs.affinity:
                        _add(near.friends, term, group, snapshot)
                for term in needs.anti_affinity:
                    if concerns(term, group.needs, snapshot):
                        _add(near.foes, term, group, snapshot)
        for key in snapshot.linked:
            group = snapshot.groups[key]
            for term in group.needs.anti_affinity:
                if concerns(term, needs, snapshot):
                    _add(near.refusing, term, group, snapshot)
        if not (needs.affinity or needs.anti_affinity or near.refusing):
            return SKIP
        first = not near.friends and matches_all(needs.affinity, needs, snapshot)
        return near._replace(first_of_its_kind=first)

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        labels = node.labels
        missing = False
        for term in pod.needs.affinity:
            place = labels.get(term.topology_key)
            if place is None:
                return _NO_FRIEND
            missing = missing or not state.friends.get((term.topology_key, place), 0)
        if missing and not state.first_of_its_kind:
            return _NO_FRIEND
        for term in pod.needs.anti_affinity:
            place = labels.get(term.topology_key)
            if place is not None and state.foes.get((term.topology_key, place), 0):
                return _FOE
        for (key, place), count in state.refusing.items():
            if count and labels.get(key) == place:
                return _UNWANTED
        return None

    def pre_score(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
        """The weight of each domain, from the pod's wishes and from those of pods placed."""
        needs = pod.needs
        weights: dict[Domain, int] = {}
        wishes = [(term, term.weight) for term in needs.preferred_affinity]
        wishes += [(term, -term.weight) for term in needs.preferred_anti_affinity]
        if wishes:
            for group in snapshot.groups.values():
                for term, weight in wishes:
                    if weight and concerns(term, group.needs, snapshot):
                        _add(weights, term, group, snapshot, weight)
        for key in snapshot.linked:
            group = snapshot.groups[key]
            for term, weight in _wishes_of_the_placed(group.needs):
                if weight and concerns(term, needs, snapshot):
                    _add(weights, term, group, snapshot, weight)
        return weights or SKIP

    def score(self, state: Any, pod: PodInfo, node: NodeInfo) -> int:
        labels = node.labels
        return sum(weight for (key, place), weight in state.items() if labels.get(key) == place)

    def score_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        """The same as `score`, looking domains up instead of walking them."""
        keys = sorted({key for key, _ in state})
        return [sum(state.get((key, node.labels.get(key)), 0) for key in keys) for node in nodes]

    def normalize(self, state: Any, scores: list[int], nodes: Sequence[NodeInfo]) -> list[int]:
        low, high = min(scores), max(scores)
        if low == high:
            return [0] * len(scores)
        return [int(SCORE_MAX * ((score - low) / (high - low))) for score in scores]


def _wishes_of_the_placed(needs: Needs) -> list[tuple[Term, int]]:
    """The rules of a pod that is placed, seen from a newcomer."""
    return ([(term, HARD_AFFINITY_WEIGHT) for term in needs.affinity]
            + [(term, term.weight) for term in needs.preferred_affinity]
            + [(term, -term.weight) for term in needs.preferred_anti_affinity])
