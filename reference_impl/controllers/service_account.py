"""The service account controller: each namespace that is not ending has the account `default`.

Source: Kubernetes documentation, "Managing Service Accounts"; Kubernetes 1.32,
pkg/controller/serviceaccount. The account is made when its namespace appears and again when
somebody deletes it. A refusal because the namespace ends or is gone settles the matter.

Not modelled: further accounts to be kept in every namespace (Kubernetes has an option for them,
and sets none).
"""

from __future__ import annotations

from typing import Any

from model.api.metadata import Metadata
from model.api.objects import Namespace, ServiceAccount
from model.api.requests import Reply, create
from model.api.scenario import Scenario
from model.kernel.component import Component, Io
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector, split_key

NAMESPACES, ACCOUNTS = "namespaces", "serviceaccounts"
DEFAULT = "default"
SETTLED = (403, 404, 409)
"""Ending, gone, or made by somebody else meanwhile: nothing is left to do."""

State = ControllerState[None]


class ServiceAccounts(Controller[None]):
    """See the head of this file."""

    name = "controllers/service-account"
    source = "service-account-controller"
    reflectors = (Reflector(NAMESPACES),
                  Reflector(ACCOUNTS, field_selector=f"metadata.name={DEFAULT}"))
    blank = None

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        if change.new is not None:
            return (change.key,) if lane == NAMESPACES else ()
        return () if lane == NAMESPACES else (split_key(change.key)[0],)

    def sync(self, local: State, key: str, io: Io) -> State:
        namespace: Namespace | None = self.cached(local, NAMESPACES, key)
        if namespace is None or not self.is_active(namespace):
            return self.done(local)
        if self.cached(local, ACCOUNTS, f"{key}/{DEFAULT}") is not None:
            return self.done(local)
        account = ServiceAccount(metadata=Metadata(name=DEFAULT, namespace=key))
        return self.ask(local, create(account), "create", io)

    def is_active(self, namespace: Namespace) -> bool:
        """Whether new content may come into a namespace."""
        return namespace.metadata.deletion_timestamp is None

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        if reply.code in SETTLED:
            return self.done(local)
        return self.settle(local, reply, io)


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The service account controller of a cluster."""
    return (ServiceAccounts(),)
