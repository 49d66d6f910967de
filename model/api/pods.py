"""Pods: containers, scheduling wishes, status. Source: Kubernetes 1.32 API reference, core/v1 Pod.

Probes, lifecycle hooks, security contexts and most volume sources are read by no component; they
stay in the `rest` of their element and travel with it.
"""

from __future__ import annotations

from typing import NamedTuple

from model.api.metadata import (
    EMPTY_METADATA,
    Condition,
    LabelSelector,
    LocalObjectReference,
    Metadata,
    ObjectReference,
)
from model.api.records import Pairs, Quantities


class ContainerPort(NamedTuple):
    name: str | None = None
    host_port: int | None = None
    container_port: int | None = None
    protocol: str | None = None
    host_ip: str | None = None
    rest: bytes = b""


class EnvVar(NamedTuple):
    name: str | None = None
    value: str | None = None
    rest: bytes = b""


class ResourceRequirements(NamedTuple):
    limits: Quantities | None = None
    requests: Quantities | None = None
    rest: bytes = b""


class VolumeMount(NamedTuple):
    name: str | None = None
    read_only: bool | None = None
    mount_path: str | None = None
    rest: bytes = b""


class Container(NamedTuple):
    """A container of a pod; also an init container (`restart_policy` makes it a sidecar)."""

    name: str | None = None
    image: str | None = None
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    ports: tuple[ContainerPort, ...] | None = None
    env: tuple[EnvVar, ...] | None = None
    resources: ResourceRequirements | None = None
    volume_mounts: tuple[VolumeMount, ...] | None = None
    restart_policy: str | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None
    image_pull_policy: str | None = None
    rest: bytes = b""


class PersistentVolumeClaimVolumeSource(NamedTuple):
    claim_name: str | None = None
    read_only: bool | None = None
    rest: bytes = b""


class SecretVolumeSource(NamedTuple):
    secret_name: str | None = None
    rest: bytes = b""


class Volume(NamedTuple):
    """A volume; sources that nothing reads (hostPath, projected, ...) are in `rest`."""

    name: str | None = None
    secret: SecretVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    rest: bytes = b""


class NodeSelectorRequirement(NamedTuple):
    key: str | None = None
    operator: str | None = None
    values: tuple[str, ...] | None = None
    rest: bytes = b""


class NodeSelectorTerm(NamedTuple):
    match_expressions: tuple[NodeSelectorRequirement, ...] | None = None
    match_fields: tuple[NodeSelectorRequirement, ...] | None = None
    rest: bytes = b""


class NodeSelector(NamedTuple):
    node_selector_terms: tuple[NodeSelectorTerm, ...] | None = None
    rest: bytes = b""


class PreferredSchedulingTerm(NamedTuple):
    weight: int | None = None
    preference: NodeSelectorTerm | None = None
    rest: bytes = b""


class NodeAffinity(NamedTuple):
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: (
        tuple[PreferredSchedulingTerm, ...] | None) = None
    rest: bytes = b""


class PodAffinityTerm(NamedTuple):
    label_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] | None = None
    topology_key: str | None = None
    namespace_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] | None = None
    mismatch_label_keys: tuple[str, ...] | None = None
    rest: bytes = b""


class WeightedPodAffinityTerm(NamedTuple):
    weight: int | None = None
    pod_affinity_term: PodAffinityTerm | None = None
    rest: bytes = b""


class PodAffinity(NamedTuple):
    """Affinity or anti-affinity between pods, by position."""

    required_during_scheduling_ignored_during_execution: (
        tuple[PodAffinityTerm, ...] | None) = None
    preferred_during_scheduling_ignored_during_execution: (
        tuple[WeightedPodAffinityTerm, ...] | None) = None
    rest: bytes = b""


class Affinity(NamedTuple):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None
    rest: bytes = b""


class Toleration(NamedTuple):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None
    rest: bytes = b""


