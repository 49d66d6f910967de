"""What every object carries: metadata, owners, references, conditions.

Source: the Kubernetes API reference, "ObjectMeta" and "API conventions". Fields that no component
reads (managedFields, selfLink) stay in `rest`.
"""

from __future__ import annotations

from typing import NamedTuple

from model.api.records import Pairs


class OwnerReference(NamedTuple):
    """An owner in the same namespace; at most one of an object's owners has `controller` set."""

    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    uid: str | None = None
    controller: bool | None = None
    block_owner_deletion: bool | None = None
    rest: bytes = b""


class ObjectReference(NamedTuple):
    """A pointer to another object, as in events, bindings and endpoint addresses."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    api_version: str | None = None
    resource_version: str | None = None
    field_path: str | None = None
    rest: bytes = b""


class LocalObjectReference(NamedTuple):
    """A pointer by name within the same namespace."""

    name: str | None = None
    rest: bytes = b""


class Metadata(NamedTuple):
    """The metadata of an object or of a pod template. Timestamps are RFC 3339 text."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: Pairs | None = None
    annotations: Pairs | None = None
    owner_references: tuple[OwnerReference, ...] | None = None
    finalizers: tuple[str, ...] | None = None
    rest: bytes = b""


class Condition(NamedTuple):
    """One condition of any kind's status (pods, nodes, controllers, namespaces, budgets)."""

    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_probe_time: str | None = None
    last_heartbeat_time: str | None = None
    last_update_time: str | None = None
    last_transition_time: str | None = None
    observed_generation: int | None = None
    rest: bytes = b""


class LabelSelectorRequirement(NamedTuple):
    """One set-based requirement: In, NotIn, Exists or DoesNotExist."""

    key: str | None = None
    operator: str | None = None
    values: tuple[str, ...] | None = None
    rest: bytes = b""


class LabelSelector(NamedTuple):
    """A selector as objects carry it: all of `match_labels` and all of `match_expressions`."""

    match_labels: Pairs | None = None
    match_expressions: tuple[LabelSelectorRequirement, ...] | None = None
    rest: bytes = b""


EMPTY_METADATA = Metadata()


def controller_of(metadata: Metadata) -> OwnerReference | None:
    """The owner that manages the object, if one does."""
    for owner in metadata.owner_references or ():
        if owner.controller:
            return owner
    return None


def label(metadata: Metadata, key: str) -> str | None:
    """The value of a label, None when the object does not carry it."""
    for name, value in metadata.labels or ():
        if name == key:
            return value
    return None


def annotation(metadata: Metadata, key: str) -> str | None:
    """The value of an annotation, None when the object does not carry it."""
    for name, value in metadata.annotations or ():
        if name == key:
            return value
    return None
