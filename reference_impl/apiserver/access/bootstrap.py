"""What a new cluster holds before anybody writes: system namespaces, roles, priority classes, and
the server's own service.

Source: Kubernetes documentation, "Using RBAC Authorization" (default roles and role bindings).
The roles stand in `default_roles`.
"""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256
from typing import Any

from model.api.cluster import CERTIFICATE
from model.api.objects import (
    ConfigMap,
    EndpointAddress,
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    Lease,
    LeaseSpec,
    LoadBalancerStatus,
    Metadata,
    Namespace,
    NamespaceSpec,
    NamespaceStatus,
    PriorityClass,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SliceEndpoint,
    micro_timestamp,
    timestamp,
    with_metadata,
)
from model.kernel.values import FrozenMap
from reference_impl.apiserver.access import default_roles
from reference_impl.apiserver.registry import allocators
from reference_impl.apiserver.registry.allocators import Limits, RangeAllocation
from reference_impl.apiserver.registry.names import entropy, uid_from
from reference_impl.apiserver.storage import storage_key

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
HOST = "control-plane"
_PRIORITIES = (("system-cluster-critical", 2000000000), ("system-node-critical", 2000001000))

def objects(seed: int, now: int, limits: Limits,
            advertised: str = "") -> tuple[tuple[str, Any], ...]:
    """Every object of a new cluster with its key in etcd. `advertised`: the server's own address,
    which its Service leads to; without one, the Service leads nowhere."""
    made: list[tuple[str, str, Any]] = []
    for name in NAMESPACES:
        labels = (("kubernetes.io/metadata.name", name),)
        made.append(("namespaces", name, Namespace(
            "Namespace", _metadata(seed, now, "namespaces", name, labels),
            NamespaceSpec(("kubernetes",)), NamespaceStatus("Active"))))
    for role in default_roles.roles():
        made.append(("clusterroles", *_dated(seed, now, "clusterroles", role)))
    for binding in default_roles.bindings():
        made.append(("clusterrolebindings", *_dated(seed, now, "clusterrolebindings", binding)))
    for name, value in _PRIORITIES:
        metadata = _metadata(seed, now, "priorityclasses", name, None)._replace(generation=1)
        made.append(("priorityclasses", name, PriorityClass(
            "PriorityClass", metadata, value, None,
            "Used for system critical pods that must not be moved from their current node.",
            "PreemptLowerPriority")))
    address = allocators.first_address(limits)
    made.append(("services", "default/kubernetes", _own_service(seed, now, address)))
    if advertised:
        made.append(("endpoints", "default/kubernetes", _own_endpoints(seed, now, advertised)))
        made.append(("endpointslices", "default/kubernetes", _own_slice(seed, now, advertised)))
        made.extend(_own_config_maps(seed, now))
        made.append(_own_lease(seed, now))
    made.append((allocators.RANGES, allocators.ADDRESSES, RangeAllocation(
        used=FrozenMap([(address, 1)]))))
    made.append((allocators.RANGES, allocators.PORTS, RangeAllocation()))
    return tuple((storage_key(resource, key), obj) for resource, key, obj in made)

def _dated(seed: int, now: int, resource: str, obj: Any) -> tuple[str, Any]:
    """An object without uid and time, with them, and its name."""
    metadata, name = obj.metadata, obj.metadata.name or ""
    made = _metadata(seed, now, resource, name, metadata.labels)
    return name, with_metadata(obj, made._replace(annotations=metadata.annotations))

def _metadata(seed: int, now: int, resource: str, name: str, labels: Any,
              namespace: str | None = None) -> Metadata:
    uid = uid_from(entropy(seed, 0, 0, f"{resource}/{namespace}/{name}"))
    return Metadata(name=name, namespace=namespace, uid=uid, creation_timestamp=timestamp(now),
                    labels=labels)

def _own_service(seed: int, now: int, address: str) -> Service:
    labels = (("component", "apiserver"), ("provider", "kubernetes"))
    spec = ServiceSpec(
        ports=(ServicePort("https", "TCP", None, 443, 6443),), cluster_ip=address,
        cluster_ips=(address,), type="ClusterIP", session_affinity="None",
        internal_traffic_policy="Cluster", ip_families=("IPv4",), ip_family_policy="SingleStack")
    return Service("Service", _metadata(seed, now, "services", "kubernetes", labels, "default"),
                   spec, ServiceStatus(LoadBalancerStatus()))

def _own_config_maps(seed: int, now: int) -> list[tuple[str, str, ConfigMap]]:
    """What the server tells others in the namespace kube-system: who signs the certificates of
    clients, for servers that extend it, and since when it marks Secrets that are used as tokens."""
    told = {"extension-apiserver-authentication": ("client-ca-file", CERTIFICATE),
            "kube-apiserver-legacy-service-account-token-tracking": ("since", timestamp(now)[:10])}
    return [("configmaps", f"kube-system/{name}", ConfigMap(
        "ConfigMap", _metadata(seed, now, "configmaps", name, None, "kube-system"), (pair,)))
        for name, pair in told.items()]

def _own_lease(seed: int, now: int) -> tuple[str, str, Lease]:
    """The identity of the server as a lease, named by a hash of its host (KEP-1965). Kubernetes
    renews it every ten seconds and lets it end an hour later; here it stays as it is, for there
    is no second server that would look."""
    digest = sha256(HOST.encode()).digest()[:16]
    name = f"apiserver-{b32encode(digest).decode().rstrip('=').lower()}"
    labels = (("apiserver.kubernetes.io/identity", "kube-apiserver"),
              ("kubernetes.io/hostname", HOST))
    metadata = _metadata(seed, now, "leases", name, labels, "kube-system")
    holder = f"{name}_{uid_from(entropy(seed, 0, 0, f'holder/{name}'))}"
    return "leases", f"kube-system/{name}", Lease("Lease", metadata, LeaseSpec(
        holder, 3600, None, micro_timestamp(now)))

_OWN_PORT = EndpointPort("https", 6443, "TCP")

def _own_endpoints(seed: int, now: int, address: str) -> Endpoints:
    labels = (("endpointslice.kubernetes.io/skip-mirror", "true"),)
    metadata = _metadata(seed, now, "endpoints", "kubernetes", labels, "default")
    return Endpoints("Endpoints", metadata,
                     (EndpointSubset((EndpointAddress(address),), None, (_OWN_PORT,)),))

def _own_slice(seed: int, now: int, address: str) -> EndpointSlice:
    labels = (("kubernetes.io/service-name", "kubernetes"),)
    metadata = _metadata(seed, now, "endpointslices", "kubernetes", labels, "default")
    return EndpointSlice("EndpointSlice", metadata._replace(generation=1), "IPv4",
                         (SliceEndpoint((address,), EndpointConditions(True)),), (_OWN_PORT,))
