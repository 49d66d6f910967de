"""Stage three: what a write makes of the stored object. Pure functions: old object in, new one out.

A transform is tried on the cached object first and again on the live one, so it must depend on
nothing else. It answers the new object, REMOVE, or the Status of a refusal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api import selectors
from model.api.conditions import set_condition
from model.api.objects import (
    Condition,
    Generic,
    Metadata,
    Scale,
    ScaleSpec,
    ScaleStatus,
    pairs,
    put,
    rest_fields,
    timestamp,
    with_annotations,
    with_rest,
)
from model.api.requests import (
    MODIFIED,
    Request,
    Status,
    bad_request,
    conflict,
    field_forbidden,
    field_invalid,
    field_required,
    invalid,
    no_such_path,
)
from model.api.resources import Resource
from model.api.schema import Shape
from reference_impl.apiserver.registry import custom, deletion, strategies, validation
from reference_impl.apiserver.registry.defaulting import defaulted
from reference_impl.apiserver.registry.deletion import REMOVE
from reference_impl.apiserver.registry.patching import patched
from reference_impl.apiserver.registry.rules import statuses
from reference_impl.apiserver.registry.rules.common import Shown


class Write(NamedTuple):
    """One write on one object: the request, its resource, and the time."""

    request: Request
    resource: Resource
    now: int
    shape: Shape | None = None


def transformed(write: Write, old: Any) -> Any:
    """What the request makes of the stored object."""
    request = write.request
    if request.verb == "delete" and write.resource.name == custom.DEFINITIONS:
        fault = deletion.precondition_fault(old, request.options, write.resource)
        return custom.deleted(old, write.now) if fault is None else fault
    if request.verb == "delete":
        return deletion.deleted(old, request.options, write.resource, write.now)
    subresource = request.subresource
    if request.verb == "create" and subresource in _CREATED:
        return _CREATED[subresource](write, old)
    body = request.body
    if request.verb == "patch":
        shown = scale_of(old) if subresource == "scale" else old
        body = patched(shown, request, write.now, write.shape)
        if type(body) is Status:
            return body
        if body.metadata.uid != old.metadata.uid:
            return _invalid(write, old, [field_invalid(
                "metadata.uid", body.metadata.uid or "", "field is immutable")] * 2)
    fault = version_fault(write, body, old)
    if fault is not None:
        return fault
    if subresource == "scale":
        return _scaled(write, body, old)
    if subresource == "status":
        return _checked(write, strategies.prepare_status_update(body, old), old, False)
    if subresource == "finalize":
        return _finalized(write, body, old)
    if subresource == EPHEMERAL:
        return _with_ephemeral(write, body, old)
    if subresource:
        return no_such_path()
    new = strategies.prepare_update(kept_unset(defaulted(body), old), old, write.resource)
    return _checked(write, new, old, True)


def version_fault(write: Write, body: Any, old: Any) -> Status | None:
    """The 409 of an update that was made from another version, or from another object."""
    metadata = body.metadata
    name = old.metadata.name or ""
    resource = write.request.resource
    if metadata.name != old.metadata.name:
        return bad_request(f"the name of the object ({metadata.name}) does not match the name on "
                           f"the URL ({name})")
    if metadata.resource_version and not metadata.resource_version.isdigit():
        return Status(code=500, message="strconv.ParseUint: parsing "
                      f'"{metadata.resource_version}": invalid syntax')
    if metadata.uid and metadata.uid != old.metadata.uid:
        return conflict(resource, name, "StorageError: invalid object, Code: 4, Key: "
                        f"{_key(write, old)}, ResourceVersion: 0, AdditionalErrorMsg: "
                        f"Precondition failed: UID in precondition: {metadata.uid}, UID in object "
                        f"meta: {old.metadata.uid}")
    if metadata.resource_version and metadata.resource_version != old.metadata.resource_version:
        return conflict(resource, name, MODIFIED)
    if not metadata.resource_version and resource in _NEED_VERSION:
        return invalid(write.resource.name, write.resource.group, name, (field_invalid(
            "metadata.resourceVersion", Shown("0x0"), "must be specified for an update"),))
    return None


_NEED_VERSION = frozenset(("leases", "poddisruptionbudgets", "runtimeclasses", "apiservices",
                           "customresourcedefinitions", "csidrivers", "csinodes",
                           "volumeattachments", "validatingadmissionpolicies",
                           "validatingadmissionpolicybindings"))
"""Resources that no update may replace blindly."""


def _key(write: Write, old: Any) -> str:
    """The storage key as Kubernetes' messages show it; some resources lie in odd places there."""
    namespace = old.metadata.namespace
    resource = _SHOWN_KEYS.get(write.request.resource, write.request.resource)
    return (f"/registry/{resource}/" + (f"{namespace}/" if namespace else "")
            + (old.metadata.name or ""))


_SHOWN_KEYS = {"endpoints": "services/endpoints", "services": "services/specs", "nodes": "minions",
               "replicationcontrollers": "controllers"}


