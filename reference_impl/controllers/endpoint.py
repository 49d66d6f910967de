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

The annotation endpoints.kubernetes.io/last-change-trigger-time is written where the controllers of
workloads run as well.

Not modelled: the limit of 1000 addresses with its annotation over-capacity, and batching of pod
changes: nobody reads the one, and delays are the explorer's. Subsets are in a canonical order of
our own (Kubernetes sorts them by a hash; ports within a subset are in its order).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
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
    with_metadata,
)
from model.api.requests import Reply, create, delete, update
from model.api.scenario import Scenario
from model.kernel.component import Component, Io
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector, split_key
from reference_impl.lib.service_pods import (
    hostname_behind,
    pod_values,
    pods_of,
    service_values,
    services_of,
    target_number,
)
from reference_impl.lib.trigger_times import Triggers, annotated, looked_at

SERVICES, PODS, ENDPOINTS = "services", "pods", "endpoints"
HEADLESS = "service.kubernetes.io/headless"
DELETING = "delete"
"""What a sync remembers while it deletes Endpoints; while it writes some, it is those."""

Times = FrozenMap[str, Triggers] | None
State = ControllerState[Times]


class Endpoint(Controller[Times]):
    """See the head of this file. `annotates`: whether Endpoints tell when what they answer changed;
    then the memory holds, for each Service, the times that were known at the last look."""

    name = "controllers/endpoint"
    source = "endpoint-controller"
    reflectors = (
        Reflector(SERVICES, indexes={"selector": service_values}),
        Reflector(PODS, indexes={"labels": pod_values}),
        Reflector(ENDPOINTS),
    )

    def __init__(self, annotates: bool = False) -> None:
        self.annotates = annotates
        self.blank = EMPTY if annotates else None

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
                return services_of(self.reflector(SERVICES), local.caches[SERVICES], new)
        found = [key for pod in (old, new) if pod is not None
                 for key in services_of(self.reflector(SERVICES), local.caches[SERVICES], pod)]
        return tuple(dict.fromkeys(found))

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        service: Service | None = self.cached(local, SERVICES, key)
        current: Endpoints | None = self.cached(local, ENDPOINTS, key)
        namespace, name = split_key(key)
        if service is None:
            if local.memory:
                local = local._replace(memory=local.memory.drop(key))
            return self.ask(local, delete(ENDPOINTS, namespace, name), DELETING, io)
        spec = service.spec
        if spec is None or spec.selector is None or spec.type == "ExternalName":
            return self.done(local)
        pods = pods_of(self.reflector(PODS), local.caches[PODS], service)
        wanted = endpoints_for(service, pods, current)
        moment = None
        if local.memory is not None:
            times, moment = looked_at(local.memory.get(key), service, pods)
            local = local._replace(memory=local.memory.set(key, times))
        if wanted is current:
            return self.done(local)
        if self.annotates:
            wanted = annotated(wanted, moment)
        request = create(wanted) if current is None else update(wanted)
        return self.ask(local, request, wanted, io)

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
    hostname = hostname_behind(pod, service)
    reference = ObjectReference("Pod", metadata.namespace, metadata.name, metadata.uid)
    return EndpointAddress(status.pod_ip, hostname, None if spec is None else spec.node_name,
                           reference)


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


@lru_cache(maxsize=4096)
def _port_order(port: EndpointPort) -> bytes:
    """Kubernetes sorts ports by a hash of them: the MD5 of how Go prints the value."""
    protocol = "(*string)<nil>" if port.app_protocol is None else f"(*string){port.app_protocol}"
    printed = (f"(v1.EndpointPort){{Name:(string){port.name or ''} Port:(int32){port.port or 0} "
               f"Protocol:(v1.Protocol){port.protocol or ''} AppProtocol:{protocol}}}")
    return hashlib.md5(printed.encode(), usedforsecurity=False).digest()


def _subset_order(subset: EndpointSubset) -> tuple[Any, ...]:
    first = (subset.addresses or subset.not_ready_addresses or (EndpointAddress(),))[0]
    ports = [(port.name or "", port.port or 0, port.protocol or "") for port in subset.ports or ()]
    return sorted(ports), _numeric(first.ip or "")


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The endpoint controller of a cluster."""
    return (Endpoint(scenario.workloads),)
