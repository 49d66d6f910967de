"""Nodes, leases, measured use.

Source: Kubernetes 1.32 API reference, core/v1, coordination.k8s.io/v1, metrics.k8s.io/v1beta1.
"""

from __future__ import annotations

from typing import NamedTuple

from model.api.metadata import EMPTY_METADATA, Condition, Metadata
from model.api.records import Quantities


class Taint(NamedTuple):
    key: str | None = None
    value: str | None = None
    effect: str | None = None
    time_added: str | None = None
    rest: bytes = b""


class NodeSpec(NamedTuple):
    pod_cidr: str | None = None
    pod_cidrs: tuple[str, ...] | None = None
    provider_id: str | None = None
    unschedulable: bool | None = None
    taints: tuple[Taint, ...] | None = None
    rest: bytes = b""


class NodeAddress(NamedTuple):
    type: str | None = None
    address: str | None = None
    rest: bytes = b""


class NodeSystemInfo(NamedTuple):
    machine_id: str | None = None
    system_uuid: str | None = None
    boot_id: str | None = None
    kernel_version: str | None = None
    os_image: str | None = None
    container_runtime_version: str | None = None
    kubelet_version: str | None = None
    kube_proxy_version: str | None = None
    operating_system: str | None = None
    architecture: str | None = None
    rest: bytes = b""


class ContainerImage(NamedTuple):
    names: tuple[str, ...] | None = None
    size_bytes: int | None = None
    rest: bytes = b""


class NodeStatus(NamedTuple):
    capacity: Quantities | None = None
    allocatable: Quantities | None = None
    phase: str | None = None
    conditions: tuple[Condition, ...] | None = None
    addresses: tuple[NodeAddress, ...] | None = None
    node_info: NodeSystemInfo | None = None
    images: tuple[ContainerImage, ...] | None = None
    rest: bytes = b""


class Node(NamedTuple):
    kind: str = "Node"
    metadata: Metadata = EMPTY_METADATA
    spec: NodeSpec | None = None
    status: NodeStatus | None = None
    rest: bytes = b""


class LeaseSpec(NamedTuple):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None
    rest: bytes = b""


class Lease(NamedTuple):
    kind: str = "Lease"
    metadata: Metadata = EMPTY_METADATA
    spec: LeaseSpec | None = None
    rest: bytes = b""


class NodeMetrics(NamedTuple):
    """What a node used lately; `window` is a duration such as 15s."""

    kind: str = "NodeMetrics"
    metadata: Metadata = EMPTY_METADATA
    timestamp: str | None = None
    window: str | None = None
    usage: Quantities | None = None
    rest: bytes = b""


class ContainerMetrics(NamedTuple):
    name: str | None = None
    usage: Quantities | None = None
    rest: bytes = b""


class PodMetrics(NamedTuple):
    """What the containers of a pod used lately."""

    kind: str = "PodMetrics"
    metadata: Metadata = EMPTY_METADATA
    timestamp: str | None = None
    window: str | None = None
    containers: tuple[ContainerMetrics, ...] | None = None
    rest: bytes = b""
