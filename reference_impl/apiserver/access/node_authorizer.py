"""The node authorizer: a kubelet may touch its own node, its own pods and what those name.

Source: Kubernetes documentation, "Using Node Authorization"; KEP-4601 (a node lists only its own
pods). What is not about one node is decided by the rules of the default role `system:node`. An
answer is None when the node may, else the reason why not ("" where Kubernetes gives none).

The relation between a node and an object is worked out from the pods of the object's namespace when
a node asks, where Kubernetes keeps a graph: the outcome is the same.

Not modelled: volume attachments, resource claims, and secrets that a volume's driver names; nothing
here creates them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from model.api import selectors
from model.api.cluster import PolicyRule
from model.api.objects import rest_fields, thaw
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.apiserver.access import default_roles, rbac
from reference_impl.apiserver.access.rbac import Attributes
from reference_impl.apiserver.state import User

NODES_GROUP = "system:nodes"
PREFIX = "system:node:"
LEASES = "kube-node-lease"
METRICS_RULES = (PolicyRule(("create", "delete", "get", "patch", "update"), ("metrics.k8s.io",),
                            ("nodes", "pods")),)
"""Kubelets publish what they measure themselves: no metrics server stands between."""
Cache = FrozenMap[str, FrozenMap[str, Any]]


def node_of(user: User) -> str:
    """The node whose kubelet a user is, "" for everybody else."""
    return user.name[len(PREFIX):] if NODES_GROUP in user.groups and user.name.startswith(
        PREFIX) else ""


def objection(node: str, asked: Attributes, cache: Cache) -> str | None:
    """Why the kubelet of a node may not do that, None when it may."""
    resource, _, subresource = asked.resource.partition("/")
    if asked.group == "" and not asked.path:
        if resource in ("secrets", "configmaps"):
            return _read_named(node, resource, subresource, asked, cache)
        if resource == "persistentvolumeclaims" and subresource == "status":
            return _related(node, resource, asked, cache) if asked.verb in ("update", "patch") \
                else "can only get/update/patch this type"
        if resource in ("persistentvolumeclaims", "persistentvolumes"):
            return _get_one(node, resource, subresource, asked, cache)
        if resource == "serviceaccounts":
            return _token(node, subresource, asked, cache)
        if resource == "nodes":
            return _own_node(node, subresource, asked)
        if resource == "pods":
            return _own_pods(node, subresource, asked, cache)
    if asked.group == "coordination.k8s.io" and resource == "leases":
        return _own_lease(node, asked)
    rules = (*default_roles.rules_of("system:node"), *METRICS_RULES)
    return None if any(rbac.allows(rule, asked) for rule in rules) else ""


def _read_named(node: str, resource: str, subresource: str, asked: Attributes,
                cache: Cache) -> str | None:
    if asked.verb not in ("get", "list", "watch"):
        return "can only read resources of this type"
    if subresource:
        return "cannot read subresource"
    if not asked.namespace:
        return "can only read namespaced object of this type"
    return _related(node, resource, asked, cache)


def _get_one(node: str, resource: str, subresource: str, asked: Attributes,
             cache: Cache) -> str | None:
    if asked.verb != "get":
        return "can only get individual resources of this type"
    if subresource:
        return "cannot get subresource"
    return _related(node, resource, asked, cache)


def _token(node: str, subresource: str, asked: Attributes, cache: Cache) -> str | None:
    if asked.verb != "create" or not asked.name:
        return "can only create tokens for individual service accounts"
    if subresource != "token":
        return "can only create token subresource of service account"
    return _related(node, "serviceaccounts", asked, cache)


def _own_node(node: str, subresource: str, asked: Attributes) -> str | None:
    if asked.verb in ("update", "patch") and subresource in ("", "status"):
        return None  # which node it is, the admission plug-in NodeRestriction looks at
    if subresource:
        return ""
    if asked.verb == "create":
        return None
    if asked.verb not in ("get", "list", "watch"):
        return ""
    name = asked.name or _field(asked.fields, "metadata.name")
    if name == node:
        return None
    return (f"node '{node}' cannot read '{name}', only its own Node object" if name
            else f"node '{node}' cannot read all nodes, only its own Node object")


def _own_pods(node: str, subresource: str, asked: Attributes, cache: Cache) -> str | None:
    verb = asked.verb
    if subresource == "status" and verb in ("update", "patch"):
        return None
    if subresource == "eviction" and verb == "create":
        return None
    if subresource:
        return ""
    if verb == "get":
        pod = cache.get("pods", EMPTY).get(f"{asked.namespace}/{asked.name}")
        bound = pod is not None and pod.spec is not None and pod.spec.node_name == node
        return None if bound else _unrelated(node)
    if verb in ("list", "watch"):
        return None if _field(asked.fields, "spec.nodeName") == node else (
            "can only list/watch pods with spec.nodeName field selector")
    return None if verb in ("create", "delete") else ""


def _own_lease(node: str, asked: Attributes) -> str | None:
    if asked.verb not in ("get", "create", "update", "patch", "delete"):
        return "can only get, create, update, patch, or delete a node lease"
    if asked.namespace != LEASES:
        return f'can only access leases in the "{LEASES}" system namespace'
    if asked.verb != "create" and asked.name != node:
        return "can only access node lease with the same name as the requesting node"
    return None


def _field(fields: str, path: str) -> str:
    """The value that a field selector demands for a path, "" for none."""
    if path not in fields:
        return ""
    return next((each.value for each in selectors.parse_fields(fields)
                 if each.path == path and not each.negated), "")


# -- what the pods of a node name ---------------------------------------------------------------


def _unrelated(node: str) -> str:
    return f"no relationship found between node '{node}' and this object"


def _related(node: str, resource: str, asked: Attributes, cache: Cache) -> str | None:
    if not asked.name:
        return "No Object name found"
    pods = cache.get("pods", EMPTY)
    for pod in pods.values():
        if pod.spec is None or pod.spec.node_name != node:
            continue
        namespace = pod.metadata.namespace
        named = references(pod)
        if resource == "persistentvolumes":
            claims = cache.get("persistentvolumeclaims", EMPTY)
            if any(kind == "persistentvolumeclaims" and _volume_of(
                    claims.get(f"{namespace}/{name}")) == asked.name for kind, name in named):
                return None
        elif namespace == asked.namespace and (resource, asked.name) in named:
            return None
    return _unrelated(node)


def _volume_of(claim: Any) -> str:
    spec = rest_fields(claim).get("spec") if claim is not None else None
    return (spec or {}).get("volumeName") or ""


_BY_FIELD = {"secretRef": ("secrets", "name"), "secretKeyRef": ("secrets", "name"),
             "secret": ("secrets", "secretName"), "imagePullSecrets": ("secrets", "name"),
             "nodePublishSecretRef": ("secrets", "name"),
             "configMapRef": ("configmaps", "name"), "configMapKeyRef": ("configmaps", "name"),
             "configMap": ("configmaps", "name"),
             "persistentVolumeClaim": ("persistentvolumeclaims", "claimName")}


@lru_cache(maxsize=4096)
def references(pod: Any) -> frozenset[tuple[str, str]]:
    """The (resource, name) of everything in its namespace that a pod names."""
    spec = thaw(pod)["spec"]
    found = {("serviceaccounts", spec.get("serviceAccountName") or "default")}
    for volume in spec.get("volumes") or ():
        if "ephemeral" in volume:
            found.add(("persistentvolumeclaims", f"{pod.metadata.name}-{volume['name']}"))
    _collect(spec, found)
    return frozenset(found)


def _collect(value: Any, found: set[tuple[str, str]]) -> None:
    if isinstance(value, list):
        for each in value:
            _collect(each, found)
        return
    if not isinstance(value, dict):
        return
    for field, inner in value.items():
        if field in _BY_FIELD:
            resource, key = _BY_FIELD[field]
            for each in inner if isinstance(inner, list) else (inner,):
                name = each.get(key) or each.get("name") if isinstance(each, dict) else None
                if name:
                    found.add((resource, name))
        _collect(inner, found)
