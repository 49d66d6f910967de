"""Stage three: is this object well formed? Every fault is a cause with its field.

Source: Kubernetes 1.32 API reference and the refusals of that release. `faults` is for creation and
update alike, `update_faults` compares with the stored object.
"""

from __future__ import annotations

import re
from typing import Any

from model.api import selectors
from model.api.objects import write
from model.api.requests import (
    Cause,
    field_forbidden,
    field_invalid,
    field_required,
)
from model.api.resources import Resource

Causes = list[Cause]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')")
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')")
QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')")
_FREE_NAMES = frozenset(("roles", "clusterroles", "rolebindings", "clusterrolebindings",
                         "poddisruptionbudgets"))


def name_faults(name: str, resource: str) -> list[str]:
    """What is wrong with a name of this resource."""
    if resource in _FREE_NAMES:
        return path_segment_faults(name)
    if resource == "services":
        faults = [] if len(name) <= 63 else ["must be no more than 63 characters"]
        return faults if _LABEL_1035.fullmatch(name) else [*faults, LABEL_1035_TEXT]
    if resource == "namespaces":
        faults = [] if len(name) <= 63 else ["must be no more than 63 characters"]
        if _LABEL.fullmatch(name):
            return faults
        return [*faults, "must not contain dots"] if _SUBDOMAIN.fullmatch(name) and "." in name \
            else [*faults, LABEL_TEXT]
    faults = [] if len(name) <= 253 else ["must be no more than 253 characters"]
    return faults if _SUBDOMAIN.fullmatch(name) else [*faults, SUBDOMAIN_TEXT]


def path_segment_faults(name: str) -> list[str]:
    """What is wrong with a name that only has to fit into a URL."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def metadata_faults(obj: Any, resource: Resource) -> Causes:
    """Faults of names, labels, annotations, owners and finalizers."""
    metadata = obj.metadata
    causes: Causes = []
    if metadata.generate_name:
        causes.extend(field_invalid("metadata.generateName", metadata.generate_name, why)
                      for why in name_faults(metadata.generate_name.rstrip("-.") or "x",
                                             resource.name))
    if not metadata.name:
        causes.append(field_required("metadata.name", "name or generateName is required"))
    else:
        causes.extend(field_invalid("metadata.name", metadata.name, why)
                      for why in name_faults(metadata.name, resource.name))
    causes.extend(label_faults(metadata.labels, "metadata.labels"))
    for key, _ in metadata.annotations or ():
        causes.extend(field_invalid("metadata.annotations", key, why)
                      for why in qualified_faults(key.lower()))
    for owner in metadata.owner_references or ():
        for field, value in (("apiVersion", owner.api_version), ("kind", owner.kind),
                             ("name", owner.name), ("uid", owner.uid)):
            if not value:
                causes.append(field_invalid(f"metadata.ownerReferences.{field}", "",
                                            "version must not be empty" if field == "apiVersion"
                                            else f"{field} must not be empty"))
    for index, finalizer in enumerate(metadata.finalizers or ()):
        causes.extend(finalizer_faults(finalizer, resource, index))
    return causes


_STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))


def finalizer_faults(finalizer: str, resource: Resource, index: int) -> Causes:
    """Core kinds want finalizers with a domain."""
    faults = qualified_faults(finalizer)
    if faults:
        return [field_invalid("metadata.finalizers", finalizer, why) for why in faults]
    if resource.name not in ("poddisruptionbudgets", "leases") and "/" not in finalizer and \
            finalizer not in _STANDARD_FINALIZERS:
        return [field_invalid(f"metadata.finalizers[{index}]", finalizer,
                              "name is neither a standard finalizer name nor is it fully "
                              "qualified")]
    return []


def label_faults(labels: Any, path: str) -> Causes:
    """Faults of the keys and values of labels."""
    causes: Causes = []
    for key, value in labels or ():
        if selectors.valid_label_key(key) and selectors.valid_label_value(value):
            continue
        causes.extend(field_invalid(path, key, why) for why in qualified_faults(key))
        if not selectors.valid_label_value(value):
            why = VALUE_TEXT if len(value) <= 63 else "must be no more than 63 characters"
            causes.append(field_invalid(path, value, why))
    return causes


def qualified_faults(key: str) -> list[str]:
    """What is wrong with a name that may have a DNS prefix."""
    prefix, slash, name = key.rpartition("/")
    faults = []
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif slash and not _SUBDOMAIN.fullmatch(prefix):
        faults.append(f"prefix part {SUBDOMAIN_TEXT}")
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 characters")
    if not re.fullmatch(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", name):
        faults.append(QUALIFIED_TEXT)
    return faults


def faults(obj: Any, resource: Resource) -> Causes:
    """Every fault of an object, in Kubernetes' order."""
    causes = metadata_faults(obj, resource)
    rule = _KINDS.get(obj.kind)
    if rule is not None:
        causes.extend(rule(obj))
    return causes


def immutable_metadata(body: Any, new: Any, old: Any) -> Causes:
    """The time of deletion cannot be set by an update."""
    wanted = getattr(getattr(body, "metadata", None), "deletion_timestamp", None)
    if not wanted or wanted == old.metadata.deletion_timestamp:
        return []
    text = wanted.replace("T", " ").replace("Z", " +0000 UTC")
    return [field_invalid("metadata.deletionTimestamp", Shown(text), "field is immutable")]


