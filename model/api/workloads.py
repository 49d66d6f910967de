"""Controllers of pods: ReplicationController, ReplicaSet, Deployment; Scale; disruption budgets.

Source: Kubernetes 1.32 API reference, core/v1, apps/v1, autoscaling/v1 and policy/v1.
"""

from __future__ import annotations

from typing import NamedTuple

from model.api.metadata import EMPTY_METADATA, Condition, LabelSelector, Metadata
from model.api.pods import PodTemplateSpec
from model.api.records import IntOrString, Pairs


class ReplicationControllerSpec(NamedTuple):
    replicas: int | None = None
    min_ready_seconds: int | None = None
    selector: Pairs | None = None
    template: PodTemplateSpec | None = None
    rest: bytes = b""


class ReplicaStatus(NamedTuple):
    """The status of a ReplicationController and of a ReplicaSet."""

    replicas: int | None = None
    fully_labeled_replicas: int | None = None
    ready_replicas: int | None = None
    available_replicas: int | None = None
    observed_generation: int | None = None
    conditions: tuple[Condition, ...] | None = None
    rest: bytes = b""


class ReplicationController(NamedTuple):
    kind: str = "ReplicationController"
    metadata: Metadata = EMPTY_METADATA
    spec: ReplicationControllerSpec | None = None
    status: ReplicaStatus | None = None
    rest: bytes = b""


class ReplicaSetSpec(NamedTuple):
    replicas: int | None = None
    min_ready_seconds: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec | None = None
    rest: bytes = b""


class ReplicaSet(NamedTuple):
    kind: str = "ReplicaSet"
    metadata: Metadata = EMPTY_METADATA
    spec: ReplicaSetSpec | None = None
    status: ReplicaStatus | None = None
    rest: bytes = b""


class RollingUpdateDeployment(NamedTuple):
    max_unavailable: IntOrString | None = None
    max_surge: IntOrString | None = None
    rest: bytes = b""


class DeploymentStrategy(NamedTuple):
    type: str | None = None
    rolling_update: RollingUpdateDeployment | None = None
    rest: bytes = b""


class DeploymentSpec(NamedTuple):
    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec | None = None
    strategy: DeploymentStrategy | None = None
    min_ready_seconds: int | None = None
    revision_history_limit: int | None = None
    paused: bool | None = None
    progress_deadline_seconds: int | None = None
    rest: bytes = b""


class DeploymentStatus(NamedTuple):
    observed_generation: int | None = None
    replicas: int | None = None
    updated_replicas: int | None = None
    ready_replicas: int | None = None
    available_replicas: int | None = None
    unavailable_replicas: int | None = None
    conditions: tuple[Condition, ...] | None = None
    collision_count: int | None = None
    rest: bytes = b""


class Deployment(NamedTuple):
    kind: str = "Deployment"
    metadata: Metadata = EMPTY_METADATA
    spec: DeploymentSpec | None = None
    status: DeploymentStatus | None = None
    rest: bytes = b""


class ScaleSpec(NamedTuple):
    replicas: int | None = None
    rest: bytes = b""


class ScaleStatus(NamedTuple):
    replicas: int | None = None
    selector: str | None = None
    rest: bytes = b""


class Scale(NamedTuple):
    """The `scale` subresource of anything that has replicas."""

    kind: str = "Scale"
    metadata: Metadata = EMPTY_METADATA
    spec: ScaleSpec | None = None
    status: ScaleStatus | None = None
    rest: bytes = b""


class PodDisruptionBudgetSpec(NamedTuple):
    min_available: IntOrString | None = None
    selector: LabelSelector | None = None
    max_unavailable: IntOrString | None = None
    unhealthy_pod_eviction_policy: str | None = None
    rest: bytes = b""


class PodDisruptionBudgetStatus(NamedTuple):
    """`disrupted_pods` maps pod names to the time their eviction was granted."""

    observed_generation: int | None = None
    disrupted_pods: Pairs | None = None
    disruptions_allowed: int | None = None
    current_healthy: int | None = None
    desired_healthy: int | None = None
    expected_pods: int | None = None
    conditions: tuple[Condition, ...] | None = None
    rest: bytes = b""


class PodDisruptionBudget(NamedTuple):
    kind: str = "PodDisruptionBudget"
    metadata: Metadata = EMPTY_METADATA
    spec: PodDisruptionBudgetSpec | None = None
    status: PodDisruptionBudgetStatus | None = None
    rest: bytes = b""
