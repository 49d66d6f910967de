"""Objects of the cluster: one record class for each kind that a component reads, else `Generic`.

An object is a NamedTuple that begins with `kind` and `metadata`. `freeze` makes one from a JSON
document, `thaw` gives the document back; together they are the identity up to the order of keys
(and up to the text of quantities that were written as numbers). The helpers below replace one
part of an object fast; they never look at the rest of it.

Timestamps inside objects are RFC 3339 text as on the wire; `timestamp` and `milliseconds` convert
to and from the logical clock, whose zero is 2016-07-01T00:00:00Z (the month of release 1.3).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from model.api.cluster import (
    ClusterRole,
    ClusterRoleBinding,
    ConfigMap,
    Event,
    EventSource,
    LimitRange,
    LimitRangeItem,
    LimitRangeSpec,
    Namespace,
    NamespaceSpec,
    NamespaceStatus,
    PolicyRule,
    PriorityClass,
    ResourceQuota,
    ResourceQuotaSpec,
    ResourceQuotaStatus,
    Role,
    RoleBinding,
    RoleRef,
    ScopedResourceSelectorRequirement,
    ScopeSelector,
    Secret,
    ServiceAccount,
    Subject,
)
from model.api.metadata import (
    EMPTY_METADATA,
    Condition,
    LabelSelector,
    LabelSelectorRequirement,
    LocalObjectReference,
    Metadata,
    ObjectReference,
    OwnerReference,
    annotation,
    controller_of,
    label,
)
from model.api.nodes import (
    ContainerImage,
    ContainerMetrics,
    Lease,
    LeaseSpec,
    Node,
    NodeAddress,
    NodeMetrics,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    PodMetrics,
    Taint,
)
from model.api.pods import (
    AddressEntry,
    Affinity,
    Binding,
    Container,
    ContainerPort,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    DeleteOptions,
    EnvVar,
    Eviction,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PersistentVolumeClaimVolumeSource,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodSchedulingGate,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    Preconditions,
    PreferredSchedulingTerm,
    ResourceRequirements,
    SecretVolumeSource,
    Toleration,
    TopologySpreadConstraint,
    Volume,
    VolumeMount,
    WeightedPodAffinityTerm,
)
from model.api.records import (
    FieldError,
    IntOrString,
    Pairs,
    Quantities,
    canonical_json,
    pairs,
    put,
    read,
    rest_fields,
    with_rest,
    write,
)
from model.api.resources import (
    BY_ALIAS,
    BY_GROUP_RESOURCE,
    BY_KIND,
    BY_NAME,
    BY_TYPE,
    RESOURCES,
    SUBRESOURCE_RECORDS,
    Resource,
)
from model.api.services import (
    EndpointAddress,
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SliceEndpoint,
)
from model.api.workloads import (
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentStrategy,
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaStatus,
    ReplicationController,
    ReplicationControllerSpec,
    RollingUpdateDeployment,
    Scale,
    ScaleSpec,
    ScaleStatus,
)
from model.kernel.errors import InputError

__all__ = [
    "BY_ALIAS", "BY_GROUP_RESOURCE", "BY_KIND", "BY_NAME", "BY_TYPE", "EMPTY_METADATA", "EPOCH",
    "RESOURCES", "AddressEntry", "Affinity", "Binding", "ClusterRole", "ClusterRoleBinding",
    "Condition", "ConfigMap", "Container", "ContainerImage", "ContainerMetrics", "ContainerPort",
    "ContainerState", "ContainerStateRunning", "ContainerStateTerminated", "ContainerStateWaiting",
    "ContainerStatus", "DeleteOptions", "Deployment", "DeploymentSpec", "DeploymentStatus",
    "DeploymentStrategy", "EndpointAddress", "EndpointConditions", "EndpointPort", "EndpointSlice",
    "EndpointSubset", "Endpoints", "EnvVar", "Event", "EventSource", "Eviction", "FieldError",
    "Generic", "IntOrString", "Key", "LabelSelector", "LabelSelectorRequirement", "Lease",
    "LeaseSpec", "LimitRange", "LimitRangeItem", "LimitRangeSpec", "LoadBalancerIngress",
    "LoadBalancerStatus", "LocalObjectReference", "Metadata", "Namespace", "NamespaceSpec",
    "NamespaceStatus", "Node", "NodeAddress", "NodeAffinity", "NodeMetrics", "NodeSelector",
    "NodeSelectorRequirement", "NodeSelectorTerm", "NodeSpec", "NodeStatus", "NodeSystemInfo",
    "Object", "ObjectReference", "OwnerReference", "Pairs", "PersistentVolumeClaimVolumeSource",
    "Pod", "PodAffinity", "PodAffinityTerm", "PodDisruptionBudget", "PodDisruptionBudgetSpec",
    "PodDisruptionBudgetStatus", "PodMetrics", "PodSchedulingGate", "PodSpec", "PodStatus",
    "PodTemplateSpec", "PolicyRule", "Preconditions", "PreferredSchedulingTerm", "PriorityClass",
    "Quantities", "ReplicaSet", "ReplicaSetSpec", "ReplicaStatus", "ReplicationController",
    "ReplicationControllerSpec", "Resource", "ResourceQuota", "ResourceQuotaSpec",
    "ResourceQuotaStatus", "ResourceRequirements", "Role", "RoleBinding", "RoleRef",
    "RollingUpdateDeployment", "Scale", "ScaleSpec", "ScaleStatus", "ScopeSelector",
    "ScopedResourceSelectorRequirement", "Secret", "SecretVolumeSource", "Service",
    "ServiceAccount", "ServicePort", "ServiceSpec", "ServiceStatus", "SliceEndpoint", "Subject",
    "Taint", "Toleration", "TopologySpreadConstraint", "Volume", "VolumeMount",
    "WeightedPodAffinityTerm", "annotation", "api_version_of", "canonical_json", "controller_of",
    "freeze", "from_json", "key_of", "label", "micro_timestamp", "milliseconds", "owner_for",
    "pairs", "put", "read", "reference_to", "resource_of", "rest_fields", "thaw", "timestamp",
    "to_json", "with_annotations", "with_labels", "with_metadata", "with_resource_version",
    "with_rest", "with_spec", "with_status", "write",
]


class Generic(NamedTuple):
    """An object of a kind that no component reads: metadata is typed, all else is in `rest`."""

    kind: str
    metadata: Metadata = EMPTY_METADATA
    api_version: str = "v1"
    rest: bytes = b""


class Key(NamedTuple):
    """What names an object; `namespace` is "" for objects of the cluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


