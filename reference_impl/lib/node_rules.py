"""Rules about nodes that report, fall silent, and are tainted: pure functions of objects.

Source: Kubernetes 1.32, "Nodes", "Taints and Tolerations", and pkg/controller/nodelifecycle.
"""

from __future__ import annotations

from model.api.conditions import find, set_condition
from model.api.metadata import Condition
from model.api.objects import (
    Node,
    NodeSpec,
    NodeStatus,
    Pod,
    Taint,
    Toleration,
    pairs,
    timestamp,
    with_metadata,
)

PREFIX = "node.kubernetes.io/"
NOT_READY, UNREACHABLE = PREFIX + "not-ready", PREFIX + "unreachable"
UNSCHEDULABLE = PREFIX + "unschedulable"
NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"
PRESSURES = (("MemoryPressure", PREFIX + "memory-pressure"),
             ("DiskPressure", PREFIX + "disk-pressure"),
             ("PIDPressure", PREFIX + "pid-pressure"),
             ("NetworkUnavailable", PREFIX + "network-unavailable"))
MANAGED = (NOT_READY, UNREACHABLE, UNSCHEDULABLE, *(key for _, key in PRESSURES))
IN_ORDER = (*(key for _, key in PRESSURES), NOT_READY, UNREACHABLE, UNSCHEDULABLE)
"""In which order taints are added at once: that of the conditions, then what an operator wishes."""
KUBELET_CONDITIONS = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
NEVER: int | None = None


def readiness(node: Node) -> str:
    """True, False or Unknown; "" when the node has no Ready condition yet."""
    found = None if node.status is None else find(node.status.conditions, "Ready")
    return "" if found is None else found.status or ""


def lost_status(node: Node, now_ms: int) -> NodeStatus:
    """The status of a node that has fallen silent: what the kubelet reports becomes Unknown."""
    status = node.status or NodeStatus()
    conditions = status.conditions or ()
    for kind in KUBELET_CONDITIONS:
        old = find(conditions, kind)
        if old is None:
            new = Condition(kind, "Unknown", "NodeStatusNeverUpdated",
                            "Kubelet never posted node status.",
                            last_heartbeat_time=node.metadata.creation_timestamp,
                            last_transition_time=timestamp(now_ms))
        elif old.status != "Unknown":
            new = old._replace(status="Unknown", reason="NodeStatusUnknown",
                               message="Kubelet stopped posting node status.",
                               last_transition_time=timestamp(now_ms))
        else:
            continue
        conditions = set_condition(conditions, new)
    return status._replace(conditions=conditions)


def wanted_taints(node: Node, may_evict: bool) -> set[tuple[str, str]]:
    """(key, effect) of the taints that conditions and spec ask for. `may_evict` adds NoExecute."""
    ready = readiness(node)
    wanted: set[tuple[str, str]] = set()
    if ready != "True":
        key = UNREACHABLE if ready == "Unknown" else NOT_READY
        wanted.add((key, NO_SCHEDULE))
        if may_evict and ready:
            wanted.add((key, NO_EXECUTE))
    conditions = None if node.status is None else node.status.conditions
    for kind, key in PRESSURES:
        found = find(conditions, kind)
        if found is not None and found.status == "True":
            wanted.add((key, NO_SCHEDULE))
    if node.spec is not None and node.spec.unschedulable:
        wanted.add((UNSCHEDULABLE, NO_SCHEDULE))
    return wanted


def retainted(node: Node, may_evict: bool, now_ms: int) -> Node:
    """The node with the taints that it should have; the node itself when it has them."""
    spec = node.spec or NodeSpec()
    wanted = wanted_taints(node, may_evict)
    old = spec.taints or ()
    kept = tuple(taint for taint in old if not is_managed(taint)
                 or (taint.key or "", taint.effect or "") in wanted)
    present = {(taint.key or "", taint.effect or "") for taint in kept}
    missing = sorted(wanted - present,
                     key=lambda pair: (pair[1] == NO_EXECUTE, IN_ORDER.index(pair[0])))
    added = tuple(Taint(key, None, effect, timestamp(now_ms)) for key, effect in missing)
    taints = kept + added
    if taints == old:
        return node
    return node._replace(spec=spec._replace(taints=taints or None))


