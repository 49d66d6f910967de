"""Acting for another: a client that may impersonate is judged as the user that it names.

Source: Kubernetes documentation, "User Impersonation". Each of the name, the groups, the extra
fields and the uid is a right of its own, with the verb `impersonate`.
"""

from __future__ import annotations

from model.api.requests import Impersonation, Status
from reference_impl.apiserver.access import authentication, authorization
from reference_impl.apiserver.access.known import Known
from reference_impl.apiserver.access.rbac import Attributes
from reference_impl.apiserver.state import User

VERB = "impersonate"
IDENTITY = "authentication.k8s.io"


def acting_as(user: User, wish: Impersonation, known: Known) -> User | Status:
    """The user that is acted for, or why that is refused."""
    found = authentication.impersonated(wish)
    if isinstance(found, Status):
        return found
    for asked in _rights(wish):
        decision = authorization.decide(user, asked, known.cache)
        if not decision.allowed:
            return authorization.refusal(user, asked, decision.reason)
    return found


def _rights(wish: Impersonation) -> list[Attributes]:
    """What must be allowed, in the order in which it is asked."""
    namespace, account = authentication.account_of(wish.user)
    if account:
        rights = [Attributes(VERB, "", "serviceaccounts", namespace, account)]
    else:
        rights = [Attributes(VERB, "", "users", "", wish.user)]
    rights.extend(Attributes(VERB, "", "groups", "", group) for group in wish.groups)
    rights.extend(Attributes(VERB, IDENTITY, f"userextras/{key}", "", value)
                  for key, values in wish.extra for value in values)
    if wish.uid:
        rights.append(Attributes(VERB, IDENTITY, "uids", "", wish.uid))
    return rights
