"""What a new cluster holds before anybody writes: system namespaces, roles, priority classes, and
the server's own service.

Source: Kubernetes documentation, "Using RBAC Authorization" (default roles and role bindings).
The rules are condensed: those that a component of this project or a user's client can notice. The
controllers share the identity of the controller manager, as they do without
`--use-service-account-credentials`.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import (
    ClusterRole,
    ClusterRoleBinding,
    EndpointAddress,
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    LoadBalancerStatus,
    Metadata,
    Namespace,
    NamespaceSpec,
    NamespaceStatus,
    PolicyRule,
    PriorityClass,
    RoleRef,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SliceEndpoint,
    Subject,
    timestamp,
)
from model.kernel.values import FrozenMap
from reference_impl.apiserver.access.authentication import AUTHENTICATED, MASTERS
from reference_impl.apiserver.registry import allocators
from reference_impl.apiserver.registry.allocators import Limits, RangeAllocation
from reference_impl.apiserver.registry.names import entropy, uid_from
from reference_impl.apiserver.storage import storage_key

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_RBAC = "rbac.authorization.k8s.io"
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_ALL = ("*",)
_CORE = ("",)
_WORKLOADS = ("configmaps", "endpoints", "events", "persistentvolumeclaims", "pods",
              "replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts",
              "services")
_APPS = ("controllerrevisions", "daemonsets", "deployments", "deployments/scale", "replicasets",
         "replicasets/scale", "statefulsets", "statefulsets/scale")
_OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")

def _rule(verbs: tuple[str, ...], groups: tuple[str, ...],
          resources: tuple[str, ...]) -> PolicyRule:
    return PolicyRule(verbs, groups, resources)

def _paths(*urls: str) -> PolicyRule:
    return PolicyRule(verbs=("get",), non_resource_urls=urls)

_ROLES: dict[str, tuple[PolicyRule, ...]] = {
    "cluster-admin": (_rule(_ALL, _ALL, _ALL),
                      PolicyRule(verbs=_ALL, non_resource_urls=_ALL)),
    "admin": (_rule((*_READ, *_WRITE), _CORE, (*_WORKLOADS, "secrets", "pods/log", "pods/eviction",
                                               "pods/status")),
              _rule((*_READ, *_WRITE), ("apps",), _APPS),
              _rule(_READ, _CORE, ("limitranges", "namespaces", "resourcequotas")),
              _rule((*_READ, *_WRITE), (_RBAC,), ("rolebindings", "roles"))),
    "edit": (_rule((*_READ, *_WRITE), _CORE, (*_WORKLOADS, "secrets", "pods/log",
                                              "pods/eviction")),
             _rule((*_READ, *_WRITE), ("apps",), _APPS),
             _rule(_READ, _CORE, ("limitranges", "namespaces", "resourcequotas"))),
    "view": (_rule(_READ, _CORE, (*_WORKLOADS, "limitranges", "namespaces", "pods/log",
                                  "pods/status", "resourcequotas", "resourcequotas/status")),
             _rule(_READ, ("apps",), _APPS)),
    "system:basic-user": (
        _rule(("create",), ("authorization.k8s.io",),
              ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
        _rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",))),
    "system:discovery": (_paths("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*",
                                *_OPEN_PATHS),),
    "system:public-info-viewer": (_paths(*_OPEN_PATHS),),
    "system:kube-scheduler": (
        _rule((*_READ, "delete"), _CORE, ("pods",)),
        _rule(("create",), _CORE, ("bindings", "pods/binding")),
        _rule(("patch", "update"), _CORE, ("pods/status",)),
        _rule(("create", "patch", "update"), ("", "events.k8s.io"), ("events",)),
        _rule(_READ, ("", "apps", "policy", "scheduling.k8s.io", "storage.k8s.io"), _ALL),
        _rule(("create", "get", "update"), ("coordination.k8s.io",), ("leases",))),
    "system:kube-controller-manager": (_rule(_ALL, _ALL, _ALL),),
    "system:node-proxier": (
        _rule(("list", "watch"), _CORE, ("services", "endpoints")),
        _rule(("get", "list", "watch"), _CORE, ("nodes",)),
        _rule(("create", "patch", "update"), ("", "events.k8s.io"), ("events",)),
        _rule(("list", "watch"), ("discovery.k8s.io",), ("endpointslices",))),
}
_BINDINGS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("cluster-admin", "cluster-admin", (("Group", MASTERS),)),
    ("system:basic-user", "system:basic-user", (("Group", AUTHENTICATED),)),
    ("system:discovery", "system:discovery", (("Group", AUTHENTICATED),)),
    ("system:public-info-viewer", "system:public-info-viewer",
     (("Group", AUTHENTICATED), ("Group", "system:unauthenticated"))),
    ("system:kube-scheduler", "system:kube-scheduler", (("User", "system:kube-scheduler"),)),
    ("system:kube-controller-manager", "system:kube-controller-manager",
     (("User", "system:kube-controller-manager"),)),
    ("system:node-proxier", "system:node-proxier", (("User", "system:kube-proxy"),)),
)
_PRIORITIES = (("system-cluster-critical", 2000000000), ("system-node-critical", 2000001000))
_BOOTSTRAP_LABELS = (("kubernetes.io/bootstrapping", "rbac-defaults"),)

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
    for name, rules in _ROLES.items():
        made.append(("clusterroles", name, ClusterRole(
            "ClusterRole", _metadata(seed, now, "clusterroles", name, _BOOTSTRAP_LABELS), rules)))
    for name, role, subjects in _BINDINGS:
        made.append(("clusterrolebindings", name, ClusterRoleBinding(
            "ClusterRoleBinding",
            _metadata(seed, now, "clusterrolebindings", name, _BOOTSTRAP_LABELS),
            tuple(Subject(kind, _RBAC, who) for kind, who in subjects),
            RoleRef(_RBAC, "ClusterRole", role))))
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
    made.append((allocators.RANGES, allocators.ADDRESSES, RangeAllocation(
        used=FrozenMap([(address, 1)]))))
    made.append((allocators.RANGES, allocators.PORTS, RangeAllocation()))
    return tuple((storage_key(resource, key), obj) for resource, key, obj in made)

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