class TopologySpreadConstraint(NamedTuple):
    max_skew: int | None = None
    topology_key: str | None = None
    when_unsatisfiable: str | None = None
    label_selector: LabelSelector | None = None
    min_domains: int | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None
    match_label_keys: tuple[str, ...] | None = None
    rest: bytes = b""


class PodSchedulingGate(NamedTuple):
    name: str | None = None
    rest: bytes = b""


class PodSpec(NamedTuple):
    volumes: tuple[Volume, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    containers: tuple[Container, ...] | None = None
    restart_policy: str | None = None
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None
    dns_policy: str | None = None
    node_selector: Pairs | None = None
    service_account_name: str | None = None
    service_account: str | None = None
    automount_service_account_token: bool | None = None
    node_name: str | None = None
    host_network: bool | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] | None = None
    affinity: Affinity | None = None
    scheduler_name: str | None = None
    tolerations: tuple[Toleration, ...] | None = None
    priority_class_name: str | None = None
    priority: int | None = None
    preemption_policy: str | None = None
    overhead: Quantities | None = None
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] | None = None
    scheduling_gates: tuple[PodSchedulingGate, ...] | None = None
    enable_service_links: bool | None = None
    rest: bytes = b""


class ContainerStateWaiting(NamedTuple):
    reason: str | None = None
    message: str | None = None
    rest: bytes = b""


class ContainerStateRunning(NamedTuple):
    started_at: str | None = None
    rest: bytes = b""


class ContainerStateTerminated(NamedTuple):
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    container_id: str | None = None
    rest: bytes = b""


class ContainerState(NamedTuple):
    """Exactly one of the three is set; none means waiting."""

    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None
    rest: bytes = b""


class ContainerStatus(NamedTuple):
    name: str | None = None
    state: ContainerState | None = None
    last_state: ContainerState | None = None
    ready: bool | None = None
    restart_count: int | None = None
    image: str | None = None
    image_id: str | None = None
    container_id: str | None = None
    started: bool | None = None
    rest: bytes = b""


class AddressEntry(NamedTuple):
    """An entry of podIPs or hostIPs."""

    ip: str | None = None
    rest: bytes = b""


class PodStatus(NamedTuple):
    phase: str | None = None
    conditions: tuple[Condition, ...] | None = None
    message: str | None = None
    reason: str | None = None
    nominated_node_name: str | None = None
    host_ip: str | None = None
    host_ips: tuple[AddressEntry, ...] | None = None
    pod_ip: str | None = None
    pod_ips: tuple[AddressEntry, ...] | None = None
    start_time: str | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    qos_class: str | None = None
    rest: bytes = b""


class Pod(NamedTuple):
    kind: str = "Pod"
    metadata: Metadata = EMPTY_METADATA
    spec: PodSpec | None = None
    status: PodStatus | None = None
    rest: bytes = b""


class PodTemplateSpec(NamedTuple):
    """What a controller makes pods from."""

    metadata: Metadata | None = None
    spec: PodSpec | None = None
    rest: bytes = b""


class Preconditions(NamedTuple):
    uid: str | None = None
    resource_version: str | None = None
    rest: bytes = b""


class DeleteOptions(NamedTuple):
    """The body of a delete request, and part of an eviction."""

    grace_period_seconds: int | None = None
    preconditions: Preconditions | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    dry_run: tuple[str, ...] | None = None
    rest: bytes = b""


class Binding(NamedTuple):
    """Binds the pod `metadata.name` to the node `target.name`."""

    kind: str = "Binding"
    metadata: Metadata = EMPTY_METADATA
    target: ObjectReference | None = None
    rest: bytes = b""


class Eviction(NamedTuple):
    """Asks for the pod `metadata.name` to be deleted if its disruption budgets allow it."""

    kind: str = "Eviction"
    metadata: Metadata = EMPTY_METADATA
    delete_options: DeleteOptions | None = None
    rest: bytes = b""
