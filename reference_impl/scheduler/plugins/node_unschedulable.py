"""A cordoned node takes only pods that tolerate the taint node.kubernetes.io/unschedulable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference_impl.scheduler.framework import Plugin, Rejection
from reference_impl.scheduler.matching import tolerates
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot, Taint

CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
_CORDONED = Rejection("NodeUnschedulable", ("node(s) were unschedulable",), False)


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    filters = True
    helped_by = ("node added", "node cordon changed")

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        return tolerates(pod.needs.tolerations, CORDON)

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return _CORDONED if node.unschedulable and not state else None

    def filter_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo],
                   rejected: dict[str, Rejection]) -> Sequence[NodeInfo]:
        if state:
            return nodes
        closed = [node.name for node in nodes if node.unschedulable]
        if not closed:
            return nodes
        rejected.update(dict.fromkeys(closed, _CORDONED))
        return [node for node in nodes if not node.unschedulable]
