"""Nobody gives away through roles and bindings what he does not have himself.

Source: Kubernetes documentation, "Using RBAC Authorization" (privilege escalation prevention and
bootstrapping). A role may be written by whom has all of its rules, or the verb `escalate` on it; a
binding by whom has all rules of the role, or the verb `bind` on that role. An aggregated role
collects what others will write, so it asks for everything.
"""

from __future__ import annotations

from typing import Any

from model.api.cluster import PolicyRule, RoleRef
from model.api.requests import Status, forbidden
from model.kernel.values import FrozenMap
from reference_impl.apiserver.access import authorization, rbac
from reference_impl.apiserver.access.authentication import MASTERS
from reference_impl.apiserver.access.default_roles import RBAC
from reference_impl.apiserver.access.rbac import Attributes
from reference_impl.apiserver.state import User

EVERYTHING = (PolicyRule(("*",), ("*",), ("*",)), PolicyRule(("*",), non_resource_urls=("*",)))
ROLES = {"Role": "roles", "ClusterRole": "clusterroles"}
BINDINGS = {"RoleBinding": "rolebindings", "ClusterRoleBinding": "clusterrolebindings"}
GUARDED = frozenset((*ROLES.values(), *BINDINGS.values()))
"""The resources whose writes are looked at."""


def objection(user: User, new: Any, old: Any,
              cache: FrozenMap[str, FrozenMap[str, Any]]) -> Status | None:
    """Why a role or binding may not be written so, None when it may. `old` is None at creation."""
    if MASTERS in user.groups:
        return None
    if new.kind in ROLES:
        return _role(user, new, old, cache)
    return _binding(user, new, old, cache)


def _role(user: User, new: Any, old: Any, cache: FrozenMap[str, Any]) -> Status | None:
    resource, metadata = ROLES[new.kind], new.metadata
    gathers = getattr(new, "aggregation_rule", None)
    if old is not None and old.rules == new.rules and (
            getattr(old, "aggregation_rule", None) == gathers):
        return None
    asked = Attributes("escalate", RBAC, resource, metadata.namespace or "", metadata.name or "")
    if authorization.decide(user, asked, cache).allowed:
        return None
    why = _missing(user, new.rules or (), metadata.namespace or "", cache)
    if not why and gathers is not None and _missing(user, EVERYTHING, "", cache):
        why = "must have cluster-admin privileges to use the aggregationRule"
    return forbidden(resource, metadata.name or "", why) if why else None


def _binding(user: User, new: Any, old: Any, cache: FrozenMap[str, Any]) -> Status | None:
    resource, metadata = BINDINGS[new.kind], new.metadata
    reference: RoleRef | None = new.role_ref
    if reference is None or (old is not None and old.subjects == new.subjects
                             and old.role_ref == reference):
        return None
    namespace = metadata.namespace or ""
    asked = Attributes("bind", RBAC, ROLES.get(reference.kind or "", ""), namespace,
                       reference.name or "")
    if authorization.decide(user, asked, cache).allowed:
        return None
    rules = rbac.rules_of_role(reference, namespace, rbac.policy_of(cache))
    if rules is None:
        return Status(code=404, reason="NotFound", message=rbac.role_missing(reference),
                      name=reference.name or "", group=RBAC,
                      details_kind=(reference.kind or "").lower())
    why = _missing(user, rules, namespace, cache)
    return forbidden(resource, metadata.name or "", why) if why else None


def _missing(user: User, wanted: tuple[PolicyRule, ...], namespace: str,
             cache: FrozenMap[str, Any]) -> str:
    """What a user would give away without having it, in the words of the server; "" for nothing."""
    granted = rbac.grants_for(user, namespace, rbac.policy_of(cache))
    owned = tuple(grant.rule for grant in granted if grant.rule is not None)
    missing = rbac.uncovered(wanted, owned)
    if not missing:
        return ""
    listed = "\n".join(rbac.compact(missing))
    unknown = [grant.missing for grant in granted if grant.rule is None]
    errors = f"; resolution errors: [{' '.join(dict.fromkeys(unknown))}]" if unknown else ""
    return (f'user "{user.name}" (groups={rbac.quoted(user.groups)}) is attempting to grant RBAC '
            f"permissions not currently held:\n{listed}{errors}")
