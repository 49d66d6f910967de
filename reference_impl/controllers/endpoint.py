"""The endpoint controller: for each Service with a selector, the addresses of its pods.

Source: Kubernetes 1.32, pkg/controller/endpoint and "Services" in the documentation; which pod is
where agrees with what a 1.32 cluster answers. A pod counts when it has an address, is not finished
and is not being deleted (a Service that publishes not-ready addresses keeps pods that are being
deleted, and takes all of its pods for ready). Ready pods are `addresses`, others
`notReadyAddresses`. A named target port is looked up in each pod.

Any change of Endpoints makes their Service due again. Kubernetes does so only when they are
deleted, and refuses to compare with Endpoints that it knows to be older than its last write. Both
are needed because a comparison with an old cache may find nothing to do; ours also covers writes
of unknown outcome and those before a restart.

Not modelled: the limit of 1000 addresses, the annotations endpoints.kubernetes.io/over-capacity and
last-change-trigger-time, and batching of pod changes: nobody reads them, and delays are the
explorer's. Subsets are in a canonical order of our own (Kubernetes sorts them by a hash).
"""

from __future__ import annotations

from typing import Any

from model.api.conditions import is_true
from model.api.metadata import Metadata
from model.api.objects import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    ObjectReference,
    Pod,
    Service,
    ServicePort,
    with_metadata,
)
from model.api.records import Pairs, rest_fields
from model.api.requests import Reply, create, delete, update
from model.api.scenario import Scenario
from model.api.selectors import selects
from model.kernel.component import Component, Io
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector, split_key

SERVICES, PODS, ENDPOINTS = "services", "pods", "endpoints"
HEADLESS = "service.kubernetes.io/headless"
DELETING = "delete"
"""What a sync remembers while it deletes Endpoints; while it writes some, it is those."""
NO_SELECTION: tuple[str, ...] = ()

State = ControllerState[None]


def pair_values(namespace: str | None, pairs: Pairs | None) -> tuple[str, ...]:
    """The index values of labels or of a selector: one for each pair, by namespace."""
    return tuple(f"{namespace}|{key}={value}" for key, value in pairs or ())


def pod_values(pod: Pod) -> tuple[str, ...]:
    """Under which pairs a pod is found."""
    return pair_values(pod.metadata.namespace, pod.metadata.labels)


def service_values(service: Service) -> tuple[str, ...]:
    """Under which pair a Service is found: the first of its selector, which its pods carry too."""
    spec = service.spec
    if spec is None or not spec.selector:
        return NO_SELECTION
    return pair_values(service.metadata.namespace, spec.selector[:1])


class Endpoint(Controller[None]):
    """See the head of this file."""

    name = "controllers/endpoint"
    source = "endpoint-controller"
    reflectors = (
        Reflector(SERVICES, indexes={"selector": service_values}),
        Reflector(PODS, indexes={"labels": pod_values}),
        Reflector(ENDPOINTS),
    )
    blank = None

    # -- handlers -------------------------------------------------------------------------------

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        if lane == SERVICES:
            return (change.key,)
        if lane == ENDPOINTS:
            # What was found fitting may have been compared with older Endpoints: those of a Service
            # that was replaced, or those before a write of our own.
            return (change.key,)
        old, new = change.old, change.new
        if old is not None and new is not None:
            if seen_by_services(old) == seen_by_services(new):
                return ()
            if old.metadata.labels == new.metadata.labels:
                return self._services_of(local, new)
        found = [key for pod in (old, new) if pod is not None
                 for key in self._services_of(local, pod)]
        return tuple(dict.fromkeys(found))

    def _services_of(self, local: State, pod: Pod) -> tuple[str, ...]:
        reflector, cache = self.reflector(SERVICES), local.caches[SERVICES]
        return tuple(key for value in pod_values(pod)
                     for key in reflector.keys_by(cache, "selector", value)
                     if selects(cache.store[key].spec.selector, pod.metadata.labels))

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        service: Service | None = self.cached(local, SERVICES, key)
        current: Endpoints | None = self.cached(local, ENDPOINTS, key)
        namespace, name = split_key(key)
        if service is None:
            return self.ask(local, delete(ENDPOINTS, namespace, name), DELETING, io)
        spec = service.spec
        if spec is None or spec.selector is None or spec.type == "ExternalName":
            return self.done(local)
        wanted = endpoints_for(service, self._pods_of(local, service), current)
        if wanted is current:
            return self.done(local)
        request = create(wanted) if current is None else update(wanted)
        return self.ask(local, request, wanted, io)

    def _pods_of(self, local: State, service: Service) -> list[Pod]:
        """The pods that a Service selects, found under the rarest pair of its selector."""
        reflector, cache = self.reflector(PODS), local.caches[PODS]
        selector = service.spec.selector if service.spec is not None else None
        lists = [reflector.keys_by(cache, "labels", value)
                 for value in pair_values(service.metadata.namespace, selector)]
        if not lists:
            return []
        return [pod for pod in (cache.store[key] for key in min(lists, key=len))
                if selects(selector, pod.metadata.labels)]

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        return self.settle(local, reply, io)


# -- what Endpoints say --------------------------------------------------------------------------