Object = (Pod | Binding | Eviction | DeleteOptions | ReplicationController | ReplicaSet | Deployment
          | Scale | PodDisruptionBudget | Service | Endpoints | EndpointSlice | Node | Lease
          | Namespace | ServiceAccount | Secret | ConfigMap | ResourceQuota | LimitRange | Event
          | NodeMetrics | PodMetrics | PriorityClass | Role | ClusterRole | RoleBinding
          | ClusterRoleBinding | Generic)
O = TypeVar("O", bound=tuple[Any, ...])  # noqa: E741 - the usual name for an object

EPOCH = datetime(2016, 7, 1, tzinfo=UTC)

_RECORDS: dict[tuple[str, str], type] = {
    **{(r.api_version, r.kind): r.record for r in RESOURCES if r.record is not None},
    **{key: record for key, record in SUBRESOURCE_RECORDS.items() if key[1] != "DeleteOptions"},
}
_API_VERSIONS: dict[str, str] = {kind: version for (version, kind) in _RECORDS}


def freeze(document: Any, *, kind: str = "", api_version: str = "") -> Any:
    """An object from a JSON document. `kind` and `api_version` stand in where it has none.

    InputError when the document is no object, has no kind or no apiVersion, or when a typed field
    has the wrong type (then it is a FieldError, which names the field).
    """
    if not isinstance(document, dict):
        raise FieldError("", "object", document)
    found_kind = document.get("kind") or kind
    found_version = document.get("apiVersion") or api_version
    for field, value in (("kind", found_kind), ("apiVersion", found_version)):
        if not isinstance(value, str):
            raise FieldError(field, "string", value)
        if not value:
            raise InputError(f"the object has no {field}", where=field,
                             fix="every object names its kind and its apiVersion")
    content = {k: v for k, v in document.items() if k != "apiVersion" and k != "kind"}
    record = _RECORDS.get((found_version, found_kind))
    if record is not None:
        if content.get("metadata", content) is None:
            del content["metadata"]
        return put(read(record, content), "kind", found_kind)
    metadata = content.pop("metadata", None)
    try:
        typed = EMPTY_METADATA if metadata is None else read(Metadata, metadata)
    except FieldError as error:
        raise error.under("metadata") from None
    return Generic(found_kind, typed, found_version, canonical_json(content) if content else b"")