def kept_unset(new: Any, old: Any) -> Any:
    """Fields of a service that an update leaves out keep what was allocated."""
    if new.kind != "Service" or new.spec is None or old.spec is None:
        return new
    spec, before = _same_addresses(new.spec, old.spec), old.spec
    if spec.type != "ExternalName" and before.type != "ExternalName" and not spec.cluster_ip:
        spec = spec._replace(cluster_ip=before.cluster_ip, cluster_ips=before.cluster_ips)
    if spec.cluster_ip and (not spec.cluster_ips or (
            spec.cluster_ip != before.cluster_ip and spec.cluster_ips == before.cluster_ips)):
        spec = put(spec, "cluster_ips", (spec.cluster_ip,))  # a client that knows one address only
    if spec.type in ("NodePort", "LoadBalancer") and spec.ports and before.ports:
        known = {(port.protocol, port.port): port.node_port for port in before.ports}
        spec = put(spec, "ports", tuple(
            port if port.node_port else put(port, "node_port",
                                            known.get((port.protocol, port.port)))
            for port in spec.ports))
    return put(new, "spec", _without_fields_of_the_old_type(spec, before))


def _same_addresses(spec: Any, before: Any) -> Any:
    """The one address and the list of addresses say the same: the one that was changed counts."""
    same_one, same_list = spec.cluster_ip == before.cluster_ip, spec.cluster_ips == \
        before.cluster_ips
    if same_list and not same_one:
        return put(spec, "cluster_ips", (spec.cluster_ip,) if spec.cluster_ip else None)
    if same_one and not spec.cluster_ips and before.cluster_ips:
        return put(spec, "cluster_ip", None)
    return spec


def _without_fields_of_the_old_type(spec: Any, before: Any) -> Any:
    """A change of type takes along the fields that only the old type has, when the client left
    them as they were. Source: Kubernetes, registry/core/service (type dependent fields)."""
    if spec.type == "ExternalName" != before.type and spec.cluster_ips == before.cluster_ips:
        spec = spec._replace(cluster_ip=None, cluster_ips=None)
        if spec.ip_families == before.ip_families:
            spec = put(spec, "ip_families", None)
        if spec.ip_family_policy == before.ip_family_policy:
            spec = put(spec, "ip_family_policy", None)
    same_nodes = spec.allocate_load_balancer_node_ports == before.allocate_load_balancer_node_ports
    if before.type == "LoadBalancer" != spec.type and same_nodes:
        spec = put(spec, "allocate_load_balancer_node_ports", None)
    same_policy = spec.external_traffic_policy == before.external_traffic_policy
    if before.type in _OUTSIDE and spec.type not in _OUTSIDE and same_policy:
        spec = put(spec, "external_traffic_policy", None)
    if before.type in _OUTSIDE and spec.type not in _OUTSIDE and _node_ports(spec) == _node_ports(
            before):
        spec = put(spec, "ports", tuple(put(port, "node_port", None) for port in spec.ports or ()))
    return spec


def _node_ports(spec: Any) -> list[int | None]:
    return [port.node_port for port in spec.ports or ()]


_OUTSIDE = ("NodePort", "LoadBalancer")


def _checked(write: Write, new: Any, old: Any, whole: bool) -> Any:
    if whole:
        # A pod's spec was checked when it was created; what may change has rules of its own.
        same = old.spec if new.kind == "Pod" and new.spec == old.spec else None
        faults = validation.updated_faults(new, write.resource, same)
        fixed = validation.update_faults(new, old)
        # Of a service what may not change is looked at first.
        causes = [*validation.immutable_metadata(write.request.body, old),
                  *(fixed + faults if new.kind == "Service" else faults + fixed)]
    else:
        causes = statuses.faults(new, old)
    if causes:
        return _invalid(write, old, causes)
    return REMOVE if deletion.is_finished(new) else new


def _invalid(write: Write, old: Any, causes: list[Any]) -> Status:
    return invalid(write.resource.kind, write.resource.group, old.metadata.name or "",
                   tuple(causes))


def _finalized(write: Write, body: Any, old: Any) -> Any:
    """A namespace's own finalizers change through `finalize` alone."""
    wanted = body.spec.finalizers if body.spec is not None else None
    new = put(old, "spec", old.spec._replace(finalizers=wanted or None))
    new = strategies.with_own_label(new, strategies.kept_metadata(body.metadata, old.metadata))
    return REMOVE if deletion.is_finished(new) else new


EPHEMERAL = "ephemeralcontainers"


