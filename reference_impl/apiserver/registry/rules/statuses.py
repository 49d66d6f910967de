"""Rules of what controllers and kubelets report through the status subresource.

Not modelled: transitions of container states, conditions of jobs. Source: Kubernetes 1.32 API
reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.api.objects import write
from model.api.requests import field_forbidden, field_invalid
from reference_impl.apiserver.registry.rules import common, others
from reference_impl.apiserver.registry.rules.common import Causes, Document, items

_TOO_MANY = "cannot be greater than status.replicas"


def faults(new: Any, old: Any) -> Causes:
    """Every fault of a status that is about to be stored; one that stays was looked at before."""
    rule = _KINDS.get(new.kind)
    if rule is None or new.status is None or new.status is old.status:
        return []
    return rule(new)


def _counts(status: Document, names: tuple[str, ...]) -> Causes:
    causes: Causes = []
    for name in names:
        causes += common.at_least_zero(status.get(name), f"status.{name}")
    return causes


def _within(status: Document, names: tuple[str, ...]) -> Causes:
    """Parts of the replicas are no more than the replicas, the available ones all ready."""
    total = status.get("replicas") or 0
    causes = [field_invalid(f"status.{name}", status.get(name) or 0, _TOO_MANY)
              for name in names if (status.get(name) or 0) > total]
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        causes.append(field_invalid("status.availableReplicas", available,
                                    "cannot be greater than readyReplicas"))
    return causes


def _replicated(obj: Any) -> Causes:
    status = write(obj.status)
    parts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    return _counts(status, ("replicas", *parts, "observedGeneration")) + _within(status, parts)


def _deployment(obj: Any) -> Causes:
    status = write(obj.status)
    return _counts(status, ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas",
                            "availableReplicas", "unavailableReplicas", "collisionCount")) + \
        _within(status, ("updatedReplicas", "readyReplicas", "availableReplicas"))


def _budget(obj: Any) -> Causes:
    return _counts(write(obj.status), ("disruptionsAllowed", "currentHealthy", "desiredHealthy",
                                       "expectedPods"))


def _namespace(obj: Any) -> Causes:
    ending, phase = obj.metadata.deletion_timestamp is not None, obj.status.phase or ""
    if ending and phase != "Terminating":
        return [field_invalid("status.Phase", phase, "may only be 'Terminating' if "
                              "`deletionTimestamp` is not empty")]
    if not ending and phase != "Active":
        return [field_invalid("status.Phase", phase, "may only be 'Active' if "
                              "`deletionTimestamp` is empty")]
    return []


def _service(obj: Any) -> Causes:
    ingress = items((write(obj.status).get("loadBalancer") or {}).get("ingress"))
    where = "status.loadBalancer.ingress"
    if ingress and (obj.spec is None or obj.spec.type != "LoadBalancer"):
        return [field_forbidden(where, "may only be used when `spec.type` is 'LoadBalancer'")]
    causes: Causes = []
    for at, each in enumerate(ingress):
        if each.get("ip"):
            causes += common.ip_faults(each["ip"], f"{where}[{at}].ip")
        name = each.get("hostname")
        if name:
            causes += common.subdomain_faults(name, f"{where}[{at}].hostname")
            if common.valid_ip(name):
                causes.append(field_invalid(f"{where}[{at}].hostname", name,
                                            "must be a DNS name, not an IP address"))
    return causes


_KINDS: dict[str, Callable[[Any], Causes]] = {
    "ReplicationController": _replicated, "ReplicaSet": _replicated, "Deployment": _deployment,
    "PodDisruptionBudget": _budget, "Namespace": _namespace, "Service": _service,
    "Node": others.node, "ResourceQuota": others.quota_status,
}
