"""Aggregated cluster roles are kept level by the server itself.

Source: Kubernetes documentation, "Using RBAC Authorization" (aggregated ClusterRoles). In
Kubernetes a controller does this; here it is one of the writes that the server makes of its own
accord when its cache shows a need, so that no cluster is without it. Each such write is an ordinary
update over the version that the cache shows; when it is refused, the event of whatever came between
calls again.
"""

from __future__ import annotations

from typing import Any

from model.api.cluster import ClusterRole
from model.api.objects import put
from model.api.requests import Request, update
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib.aggregation import aggregated

ROLES = "clusterroles"
PREFIX = f"/registry/{ROLES}/"
CARE = "role:"
"""What the names of roles begin with where the server notes what it must look after."""
Cache = FrozenMap[str, FrozenMap[str, Any]]


def in_need(cache: Cache, keys: list[str]) -> tuple[str, ...]:
    """The roles that are not what they gather, after a change of these keys."""
    if not any(key.startswith(PREFIX) for key in keys):
        return ()
    return tuple(f"{CARE}{name}" for name, role in cache.get(ROLES, EMPTY).items()
                 if role.aggregation_rule is not None and _wanted(cache, role) != role.rules)


def tended(cache: Cache, name: str) -> Request | None:
    """The write that levels a role, None when it is level (or gone)."""
    role: ClusterRole | None = cache.get(ROLES, EMPTY).get(name.removeprefix(CARE))
    if role is None or role.aggregation_rule is None:
        return None
    wanted = _wanted(cache, role)
    return None if wanted == role.rules else update(put(role, "rules", wanted))


def _wanted(cache: Cache, role: ClusterRole) -> Any:
    return aggregated(role, cache.get(ROLES, EMPTY).values())