def thaw(obj: Any) -> dict[str, Any]:
    """The JSON document of an object, with kind and apiVersion in front."""
    if type(obj) is Generic:
        document: dict[str, Any] = {"kind": obj.kind, "apiVersion": obj.api_version,
                                    "metadata": write(obj.metadata)}
        if obj.rest:
            document.update(json.loads(obj.rest))
        return document
    body = write(obj)
    head = {"kind": body.pop("kind"), "apiVersion": _API_VERSIONS[obj.kind]}
    return {**head, **body}


def to_json(obj: Any) -> bytes:
    """The canonical JSON bytes of an object."""
    return canonical_json(thaw(obj))


def from_json(data: bytes | str) -> Any:
    """The object whose JSON this is. InputError when it is no JSON or no object."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InputError(f"this is no JSON: {error}") from None
    return freeze(document)


def api_version_of(obj: Any) -> str:
    """The apiVersion of an object."""
    version: str = obj.api_version if type(obj) is Generic else _API_VERSIONS[obj.kind]
    return version


def resource_of(obj: Any) -> Resource:
    """The resource that an object belongs to. InputError when its kind is unknown."""
    found = BY_TYPE.get((api_version_of(obj), obj.kind))
    if found is None:
        raise InputError(f'no matches for kind "{obj.kind}" in version "{api_version_of(obj)}"')
    return found


def key_of(obj: Any) -> Key:
    """Namespace and name of an object."""
    metadata = obj.metadata
    return Key(metadata.namespace or "", metadata.name or "")


def with_metadata(obj: O, metadata: Metadata) -> O:
    """The object with other metadata (its second field, whatever its kind)."""
    made: O = tuple.__new__(type(obj), (obj[0], metadata, *obj[2:]))
    return made


_VERSION_AT = Metadata._fields.index("resource_version")


def with_resource_version(obj: O, version: str | None) -> O:
    """The object as stored at another revision."""
    old = obj[1]
    metadata = tuple.__new__(Metadata, (*old[:_VERSION_AT], version, *old[_VERSION_AT + 1:]))
    made: O = tuple.__new__(type(obj), (obj[0], metadata, *obj[2:]))
    return made


def with_status(obj: O, status: Any) -> O:
    """The object with another status. Only kinds that have a typed status."""
    return put(obj, "status", status)


def with_spec(obj: O, spec: Any) -> O:
    """The object with another spec. Only kinds that have a typed spec."""
    return put(obj, "spec", spec)


def with_labels(obj: O, labels: Pairs | None) -> O:
    """The object with other labels (pairs in key order)."""
    return with_metadata(obj, put(obj[1], "labels", labels))


def with_annotations(obj: O, annotations: Pairs | None) -> O:
    """The object with other annotations (pairs in key order)."""
    return with_metadata(obj, put(obj[1], "annotations", annotations))


def owner_for(owner: Any) -> OwnerReference:
    """A controller reference to an object, as its controller puts it on what it makes."""
    return OwnerReference(api_version_of(owner), owner.kind, owner.metadata.name,
                          owner.metadata.uid, True, True)


def reference_to(obj: Any, field_path: str | None = None) -> ObjectReference:
    """A full reference to an object, as events carry it."""
    metadata = obj.metadata
    return ObjectReference(obj.kind, metadata.namespace, metadata.name, metadata.uid,
                           api_version_of(obj), metadata.resource_version, field_path)


@lru_cache(maxsize=65536)
def timestamp(ms: int) -> str:
    """The wall time of a tick of the logical clock, in whole seconds, as metav1.Time is written."""
    return (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=65536)
def micro_timestamp(ms: int) -> str:
    """The same with microseconds, as leases write it (metav1.MicroTime)."""
    return (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(maxsize=65536)
def milliseconds(text: str) -> int:
    """The tick of the logical clock that an RFC 3339 text means. InputError when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no RFC 3339 time", fix="2016-07-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise InputError(f"{text!r} has no time zone", fix=f"{text}Z")
    return (moment - EPOCH) // timedelta(milliseconds=1)