def update_faults(new: Any, old: Any, resource: Resource) -> Causes:
    """Faults of replacing `old`: immutable fields."""
    rule = _UPDATES.get(new.kind)
    return rule(new, old) if rule is not None else []


# -- kinds --------------------------------------------------------------------------------------

def _pod(pod: Any) -> Causes:
    if pod.spec is None or not pod.spec.containers:
        return [field_required("spec.containers")]
    return container_faults(pod.spec, "spec")


def container_faults(spec: Any, path: str) -> Causes:
    """Faults of the containers of a pod or a template."""
    causes: Causes = []
    if not spec.containers:
        causes.append(field_required(f"{path}.containers"))
    names: dict[str, None] = {}
    for group, containers in (("containers", spec.containers),
                              ("initContainers", spec.init_containers)):
        for index, container in enumerate(containers or ()):
            where = f"{path}.{group}[{index}]"
            if not container.name:
                causes.append(field_required(f"{where}.name"))
            elif not _LABEL.fullmatch(container.name):
                causes.append(field_invalid(f"{where}.name", container.name, LABEL_TEXT))
            elif container.name in names:
                causes.append(Cause("FieldValueDuplicate",
                                    f'Duplicate value: "{container.name}"', f"{where}.name"))
            names[container.name or ""] = None
            if not container.image:
                causes.append(field_required(f"{where}.image"))
    return causes


def _controller(obj: Any) -> Causes:
    spec = obj.spec
    causes: Causes = []
    if spec is None:
        return [field_required("spec.selector"), field_required("spec.template")]
    if spec.replicas is not None and spec.replicas < 0:
        causes.append(field_invalid("spec.replicas", spec.replicas,
                                    "must be greater than or equal to 0"))
    selector = (selectors.from_pairs(spec.selector) if obj.kind == "ReplicationController"
                else selectors.from_object(spec.selector))
    if not selector:
        causes.append(field_required("spec.selector"))
    if spec.template is None:
        causes.append(field_required("spec.template"))
        return causes
    labels = spec.template.metadata.labels if spec.template.metadata is not None else None
    if selector and not selectors.matches(selector, labels):
        causes.append(field_invalid("spec.template.metadata.labels", _go_map(labels),
                                    "`selector` does not match template `labels`"))
    if spec.template.spec is not None:
        causes.extend(container_faults(spec.template.spec, "spec.template.spec"))
    return causes


def _go_map(labels: Any) -> Any:
    inner = ", ".join(f'"{key}":"{value}"' for key, value in labels or ())
    return Shown("map[string]string{" + inner + "}" if labels else "map[string]string(nil)")


class Shown:
    """A value that error texts show as written here."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def _service(service: Any) -> Causes:
    spec = service.spec
    causes: Causes = []
    if spec is None:
        return [field_required("spec.ports")]
    if not spec.ports and spec.type != "ExternalName" and spec.cluster_ip != "None":
        causes.append(field_required("spec.ports"))
    for index, port in enumerate(spec.ports or ()):
        if len(spec.ports) > 1 and not port.name:
            causes.append(field_required(f"spec.ports[{index}].name"))
        if not 1 <= (port.port or 0) <= 65535:
            causes.append(field_invalid(f"spec.ports[{index}].port", port.port or 0,
                                        "must be between 1 and 65535, inclusive"))
    return causes


_KINDS = {"Pod": _pod, "ReplicationController": _controller, "ReplicaSet": _controller,
          "Deployment": _controller, "Service": _service}


# -- updates ------------------------------------------------------------------------------------

def _pod_update(new: Any, old: Any) -> Causes:
    """Only images, tolerations (additions), deadlines and gates of a pod's spec may change."""
    if new.spec == old.spec:
        return []
    if _frozen_part(new.spec) != _frozen_part(old.spec):
        return [field_forbidden("spec", "pod updates may not change fields other than "
                                "`spec.containers[*].image`,`spec.initContainers[*].image`,"
                                "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions "
                                "to existing tolerations),`spec.terminationGracePeriodSeconds` "
                                "(allow it to be set to 1 if it was previously negative)")]
    return []


def _frozen_part(spec: Any) -> Any:
    def without_images(containers: Any) -> Any:
        return tuple(each._replace(image=None) for each in containers) if containers else None
    return spec._replace(containers=without_images(spec.containers),
                         init_containers=without_images(spec.init_containers),
                         tolerations=None, active_deadline_seconds=None, scheduling_gates=None)


def _service_update(new: Any, old: Any) -> Causes:
    if new.spec is None or old.spec is None:
        return []
    before, after = old.spec.cluster_ip, new.spec.cluster_ip
    if before and before != after and old.spec.type != "ExternalName" \
            and new.spec.type != "ExternalName":
        return [field_invalid("spec.clusterIPs[0]", Shown('[]string{"' + (after or "") + '"}'),
                              "may not change once set")]
    return []


def _selector_update(new: Any, old: Any) -> Causes:
    if new.spec is not None and old.spec is not None and new.spec.selector != old.spec.selector:
        return [field_invalid("spec.selector", Shown(str(write(new.spec.selector))),
                              "field is immutable")]
    return []


_UPDATES = {"Pod": _pod_update, "Service": _service_update, "ReplicaSet": _selector_update,
            "Deployment": _selector_update}
