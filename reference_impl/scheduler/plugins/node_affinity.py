"""Node selector and node affinity, required and preferred.

Source: Kubernetes documentation, "Assigning Pods to Nodes". Terms are alternatives; a term is the
conjunction of its requirements; an empty required term matches no node, an empty preferred one is
ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference_impl.scheduler.framework import SCORE_MAX, SKIP, Only, Plugin, Rejection
from reference_impl.scheduler.matching import admits_node, term_matches
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot

_OUT = Rejection("NodeAffinity", ("node(s) didn't match Pod's node affinity/selector",), False)


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    weight = 2
    filters = True
    scores = True
    helped_by = ("node added", "node labels changed")

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        """Terms that all name nodes narrow the search to the nodes named."""
        needs = pod.needs
        if needs.node_terms is None:
            return None if needs.node_selector else SKIP
        names: set[str] = set()
        for term in needs.node_terms:
            named: set[str] | None = None
            for field in term.fields:
                if field.key == "metadata.name" and field.operator == "In":
                    chosen = set(field.values)
                    named = chosen if named is None else named & chosen
            if named is None:
                return None
            names |= named
        if needs.node_terms and not names:
            return Rejection("NodeAffinity", ("pod affinity terms conflict",), False)
        return Only(None, frozenset(names)) if names else None

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None if admits_node(pod.needs, node) else _OUT

    def pre_score(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
        wishes = tuple((weight, term) for weight, term in pod.needs.preferred_nodes
                       if weight and (term.expressions or term.fields))
        return wishes if pod.needs.preferred_nodes else SKIP

    def score(self, state: Any, pod: PodInfo, node: NodeInfo) -> int:
        return sum(weight for weight, term in state if term_matches(term, node))

    def normalize(self, state: Any, scores: list[int], nodes: Sequence[NodeInfo]) -> list[int]:
        most = max(scores)
        return [SCORE_MAX * score // most for score in scores] if most else scores
