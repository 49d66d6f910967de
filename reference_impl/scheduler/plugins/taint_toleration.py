"""Taints keep pods away (NoSchedule, NoExecute) or make a node less liked (PreferNoSchedule).

Source: Kubernetes documentation, "Taints and Tolerations".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference_impl.scheduler.framework import SCORE_MAX, Plugin, Rejection
from reference_impl.scheduler.matching import tolerates, untolerated
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot


class TaintToleration(Plugin):
    name = "TaintToleration"
    weight = 3
    filters = True
    scores = True
    helped_by = ("node added", "node taints changed", "pod updated")

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        taint = untolerated(pod.needs, node) if node.hard_taints else None
        if taint is None:
            return None
        told = f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
        return Rejection("TaintToleration", (told,), False)

    def filter_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo],
                   rejected: dict[str, Rejection]) -> Sequence[NodeInfo]:
        if not any(node.hard_taints for node in nodes):
            return nodes
        return super().filter_all(state, pod, nodes, rejected)

    def pre_score(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
        """Tolerations that speak about PreferNoSchedule; None when no node has such a taint."""
        if not snapshot.soft:
            return None
        return tuple(t for t in pod.needs.tolerations if t.effect in ("", "PreferNoSchedule"))

    def score(self, state: Any, pod: PodInfo, node: NodeInfo) -> int:
        """How many PreferNoSchedule taints are not tolerated."""
        return sum(not tolerates(state, taint) for taint in node.soft_taints)

    def score_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        if state is None:
            return [0] * len(nodes)
        return super().score_all(state, pod, nodes)

    def normalize(self, state: Any, scores: list[int], nodes: Sequence[NodeInfo]) -> list[int]:
        """The fewer, the better."""
        most = max(scores)
        if not most:
            return [SCORE_MAX] * len(scores)
        return [SCORE_MAX - SCORE_MAX * score // most for score in scores]