def seen_by_services(pod: Pod) -> tuple[Any, ...]:
    """Everything of a pod that its Services' Endpoints depend on."""
    status = pod.status
    return (pod.metadata.labels, pod.metadata.deletion_timestamp is None, pod.metadata.uid,
            None if pod.spec is None else pod.spec.node_name,
            None if status is None else (status.pod_ip, status.phase,
                                         is_true(status.conditions, "Ready")))


def should_be_in_endpoints(pod: Pod, service: Service) -> bool:
    """Whether a selected pod is listed at all."""
    status = pod.status
    if status is None or not status.pod_ip or status.phase in ("Succeeded", "Failed"):
        return False
    publishes = service.spec is not None and bool(service.spec.publish_not_ready_addresses)
    return publishes or pod.metadata.deletion_timestamp is None


def endpoints_for(service: Service, pods: list[Pod], current: Endpoints | None) -> Endpoints:
    """The Endpoints that a Service should have; `current` itself when they say so already."""
    subsets = repacked(_single_subsets(service, pods)) or None
    labels = dict(service.metadata.labels or ())
    if service.spec is not None and service.spec.cluster_ip == "None":
        labels[HEADLESS] = ""
    pairs = tuple(sorted(labels.items())) or None
    if current is None:
        metadata = Metadata(name=service.metadata.name, namespace=service.metadata.namespace,
                            labels=pairs)
        return Endpoints(metadata=metadata, subsets=subsets)
    if (current.subsets or None) == subsets and (current.metadata.labels or None) == pairs:
        return current
    return with_metadata(current._replace(subsets=subsets),
                         current.metadata._replace(labels=pairs))


def _single_subsets(service: Service,
                    pods: list[Pod]) -> list[tuple[EndpointAddress, bool, EndpointPort | None]]:
    """(address, ready, port) of every pod and port that counts; port None for no ports at all."""
    spec = service.spec
    assert spec is not None
    found: list[tuple[EndpointAddress, bool, EndpointPort | None]] = []
    for pod in pods:
        if not should_be_in_endpoints(pod, service) or pod.status is None:
            continue
        ready = bool(spec.publish_not_ready_addresses) or is_true(pod.status.conditions, "Ready")
        address = address_of(pod, service)
        if not spec.ports:
            if spec.cluster_ip == "None":
                found.append((address, ready, None))
            continue
        for port in spec.ports:
            number = target_number(port, pod)
            if number is not None:
                found.append((address, ready, EndpointPort(port.name, number, port.protocol,
                                                           port.app_protocol)))
    return found


def address_of(pod: Pod, service: Service) -> EndpointAddress:
    """A pod as an address of a Service."""
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    assert status is not None
    rest = {} if spec is None else rest_fields(spec)
    hostname = rest.get("hostname")
    if rest.get("subdomain") != service.metadata.name or service.metadata.namespace != \
            metadata.namespace:
        hostname = None
    reference = ObjectReference("Pod", metadata.namespace, metadata.name, metadata.uid)
    return EndpointAddress(status.pod_ip, hostname, None if spec is None else spec.node_name,
                           reference)


def target_number(port: ServicePort, pod: Pod) -> int | None:
    """The number of a Service's target port in a pod; None when no port has its name."""
    target = port.target_port if port.target_port is not None else port.port
    if isinstance(target, int):
        return target
    spec = pod.spec
    if spec is None:
        return None
    for container in (*(spec.containers or ()), *(spec.init_containers or ())):
        for each in container.ports or ():
            if each.name == target and (each.protocol or "TCP") == (port.protocol or "TCP"):
                return each.container_port
    return None


def repacked(single: list[tuple[EndpointAddress, bool, EndpointPort | None]],
             ) -> tuple[EndpointSubset, ...]:
    """Subsets in which ports with the same addresses stand together (`RepackSubsets`)."""
    by_port: dict[EndpointPort | None, dict[tuple[str, str], tuple[EndpointAddress, bool]]] = {}
    for address, ready, port in single:
        addresses = by_port.setdefault(port, {})
        uid = address.target_ref.uid if address.target_ref is not None else ""
        identity = (address.ip or "", uid or "")
        before = addresses.get(identity)
        if before is None or not before[1]:
            addresses[identity] = (address, ready)
    by_addresses: dict[tuple[Any, ...], list[EndpointPort]] = {}
    for port, addresses in by_port.items():
        group = by_addresses.setdefault(tuple(sorted(
            ((_numeric(ip), uid), ready, address)
            for (ip, uid), (address, ready) in addresses.items())), [])
        if port is not None:
            group.append(port)
    subsets = []
    for group_key, ports in by_addresses.items():
        subsets.append(EndpointSubset(
            tuple(address for _, ready, address in group_key if ready) or None,
            tuple(address for _, ready, address in group_key if not ready) or None,
            tuple(sorted(ports, key=_port_order)) or None))
    return tuple(sorted(subsets, key=_subset_order))


def _numeric(ip: str) -> tuple[int, ...]:
    return tuple(int(part) for part in ip.split(".")) if ip.count(".") == 3 else ()


def _port_order(port: EndpointPort) -> tuple[str, int, str]:
    return port.name or "", port.port or 0, port.protocol or ""


def _subset_order(subset: EndpointSubset) -> tuple[Any, ...]:
    first = (subset.addresses or subset.not_ready_addresses or (EndpointAddress(),))[0]
    return [_port_order(port) for port in subset.ports or ()], _numeric(first.ip or "")


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The endpoint controller of a cluster."""
    return (Endpoint(),)
