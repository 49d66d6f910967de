"""Users, roles and what they may do: part of the replicated store, and pure functions on it.

Rules: etcd.io/docs, "Role-based access control". Whether an entry of the log is accepted depends on
the log before it alone, so these are asked when an entry is applied, at every member. `Granted` is
what is asked then: the permissions of each user, worked out once after each change of the rules.

Not modelled: how passwords are kept and compared, and the life time of tokens: a token names the
user and the revision of the rules at which it was given out, and is good while that revision
stands, as etcd's signed tokens are. A permission replaces that of the same role on the same range;
etcd may keep the older one where a role has several that begin at one key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from model.api import storage
from model.api.storage import FROM_KEY, Access
from model.kernel.values import EMPTY, FrozenMap

ROOT = "root"
LAST = "\U0010ffff"


class Permission(NamedTuple):
    """Access to `key`, or to all keys in [key, range_end)."""

    access: Access
    key: str
    range_end: str = ""


class User(NamedTuple):
    """A user's password and roles."""

    password: str
    roles: tuple[str, ...] = ()


class Auth(NamedTuple):
    """The rules. `revision` counts their changes."""

    enabled: bool = False
    users: FrozenMap[str, User] = EMPTY
    roles: FrozenMap[str, tuple[Permission, ...]] = EMPTY
    revision: int = 1


NO_AUTH = Auth()
Granted = FrozenMap[str, tuple[Permission, ...]]


def granted(auth: Auth) -> Granted:
    """The permissions of each user, through all roles; the role root has them all."""
    everything = (Permission("readwrite", FROM_KEY, FROM_KEY),)
    return FrozenMap((name, tuple([permission for role in user.roles for permission in (
        everything if role == ROOT else auth.roles.get(role, ()))]))
        for name, user in auth.users.items())


def changed(auth: Auth, request: Any) -> tuple[Auth, str]:
    """The rules after a request, or why it is refused."""
    after, error = _CHANGES[type(request)](auth, request)
    if error or after is auth:
        return auth, error
    return after._replace(revision=auth.revision + 1), ""


def _enabled(auth: Auth, request: storage.AuthEnable) -> tuple[Auth, str]:
    if ROOT not in auth.users:
        return auth, storage.ROOT_MISSING
    if ROOT not in auth.users[ROOT].roles:
        return auth, storage.ROOT_ROLE_MISSING
    return auth if auth.enabled else auth._replace(enabled=True), ""


def _disabled(auth: Auth, request: storage.AuthDisable) -> tuple[Auth, str]:
    return auth._replace(enabled=False) if auth.enabled else auth, ""


def _user_added(auth: Auth, request: storage.UserAdd) -> tuple[Auth, str]:
    if request.name in auth.users:
        return auth, storage.USER_EXISTS
    return auth._replace(users=auth.users.set(request.name, User(request.password))), ""


def _role_granted(auth: Auth, request: storage.UserGrantRole) -> tuple[Auth, str]:
    user = auth.users.get(request.name)
    if user is None:
        return auth, storage.USER_NOT_FOUND
    if request.role != ROOT and request.role not in auth.roles:
        return auth, storage.ROLE_NOT_FOUND
    if request.role in user.roles:
        return auth, ""
    roles = tuple(sorted((*user.roles, request.role)))
    return auth._replace(users=auth.users.set(request.name, user._replace(roles=roles))), ""


def _role_added(auth: Auth, request: storage.RoleAdd) -> tuple[Auth, str]:
    if request.name in auth.roles:
        return auth, storage.ROLE_EXISTS
    return auth._replace(roles=auth.roles.set(request.name, ())), ""


def _permission_granted(auth: Auth, request: storage.RoleGrant) -> tuple[Auth, str]:
    if request.name not in auth.roles:
        return auth, storage.ROLE_NOT_FOUND
    fresh = Permission(request.access, request.key, request.range_end)
    kept = tuple(each for each in auth.roles[request.name]
                 if (each.key, each.range_end) != (fresh.key, fresh.range_end))
    return auth._replace(roles=auth.roles.set(request.name, (*kept, fresh))), ""


_CHANGES: dict[type, Callable[[Auth, Any], tuple[Auth, str]]] = {
    storage.AuthEnable: _enabled, storage.AuthDisable: _disabled,
    storage.UserAdd: _user_added, storage.UserGrantRole: _role_granted,
    storage.RoleAdd: _role_added, storage.RoleGrant: _permission_granted,
}
CHANGES = tuple(_CHANGES)


def identified(auth: Auth, request: storage.Authenticate) -> tuple[str, str]:
    """(token, "") for a user with this password; ("", why not) else."""
    user = auth.users.get(request.name)
    if not auth.enabled:
        return "", storage.AUTH_NOT_ENABLED
    if user is None or user.password != request.password:
        return "", storage.AUTH_FAILED
    return f"{request.name}.{auth.revision}", ""


def user_of(token: str) -> tuple[str, int]:
    """The user and the revision that a token names; ("", 0) when it is none."""
    name, _, revision = token.rpartition(".")
    return (name, int(revision)) if name and revision.isdigit() else ("", 0)


def refused(auth: Auth, rules: Granted, name: str, revision: int, request: Any) -> str:
    """Why the user may not do this; "" when it may. `revision`: of the rules, in its token."""
    if not auth.enabled or type(request) is storage.Authenticate:
        return ""
    if not name:
        return storage.USER_EMPTY
    if revision < auth.revision:
        return storage.AUTH_OLD_REVISION
    if type(request) in _CHANGES or type(request) is storage.MemberChange:
        user = auth.users.get(name)
        return "" if user is not None and ROOT in user.roles else storage.PERMISSION_DENIED
    mine = rules.get(name, ())
    wanted = _wanted(request)
    return "" if all(_covered(mine, *each) for each in wanted) else storage.PERMISSION_DENIED


def _wanted(request: Any) -> list[tuple[str, str, str]]:
    """(access, key, range_end) that a request needs."""
    kind = type(request)
    if kind is storage.Range or kind is storage.Watch:
        return [("read", request.key, request.range_end)]
    if kind is storage.Put:
        reads = [("read", request.key, "")] if request.previous else []
        return [("write", request.key, ""), *reads]
    if kind is storage.Delete:
        span = (request.key, request.range_end)
        return [("write", *span), *([("read", *span)] if request.previous else [])]
    if kind is storage.Txn:
        found = [("read", compare.key, "") for compare in request.compares]
        for operation in (*request.success, *request.failure):
            found += _wanted(operation)
        return found
    return []


def _covered(mine: tuple[Permission, ...], access: str, key: str, range_end: str) -> bool:
    """Whether permissions of that access, joined where they touch, cover the range."""
    start, end = _span(key, range_end)
    for low, high in sorted(_span(each.key, each.range_end) for each in mine
                            if each.access in (access, "readwrite")):
        if low > start:
            return False
        if high > start:
            start = high
        if start >= end:
            return True
    return False


def _span(key: str, range_end: str) -> tuple[str, str]:
    if not range_end:
        return key, key + "\0"
    return key, LAST if range_end == FROM_KEY else range_end
