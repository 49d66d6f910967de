"""The token controller: credentials of service accounts, as Secrets.

Source: Kubernetes documentation, "Managing Service Accounts", and pkg/controller/serviceaccount
(tokens_controller.go). A Secret of type kubernetes.io/service-account-token belongs to the account
that its annotations name, by name and uid: it is filled in when the account is there, and deleted
when the account is gone or is another one of the same name. Before release 1.24 each account also
gets one Secret without asking, which the account then lists.

The name of that Secret is a function of the account's uid. However often its creation is tried, and
however old the caches are, there is one Secret. Whether an account is gone is asked of the server,
never of the cache, before a Secret is deleted.

Not modelled: signing (a token is a name for the pair of account and Secret; keys belong outside the
simulation), rotation, the cleaner of unused tokens, and removing stale entries of an account's
list.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, NamedTuple

from model.api.metadata import Metadata, ObjectReference, annotation
from model.api.objects import Secret, ServiceAccount, put, with_metadata
from model.api.records import Pairs, pairs
from model.api.requests import Reply, create, delete, get, update
from model.api.scenario import Scenario
from model.kernel.component import Component, Io
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector, split_key

ACCOUNTS, SECRETS = "serviceaccounts", "secrets"
TOKEN_TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
BY_ITSELF_BEFORE = (1, 24)
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
CA = "the certificate of the cluster"
_ACCOUNT, _SECRET = "account:", "secret:"


class Work(NamedTuple):
    """Where a sync stands. `at`: what is in flight (create, refer; account, fill, delete)."""

    at: str
    account: ServiceAccount | None = None
    secret: Secret | None = None


EVERY_ACCOUNT, ON_REQUEST = "every account", "on request"
"""What the controller remembers: who gets a Secret in this release."""

State = ControllerState[str]


class Tokens(Controller[str]):
    """See the head of this file. `by_itself`: accounts get a Secret without asking."""

    name = "controllers/token"
    source = "serviceaccount-controller"
    reflectors = (
        Reflector(ACCOUNTS),
        Reflector(SECRETS, field_selector=f"type={TOKEN_TYPE}",
                  indexes={"account": lambda secret: account_key(secret)}),
    )

    def __init__(self, by_itself: bool) -> None:
        self.by_itself = by_itself
        self.blank = EVERY_ACCOUNT if by_itself else ON_REQUEST

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        if lane == ACCOUNTS:
            mine = (f"{_ACCOUNT}{change.key}",) if self.by_itself and change.new is not None else ()
            if change.old is not None and change.new is not None:
                return mine
            reflector = self.reflector(SECRETS)
            found = reflector.keys_by(local.caches[SECRETS], "account", change.key)
            return (*mine, *(f"{_SECRET}{key}" for key in found))
        if change.new is not None:
            return (f"{_SECRET}{change.key}",)
        return (f"{_ACCOUNT}{account_key(change.old)}",) if self.by_itself else ()

    def sync(self, local: State, key: str, io: Io) -> State:
        kind, _, name = key.partition(":")
        if f"{kind}:" == _ACCOUNT:
            return self._sync_account(local, name, io)
        return self._sync_secret(local, name, io)

    # -- accounts that get a Secret by themselves ------------------------------------------------

    def _sync_account(self, local: State, key: str, io: Io) -> State:
        account: ServiceAccount | None = self.cached(local, ACCOUNTS, key)
        if account is None or account.metadata.deletion_timestamp is not None:
            return self.done(local)
        name = self.secret_name(local, account)
        namespace = account.metadata.namespace
        if self.cached(local, SECRETS, f"{namespace}/{name}") is not None:
            return self._refer(local, account, name, io)
        return self.ask(local, create(secret_for(account, name)), Work("create", account), io)

    def secret_name(self, local: State, account: ServiceAccount) -> str:
        """The name of an account's Secret, the same whatever the caches hold."""
        return f"{account.metadata.name}-token-{suffix_of(account.metadata.uid or '')}"

    def _refer(self, local: State, account: ServiceAccount, name: str, io: Io) -> State:
        """Let the account list its Secret."""
        held = account.secrets or ()
        if any(each.name == name for each in held):
            return self.done(local)
        listing = put(account, "secrets", (*held, ObjectReference(name=name)))
        return self.ask(local, update(listing), Work("refer", account), io)

    # -- Secrets ---------------------------------------------------------------------------------

    def _sync_secret(self, local: State, key: str, io: Io) -> State:
        secret: Secret | None = self.cached(local, SECRETS, key)
        if secret is None or secret.metadata.deletion_timestamp is not None:
            return self.done(local)
        account: ServiceAccount | None = self.cached(local, ACCOUNTS, account_key(secret))
        if account is None or not belongs(secret, account):
            namespace, name = split_key(account_key(secret))
            return self.ask(local, get(ACCOUNTS, namespace, name),
                            Work("account", account, secret), io)
        return self._fill(local, account, secret, io)

    def _fill(self, local: State, account: ServiceAccount, secret: Secret, io: Io) -> State:
        filled = filled_in(secret, account)
        if filled == secret:
            return self.done(local)
        return self.ask(local, update(filled), Work("fill", account, secret), io)

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        work: Work = local.work
        if work.at == "account":
            assert work.secret is not None
            if reply.code == 404 or (reply.code < 400 and not belongs(work.secret, reply.body)):
                metadata = work.secret.metadata
                request = delete(SECRETS, metadata.namespace or "", metadata.name or "",
                                 uid=metadata.uid)
                return self.ask(local, request, work._replace(at="delete"), io)
            if reply.code < 400:
                return self._fill(local, reply.body, work.secret, io)
        if work.at == "create" and (reply.code < 400 or reply.code == 409):
            assert work.account is not None
            return self._refer(local, work.account, self.secret_name(local, work.account), io)
        if work.at == "create" and reply.code == 403:
            return self.done(local)  # the namespace ends
        if work.at == "refer" and reply.code == 409:
            return self.retry(local, io)
        return self.settle(local, reply, io)


