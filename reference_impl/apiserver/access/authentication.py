"""Stage two, first: who asks. A bearer token, the name of a built-in component, or nobody.

Source: Kubernetes documentation, "Authenticating". Tokens reach the server as ids (the front door
swaps them), so that no secret stands in a trace. Built-in components are known by their connection,
as they would be by their client certificate.
"""

from __future__ import annotations

from functools import lru_cache

from model.kernel.values import FrozenMap
from reference_impl.apiserver.state import User

AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"
ANONYMOUS = User("system:anonymous", "", ("system:unauthenticated",))
ADMIN = User("kubernetes-admin", "", (MASTERS, AUTHENTICATED))


@lru_cache(maxsize=4096)
def component(name: str) -> User:
    """The identity of a built-in component."""
    kind, _, rest = name.partition("/")
    if kind == "kubelet":
        return User(f"system:node:{rest}", "", ("system:nodes", AUTHENTICATED))
    if kind == "kubectl":
        return ADMIN
    if kind == "scheduler":
        return User("system:kube-scheduler", "", (AUTHENTICATED,))
    if kind == "kube-proxy":
        return User("system:kube-proxy", "", (AUTHENTICATED,))
    return User("system:kube-controller-manager", "", (AUTHENTICATED,))


def authenticate(client: str, token: str, tokens: FrozenMap[str, User],
                 anonymous: bool) -> User | None:
    """Who asks on a connection of `client`; None when the credential is not accepted."""
    if token:
        user = tokens.get(token)
        if user is None:
            return None
        return user._replace(groups=(*user.groups, AUTHENTICATED))
    if client == OUTSIDE:
        return ANONYMOUS if anonymous else None
    return component(client)


OUTSIDE = "outside"
"""The component through which clients from outside come in."""
