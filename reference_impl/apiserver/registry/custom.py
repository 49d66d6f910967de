"""Custom resources: definitions, what follows from them, and their instances.

A CustomResourceDefinition is accepted (its names collide with nobody's), then established (it is
served), and when it is deleted its instances go first. In Kubernetes small controllers inside the
API server do that; here the server does it itself, one write a step (`tended`). Source: Kubernetes
documentation, "Extend the Kubernetes API with CustomResourceDefinitions".

Not modelled: conversion webhooks; several served versions differ in nothing but their name, and the
stored version's schema judges all of them; replicas of a scale that lie elsewhere than in
`.spec.replicas` and `.status.replicas`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from model.api.objects import (
    Generic,
    put,
    rest_fields,
    thaw,
    timestamp,
    with_metadata,
    with_rest,
)
from model.api.requests import Cause, Request, field_invalid, field_required
from model.api.resources import Resource
from model.api.schema import Shape, custom_object_shape
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.apiserver import storage
from reference_impl.apiserver.registry import structural

DEFINITIONS = "customresourcedefinitions"
KIND = "CustomResourceDefinition"
NAMESPACE = "namespaces/"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
Cache = FrozenMap[str, FrozenMap[str, Any]]


class Definition:
    """What a definition says, worked out once: `resource` is that of the stored version."""

    def __init__(self, crd: Any) -> None:
        fields = rest_fields(crd)
        self.spec: dict[str, Any] = fields.get("spec") or {}
        self.status: dict[str, Any] = fields.get("status") or {}
        self.names: dict[str, Any] = self.status.get("acceptedNames") or {}
        versions = self.spec.get("versions") or []
        self.served = [each for each in versions if each.get("served")]
        self.stored: dict[str, Any] = next((each for each in versions if each.get("storage")), {})
        self.resource = self.resource_of(self.stored)
        self.shape: Shape = custom_object_shape(self.schema)

    @property
    def schema(self) -> dict[str, Any]:
        """The schema of the stored version."""
        return schema_of(self.stored)

    def resource_of(self, version: dict[str, Any]) -> Resource:
        """The resource of one version."""
        names = self.spec.get("names") or {}
        inner = tuple(sorted(version.get("subresources") or {}))
        return Resource(names.get("kind", ""), names.get("plural", ""), self.spec.get("group", ""),
                        version.get("name", ""), self.spec.get("scope") == "Namespaced",
                        tuple(names.get("shortNames") or ()), None, inner, True)

    @property
    def is_established(self) -> bool:
        """Whether the resource is served."""
        return _condition(self.status, "Established") == "True"


def schema_of(version: dict[str, Any]) -> dict[str, Any]:
    """The schema of a version."""
    found: dict[str, Any] = (version.get("schema") or {}).get("openAPIV3Schema") or {
        "type": "object"}
    return found


def _condition(status: dict[str, Any], name: str) -> str:
    return next((each.get("status", "") for each in status.get("conditions") or ()
                 if each.get("type") == name), "")


@lru_cache(maxsize=512)
def _definition(crd: Generic) -> Definition:
    return Definition(crd)


def definition_of(cache: Cache, name: str) -> Definition | None:
    """The definition behind `plural.group`, when it is served."""
    crd = cache.get(DEFINITIONS, EMPTY).get(name)
    if crd is None:
        return None
    found = _definition(crd)
    return found if found.is_established else None


def resource_in(cache: Cache, name: str) -> Resource | None:
    """The resource of a name: a built-in one, or a custom one that is served."""
    known = storage.resource_named(name)
    if known is not None:
        return known
    found = definition_of(cache, name)
    return None if found is None else found.resource


def established(cache: Cache) -> tuple[Definition, ...]:
    """Every definition that is served."""
    found = (_definition(crd) for crd in cache.get(DEFINITIONS, EMPTY).values())
    return tuple(each for each in found if each.is_established)


# -- definitions ---------------------------------------------------------------------------------

def completed(crd: Generic) -> Generic:
    """A definition with its defaults."""
    spec = rest_fields(crd).get("spec")
    if not isinstance(spec, dict):
        return crd
    names = dict(spec.get("names") or {})
    kind = names.get("kind") or ""
    if kind:
        names["singular"] = names.get("singular") or kind.lower()
        names["listKind"] = names.get("listKind") or f"{kind}List"
    return with_rest(crd, spec={**spec, "names": names, "conversion": spec.get("conversion") or {
        "strategy": "None"}})


def first_status(crd: Generic) -> Generic:
    """A new definition: nothing is accepted yet."""
    stored = [each.get("name", "") for each in (rest_fields(crd).get("spec") or {}).get(
        "versions") or () if each.get("storage")]
    return with_rest(crd, status={"conditions": None, "storedVersions": stored,
                                  "acceptedNames": {"plural": "", "kind": ""}})


def definition_faults(crd: Any) -> list[Cause]:
    """The faults of a definition."""
    spec = rest_fields(crd).get("spec") or {}
    names, versions = spec.get("names") or {}, spec.get("versions") or []
    causes: list[Cause] = []
    if crd.metadata.name != f"{names.get('plural', '')}.{spec.get('group', '')}":
        causes.append(field_invalid("metadata.name", crd.metadata.name or "",
                                    'must be spec.names.plural+"."+spec.group'))
    group = spec.get("group") or ""
    if not group:
        causes.append(field_required("spec.group"))
    elif "." not in group:
        causes.append(field_invalid("spec.group", group, "should be a domain with at least one "
                                    "dot"))
    scope = spec.get("scope")
    if scope not in ("Cluster", "Namespaced"):
        causes.append(field_required("spec.scope") if not scope else Cause(
            "FieldValueNotSupported", f'Unsupported value: "{scope}": supported values: '
            '"Cluster", "Namespaced"', "spec.scope"))
    for field in ("plural", "kind"):
        if not names.get(field):
            causes.append(field_required(f"spec.names.{field}"))
    return [*causes, *_version_faults(versions)]


def _version_faults(versions: list[dict[str, Any]]) -> list[Cause]:
    causes: list[Cause] = []
    stored = sum(bool(each.get("storage")) for each in versions)
    if not versions:
        causes.append(field_required("spec.versions"))
    elif stored != 1:
        causes.append(field_invalid("spec.versions", [each.get("name") for each in versions],
                                    "must have exactly one version marked as storage version"))
    seen: list[str] = []
    for at, version in enumerate(versions):
        path = f"spec.versions[{at}]"
        name = version.get("name") or ""
        if not name:
            causes.append(field_required(f"{path}.name"))
        elif name in seen:
            causes.append(field_invalid(f"{path}.name", name, "must be unique"))
        seen.append(name)
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            causes.append(Cause("FieldValueRequired", "Required value: schemas are required",
                                f"{path}.schema.openAPIV3Schema"))
        else:
            causes += structural.schema_faults(schema, f"{path}.schema.openAPIV3Schema")
    return causes


def deleted(crd: Any, now: int) -> Any:
    """A definition whose deletion was asked for: its instances go first."""
    metadata = crd.metadata
    if metadata.deletion_timestamp is not None:
        return crd
    held = metadata.finalizers or ()
    metadata = metadata._replace(
        deletion_timestamp=timestamp(now),
        finalizers=held if CLEANUP in held else (*held, CLEANUP))
    status = rest_fields(crd).get("status") or {}
    return with_metadata(with_rest(crd, status=_with_condition(
        status, "Terminating", "True", "InstanceDeletionPending", "CustomResourceDefinition marked "
        "for deletion; CustomResource deletion will begin soon", now)), metadata)


def _with_condition(status: dict[str, Any], name: str, value: str, reason: str, message: str,
                    now: int) -> dict[str, Any]:
    kept = [each for each in status.get("conditions") or () if each.get("type") != name]
    return {**status, "conditions": [*kept, {
        "type": name, "status": value, "lastTransitionTime": timestamp(now), "reason": reason,
        "message": message}]}


# -- what the server does by itself --------------------------------------------------------------

def in_need(cache: Cache, keys: Iterable[str]) -> tuple[str, ...]:
    """Which definitions may call for a write of the server's own after these keys of etcd changed:
    a definition itself, or that of an instance, when it is on its way out. Names that begin with
    `namespaces/` are those of namespaces that end, and take their instances along."""
    found: list[str] = []
    for each in keys:
        resource, key = storage.split_key(each)
        if resource == DEFINITIONS:
            found.append(key)
        elif resource == "namespaces":
            if _ends(cache, key):
                found.append(f"{NAMESPACE}{key}")
        elif "." in resource:
            crd = cache.get(DEFINITIONS, EMPTY).get(resource)
            if crd is not None and crd.metadata.deletion_timestamp is not None:
                found.append(resource)
            namespace = key.rpartition("/")[0]
            if namespace and _ends(cache, namespace):
                found.append(f"{NAMESPACE}{namespace}")
    return tuple(dict.fromkeys(found))


def _ends(cache: Cache, namespace: str) -> bool:
    found = cache.get("namespaces", EMPTY).get(namespace)
    return found is not None and found.metadata.deletion_timestamp is not None


def tended(cache: Cache, name: str, now: int) -> Request | None:
    """The next write that a definition, or a namespace, calls for; None when all is done."""
    if name.startswith(NAMESPACE):
        return _emptied(cache, name.removeprefix(NAMESPACE))
    crd = cache.get(DEFINITIONS, EMPTY).get(name)
    if crd is None:
        return None
    if crd.metadata.deletion_timestamp is not None:
        return _cleanup(cache, crd, name)
    status = rest_fields(crd).get("status") or {}
    wanted = _accepted(cache, crd, status, now)
    if wanted == status:
        return None
    return Request("update", DEFINITIONS, "", name, "status", with_rest(crd, status=wanted))


def _emptied(cache: Cache, namespace: str) -> Request | None:
    for definition in established(cache):
        name = definition.resource.group_resource
        for obj in cache.get(name, EMPTY).values():
            if obj.metadata.namespace == namespace and obj.metadata.deletion_timestamp is None:
                return Request("delete", name, namespace, obj.metadata.name or "")
    return None


def _cleanup(cache: Cache, crd: Any, name: str) -> Request | None:
    held = crd.metadata.finalizers or ()
    if CLEANUP not in held:
        return None
    left = cache.get(name, EMPTY)
    going = [obj for obj in left.values() if obj.metadata.deletion_timestamp is None]
    if going:
        metadata = going[0].metadata
        return Request("delete", name, metadata.namespace or "", metadata.name or "")
    if len(left):
        return None
    kept = tuple(each for each in held if each != CLEANUP) or None
    return Request("update", DEFINITIONS, "", name, "",
                   with_metadata(crd, put(crd.metadata, "finalizers", kept)))


def _accepted(cache: Cache, crd: Any, status: dict[str, Any], now: int) -> dict[str, Any]:
    """The status of a definition: its names are its own, or somebody has one of them."""
    spec = rest_fields(crd).get("spec") or {}
    clash = _clash(cache, crd, spec)
    if clash:
        if _condition(status, "NamesAccepted") == "False":
            return status
        refused = _with_condition(status, "NamesAccepted", "False", clash[0], clash[1], now)
        if _condition(status, "Established") == "True":
            return refused
        return _with_condition(refused, "Established", "False", "NotAccepted",
                               "not all names are accepted", now)
    if _condition(status, "NamesAccepted") != "True":
        status = _with_condition(status, "NamesAccepted", "True", "NoConflicts",
                                 "no conflicts found", now)
    if status.get("acceptedNames") != spec.get("names"):
        status = {**status, "acceptedNames": spec.get("names")}
    if _condition(status, "Established") != "True":
        status = _with_condition(status, "Established", "True", "InitialNamesAccepted",
                                 "the initial names have been accepted", now)
    return status


class _Names(NamedTuple):
    """The names of a definition that nobody else in its group may have."""

    plural: str
    singular: str
    kind: str
    short: tuple[str, ...]


def _names(names: dict[str, Any]) -> _Names:
    return _Names(names.get("plural", ""), names.get("singular", ""), names.get("kind", ""),
                  tuple(names.get("shortNames") or ()))


def _clash(cache: Cache, crd: Any, spec: dict[str, Any]) -> tuple[str, str] | None:
    """Reason and message when a name is taken by another definition of the group."""
    mine = _names(spec.get("names") or {})
    for other in cache.get(DEFINITIONS, EMPTY).values():
        if other.metadata.name == crd.metadata.name:
            continue
        definition = _definition(other)
        if definition.spec.get("group") != spec.get("group"):
            continue
        theirs = _names(definition.names)
        taken = {theirs.plural, theirs.singular, *theirs.short} - {""}
        for reason, names in (("PluralConflict", (mine.plural,)),
                              ("SingularConflict", (mine.singular,)),
                              ("ShortNamesConflict", mine.short)):
            for name in names:
                if name in taken:
                    return reason, f'"{name}" is already in use'
        if mine.kind and mine.kind == theirs.kind:
            return "KindConflict", f'"{mine.kind}" is already in use'
    return None


# -- instances -----------------------------------------------------------------------------------

def prepared(obj: Generic, definition: Definition, old: Any = None,
             subresource: str = "") -> Generic | list[Cause]:
    """An instance as it is to be stored: pruned, with defaults, its generation counted; or its
    faults."""
    document = thaw(obj)
    if "status" in definition.resource.subresources:
        document = _parted(document, old, subresource)
    document = structural.pruned(document, definition.schema, [])
    document = structural.defaulted(document, definition.schema)
    before = None if old is None else thaw(old)
    causes = structural.faults(document, definition.schema, before)
    causes = _with_scale_faults(causes, document, definition)
    if causes:
        return causes
    content = {key: value for key, value in document.items()
               if key not in ("apiVersion", "kind", "metadata")}
    gone = {key: ... for key in rest_fields(obj) if key not in content}
    made = with_rest(obj, **content, **gone)
    return with_metadata(made, made.metadata._replace(generation=_generation(made, old,
                                                                             definition)))


def _parted(document: dict[str, Any], old: Any, subresource: str) -> dict[str, Any]:
    """Each endpoint writes its part: `status` the status, the other one all else."""
    before = {} if old is None else rest_fields(old)
    if subresource == "status":
        head = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
        made = {**head, **before}
        made.pop("status", None)
        return {**made, **({"status": document["status"]} if "status" in document else {})}
    made = {key: value for key, value in document.items() if key != "status"}
    return {**made, **({"status": before["status"]} if "status" in before else {})}


def _generation(new: Generic, old: Any, definition: Definition) -> int:
    if old is None:
        return 1
    one, other = rest_fields(new), rest_fields(old)
    if "status" in definition.resource.subresources:
        one.pop("status", None)
        other.pop("status", None)
    count = old.metadata.generation or 0
    return count if one == other else count + 1


def _with_scale_faults(causes: list[Cause], document: dict[str, Any],
                       definition: Definition) -> list[Cause]:
    """What the scale subresource says of the replicas stands before the remark on rules."""
    if "scale" not in definition.resource.subresources:
        return causes
    spec = document.get("spec")
    replicas = spec.get("replicas") if isinstance(spec, dict) else None
    found: list[Cause] = []
    if replicas is not None and (not isinstance(replicas, int) or isinstance(replicas, bool)):
        kind = {str: "string", bool: "bool", float: "float64"}.get(type(replicas), "object")
        found = [Cause("FieldValueInvalid", "Invalid value: 0: .spec.replicas accessor error: "
                       f"{replicas} is of the type {kind}, expected int64", ".spec.replicas")]
    elif isinstance(replicas, int) and replicas < 0:
        found = [Cause("FieldValueInvalid", f"Invalid value: {replicas}: should be a non-negative "
                       "integer", ".spec.replicas")]
    remark = [each for each in causes if each.field == "<nil>"]
    return [*(each for each in causes if each.field != "<nil>"), *found, *remark]
