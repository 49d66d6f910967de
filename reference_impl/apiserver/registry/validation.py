"""Stage three: is this object well formed? Every fault is a cause with its field.

`faults` is for creation and update alike, `update_faults` compares with the stored object. The
rules of each kind are in `rules/`; what repeats (a controller's pods share one spec) is checked
once. Source: Kubernetes 1.32 API reference and the refusals of that release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.api.objects import EMPTY_METADATA, rest_fields
from model.api.requests import field_forbidden, field_invalid, field_required
from model.api.resources import Resource
from model.api.selectors import SUBDOMAIN_TEXT
from reference_impl.apiserver.registry import custom
from reference_impl.apiserver.registry.rules import common, others, pods, services, stored
from reference_impl.apiserver.registry.rules.common import Causes, Shown

_FREE_NAMES = frozenset(("roles", "clusterroles", "rolebindings", "clusterrolebindings",
                         "poddisruptionbudgets"))
_FREE_FINALIZERS = frozenset(("poddisruptionbudgets", "leases"))
_STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))


# -- metadata -----------------------------------------------------------------------------------

def name_texts(name: str, resource: str) -> list[str]:
    """What is wrong with a name of this resource."""
    if resource in _FREE_NAMES:
        if name in (".", ".."):
            return [f"may not be '{name}'"]
        return [f"may not contain '{char}'" for char in "/%" if char in name]
    length = 63 if resource in ("services", "namespaces") else 253
    texts = [] if len(name) <= length else [f"must be no more than {length} characters"]
    if resource == "services":
        return texts if common.LABEL_1035.fullmatch(name) else [*texts, common.LABEL_1035_TEXT]
    if resource == "namespaces":
        return common.dns_label_texts(name)
    return texts if common.SUBDOMAIN.fullmatch(name) else [*texts, SUBDOMAIN_TEXT]


def metadata_faults(obj: Any, resource: Resource) -> Causes:
    """Faults of names, labels, annotations, owners and finalizers."""
    metadata = obj.metadata
    causes: Causes = []
    if metadata.generate_name:
        prefix = metadata.generate_name
        stem = prefix[:-1] + "a" if prefix.endswith(("-", ".")) else prefix
        causes += [field_invalid("metadata.generateName", prefix, why)
                   for why in name_texts(stem, resource.name)]
    if not metadata.name:
        causes.append(field_required("metadata.name", "name or generateName is required"))
    else:
        causes += [field_invalid("metadata.name", metadata.name, why)
                   for why in name_texts(metadata.name, resource.name)]
    if metadata.labels:
        causes += common.labels_faults(metadata.labels, "metadata.labels")
    for key, _ in metadata.annotations or ():
        causes += common.qualified_faults(key.lower(), "metadata.annotations")
    causes += _owner_faults(metadata.owner_references or ())
    for index, finalizer in enumerate(metadata.finalizers or ()):
        causes += _finalizer_faults(finalizer, resource, index)
    return causes


def _owner_faults(owners: tuple[Any, ...]) -> Causes:
    causes: Causes = []
    for owner in owners:
        for field, value in (("apiVersion", owner.api_version), ("kind", owner.kind),
                             ("name", owner.name), ("uid", owner.uid)):
            if not value:
                word = "version" if field == "apiVersion" else field
                causes.append(field_invalid(f"metadata.ownerReferences.{field}", "",
                                            f"{word} must not be empty"))
    managers = [owner for owner in owners if owner.controller]
    if len(managers) > 1:
        shown = ", ".join(_go_owner(owner) for owner in owners)
        first, second = managers[:2]
        causes.append(field_invalid(
            "metadata.ownerReferences", Shown("[]v1.OwnerReference{" + shown + "}"),
            "Only one reference can have Controller set to true. Found \"true\" in references for "
            f"{first.kind}/{first.name} and {second.kind}/{second.name}"))
    return causes


def _go_owner(owner: Any) -> str:
    return (f'v1.OwnerReference{{APIVersion:"{owner.api_version}", Kind:"{owner.kind}", '
            f'Name:"{owner.name}", UID:"{owner.uid}", Controller:(*bool)(0xc000000000), '
            "BlockOwnerDeletion:(*bool)(nil)}")


def _finalizer_faults(finalizer: str, resource: Resource, index: int) -> Causes:
    """Most kinds want finalizers with a domain."""
    causes = common.qualified_faults(finalizer, "metadata.finalizers")
    if causes:
        return causes
    if resource.name not in _FREE_FINALIZERS and "/" not in finalizer and \
            finalizer not in _STANDARD_FINALIZERS:
        return [field_invalid(f"metadata.finalizers[{index}]", finalizer, "name is neither a "
                              "standard finalizer name nor is it fully qualified")]
    return []


# -- objects ------------------------------------------------------------------------------------

def faults(obj: Any, resource: Resource, spec: Any = None) -> Causes:
    """Every fault of an object, in Kubernetes' order. `spec`: a pod's spec as it was sent, before
    admission added to it, so that the pods of one controller are checked once."""
    causes = metadata_faults(obj, resource)
    if obj.kind == "Pod":
        chosen = obj.spec if spec is None else spec
        return causes + (list(pods.spec_faults(chosen, "spec", False)) if chosen is not None
                         else [field_required("spec.containers")])
    rule = None if resource.custom else _KINDS.get(obj.kind)
    return causes + rule(obj) if rule is not None else causes


def _service(service: Any) -> Causes:
    if service.spec is None:
        return [field_required("spec.ports")]
    return list(services.spec_faults(service.spec))


_KINDS: dict[str, Callable[[Any], Causes]] = {
    "ReplicationController": others.controller, "ReplicaSet": others.controller,
    "Deployment": others.controller, "Service": _service,
    "Endpoints": services.endpoints_faults, "ConfigMap": others.config_map,
    "Secret": others.secret, "Node": others.node, "Namespace": others.namespace,
    "ResourceQuota": others.quota, "LimitRange": others.limit_range, "Role": others.role,
    "ClusterRole": others.role, "Event": others.event, "PodDisruptionBudget": others.budget,
    **stored.KINDS,
    custom.KIND: custom.definition_faults,
}


def creation_faults(obj: Any) -> Causes:
    """What may not be set when an object is created."""
    causes: Causes = []
    if obj.kind == "Pod" and obj.spec is not None:
        if rest_fields(obj.spec).get("ephemeralContainers"):
            causes.append(field_forbidden("spec.ephemeralContainers", "cannot be set on create"))
        if obj.spec.scheduling_gates and obj.spec.node_name:
            causes.append(field_forbidden("spec.nodeName", "cannot be set until all "
                                          "schedulingGates have been cleared"))
    return causes


# -- updates ------------------------------------------------------------------------------------

def immutable_metadata(body: Any, old: Any) -> Causes:
    """The time of deletion cannot be set by an update, and what is being deleted gets no new
    finalizers."""
    added = [each for each in (getattr(body, "metadata", None) or EMPTY_METADATA).finalizers or ()
             if each not in (old.metadata.finalizers or ())]
    if added and old.metadata.deletion_timestamp is not None:
        return [field_forbidden("metadata.finalizers", "no new finalizers can be added if the "
                                "object is being deleted, found new finalizers "
                                f"{common.go_list(added)}")] * 2
    wanted = getattr(getattr(body, "metadata", None), "deletion_timestamp", None)
    if not wanted or wanted == old.metadata.deletion_timestamp:
        return []
    text = wanted.replace("T", " ").replace("Z", " +0000 UTC")
    return [field_invalid("metadata.deletionTimestamp", Shown(text), "field is immutable")] * 2


def updated_faults(new: Any, resource: Resource, same_spec: Any) -> Causes:
    """The faults of an object that replaces another. Release 1.32 checks metadata several times
    on an update and reports each fault as often; clients see that, so it is kept."""
    metadata = metadata_faults(new, resource)
    causes = faults(new, resource, same_spec)[len(metadata):]
    rbac = resource.group.startswith("rbac.")
    three = resource.group == "apps" or resource.name == "resourcequotas"
    again = rbac or resource.name == "replicationcontrollers"
    return metadata * (5 if rbac else 3 if three else 4) + causes * (2 if again else 1)


def update_faults(new: Any, old: Any) -> Causes:
    """Faults of replacing `old`: immutable fields."""
    rule = _UPDATES.get(new.kind)
    return rule(new, old) if rule is not None else []


_POD_UPDATE = ("pod updates may not change fields other than `spec.containers[*].image`,"
               "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
               "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
               "(allow it to be set to 1 if it was previously negative)")


def _pod_update(new: Any, old: Any) -> Causes:
    """Only images, tolerations (additions), deadlines and gates of a pod's spec may change."""
    after, before = new.spec, old.spec
    if after == before or after is None or before is None:
        return []
    if len(after.containers or ()) != len(before.containers or ()):
        return [field_forbidden("spec.containers", "pod updates may not add or remove containers")]
    causes: Causes = []
    limit = before.active_deadline_seconds
    if after.active_deadline_seconds != limit and limit is not None:
        if after.active_deadline_seconds is None:
            causes.append(field_invalid("spec.activeDeadlineSeconds", Shown("null"), "must not "
                                        "update from a positive integer to nil value"))
        elif after.active_deadline_seconds > limit:
            causes.append(field_invalid("spec.activeDeadlineSeconds",
                                        after.active_deadline_seconds, "must be less than or "
                                        "equal to previous value"))
    kept = [each._replace(toleration_seconds=None) for each in after.tolerations or ()]
    if any(each._replace(toleration_seconds=None) not in kept for each in
           before.tolerations or ()):
        causes.append(field_forbidden("spec.tolerations", "existing toleration can not be modified "
                                      "except its tolerationSeconds"))
    if _frozen_part(after) != _frozen_part(before):
        causes.append(field_forbidden("spec", _POD_UPDATE))
    return causes


def _frozen_part(spec: Any) -> Any:
    return spec._replace(containers=_without_images(spec.containers),
                         init_containers=_without_images(spec.init_containers),
                         tolerations=None, active_deadline_seconds=None, scheduling_gates=None)


def _without_images(containers: Any) -> Any:
    return tuple(each._replace(image=None) for each in containers) if containers else None


def _service_update(new: Any, old: Any) -> Causes:
    if new.spec is None or old.spec is None:
        return []
    before, after = old.spec.cluster_ip, new.spec.cluster_ip
    if before and before != after and "ExternalName" not in (old.spec.type, new.spec.type):
        return [field_invalid("spec.clusterIPs[0]", common.go_list((after or "",)),
                              "may not change once set")]
    return []


_UPDATES: dict[str, Callable[[Any, Any], Causes]] = {
    "Pod": _pod_update, "Service": _service_update, "ReplicaSet": others.immutable_selector,
    "Deployment": others.immutable_selector, "ConfigMap": others.immutable_data,
    "Secret": others.immutable_data, "Node": others.node_update,
    "ResourceQuota": others.quota_update, "RoleBinding": others.role_binding_update,
    "ClusterRoleBinding": others.role_binding_update, **stored.UPDATES,
}

