"""Patches whose result is no object of the kind: refused with that result, as the server prints it.

A merge or JSON patch is applied to what the watch cache shows, only to word the refusal; whether a
patch is carried out is decided by the simulated server. Source: answers of release 1.32, and the
order in which Go writes fields: those of a map that was patched by name, all others as declared.
"""

from __future__ import annotations

import json
from typing import Any

from kubeproof.http import paths, schema
from kubeproof.http.paths import Target
from model.api.objects import thaw
from model.api.requests import Cause, Patch, Status, invalid
from model.api.resources import BY_TYPE, Resource
from model.kernel.values import EMPTY
from model.kernel.world import World
from reference_impl.apiserver import storage
from reference_impl.apiserver.registry.patching import PatchError, json_patch, merge_patch

_METADATA = ("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion",
             "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
             "labels", "annotations", "ownerReferences", "finalizers", "managedFields")
_POD_SPEC = (
    "volumes", "initContainers", "containers", "ephemeralContainers", "restartPolicy",
    "terminationGracePeriodSeconds", "activeDeadlineSeconds", "dnsPolicy", "nodeSelector",
    "serviceAccountName", "serviceAccount", "automountServiceAccountToken", "nodeName",
    "hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "securityContext",
    "imagePullSecrets", "hostname", "subdomain", "affinity", "schedulerName", "tolerations",
    "hostAliases", "priorityClassName", "priority", "dnsConfig", "readinessGates",
    "runtimeClassName", "enableServiceLinks", "preemptionPolicy", "overhead",
    "topologySpreadConstraints", "setHostnameAsFQDN", "os", "hostUsers", "schedulingGates")
_CONTAINER = (
    "name", "image", "command", "args", "workingDir", "ports", "envFrom", "env", "resources",
    "resizePolicy", "restartPolicy", "volumeMounts", "volumeDevices", "livenessProbe",
    "readinessProbe", "startupProbe", "lifecycle", "terminationMessagePath",
    "terminationMessagePolicy", "imagePullPolicy", "securityContext", "stdin", "stdinOnce", "tty")
_ENTRY = ("manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource")


def refusal(patch: Patch, data: bytes, target: Target, strict: tuple[str, ...],
            world: World) -> Status | None:
    """The 422 of a patch that leaves values of wrong types, another kind, or, for a strict client,
    fields that there are not (`strict`); None for any other. `data`: the patch as it was sent."""
    resource = target.resource
    if resource is None or patch.type not in ("merge", "json") or target.subresource:
        return None
    change = json.loads(data)
    if not strict and patch.type == "merge" and not _is_suspect(change, target):
        return None
    live = world["apiserver"].cache.get(paths.resource_name(resource), EMPTY).get(
        storage.cache_key(target.namespace, target.name))
    if live is None:
        return None
    document = _declared(thaw(live))
    try:
        result = merge_patch(document, change) if patch.type == "merge" else json_patch(
            document, change)
        if not isinstance(result, dict):
            return None
        if result.get("kind") != resource.kind:
            return _other_kind(_touched(result, _places(change)), resource)
        schema.checked(result, resource.api_version, resource.kind)
    except schema.FieldTypeError as error:
        return _worded(_touched(result, _places(change)), str(error))
    except (PatchError, AttributeError, TypeError):
        return None
    if not strict:
        return None
    return _worded(_touched(result, _places(change)),
                   f"strict decoding error: {', '.join(strict)}")


def _other_kind(result: dict[str, Any], resource: Resource) -> Status | None:
    version, kind = result.get("apiVersion"), result.get("kind")
    if (version, kind) not in BY_TYPE:
        return None
    group = resource.group.partition(".")[0] or "core"
    return _worded(result, f"converting ({str(version).rpartition('/')[2]}.{kind}) to "
                   f"({group}.{resource.kind}): unknown conversion")


def _is_suspect(change: Any, target: Target) -> bool:
    resource = target.resource
    if resource is None or not isinstance(change, dict):
        return False
    if change.get("kind", resource.kind) != resource.kind:
        return True
    try:
        schema.checked(change, resource.api_version, resource.kind, whole=False)
    except schema.FieldTypeError:
        return True
    return False


def _worded(result: Any, why: str) -> Status:
    text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    return invalid("", "", "", (Cause(
        "FieldValueInvalid", f"Invalid value: {json.dumps(text, ensure_ascii=False)}: {why}",
        "patch"),))


def _declared(document: dict[str, Any]) -> dict[str, Any]:
    """A document with metadata, pods and containers in the order in which Go declares fields."""
    metadata = dict(document["metadata"])
    if metadata.get("managedFields"):
        metadata["managedFields"] = [_in_order(entry, _ENTRY)
                                     for entry in metadata["managedFields"]]
    rest = {key: _as_declared(value, key) for key, value in document.items() if key != "metadata"}
    return {**rest, "metadata": _in_order(metadata, _METADATA)}


def _as_declared(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_as_declared(each, name) for each in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _as_declared(item, key) for key, item in value.items()}
    if name == "metadata":
        return _in_order(inner, _METADATA)
    if name in ("containers", "initContainers"):
        return _in_order(inner, _CONTAINER)
    return _in_order(inner, _POD_SPEC) if "containers" in inner else inner


def _in_order(value: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    known = {key: value[key] for key in order if key in value}
    return {**known, **{key: item for key, item in value.items() if key not in known}}


def _places(change: Any) -> Any:
    """The maps that a patch walks through, as a tree of their keys."""
    if isinstance(change, dict):
        return {key: _places(value) for key, value in change.items() if isinstance(value, dict)}
    tree: dict[str, Any] = {}
    for operation in change if isinstance(change, list) else ():
        node = tree
        for step in str(operation.get("path", "")).split("/")[1:-1]:
            node = node.setdefault(step, {})
    return tree


def _touched(value: Any, places: dict[str, Any]) -> Any:
    """A document with the maps that were walked through in the order of their names."""
    if isinstance(value, list):
        return [_touched(each, places[str(at)]) if str(at) in places else each
                for at, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    return {key: _touched(value[key], places[key]) if key in places else value[key]
            for key in sorted(value)}