# -- Secrets and accounts ------------------------------------------------------------------------


def account_key(secret: Secret) -> str:
    """The cache key of the account that a Secret names."""
    return f"{secret.metadata.namespace}/{annotation(secret.metadata, ACCOUNT_NAME)}"


def belongs(secret: Secret, account: ServiceAccount) -> bool:
    """Whether a Secret is of this account and not of an earlier one of its name."""
    uid = annotation(secret.metadata, ACCOUNT_UID)
    return uid is None or uid == account.metadata.uid


def suffix_of(uid: str) -> str:
    """Five letters and digits that a uid decides."""
    number = int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=8).digest(), "big")
    letters = []
    for _ in range(5):
        number, at = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[at])
    return "".join(letters)


def secret_for(account: ServiceAccount, name: str) -> Secret:
    """The Secret that an account gets by itself."""
    metadata = account.metadata
    annotations = ((ACCOUNT_NAME, metadata.name or ""), (ACCOUNT_UID, metadata.uid or ""))
    return Secret(metadata=Metadata(name=name, namespace=metadata.namespace,
                                    annotations=annotations),
                  data=data_for(account, name), type=TOKEN_TYPE)


def filled_in(secret: Secret, account: ServiceAccount) -> Secret:
    """A Secret with the account's uid and all of its data."""
    found = dict(secret.metadata.annotations or ())
    found[ACCOUNT_UID] = account.metadata.uid or ""
    data = dict(data_for(account, secret.metadata.name or "")) | dict(secret.data or ())
    named = with_metadata(secret, put(secret.metadata, "annotations", pairs(found)))
    return put(named, "data", pairs(data))


def data_for(account: ServiceAccount, name: str) -> Pairs:
    """The three entries of a credential, in base64 as on the wire."""
    metadata = account.metadata
    token = f"token-{metadata.namespace}-{metadata.name}-{name}-{metadata.uid}"
    return tuple((key, base64.b64encode(text.encode()).decode()) for key, text in (
        ("ca.crt", CA), ("namespace", metadata.namespace or ""), ("token", token)))


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The token controller of a cluster; what accounts get by themselves is the release's."""
    return (Tokens(scenario.version < BY_ITSELF_BEFORE),)
