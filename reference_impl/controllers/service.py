"""The service controller: a load balancer in the cloud for each Service of type LoadBalancer.

Source: Kubernetes 1.32, cloud-provider/controllers/service, and KEP-980 (the finalizer). The
finalizer is put on before the balancer is made and taken off after it is gone, so that the stored
object always shows whether something may have to be released; nothing else is needed to clean up
after a crash. The status is cleared before the finalizer goes. A sync that put the finalizer on
ends there: when the cache shows it, the Service may have changed its mind.

Which nodes a balancer has is read from the cache when the request is sent, never before, and what
is remembered as applied is what was sent.

Not modelled: several workers, the node's provider id, and the readiness of nodes (since 1.27 a
balancer keeps nodes that are not ready and leaves it to its own health checks).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.cloud import (
    BalancerPort,
    BalancerReply,
    CloudFailure,
    DeleteBalancer,
    EnsureBalancer,
    balancer_name,
)
from model.api.metadata import label
from model.api.objects import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    Node,
    Service,
    ServiceStatus,
    with_metadata,
    with_status,
)
from model.api.requests import Reply, update, update_status
from model.api.scenario import Scenario
from model.kernel.component import CUT, Component, Io, Message
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector

SERVICES, NODES, CLOUD = "services", "nodes", "cloud"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
NO_INGRESS: tuple[LoadBalancerIngress, ...] = ()


class Work(NamedTuple):
    """Where a sync stands. `at`: which request is in flight (finalizer, ensure, status; release,
    clear, unfinalize); `service`: the object as last read or written; `sent`: the ensure in
    flight."""

    at: str
    service: Service
    sent: EnsureBalancer | None = None


Applied = FrozenMap[str, EnsureBalancer]
"""Service key -> what the cloud has confirmed last."""
State = ControllerState[Applied]


class Services(Controller[Applied]):
    """See the head of this file."""

    name = "controllers/service"
    source = "service-controller"
    servers = ("apiserver", "cloud")
    reflectors = (Reflector(SERVICES), Reflector(NODES))
    blank: Applied = EMPTY

    # -- handlers -------------------------------------------------------------------------------

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        if lane == SERVICES:
            new = change.new
            return (change.key,) if new is None or wants(new) or needs_cleanup(new) else ()
        if (change.old is not None and change.new is not None
                and is_backend(change.old) == is_backend(change.new)):
            return ()
        return tuple(key for key, service in local.caches[SERVICES].store.items()
                     if wants(service))

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        service: Service | None = self.cached(local, SERVICES, key)
        if service is None:
            return self.done(local._replace(memory=local.memory.drop(key)))
        if needs_cleanup(service):
            local = self.event(local, service, "Normal", "DeletingLoadBalancer",
                               "Deleting load balancer", io)
            io.request(CLOUD, CLOUD, DeleteBalancer(balancer_name(service.metadata.uid or "")))
            return local._replace(work=Work("release", service),
                                  memory=local.memory.drop(key))
        if not wants(service):
            return self.done(local._replace(memory=local.memory.drop(key)))
        if FINALIZER in (service.metadata.finalizers or ()):
            return self._ensure(local, service, io)
        marked = with_finalizers(service, (*(service.metadata.finalizers or ()), FINALIZER))
        return self.ask(local, update(marked), Work("finalizer", service), io)

    def _ensure(self, local: State, service: Service, io: Io) -> State:
        wish = EnsureBalancer(balancer_name(service.metadata.uid or ""), ports_of(service),
                              self.backends(local),
                              (service.spec and service.spec.load_balancer_ip) or "")
        if local.memory.get(local.key) == wish and ingress_of(service):
            return self.done(local)
        if not ingress_of(service):
            local = self.event(local, service, "Normal", "EnsuringLoadBalancer",
                               "Ensuring load balancer", io)
        io.request(CLOUD, CLOUD, wish)
        # The answer may be lost: then nobody knows what is applied.
        return local._replace(work=Work("ensure", service, wish),
                              memory=local.memory.drop(local.key))

    def backends(self, local: State) -> tuple[str, ...]:
        """The nodes that balancers should have now."""
        return tuple(name for name, node in local.caches[NODES].store.items() if is_backend(node))

    def applied(self, local: State, sent: EnsureBalancer) -> Applied:
        """What is remembered when the cloud has confirmed `sent`."""
        return local.memory.set(local.key, sent)

    def received(self, local: State, message: Message, io: Io) -> State:
        work: Work | None = local.work
        if work is None or message.lane != CLOUD or work.at not in ("ensure", "release"):
            return local
        body = message.body
        if body == CUT:
            return self.retry(local, io)
        if isinstance(body, CloudFailure):
            local = self.event(local, work.service, "Warning", "SyncLoadBalancerFailed",
                               f"Error syncing load balancer: {body.message}", io)
            return self.retry(local, io)
        if work.at == "release":
            return self._released(local, work.service, io)
        return self._ensured(local, work, body, io)

    def lost(self, local: State, io: Io) -> State:
        """The connection to the API server broke: of no matter while the cloud is asked."""
        work: Work = local.work
        return local if work.at in ("ensure", "release") else self.retry(local, io)

    def _ensured(self, local: State, work: Work, reply: BalancerReply, io: Io) -> State:
        assert work.sent is not None
        assert reply.balancer is not None
        local = local._replace(memory=self.applied(local, work.sent))
        ingress = (LoadBalancerIngress(ip=reply.balancer.address, ip_mode="VIP"),)
        if ingress_of(work.service) == ingress:
            return self.done(local)
        local = self.event(local, work.service, "Normal", "EnsuredLoadBalancer",
                           "Ensured load balancer", io)
        return self.ask(local, update_status(with_ingress(work.service, ingress)),
                        Work("status", work.service), io)

    def _released(self, local: State, service: Service, io: Io) -> State:
        if ingress_of(service):
            return self.ask(local, update_status(with_ingress(service, NO_INGRESS)),
                            Work("clear", service), io)
        left = tuple(each for each in service.metadata.finalizers or () if each != FINALIZER)
        return self.ask(local, update(with_finalizers(service, left)),
                        Work("unfinalize", service), io)

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        work: Work = local.work
        if reply.code >= 400:
            return self.settle(local, reply, io)
        if work.at == "clear":
            return self._released(local, reply.body, io)
        if work.at == "unfinalize":
            local = self.event(local, work.service, "Normal", "DeletedLoadBalancer",
                               "Deleted load balancer", io)
        return self.done(local)


# -- reading and writing Services ----------------------------------------------------------------


def wants(service: Service) -> bool:
    """Whether a Service should have a balancer of the default class."""
    spec = service.spec
    return (spec is not None and spec.type == "LoadBalancer" and not spec.load_balancer_class
            and service.metadata.deletion_timestamp is None)


def needs_cleanup(service: Service) -> bool:
    """Whether the finalizer stands on a Service that should have no balancer (any more)."""
    return FINALIZER in (service.metadata.finalizers or ()) and not wants(service)


def is_backend(node: Node) -> bool:
    """Whether balancers may send to a node."""
    return (node.metadata.deletion_timestamp is None
            and label(node.metadata, EXCLUDED) is None)


def ports_of(service: Service) -> tuple[BalancerPort, ...]:
    """What a Service's balancer forwards: each port that has a node port."""
    spec = service.spec
    return tuple(BalancerPort(port.protocol or "TCP", port.port or 0, port.node_port)
                 for port in (spec.ports if spec is not None else None) or () if port.node_port)


def ingress_of(service: Service) -> tuple[LoadBalancerIngress, ...]:
    """Where the status says that a Service is reached from outside."""
    status = service.status
    if status is None or status.load_balancer is None:
        return NO_INGRESS
    return status.load_balancer.ingress or NO_INGRESS


def with_ingress(service: Service, ingress: tuple[LoadBalancerIngress, ...]) -> Service:
    """The Service with another outside address in its status."""
    balancer = LoadBalancerStatus(ingress or None)
    return with_status(service, (service.status or ServiceStatus())._replace(
        load_balancer=balancer))


def with_finalizers(service: Service, finalizers: tuple[str, ...]) -> Service:
    """The Service with other finalizers."""
    return with_metadata(service, service.metadata._replace(finalizers=finalizers or None))


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The service controller of a cluster."""
    return (Services(),)
