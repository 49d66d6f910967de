"""Stage two, first: who asks. A bearer token, the name of a built-in component, or nobody.

Source: Kubernetes documentation, "Authenticating". Tokens reach the server as ids: the front door
compares secrets and checks signatures, so that none stands in a trace. The id of a service
account's token tells its claims, which are judged here, against the objects that they name.
Built-in components are known by their connection, as they would be by their client certificate;
controllers act as their own service accounts (`--use-service-account-credentials`).
"""

from __future__ import annotations

from functools import lru_cache

from model.api.requests import Impersonation, Request, Status, internal_error, unauthorized
from model.kernel.values import FrozenMap
from reference_impl.apiserver.access import default_roles, service_account_tokens
from reference_impl.apiserver.access.known import Known, LookUp
from reference_impl.apiserver.access.service_account_tokens import ACCOUNT_PREFIX
from reference_impl.apiserver.state import User

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
ANONYMOUS = User("system:anonymous", "", (UNAUTHENTICATED,))
ADMIN = User("kubernetes-admin", "", (MASTERS, AUTHENTICATED))
OUTSIDE = "outside"
"""The component through which clients from outside come in."""
_CONTROLLERS = {"resource-quota": "resourcequota-controller",
                "replica-set": "replicaset-controller",
                "endpoint-slice": "endpointslice-controller",
                "garbage-collector": "generic-garbage-collector",
                "root-ca": "root-ca-cert-publisher",
                "cluster-role-aggregation": "clusterrole-aggregation-controller"}
"""Controllers whose account is not named after them."""
MANAGER = User("system:kube-controller-manager", "", (AUTHENTICATED,))


@lru_cache(maxsize=4096)
def component(name: str, verb: str) -> User:
    """The identity of a built-in component. Controllers share the informers of their manager, so
    lists and watches are the manager's; all else a controller does as its own account. The service
    controller is part of the cloud's manager, which brings its own credentials; it and what
    Kubernetes has no role for (a user's own controller) act as administrators."""
    kind, _, rest = name.partition("/")
    if kind == "kubectl" and not rest:
        return ADMIN
    user = f"system:node:{rest}" if kind == "kubelet" else rest
    if user.startswith("system:node:"):
        return User(user, "", ("system:nodes", AUTHENTICATED))
    if kind == "kubectl":
        return User(user, "", (AUTHENTICATED,))
    if kind == "scheduler":
        return User("system:kube-scheduler", "", (AUTHENTICATED,))
    if kind == "kube-proxy":
        return User("system:kube-proxy", "", (AUTHENTICATED,))
    if rest == "service":
        return User("system:cloud-controller-manager", "", (MASTERS, AUTHENTICATED))
    account = _CONTROLLERS.get(rest, f"{rest}-controller")
    if rest == "token" or (verb in ("list", "watch") and _has_role(account)):
        return MANAGER
    groups = service_account_tokens.groups_of("kube-system")
    if not _has_role(account):
        groups = (*groups, MASTERS)
    return User(f"{ACCOUNT_PREFIX}kube-system:{account}", "", (*groups, AUTHENTICATED))


def _has_role(account: str) -> bool:
    return f"{default_roles.CONTROLLER}{account}" in default_roles.RULES


def authenticate(client: str, verb: str, token: str, tokens: FrozenMap[str, User],
                 anonymous: bool, known: Known) -> User | LookUp | None:
    """Who asks on a connection of `client`; None when the credential is not accepted."""
    if token:
        user = tokens.get(token)
        if user is not None:
            return user._replace(groups=(*user.groups, AUTHENTICATED))
        account = service_account_tokens.holder(token, known)
        if isinstance(account, User):
            return account._replace(groups=(*account.groups, AUTHENTICATED))
        return account
    if client == OUTSIDE:
        return ANONYMOUS if anonymous else None
    return component(client, verb)


def impersonated(wish: Impersonation) -> User | Status:
    """The user that an impersonation means; a Status when it names none."""
    if not wish.user:
        return internal_error("requested groups, uid or user-extra without impersonating a user")
    groups = wish.groups
    namespace, name = account_of(wish.user)
    if name and not groups:
        groups = service_account_tokens.groups_of(namespace)
    if wish.user == ANONYMOUS.name:
        mark = UNAUTHENTICATED
    else:
        mark = AUTHENTICATED
    if not {AUTHENTICATED, UNAUTHENTICATED} & set(groups):
        groups = (*groups, mark)
    return User(wish.user, wish.uid, groups, wish.extra)


def account_of(user: str) -> tuple[str, str]:
    """Namespace and name of the service account that a user name means, "" twice for none."""
    namespace, _, name = user.removeprefix(ACCOUNT_PREFIX).partition(":")
    return (namespace, name) if user.startswith(ACCOUNT_PREFIX) and name else ("", "")


def asker(client: str, request: Request, tokens: FrozenMap[str, User], anonymous: bool,
          known: Known) -> User | LookUp | Status:
    """The authenticated user of a request, before any impersonation; 401 when there is none."""
    found = authenticate(client, request.verb, request.token, tokens, anonymous, known)
    return unauthorized() if found is None else found
