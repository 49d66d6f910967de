"""One decision, from a pod and a snapshot: the pure core of the scheduler.

Source: Kubernetes documentation, "Kubernetes Scheduler" and "Scheduling Framework".
"""

from __future__ import annotations

from reference_impl.scheduler.framework import (
    Decision,
    Prepared,
    Profile,
    Rejection,
    feasible_nodes,
    first_rejection,
    message_of,
    prepare,
    rejection_with_nominated,
    score_nodes,
)
from reference_impl.scheduler.plugins import DEFAULT_PROFILE
from reference_impl.scheduler.preemption import preempt
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot


def schedule(pod: PodInfo, snapshot: Snapshot, profile: Profile = DEFAULT_PROFILE,
             start: int = 0) -> Decision:
    """Decide on one pod. `start` is where the search among many nodes begins."""
    total = len(snapshot.nodes)
    if not total:
        return Decision((), "no nodes available to schedule pods")
    prepared = prepare(profile, pod, snapshot)
    rejected: dict[str, Rejection] = {}
    if prepared.refused is not None:
        rejected = dict.fromkeys(snapshot.nodes.keys(), prepared.refused)
        found: list[NodeInfo] = []
    else:
        found = _nominated_first(profile, prepared, pod, snapshot)
        if not found:
            found = feasible_nodes(profile, prepared, pod, snapshot, start, rejected)
    reasons = tuple(sorted(rejected.items()))
    if not found:
        message = message_of(total, rejected, prepared.refused)
        outcome = preempt(profile, pod, snapshot, rejected)
        if outcome.message:
            message = f"{message} {outcome.message}"
        refused_by = tuple(sorted({rejection.plugin for _, rejection in reasons}))
        return Decision((), message, outcome.node, outcome.victims, rejected=reasons,
                        refused_by=refused_by)
    names = tuple(node.name for node in found)
    if len(found) == 1:
        return Decision(names, rejected=reasons, feasible=names)
    totals, parts = score_nodes(profile, pod, snapshot, found)
    top = max(totals)
    best = tuple(sorted(name for name, total in zip(names, totals, strict=True) if total == top))
    scores = tuple((name, tuple((plugin, values[at]) for plugin, values in parts))
                   for at, name in enumerate(names))
    return Decision(best, scores=scores, rejected=reasons, feasible=names)


def _nominated_first(profile: Profile, prepared: Prepared, pod: PodInfo,
                     snapshot: Snapshot) -> list[NodeInfo]:
    """The node for which room was made, when the pod fits there now."""
    node = snapshot.nodes.get(pod.nominated) if pod.nominated else None
    if node is None or (prepared.only is not None and node.name not in prepared.only):
        return []
    if first_rejection(prepared, pod, node) is not None:
        return []
    if rejection_with_nominated(profile, pod, node.name, snapshot) is not None:
        return []
    return [node]
