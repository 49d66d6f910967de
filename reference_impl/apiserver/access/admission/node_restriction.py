"""NodeRestriction: a kubelet changes only its own node and pods, and of its node only what is its.

Source: Kubernetes documentation, "Admission Controllers" (NodeRestriction) and "Using Node
Authorization"; CVE-2025-5187 for owner references (a node that may set them has itself deleted by
the garbage collector, and comes back without the taints that an administrator put on it).

Not modelled: configuration sources, resource claims, CSINodes and volume expansion of claims.
"""

from __future__ import annotations

from typing import Any

from model.api.requests import Status, forbidden
from reference_impl.apiserver.access import node_authorizer
from reference_impl.apiserver.access.admission.attributes import CREATE, DELETE, Attributes

MIRROR = "kubernetes.io/config.mirror"
RESTRICTED = "node-restriction.kubernetes.io"
KUBERNETES = ("kubernetes.io", "k8s.io")
OWN_LABELS = frozenset((
    "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os",
    "beta.kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type", "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone"))
OWN_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
"""Labels of Kubernetes' own domains that a kubelet may set on its node."""


def validate(attributes: Attributes, obj: Any) -> Status | None:
    """Why the kubelet that asks may not do that, None when it may (or is none)."""
    node = node_authorizer.node_of(attributes.user)
    if not node:
        return None
    resource, subresource = attributes.resource.group_resource, attributes.request.subresource
    if resource == "pods":
        why = _pod(node, subresource, attributes, obj)
    elif resource == "nodes":
        why = _node(node, subresource, attributes, obj)
    elif resource == "leases.coordination.k8s.io":
        why = _lease(node, attributes, obj)
    else:
        return None
    name = attributes.request.name or obj.metadata.name or ""
    return forbidden(attributes.request.resource, name, why) if why else None


def _pod(node: str, subresource: str, attributes: Attributes, obj: Any) -> str:
    if attributes.operation == CREATE and not subresource:
        return _new_pod(node, obj)
    stored = attributes.old if attributes.old is not None else obj
    own = stored.spec is not None and stored.spec.node_name == node
    if attributes.operation == DELETE:
        return "" if own else f'node "{node}" can only delete pods with spec.nodeName set to itself'
    if subresource == "eviction":
        return "" if own else f"node {node} can only evict pods with spec.nodeName set to itself"
    if subresource == "status":
        if not own:
            return (f'node "{node}" can only update pod status for pods with spec.nodeName set to '
                    "itself")
        if stored.metadata.labels != obj.metadata.labels:
            return f'node "{node}" cannot update labels through pod status'
    return ""


def _new_pod(node: str, pod: Any) -> str:
    if not any(name == MIRROR for name, _ in pod.metadata.annotations or ()):
        return (f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror '
                "pods")
    if pod.spec.node_name != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    if pod.spec.service_account_name:
        return f'node "{node}" can not create pods that reference a service account'
    for kind, what in (("secrets", "secrets"), ("configmaps", "configmaps"),
                       ("persistentvolumeclaims", "persistentvolumeclaims")):
        if any(each == kind for each, _ in node_authorizer.references(pod)):
            return f'node "{node}" can not create pods that reference {what}'
    return ""


def _node(node: str, subresource: str, attributes: Attributes, obj: Any) -> str:
    named = attributes.request.name or obj.metadata.name
    if named != node:
        return f'node "{node}" is not allowed to modify node "{named}"'
    old = attributes.old
    if attributes.operation == CREATE and not subresource:
        wrong = sorted(key for key, _ in obj.metadata.labels or () if not may_label(key))
        if wrong:
            return (f'node "{node}" is not allowed to set the following labels: '
                    f"{', '.join(wrong)}")
        return ""
    if old is None or attributes.operation == DELETE:
        return ""
    if not same_owners(old, obj):
        return f'node "{node}" is not allowed to modify ownerReferences'
    if _taints(old) != _taints(obj):
        return f'node "{node}" is not allowed to modify taints'
    before, after = dict(old.metadata.labels or ()), dict(obj.metadata.labels or ())
    wrong = sorted(key for key in before.keys() | after.keys()
                   if before.get(key) != after.get(key) and not may_label(key))
    return (f'node "{node}" is not allowed to modify labels: {", ".join(wrong)}' if wrong else "")


def same_owners(old: Any, new: Any) -> bool:
    """Whether an update leaves the owners of a node as they are."""
    return (old.metadata.owner_references or ()) == (new.metadata.owner_references or ())


def _taints(node: Any) -> tuple[Any, ...]:
    return tuple(node.spec.taints or ()) if node.spec is not None else ()


def may_label(key: str) -> bool:
    """Whether a kubelet may set this label on its own node."""
    domain = key.partition("/")[0] if "/" in key else ""
    if _within(domain, RESTRICTED):
        return False
    if key in OWN_LABELS or any(_within(domain, own) for own in OWN_DOMAINS):
        return True
    return not any(_within(domain, each) for each in KUBERNETES)


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def _lease(node: str, attributes: Attributes, lease: Any) -> str:
    if attributes.operation == CREATE and lease.metadata.name != node:
        return "can only access node lease with the same name as the requesting node"
    return ""
