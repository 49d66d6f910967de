"""The publisher of the cluster's certificate: each namespace that is not ending has the ConfigMap
`kube-root-ca.crt`, by which its pods recognise the API server.

Source: Kubernetes 1.32, pkg/controller/certificates/rootcacertpublisher; Kubernetes documentation,
"Managing Service Accounts" (projected volumes). The ConfigMap is made when its namespace appears,
made again when somebody deletes it, and put right when somebody changes its data.

Not modelled: what the certificate says; it is the setting `root-ca`.
"""

from __future__ import annotations

from typing import Any

from model.api.cluster import CERTIFICATE
from model.api.metadata import Metadata
from model.api.objects import ConfigMap, Namespace
from model.api.requests import Reply, create, update
from model.api.scenario import Scenario
from model.kernel.component import Component, Io
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector, split_key

NAMESPACES, MAPS = "namespaces", "configmaps"
NAME, FIELD = "kube-root-ca.crt", "ca.crt"
DESCRIPTION = ("kubernetes.io/description", (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."))
SETTLED = (403, 404)
"""Ending or gone: nothing is left to do."""

State = ControllerState[None]


class RootCa(Controller[None]):
    """See the head of this file."""

    name = "controllers/root-ca"
    source = "root-ca-cert-publisher"
    reflectors = (Reflector(NAMESPACES), Reflector(MAPS, field_selector=f"metadata.name={NAME}"))
    blank = None

    def __init__(self, certificate: str) -> None:
        self.data = ((FIELD, certificate),)

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        if lane == NAMESPACES:
            return () if change.new is None else (change.key,)
        return (split_key(change.key)[0],)

    def sync(self, local: State, key: str, io: Io) -> State:
        namespace: Namespace | None = self.cached(local, NAMESPACES, key)
        if namespace is None or namespace.metadata.deletion_timestamp is not None:
            return self.done(local)
        found: ConfigMap | None = self.cached(local, MAPS, f"{key}/{NAME}")
        if found is None:
            made = ConfigMap(metadata=Metadata(name=NAME, namespace=key,
                                               annotations=(DESCRIPTION,)), data=self.data)
            return self.ask(local, create(made), "create", io)
        if self.is_right(found):
            return self.done(local)
        return self.ask(local, update(found._replace(data=self.data)), "update", io)

    def is_right(self, found: ConfigMap) -> bool:
        """Whether a ConfigMap holds the certificate and nothing else."""
        return found.data == self.data

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        if reply.code in SETTLED and local.work == "create":
            return self.done(local)
        return self.settle(local, reply, io)


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The publisher of a cluster that runs the controllers of workloads."""
    if not scenario.workloads:
        return ()
    return (RootCa(scenario.setting("root-ca", CERTIFICATE)),)
