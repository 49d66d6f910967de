"""Aggregated cluster roles: the rules of one role are those of all that its selectors choose.

Source: Kubernetes documentation, "Using RBAC Authorization" (aggregated ClusterRoles). Roles give
their rules in the order of their names; a rule that is there already is not repeated. A role never
gives rules to itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from model.api import selectors
from model.api.cluster import ClusterRole, PolicyRule


def aggregated(role: ClusterRole, roles: Iterable[ClusterRole]) -> tuple[PolicyRule, ...] | None:
    """The rules that an aggregated role should have, given all cluster roles; None for no rules."""
    ordered = sorted(roles, key=lambda each: each.metadata.name or "")
    chosen: dict[PolicyRule, None] = {}
    for selector in (role.aggregation_rule.cluster_role_selectors or ()
                     if role.aggregation_rule is not None else ()):
        wanted = selectors.from_object(selector)
        for each in ordered:
            if each.metadata.name != role.metadata.name \
                    and selectors.matches(wanted, each.metadata.labels):
                chosen.update(dict.fromkeys(each.rules or ()))
    return tuple(chosen) or None
