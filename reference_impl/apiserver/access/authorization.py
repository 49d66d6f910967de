"""Stage two, second: may this user do that? The node authorizer first, then role-based rules.

Source: Kubernetes documentation, "Authorization" (modes are asked in turn; the first that allows
decides; none ever denies), "Using RBAC Authorization", "Using Node Authorization".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from model.api.requests import Status
from model.kernel.values import FrozenMap
from reference_impl.apiserver.access import node_authorizer, rbac
from reference_impl.apiserver.access.authentication import MASTERS
from reference_impl.apiserver.access.rbac import Attributes, Policy
from reference_impl.apiserver.state import User


class Decision(NamedTuple):
    """What the authorizers say, and why: who granted it, or what was missing ("" for nothing)."""

    allowed: bool
    reason: str = ""


def decide(user: User, asked: Attributes, cache: FrozenMap[str, FrozenMap[str, Any]]) -> Decision:
    """Whether a user may do something, given what the server's cache shows."""
    if MASTERS in user.groups:
        return Decision(True)
    node = node_authorizer.node_of(user)
    objection = ""
    if node:
        found = node_authorizer.objection(node, asked, cache)
        if found is None:
            return Decision(True)
        objection = found
    decision = by_roles(user, asked, rbac.policy_of(cache))
    if decision.allowed or not objection:
        return decision
    reasons = [reason for reason in (objection, decision.reason) if reason]
    return Decision(False, "\n".join(reasons))


@lru_cache(maxsize=16384)
def by_roles(user: User, asked: Attributes, policy: Policy) -> Decision:
    """What the roles and bindings alone say."""
    missing: dict[str, None] = {}
    for grant in rbac.grants_for(user, asked.namespace, policy):
        if grant.rule is None:
            missing[grant.missing] = None
        elif rbac.allows(grant.rule, asked):
            return Decision(True, f"RBAC: allowed by {grant.origin}")
    if not missing:
        return Decision(False)
    listed = ", ".join(missing)
    return Decision(False, f"RBAC: {listed if len(missing) == 1 else f'[{listed}]'}")


def refusal(user: User, asked: Attributes, reason: str = "") -> Status:
    """403, in the words of the server."""
    tail = f": {reason}" if reason else ""
    if asked.path:
        return Status(code=403, reason="Forbidden", message=(
            f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"{tail}'))
    where = (f'in the namespace "{asked.namespace}"' if asked.namespace
             else "at the cluster scope")
    plural = asked.resource.partition("/")[0]
    qualified = f"{plural}.{asked.group}" if asked.group else plural
    named = f' "{asked.name}"' if asked.name else ""
    return Status(code=403, reason="Forbidden", name=asked.name, group=asked.group,
                  details_kind=plural, message=(
                      f'{qualified}{named} is forbidden: User "{user.name}" cannot {asked.verb} '
                      f'resource "{asked.resource}" in API group "{asked.group}" {where}{tail}'))