def _with_ephemeral(write: Write, body: Any, old: Any) -> Any:
    """A running pod with more ephemeral containers; those that it has stay as they are. Source:
    Kubernetes documentation, "Ephemeral Containers"."""
    if body.spec is None or old.spec is None:
        return old
    before = rest_fields(old.spec).get("ephemeralContainers") or []
    wanted = rest_fields(defaulted(body).spec).get("ephemeralContainers") or []
    where, names = "spec.ephemeralContainers", [each.get("name") for each in wanted]
    causes = [field_forbidden(where, "existing ephemeral containers "
                              f'"{each.get("name")}" may not be '
                              + ("changed" if each.get("name") in names else "removed"))
              for each in before if each not in wanted]
    causes += [field_required(f"{where}[{at}].{field}") for at, each in enumerate(wanted)
               for field in ("name", "image") if not each.get(field)]
    causes += [field_forbidden(f"{where}[{at}].{field}", "cannot be set for an Ephemeral "
                               "Container") for at, each in enumerate(wanted)
               for field in ("ports", "livenessProbe", "readinessProbe", "startupProbe",
                             "lifecycle") if each.get(field)]
    if causes:
        return _invalid(write, old, causes)
    return put(old, "spec", with_rest(old.spec, ephemeralContainers=wanted or ...))


# -- scale ---------------------------------------------------------------------------------------

def scale_of(obj: Any) -> Scale:
    """The scale of anything that has replicas."""
    old = obj.metadata
    metadata = Metadata(name=old.name, namespace=old.namespace, uid=old.uid,
                        resource_version=old.resource_version,
                        creation_timestamp=old.creation_timestamp)
    if type(obj) is Generic:
        fields = rest_fields(obj)
        wish = fields.get("spec") or {}
        replicas = wish.get("replicas")
        has = (fields.get("status") or {}).get("replicas", 0)
        return Scale("Scale", metadata, ScaleSpec(replicas or None), ScaleStatus(has))
    selector = (selectors.from_pairs(obj.spec.selector) if obj.kind == "ReplicationController"
                else selectors.from_object(obj.spec.selector))
    has = (obj.status.replicas or 0) if obj.status is not None else 0
    text = selectors.label_text(selector) if selector else None
    # The wish for none is not written.
    return Scale("Scale", metadata, ScaleSpec(obj.spec.replicas or None), ScaleStatus(has, text))


def _scaled(write: Write, body: Any, old: Any) -> Any:
    if type(body) is not Scale:
        return bad_request(f"the object sent is a {body.kind}, not a Scale")
    replicas = (body.spec.replicas or 0) if body.spec is not None else 0
    if replicas < 0:
        return invalid("Scale", "autoscaling", old.metadata.name or "", (field_invalid(
            "spec.replicas", replicas, "must be greater than or equal to 0"),))
    if type(old) is Generic:
        wish = {**(rest_fields(old).get("spec") or {}), "replicas": replicas}
        new = with_rest(old, spec=wish)
    else:
        new = put(old, "spec", put(old.spec, "replicas", replicas))
    if strategies.wish_of(new) != strategies.wish_of(old):
        metadata = new.metadata
        new = new._replace(metadata=put(metadata, "generation", (metadata.generation or 0) + 1))
    return new


# -- binding and eviction ------------------------------------------------------------------------

def bound(write: Write, pod: Any) -> Any:
    """The pod on its node. A pod is bound once; see Kubernetes documentation, "Binding"."""
    binding = write.request.body
    target = binding.target
    wanted_uid = binding.metadata.uid
    name = pod.metadata.name or ""
    if wanted_uid and wanted_uid != pod.metadata.uid:
        return _binding_conflict(name, "Precondition failed: UID in precondition: "
                                 f"{wanted_uid}, UID in object meta: {pod.metadata.uid}")
    if pod.metadata.deletion_timestamp is not None:
        return _binding_conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod.spec.node_name:
        return _binding_conflict(name, f"pod {name} is already assigned to node "
                                 f'"{pod.spec.node_name}"')
    if pod.spec.scheduling_gates:
        return _binding_conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    status = pod.status
    scheduled = Condition("PodScheduled", "True", last_transition_time=timestamp(write.now),
                          rest=b'{"lastProbeTime":null}')
    status = put(status, "conditions", set_condition(status.conditions, scheduled))
    spec = put(pod.spec, "node_name", target.name)
    if binding.metadata.annotations:
        annotations = {**dict(pod.metadata.annotations or ()), **dict(binding.metadata.annotations)}
        pod = with_annotations(pod, pairs(annotations))
    return put(put(pod, "spec", spec), "status", status)


def target_fault(binding: Any) -> Status | None:
    """Why a binding names no node; looked at before its pod is."""
    name, target = binding.metadata.name or "", binding.target
    if target is not None and target.name and target.kind in (None, "", "Node"):
        return None
    if target is None or not target.name:
        cause = "target.name: Required value"
    else:
        cause = (f'target.kind: Unsupported value: "{target.kind}": supported values: "Node", '
                 '"<empty>"')
    return Status(code=500, message=cause, name=name)


def _binding_conflict(name: str, why: str) -> Status:
    return Status(code=409, reason="Conflict", name=name, details_kind="pods/binding",
                  message=f'Operation cannot be fulfilled on pods/binding "{name}": {why}')


def evicted(write: Write, pod: Any) -> Any:
    """The pod as a delete through the eviction subresource leaves it. Budgets were asked before."""
    return deletion.deleted(pod, write.request.options, write.resource, write.now)


_CREATED = {"binding": bound, "eviction": evicted}
