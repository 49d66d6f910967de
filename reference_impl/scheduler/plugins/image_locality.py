"""Nodes that hold the pod's images already are better, the more so the more nodes hold them.

Source: Kubernetes documentation, "Scheduler Configuration" (ImageLocality). The share of nodes
that hold an image damps the score, so that pods do not crowd on the one node that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference_impl.scheduler.framework import SCORE_MAX, Plugin
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot

MEBIBYTE = 1024 * 1024
SIZE_MIN = 23 * MEBIBYTE
SIZE_MAX_EACH = 1000 * MEBIBYTE


class ImageLocality(Plugin):
    name = "ImageLocality"
    weight = 1
    scores = True

    def pre_score(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
        """For each image that some node has, the share of nodes; None when there is none."""
        counts = snapshot.images
        if not counts:
            return None
        total = len(snapshot.nodes)
        return tuple((image, counts[image] / total) for image in pod.needs.images
                     if image in counts) or None

    def score(self, state: Any, pod: PodInfo, node: NodeInfo) -> int:
        if state is None:
            return 0
        size = sum(int(node.images[image] * share) for image, share in state
                   if image in node.images)
        most = SIZE_MAX_EACH * len(pod.needs.images)
        size = min(max(size, SIZE_MIN), most)
        return SCORE_MAX * (size - SIZE_MIN) // (most - SIZE_MIN)

    def score_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        return [0] * len(nodes) if state is None else super().score_all(state, pod, nodes)
