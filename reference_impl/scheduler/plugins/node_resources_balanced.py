"""Nodes on which processor and memory would be used to like shares are better.

Source: Kubernetes documentation, "Scheduler Configuration" (NodeResourcesBalancedAllocation).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference_impl.scheduler.framework import SCORE_MAX, Plugin
from reference_impl.scheduler.records import NodeInfo, PodInfo


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"
    weight = 1
    scores = True

    def score(self, state: Any, pod: PodInfo, node: NodeInfo) -> int:
        """One minus the standard deviation of the shares used, with real requests."""
        request, used, room = pod.needs.request, node.used, node.room
        if not room.cpu or not room.memory:
            return SCORE_MAX
        cpu = min((request.cpu + used.cpu) / room.cpu, 1.0)
        memory = min((request.memory + used.memory) / room.memory, 1.0)
        return int((1 - abs(cpu - memory) / 2) * SCORE_MAX)

    def score_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        """The same as `score`, without a call for each node."""
        cpu, memory = pod.needs.request[:2]
        scores = []
        for node in nodes:
            used, room = node.used, node.room
            most_cpu, most_memory = room[0], room[1]
            if most_cpu and most_memory:
                cpu_share = (cpu + used[0]) / most_cpu
                memory_share = (memory + used[1]) / most_memory
                if cpu_share > 1.0:
                    cpu_share = 1.0
                if memory_share > 1.0:
                    memory_share = 1.0
                scores.append(int((1 - abs(cpu_share - memory_share) / 2) * SCORE_MAX))
            else:
                scores.append(SCORE_MAX)
        return scores
