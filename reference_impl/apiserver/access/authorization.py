"""Stage two, second: may this user do that? Role-based rules, and the node authorizer.

Source: Kubernetes documentation, "Using RBAC Authorization" and "Using Node Authorization". A
decision depends on the request's attributes and the four collections of roles and bindings alone,
so decisions are cached under those values.

Not modelled: the graph of the node authorizer for secrets and volumes (a node may read those that
its pods name; here it may read them by name), and impersonation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from model.kernel.values import EMPTY, FrozenMap
from reference_impl.apiserver.access.authentication import MASTERS
from reference_impl.apiserver.state import User


class Attributes(NamedTuple):
    """What is asked. `resource` carries the subresource after a slash; `path` is for requests that
    name no resource."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    path: str = ""


Objects = FrozenMap[str, Any]


class Policy(NamedTuple):
    """The roles and bindings of the cluster, as the cache holds them."""

    roles: Objects
    role_bindings: Objects
    cluster_roles: Objects
    cluster_role_bindings: Objects


def policy_of(cache: FrozenMap[str, Objects]) -> Policy:
    """The rules that hold now."""
    return Policy(cache.get("roles", EMPTY), cache.get("rolebindings", EMPTY),
                  cache.get("clusterroles", EMPTY), cache.get("clusterrolebindings", EMPTY))


@lru_cache(maxsize=16384)
def allowed(user: User, asked: Attributes, policy: Policy) -> bool:
    """Whether any rule allows it."""
    if MASTERS in user.groups:
        return True
    if "system:nodes" in user.groups and _node_may(asked):
        return True
    return any(_covers(rule, asked) for rule in rules_for(user, asked.namespace, policy))


@lru_cache(maxsize=4096)
def rules_for(user: User, namespace: str, policy: Policy) -> tuple[Any, ...]:
    """Every rule that applies to a user in a namespace ("": in the whole cluster)."""
    rules: list[Any] = []
    for binding in policy.cluster_role_bindings.values():
        if _names(binding, user, ""):
            rules.extend(_rules(binding.role_ref, "", policy))
    if namespace:
        for binding in policy.role_bindings.values():
            if binding.metadata.namespace == namespace and _names(binding, user, namespace):
                rules.extend(_rules(binding.role_ref, namespace, policy))
    return tuple(rules)


def _names(binding: Any, user: User, namespace: str) -> bool:
    for subject in binding.subjects or ():
        if subject.kind == "User" and subject.name == user.name:
            return True
        if subject.kind == "Group" and subject.name in user.groups:
            return True
        if subject.kind == "ServiceAccount" and user.name == (
                f"system:serviceaccount:{subject.namespace or namespace}:{subject.name}"):
            return True
    return False


def _rules(reference: Any, namespace: str, policy: Policy) -> tuple[Any, ...]:
    if reference is None:
        return ()
    role = (policy.cluster_roles.get(reference.name) if reference.kind == "ClusterRole"
            else policy.roles.get(f"{namespace}/{reference.name}"))
    return () if role is None else role.rules or ()


def _covers(rule: Any, asked: Attributes) -> bool:
    verbs = rule.verbs or ()
    if "*" not in verbs and asked.verb not in verbs:
        return False
    if asked.path:
        return any(url == "*" or url == asked.path
                   or (url.endswith("*") and asked.path.startswith(url[:-1]))
                   for url in rule.non_resource_urls or ())
    groups, resources = rule.api_groups or (), rule.resources or ()
    if "*" not in groups and asked.group not in groups:
        return False
    subresource = asked.resource.partition("/")[2]
    if not ("*" in resources or asked.resource in resources
            or (subresource and f"*/{subresource}" in resources)):
        return False
    return not rule.resource_names or asked.name in rule.resource_names


_NODE_RULES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "services"): ("get", "list", "watch"),
    ("", "nodes"): ("create", "get", "list", "watch", "update", "patch"),
    ("", "nodes/status"): ("update", "patch"),
    ("", "events"): ("create", "update", "patch"),
    ("", "pods"): ("get", "list", "watch", "create", "delete"),
    ("", "pods/status"): ("update", "patch"),
    ("", "pods/eviction"): ("create",),
    ("", "configmaps"): ("get",), ("", "secrets"): ("get",),
    ("", "persistentvolumeclaims"): ("get",), ("", "persistentvolumes"): ("get",),
    ("", "endpoints"): ("get",), ("", "serviceaccounts/token"): ("create",),
    ("", "serviceaccounts"): ("get",),
    ("coordination.k8s.io", "leases"): ("create", "get", "update", "patch", "delete"),
    ("storage.k8s.io", "csinodes"): ("create", "get", "update", "patch", "delete"),
    ("node.k8s.io", "runtimeclasses"): ("get", "list", "watch"),
    ("metrics.k8s.io", "nodes"): ("create", "update", "patch", "get"),
    ("metrics.k8s.io", "pods"): ("create", "update", "patch", "get", "delete"),
}


def _node_may(asked: Attributes) -> bool:
    return asked.verb in _NODE_RULES.get((asked.group, asked.resource), ())


def refusal(user: User, asked: Attributes) -> str:
    """Why not, in the words of the server."""
    if asked.path:
        return f'User "{user.name}" cannot {asked.verb} path "{asked.path}"'
    where = (f'in the namespace "{asked.namespace}"' if asked.namespace
             else "at the cluster scope")
    return (f'User "{user.name}" cannot {asked.verb} resource "{asked.resource}" in API group '
            f'"{asked.group}" {where}')
