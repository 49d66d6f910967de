"""Services, Endpoints, EndpointSlices. Source: Kubernetes 1.32 API reference, core/v1 and
discovery.k8s.io/v1."""

from __future__ import annotations

from typing import NamedTuple

from model.api.metadata import EMPTY_METADATA, Condition, Metadata, ObjectReference
from model.api.records import IntOrString, Pairs


class ServicePort(NamedTuple):
    name: str | None = None
    protocol: str | None = None
    app_protocol: str | None = None
    port: int | None = None
    target_port: IntOrString | None = None
    node_port: int | None = None
    rest: bytes = b""


class ServiceSpec(NamedTuple):
    ports: tuple[ServicePort, ...] | None = None
    selector: Pairs | None = None
    cluster_ip: str | None = None
    cluster_ips: tuple[str, ...] | None = None
    type: str | None = None
    external_ips: tuple[str, ...] | None = None
    session_affinity: str | None = None
    load_balancer_ip: str | None = None
    load_balancer_source_ranges: tuple[str, ...] | None = None
    external_name: str | None = None
    external_traffic_policy: str | None = None
    internal_traffic_policy: str | None = None
    health_check_node_port: int | None = None
    publish_not_ready_addresses: bool | None = None
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str | None = None
    allocate_load_balancer_node_ports: bool | None = None
    load_balancer_class: str | None = None
    rest: bytes = b""


class LoadBalancerIngress(NamedTuple):
    ip: str | None = None
    hostname: str | None = None
    ip_mode: str | None = None
    rest: bytes = b""


class LoadBalancerStatus(NamedTuple):
    ingress: tuple[LoadBalancerIngress, ...] | None = None
    rest: bytes = b""


class ServiceStatus(NamedTuple):
    load_balancer: LoadBalancerStatus | None = None
    conditions: tuple[Condition, ...] | None = None
    rest: bytes = b""


class Service(NamedTuple):
    kind: str = "Service"
    metadata: Metadata = EMPTY_METADATA
    spec: ServiceSpec | None = None
    status: ServiceStatus | None = None
    rest: bytes = b""


class EndpointAddress(NamedTuple):
    ip: str | None = None
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None
    rest: bytes = b""


class EndpointPort(NamedTuple):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None
    app_protocol: str | None = None
    rest: bytes = b""


class EndpointSubset(NamedTuple):
    """Every address of the subset serves every port of it."""

    addresses: tuple[EndpointAddress, ...] | None = None
    not_ready_addresses: tuple[EndpointAddress, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None
    rest: bytes = b""


class Endpoints(NamedTuple):
    kind: str = "Endpoints"
    metadata: Metadata = EMPTY_METADATA
    subsets: tuple[EndpointSubset, ...] | None = None
    rest: bytes = b""


class EndpointConditions(NamedTuple):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None
    rest: bytes = b""


class SliceEndpoint(NamedTuple):
    """One endpoint of a slice: the addresses of one pod, in one family."""

    addresses: tuple[str, ...] | None = None
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None
    zone: str | None = None
    rest: bytes = b""


class EndpointSlice(NamedTuple):
    """A part of a Service's endpoints: those that have these ports."""

    kind: str = "EndpointSlice"
    metadata: Metadata = EMPTY_METADATA
    address_type: str | None = None
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None
    rest: bytes = b""
