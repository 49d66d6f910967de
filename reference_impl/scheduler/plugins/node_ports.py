"""A host port is held by one pod of a node at a time."""

from __future__ import annotations

from typing import Any

from reference_impl.scheduler.framework import SKIP, Plugin, Rejection
from reference_impl.scheduler.matching import ports_clash
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot

_TAKEN = Rejection("NodePorts",
                   ("node(s) didn't have free ports for the requested pod ports",))


class NodePorts(Plugin):
    name = "NodePorts"
    filters = True
    helped_by = ("pod gone", "node added")

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        return None if pod.needs.ports else SKIP

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return _TAKEN if ports_clash(pod.needs.ports, node.ports) else None
