"""Requests must fit into what is left of the node; emptier nodes are better (least allocated).

Source: Kubernetes documentation, "Resource Management for Pods and Containers", "Scheduler
Configuration". What a pod does not ask for is not checked, so that it fits beside an overbooked
resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference_impl.scheduler.framework import SCORE_MAX, Plugin, Rejection
from reference_impl.scheduler.records import NO_AMOUNTS, NodeInfo, PodInfo


def lacking(pod: PodInfo, node: NodeInfo) -> tuple[str, ...]:
    """The reasons why a pod does not fit into what is left of a node."""
    reasons = []
    if len(node.pods) >= node.pods_max:
        reasons.append("Too many pods")
    request, room, used = pod.needs.request, node.room, node.used
    if request == NO_AMOUNTS:
        return tuple(reasons)
    if request.cpu and request.cpu > room.cpu - used.cpu:
        reasons.append("Insufficient cpu")
    if request.memory and request.memory > room.memory - used.memory:
        reasons.append("Insufficient memory")
    if request.ephemeral and request.ephemeral > room.ephemeral - used.ephemeral:
        reasons.append("Insufficient ephemeral-storage")
    if request.extended:
        most, taken = dict(room.extended), dict(used.extended)
        reasons.extend(f"Insufficient {name}" for name, number in request.extended
                       if number and number > most.get(name, 0) - taken.get(name, 0))
    return tuple(reasons)


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    weight = 1
    filters = True
    scores = True
    helped_by = ("pod gone", "node added", "node room grew")

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        reasons = lacking(pod, node)
        return Rejection("NodeResourcesFit", reasons) if reasons else None

    def filter_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo],
                   rejected: dict[str, Rejection]) -> Sequence[NodeInfo]:
        """The same as `filter`, for the usual pod that asks for processor and memory only."""
        cpu, memory, ephemeral, extended = pod.needs.request
        if ephemeral or extended or not (cpu and memory):
            return super().filter_all(state, pod, nodes, rejected)
        passed = []
        for node in nodes:
            room, used = node.room, node.used
            if (cpu <= room[0] - used[0] and memory <= room[1] - used[1]
                    and len(node.pods) < node.pods_max):
                passed.append(node)
            else:
                rejected[node.name] = Rejection("NodeResourcesFit", lacking(pod, node))
        return passed

    def score(self, state: Any, pod: PodInfo, node: NodeInfo) -> int:
        """The mean share of processor and memory that stays free."""
        total = weights = 0
        for wanted, taken, most in (
                (pod.needs.scored_cpu, node.scored_cpu, node.room.cpu),
                (pod.needs.scored_memory, node.scored_memory, node.room.memory)):
            if most:
                weights += 1
                if wanted + taken <= most:
                    total += (most - wanted - taken) * SCORE_MAX // most
        return total // weights if weights else 0

    def score_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        """The same as `score`, without a call for each node."""
        cpu, memory = pod.needs.scored_cpu, pod.needs.scored_memory
        scores = []
        for node in nodes:
            most_cpu, most_memory = node.room[0], node.room[1]
            if not (most_cpu and most_memory):
                scores.append(self.score(state, pod, node))
                continue
            free_cpu = most_cpu - cpu - node.scored_cpu
            free_memory = most_memory - memory - node.scored_memory
            scores.append(((free_cpu * SCORE_MAX // most_cpu if free_cpu > 0 else 0)
                           + (free_memory * SCORE_MAX // most_memory if free_memory > 0 else 0))
                          // 2)
        return scores
