"""A pod that names its node runs there only."""

from __future__ import annotations

from typing import Any

from reference_impl.scheduler.framework import SKIP, Plugin, Rejection
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot

_ELSEWHERE = Rejection("NodeName", ("node(s) didn't match the requested node name",), False)


class NodeName(Plugin):
    name = "NodeName"
    filters = True
    helped_by = ("node added",)

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        return None if pod.node else SKIP

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None if node.name == pod.node else _ELSEWHERE
