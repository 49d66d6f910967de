"""Namespaces, accounts, secrets, quotas, limits, events, priorities and access rules.

Source: Kubernetes 1.32 API reference, core/v1, scheduling.k8s.io/v1, rbac.authorization.k8s.io/v1.
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


class NamespaceSpec(NamedTuple):
    finalizers: tuple[str, ...] | None = None
    rest: bytes = b""


class NamespaceStatus(NamedTuple):
    phase: str | None = None
    conditions: tuple[Condition, ...] | None = None
    rest: bytes = b""


class Namespace(NamedTuple):
    kind: str = "Namespace"
    metadata: Metadata = EMPTY_METADATA
    spec: NamespaceSpec | None = None
    status: NamespaceStatus | None = None
    rest: bytes = b""


class ServiceAccount(NamedTuple):
    kind: str = "ServiceAccount"
    metadata: Metadata = EMPTY_METADATA
    secrets: tuple[ObjectReference, ...] | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] | None = None
    automount_service_account_token: bool | None = None
    rest: bytes = b""


class Secret(NamedTuple):
    """`data` is base64 text as on the wire; `string_data` is write-only input."""

    kind: str = "Secret"
    metadata: Metadata = EMPTY_METADATA
    data: Pairs | None = None
    string_data: Pairs | None = None
    type: str | None = None
    immutable: bool | None = None
    rest: bytes = b""


CERTIFICATE = ("-----BEGIN CERTIFICATE-----\ndGhlIGNlcnRpZmljYXRlIG9mIHRoZSBjbHVzdGVy\n"
               "-----END CERTIFICATE-----\n")
"""The certificate of a cluster that was given none: in the form of one, and inside it just says
what it is."""


class ConfigMap(NamedTuple):
    kind: str = "ConfigMap"
    metadata: Metadata = EMPTY_METADATA
    data: Pairs | None = None
    binary_data: Pairs | None = None
    immutable: bool | None = None
    rest: bytes = b""


class ScopedResourceSelectorRequirement(NamedTuple):
    scope_name: str | None = None
    operator: str | None = None
    values: tuple[str, ...] | None = None
    rest: bytes = b""


class ScopeSelector(NamedTuple):
    match_expressions: tuple[ScopedResourceSelectorRequirement, ...] | None = None
    rest: bytes = b""


class ResourceQuotaSpec(NamedTuple):
    hard: Quantities | None = None
    scopes: tuple[str, ...] | None = None
    scope_selector: ScopeSelector | None = None
    rest: bytes = b""


class ResourceQuotaStatus(NamedTuple):
    hard: Quantities | None = None
    used: Quantities | None = None
    rest: bytes = b""


class ResourceQuota(NamedTuple):
    kind: str = "ResourceQuota"
    metadata: Metadata = EMPTY_METADATA
    spec: ResourceQuotaSpec | None = None
    status: ResourceQuotaStatus | None = None
    rest: bytes = b""


class LimitRangeItem(NamedTuple):
    type: str | None = None
    max: Quantities | None = None
    min: Quantities | None = None
    default: Quantities | None = None
    default_request: Quantities | None = None
    max_limit_request_ratio: Quantities | None = None
    rest: bytes = b""


class LimitRangeSpec(NamedTuple):
    limits: tuple[LimitRangeItem, ...] | None = None
    rest: bytes = b""


class LimitRange(NamedTuple):
    kind: str = "LimitRange"
    metadata: Metadata = EMPTY_METADATA
    spec: LimitRangeSpec | None = None
    rest: bytes = b""


class EventSource(NamedTuple):
    component: str | None = None
    host: str | None = None
    rest: bytes = b""


class Event(NamedTuple):
    kind: str = "Event"
    metadata: Metadata = EMPTY_METADATA
    involved_object: ObjectReference | None = None
    reason: str | None = None
    message: str | None = None
    source: EventSource | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    count_: int | None = None
    type: str | None = None
    rest: bytes = b""


class PriorityClass(NamedTuple):
    kind: str = "PriorityClass"
    metadata: Metadata = EMPTY_METADATA
    value: int | None = None
    global_default: bool | None = None
    description: str | None = None
    preemption_policy: str | None = None
    rest: bytes = b""


class PolicyRule(NamedTuple):
    verbs: tuple[str, ...] | None = None
    api_groups: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    resource_names: tuple[str, ...] | None = None
    non_resource_urls: tuple[str, ...] | None = None
    rest: bytes = b""


class Subject(NamedTuple):
    kind: str | None = None
    api_group: str | None = None
    name: str | None = None
    namespace: str | None = None
    rest: bytes = b""


class RoleRef(NamedTuple):
    api_group: str | None = None
    kind: str | None = None
    name: str | None = None
    rest: bytes = b""


class Role(NamedTuple):
    kind: str = "Role"
    metadata: Metadata = EMPTY_METADATA
    rules: tuple[PolicyRule, ...] | None = None
    rest: bytes = b""


class AggregationRule(NamedTuple):
    """Which cluster roles give their rules to this one."""

    cluster_role_selectors: tuple[LabelSelector, ...] | None = None
    rest: bytes = b""


class ClusterRole(NamedTuple):
    kind: str = "ClusterRole"
    metadata: Metadata = EMPTY_METADATA
    rules: tuple[PolicyRule, ...] | None = None
    aggregation_rule: AggregationRule | None = None
    rest: bytes = b""


class RoleBinding(NamedTuple):
    kind: str = "RoleBinding"
    metadata: Metadata = EMPTY_METADATA
    subjects: tuple[Subject, ...] | None = None
    role_ref: RoleRef | None = None
    rest: bytes = b""


class ClusterRoleBinding(NamedTuple):
    kind: str = "ClusterRoleBinding"
    metadata: Metadata = EMPTY_METADATA
    subjects: tuple[Subject, ...] | None = None
    role_ref: RoleRef | None = None
    rest: bytes = b""