OLD_LABELS = (("beta.kubernetes.io/arch", "kubernetes.io/arch"),
              ("beta.kubernetes.io/os", "kubernetes.io/os"))
TTL = "node.alpha.kubernetes.io/ttl"


def labelled(node: Node) -> Node:
    """The node with the old names of two labels beside the new ones, and with the annotation that
    tells kubelets of a small cluster to keep no secrets in a cache; itself when it has them."""
    metadata = node.metadata
    labels, notes = dict(metadata.labels or ()), dict(metadata.annotations or ())
    labels.update({old: labels[new] for old, new in OLD_LABELS if new in labels})
    notes.setdefault(TTL, "0")
    wanted = metadata._replace(labels=pairs(labels) or None, annotations=pairs(notes))
    return node if wanted == metadata else with_metadata(node, wanted)


def is_managed(taint: Taint) -> bool:
    """Whether the node controller gives and takes a taint."""
    if taint.effect == NO_EXECUTE:
        return taint.key in (NOT_READY, UNREACHABLE)
    return taint.effect == NO_SCHEDULE and taint.key in MANAGED


def evicting_taints(node: Node | None) -> tuple[Taint, ...]:
    """The taints that evict."""
    taints = () if node is None or node.spec is None else node.spec.taints or ()
    return tuple(taint for taint in taints if taint.effect == NO_EXECUTE)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether a toleration matches a taint; an empty key with Exists matches all."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")


def tolerated_ms(pod: Pod, taints: tuple[Taint, ...]) -> int | None:
    """How long a pod may stay on a node with these NoExecute taints; NEVER: it is never evicted.

    Of several tolerations that are used, the shortest counts.
    """
    tolerations = () if pod.spec is None else pod.spec.tolerations or ()
    shortest: int | None = NEVER
    for taint in taints:
        used = [each for each in tolerations if tolerates(each, taint)]
        if not used:
            return 0
        for each in used:
            seconds = each.toleration_seconds
            if seconds is not None and (shortest is None or seconds * 1000 < shortest):
                shortest = max(seconds * 1000, 0)
    return shortest


def is_bound_and_live(pod: Pod) -> bool:
    """Whether a pod is on a node and not being deleted yet."""
    return (pod.spec is not None and bool(pod.spec.node_name)
            and pod.metadata.deletion_timestamp is None)


def is_ready(pod: Pod) -> bool:
    """Whether the pod's Ready condition is True."""
    found = None if pod.status is None else find(pod.status.conditions, "Ready")
    return found is not None and found.status == "True"


def unready(pod: Pod, now_ms: int) -> Pod:
    """The pod with Ready=False, as the node controller marks pods of a silent node."""
    assert pod.status is not None
    found = find(pod.status.conditions, "Ready")
    assert found is not None
    changed = found._replace(status="False", last_transition_time=timestamp(now_ms))
    return pod._replace(status=pod.status._replace(
        conditions=set_condition(pod.status.conditions, changed)))


def disrupted(pod: Pod, reason: str, message: str, now_ms: int, *, failed: bool) -> Pod:
    """The pod with the condition DisruptionTarget, and Failed where it can never run again."""
    assert pod.status is not None
    target = Condition("DisruptionTarget", "True", reason, message,
                       last_transition_time=timestamp(now_ms))
    status = pod.status._replace(conditions=set_condition(pod.status.conditions, target))
    if failed and status.phase not in ("Succeeded", "Failed"):
        status = status._replace(phase="Failed")
    return pod._replace(status=status)
