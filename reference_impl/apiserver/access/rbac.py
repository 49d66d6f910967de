"""Role-based rules: which apply to a user, what one allows, and whether some cover others.

Source: Kubernetes documentation, "Using RBAC Authorization". A decision depends on the request and
on the four collections of roles and bindings alone, so what applies to a user is kept under those
values.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from model.api.cluster import PolicyRule, RoleRef
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.apiserver.state import User

Objects = FrozenMap[str, Any]


class Attributes(NamedTuple):
    """What is asked. `resource` carries the subresource after a slash; `path` is for requests that
    name no resource; `fields` is the field selector of a list or watch."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    path: str = ""
    fields: str = ""


class Policy(NamedTuple):
    """The roles and bindings of the cluster, as the cache holds them."""

    roles: Objects
    role_bindings: Objects
    cluster_roles: Objects
    cluster_role_bindings: Objects


class Grant(NamedTuple):
    """A rule that applies to a user, and in words by which binding. `missing`: there is no rule,
    because the binding names a role that does not exist."""

    rule: PolicyRule | None
    origin: str
    missing: str = ""


def policy_of(cache: FrozenMap[str, Objects]) -> Policy:
    """The rules that hold now."""
    return Policy(cache.get("roles", EMPTY), cache.get("rolebindings", EMPTY),
                  cache.get("clusterroles", EMPTY), cache.get("clusterrolebindings", EMPTY))


@lru_cache(maxsize=4096)
def grants_for(user: User, namespace: str, policy: Policy) -> tuple[Grant, ...]:
    """Every rule that applies to a user in a namespace ("": in the whole cluster)."""
    found: list[Grant] = []
    for binding in policy.cluster_role_bindings.values():
        subject = _subject(binding, user, "")
        if subject is not None:
            about = f'ClusterRoleBinding "{binding.metadata.name}"'
            found.extend(_grants(binding.role_ref, "", policy, about, subject))
    if namespace:
        for binding in policy.role_bindings.values():
            if binding.metadata.namespace != namespace:
                continue
            subject = _subject(binding, user, namespace)
            if subject is not None:
                about = f'RoleBinding "{binding.metadata.name}/{namespace}"'
                found.extend(_grants(binding.role_ref, namespace, policy, about, subject))
    return tuple(found)


def _grants(reference: RoleRef | None, namespace: str, policy: Policy, about: str,
            subject: str) -> list[Grant]:
    rules = rules_of_role(reference, namespace, policy)
    if reference is None:
        return []
    origin = f'{about} of {reference.kind} "{reference.name}" to {subject}'
    if rules is None:
        return [Grant(None, origin, role_missing(reference))]
    return [Grant(rule, origin) for rule in rules]


def role_missing(reference: RoleRef) -> str:
    """That the role which a binding names does not exist."""
    kind = (reference.kind or "").lower()
    return f'{kind}.rbac.authorization.k8s.io "{reference.name}" not found'


def rules_of_role(reference: RoleRef | None, namespace: str,
                  policy: Policy) -> tuple[PolicyRule, ...] | None:
    """The rules of the role that a binding names, None when there is no such role."""
    if reference is None:
        return None
    role = (policy.cluster_roles.get(reference.name or "") if reference.kind == "ClusterRole"
            else policy.roles.get(f"{namespace}/{reference.name}"))
    return None if role is None else role.rules or ()


def _subject(binding: Any, user: User, namespace: str) -> str | None:
    """The first subject of a binding that is this user, in words."""
    for subject in binding.subjects or ():
        kind, name = subject.kind, subject.name
        if kind == "User" and name == user.name:
            return f'User "{name}"'
        if kind == "Group" and name in user.groups:
            return f'Group "{name}"'
        if kind == "ServiceAccount":
            home = subject.namespace or namespace
            if user.name == f"system:serviceaccount:{home}:{name}":
                return f'ServiceAccount "{name}/{home}"'
    return None


def allows(rule: PolicyRule, asked: Attributes) -> bool:
    """Whether a rule allows a request."""
    verbs = rule.verbs or ()
    if "*" not in verbs and asked.verb not in verbs:
        return False
    if asked.path:
        return any(url_matches(url, asked.path) for url in rule.non_resource_urls or ())
    groups, resources = rule.api_groups or (), rule.resources or ()
    if "*" not in groups and asked.group not in groups:
        return False
    subresource = asked.resource.partition("/")[2]
    if not ("*" in resources or asked.resource in resources
            or (subresource and f"*/{subresource}" in resources)):
        return False
    return not rule.resource_names or asked.name in rule.resource_names


def url_matches(pattern: str, path: str) -> bool:
    """Whether a path is the pattern, or begins with it where it ends in a star."""
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


# -- one rule against others --------------------------------------------------------------------


def uncovered(wanted: tuple[PolicyRule, ...],
              owned: tuple[PolicyRule, ...]) -> tuple[PolicyRule, ...]:
    """The smallest rules within `wanted` that no single rule of `owned` grants."""
    return tuple(piece for rule in wanted for piece in _pieces(rule)
                 if not any(_covers(own, piece) for own in owned))


def _pieces(rule: PolicyRule) -> list[PolicyRule]:
    """A rule as rules of one verb on one thing each."""
    found = [PolicyRule((verb,), (group,), (resource,), (name,) if name else None)
             for group in rule.api_groups or () for resource in rule.resources or ()
             for verb in rule.verbs or () for name in rule.resource_names or ("",)]
    found.extend(PolicyRule((verb,), non_resource_urls=(url,))
                 for url in rule.non_resource_urls or () for verb in rule.verbs or ())
    return found


def _covers(own: PolicyRule, piece: PolicyRule) -> bool:
    """Whether a rule grants all of a piece. A star covers everything; only a star covers it."""
    if not _among(own.verbs, piece.verbs):
        return False
    if piece.non_resource_urls:
        url = piece.non_resource_urls[0]
        return any(url_matches(pattern, url) for pattern in own.non_resource_urls or ())
    resource = (piece.resources or ("",))[0]
    subresource = resource.partition("/")[2]
    held = own.resources or ()
    if not _among(own.api_groups, piece.api_groups) or not (
            "*" in held or resource in held or (subresource and f"*/{subresource}" in held)):
        return False
    return not own.resource_names or (bool(piece.resource_names)
                                      and _among(own.resource_names, piece.resource_names))


def _among(held: tuple[str, ...] | None, wanted: tuple[str, ...] | None) -> bool:
    return "*" in (held or ()) or all(each in (held or ()) for each in wanted or ())


def compact(pieces: tuple[PolicyRule, ...]) -> list[str]:
    """Pieces as text, those of one thing with their verbs together, sorted."""
    verbs: dict[PolicyRule, list[str]] = {}
    for piece in pieces:
        verbs.setdefault(piece._replace(verbs=None), []).extend(piece.verbs or ())
    return sorted({_text(thing._replace(verbs=tuple(dict.fromkeys(found))))
                   for thing, found in verbs.items()})


def _text(rule: PolicyRule) -> str:
    parts = (("APIGroups", rule.api_groups), ("Resources", rule.resources),
             ("NonResourceURLs", rule.non_resource_urls), ("ResourceNames", rule.resource_names),
             ("Verbs", rule.verbs))
    return "{" + ", ".join(f"{name}:{quoted(values)}" for name, values in parts if values) + "}"


def quoted(values: tuple[str, ...]) -> str:
    """Texts as the server prints lists of them: `["a" "b"]`."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
