"""Stage three: what each kind does to an object on its way in, besides defaults and validation.

Creation ignores what only the server or a controller may set (timestamps, the status of kinds
whose status is a subresource); an update keeps it from the stored object. Source: Kubernetes API
conventions ("Spec and Status", "Metadata") and the answers of release 1.32.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from model.api.objects import (
    Condition,
    DeploymentStatus,
    Generic,
    LoadBalancerStatus,
    Metadata,
    Namespace,
    NamespaceSpec,
    NamespaceStatus,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    PodDisruptionBudgetStatus,
    PodSpec,
    PodStatus,
    ReplicaStatus,
    ResourceQuotaStatus,
    ServiceStatus,
    canonical_json,
    pairs,
    put,
    rest_fields,
    timestamp,
    with_metadata,
    with_rest,
)
from model.api.quantities import parse
from model.api.resources import Resource
from reference_impl.apiserver.registry import custom
from reference_impl.apiserver.registry.names import entropy, generated, uid_from

NAME_LABEL = "kubernetes.io/metadata.name"
KUBERNETES = "kubernetes"
GENERATED_KINDS = frozenset((
    "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job",
    "CronJob", "PodDisruptionBudget", "NetworkPolicy", "Ingress", "EndpointSlice",
    "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
    "CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    "FlowSchema", "PriorityLevelConfiguration", "IngressClass"))
"""Kinds whose `generation` the server counts: it rises with each change of the spec."""
FIRST_GENERATION = GENERATED_KINDS | {"PriorityClass"}
"""Kinds that begin with a generation; that of a priority class is never counted further."""
STATUS_KEEPS_LABELS = frozenset(("Deployment",))
"""Kinds whose labels a write of the status leaves alone; their annotations it may change."""

_EMPTY_STATUS: dict[str, Any] = {
    "Service": ServiceStatus(LoadBalancerStatus()), "ReplicationController": ReplicaStatus(0),
    "ReplicaSet": ReplicaStatus(0), "Deployment": DeploymentStatus(),
    "ResourceQuota": ResourceQuotaStatus(),
    "PodDisruptionBudget": PodDisruptionBudgetStatus(
        disruptions_allowed=0, current_healthy=0, desired_healthy=0, expected_pods=0),
}
_GENERIC_STATUS: dict[str, dict[str, Any]] = {
    "StatefulSet": {"replicas": 0, "availableReplicas": 0},
    "DaemonSet": {"currentNumberScheduled": 0, "numberMisscheduled": 0,
                  "desiredNumberScheduled": 0, "numberReady": 0},
    "Ingress": {"loadBalancer": {}}, "Job": {}, "CronJob": {},
    "HorizontalPodAutoscaler": {"desiredReplicas": 0, "currentMetrics": None},
    "PersistentVolumeClaim": {"phase": "Pending"}, "PersistentVolume": {"phase": "Pending"},
    "CertificateSigningRequest": {}, "ValidatingAdmissionPolicy": {},
}
_FRESH = Metadata._fields.index("creation_timestamp")


# -- creation -----------------------------------------------------------------------------------

def prepared_metadata(metadata: Metadata, resource: Resource, namespace: str, seed: int,
                      incarnation: int, ordinal: int, now: int) -> Metadata:
    """The metadata of an object that is about to be created."""
    name = metadata.name or ""
    data = entropy(seed, incarnation, ordinal, f"{resource.name}/{namespace}")
    if not name and metadata.generate_name:
        name = generated(metadata.generate_name, data)
    generation = 1 if resource.kind in FIRST_GENERATION else metadata.generation
    rest = metadata.rest
    if rest:
        rest = _without_server_fields(rest)
    return Metadata(name or None, metadata.generate_name,
                    namespace if resource.namespaced else None, uid_from(data), None, generation,
                    timestamp(now), None, None, metadata.labels or None,
                    metadata.annotations or None, metadata.owner_references or None,
                    metadata.finalizers or None, rest)


@lru_cache(maxsize=1024)
def _without_server_fields(rest: bytes) -> bytes:
    fields = rest_fields(Metadata(rest=rest))
    for name in ("managedFields", "selfLink", "creationTimestamp", "uid", "resourceVersion",
                 "deletionTimestamp", "deletionGracePeriodSeconds"):
        fields.pop(name, None)
    return canonical_json(fields) if fields else b""


@lru_cache(maxsize=4096)
def _kept_rest(new: bytes, old: bytes) -> bytes:
    """The untyped metadata of an update: what the client sent, and who owns which fields, which
    only a client that sends it changes."""
    rest = _without_server_fields(new)
    owners = rest_fields(Metadata(rest=new)).get("managedFields")
    if owners is None:
        owners = rest_fields(Metadata(rest=old)).get("managedFields")
    if not owners or owners == [{}]:
        return rest
    return canonical_json({**rest_fields(Metadata(rest=rest)), "managedFields": owners})


def prepare_create(obj: Any, resource: Resource) -> Any:
    """The object with the status and the marks that its kind begins with."""
    kind = obj.kind
    if kind == "Pod":
        return _pod(obj)
    if kind in _EMPTY_STATUS:
        return put(obj, "status", _EMPTY_STATUS[kind])
    if kind == "Namespace":
        return _namespace(obj)
    if kind == "Node":
        return _node(obj)
    if kind == "Secret" and obj.string_data is not None:
        return _secret(obj)
    if type(obj) is Generic:
        return _generic(obj, resource)
    return obj


def _pod(pod: Any) -> Any:
    spec = pod.spec
    qos = quality_of_service(spec) if spec is not None else "BestEffort"
    gated = spec is not None and spec.scheduling_gates
    return put(pod, "status", PodStatus(
        phase="Pending", qos_class=qos,
        conditions=(_gated(pod.metadata.creation_timestamp),) if gated else None))


def _gated(since: str | None) -> Condition:
    return Condition("PodScheduled", "False", "SchedulingGated",
                     "Scheduling is blocked due to non-empty scheduling gates",
                     last_transition_time=since, rest=b'{"lastProbeTime":null}')


def _namespace(namespace: Namespace) -> Namespace:
    metadata = namespace.metadata
    labels = dict(metadata.labels or ())
    labels[NAME_LABEL] = metadata.name or ""
    spec = namespace.spec or NamespaceSpec()
    held = spec.finalizers or ()
    if KUBERNETES not in held:
        held = (*held, KUBERNETES)
    return Namespace("Namespace", put(metadata, "labels", pairs(labels)),
                     put(spec, "finalizers", held), NamespaceStatus("Active"), namespace.rest)


def _node(node: Any) -> Any:
    status = node.status or NodeStatus()
    if status.node_info is None:
        info = NodeSystemInfo("", "", "", "", "", "", "", "", "", "")
        status = put(status, "node_info", info)
    if status.allocatable is None and status.capacity is not None:
        status = put(status, "allocatable", status.capacity)
    fields = rest_fields(status)
    if not fields.get("daemonEndpoints"):
        status = with_rest(status, daemonEndpoints={"kubeletEndpoint": {"Port": 0}})
    return put(put(node, "status", status), "spec", with_networks(node.spec or NodeSpec()))


def with_networks(spec: NodeSpec) -> NodeSpec:
    """The spec of a node whose list of networks begins with its one network."""
    if spec.pod_cidr and (spec.pod_cidrs or ("",))[0] != spec.pod_cidr:
        return put(spec, "pod_cidrs", (spec.pod_cidr,))
    return spec


def _secret(secret: Any) -> Any:
    """stringData is written as base64 over data and not kept."""
    from base64 import b64encode
    data = dict(secret.data or ())
    for key, text in secret.string_data:
        data[key] = b64encode(text.encode()).decode()
    return put(put(secret, "data", pairs(data)), "string_data", None)


def _generic(obj: Generic, resource: Resource) -> Generic:
    if obj.kind == custom.KIND:
        return custom.first_status(obj)
    if obj.kind == "Job":
        obj = _job(obj)
    elif obj.kind == "DaemonSet":
        obj = with_template_generation(obj, 1)
    if "status" not in resource.subresources:
        return obj
    status = _GENERIC_STATUS.get(obj.kind)
    if obj.kind == "PersistentVolume":
        status = {"phase": "Pending", "lastPhaseTransitionTime": obj.metadata.creation_timestamp}
    return with_rest(obj, status=... if status is None else status)


TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def with_template_generation(obj: Generic, number: int) -> Generic:
    """A DaemonSet with the annotation that counts the changes of its template."""
    annotations = {**dict(obj.metadata.annotations or ()), TEMPLATE_GENERATION: str(number)}
    return with_metadata(obj, put(obj.metadata, "annotations", pairs(annotations)))


def _counted_template(new: Generic, old: Generic) -> Generic:
    """A DaemonSet whose annotation counts one more where its template is another."""
    counted = int(dict(old.metadata.annotations or ()).get(TEMPLATE_GENERATION, "0"))
    after, before = (((rest_fields(each).get("spec") or {}).get("template"))
                     for each in (new, old))
    return with_template_generation(new, counted + (after != before))


def _job(job: Generic) -> Generic:
    """A job selects its pods by its own uid, unless the client chose a selector."""
    fields = rest_fields(job)
    spec = fields.get("spec") or {}
    template = spec.get("template")
    if spec.get("manualSelector") or not isinstance(template, dict):
        return job
    name, uid = job.metadata.name or "", job.metadata.uid or ""
    marks = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
             "controller-uid": uid, "job-name": name}
    metadata = template.get("metadata") or {}
    template["metadata"] = {**metadata, "labels": {**(metadata.get("labels") or {}), **marks}}
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    if not job.metadata.labels:
        # A job without labels of its own takes those of its pods.
        job = with_metadata(job, put(job.metadata, "labels",
                                     pairs(template["metadata"]["labels"])))
    return with_rest(job, spec=spec)


def quality_of_service(spec: PodSpec) -> str:
    """The class of a pod. Source: Kubernetes documentation, "Pod Quality of Service Classes"."""
    return _class_of(tuple(c.resources for c in (*(spec.containers or ()),
                                                 *(spec.init_containers or ()))))


@lru_cache(maxsize=1024)
def _class_of(wishes: tuple[Any, ...]) -> str:
    guaranteed, any_wish = True, False
    for wish in wishes:
        limits = _amounts(wish.limits if wish else None)
        requests = _amounts(wish.requests if wish else None)
        any_wish = any_wish or bool(limits or requests)
        both = {**limits, **requests}
        if set(limits) != {"cpu", "memory"} or both != limits:
            guaranteed = False
    if not any_wish:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _amounts(quantities: Any) -> dict[str, int]:
    return {name: parse(text).nano for name, text in quantities or ()
            if name in ("cpu", "memory") and parse(text).nano}


# -- update -------------------------------------------------------------------------------------

def kept_metadata(new: Metadata, old: Metadata) -> Metadata:
    """The metadata of an update: what clients cannot change comes from the stored object."""
    rest = _kept_rest(new.rest, old.rest) if new.rest or old.rest else b""
    return Metadata(old.name, new.generate_name, old.namespace, old.uid,
                    old.resource_version, old.generation, old.creation_timestamp,
                    old.deletion_timestamp, old.deletion_grace_period_seconds,
                    new.labels or None, new.annotations or None, new.owner_references or None,
                    new.finalizers or None, rest)


def prepare_update(new: Any, old: Any, resource: Resource) -> Any:
    """A new version of an object: status stays, the generation rises when the spec changed."""
    result = with_metadata(new, kept_metadata(new.metadata, old.metadata))
    kind = result.kind
    if kind == "Node":
        result = _node_update(result, old)
    elif kind == "Namespace":
        result = _namespace_update(result, old)
    elif kind == "Secret" and result.string_data is not None:
        result = _secret(result)
    elif type(result) is Generic:
        if kind == "DaemonSet":
            result = _counted_template(result, old)
        if "status" in resource.subresources:
            result = with_rest(result, status=rest_fields(old).get("status", ...))
    elif "status" in resource.subresources:
        result = put(result, "status", old.status)
    if kind in GENERATED_KINDS and (wish_of(result) != wish_of(old) or (kind == "Deployment" and
                                    result.metadata.annotations != old.metadata.annotations)):
        metadata = result.metadata
        result = with_metadata(result, put(metadata, "generation",
                                           (old.metadata.generation or 0) + 1))
    return result


def wish_of(obj: Any) -> Any:
    """What the generation counts changes of: the spec, or all but metadata and status."""
    if type(obj) is Generic:
        fields = rest_fields(obj)
        fields.pop("status", None)
        return fields
    return obj.spec if "spec" in obj._fields else obj[2:]


def _node_update(node: Any, old: Any) -> Any:
    spec = with_networks(node.spec or NodeSpec())
    return put(put(node, "spec", spec), "status", old.status)


def with_own_label(namespace: Any, metadata: Metadata) -> Any:
    """A namespace with this metadata and the label that names it."""
    labels = dict(metadata.labels or ())
    labels[NAME_LABEL] = metadata.name or ""
    return with_metadata(namespace, put(metadata, "labels", pairs(labels)))


def _namespace_update(namespace: Any, old: Any) -> Any:
    updated = Namespace("Namespace", namespace.metadata, old.spec, old.status, namespace.rest)
    return with_own_label(updated, namespace.metadata)


def prepare_status_update(new: Any, old: Any) -> Any:
    """The stored object with the status of `new`, and its metadata where the kind allows it."""
    metadata = put(kept_metadata(new.metadata, old.metadata), "owner_references",
                   old.metadata.owner_references)
    if old.kind in STATUS_KEEPS_LABELS:
        metadata = put(metadata, "labels", old.metadata.labels)
    if type(old) is Generic:
        status = rest_fields(new).get("status", ...)
        return with_metadata(with_rest(old, status=status), metadata)
    result = put(old, "status", new.status)
    return result if metadata == old.metadata else with_metadata(result, metadata)
