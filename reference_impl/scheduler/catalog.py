"""What the scheduler notes of objects that are neither pods nor nodes.

Sources as in the plug-ins that read it. Claims, volumes and storage classes are read from their
JSON form; no other modelled component has a use for them.
"""

from __future__ import annotations

from typing import Any

from model.api import objects as api
from model.api.quantities import units
from model.kernel.values import FrozenMap
from reference_impl.scheduler.read import budget, equalities, label_selector
from reference_impl.scheduler.records import (
    Catalog,
    Claim,
    NodeTerm,
    Requirement,
    Selector,
    StorageClass,
    Volume,
)

NO_PROVISIONER = "kubernetes.io/no-provisioner"


def _owner_selector(obj: Any) -> Selector:
    spec = obj.spec
    if spec is None:
        return ()
    if obj.kind == "ReplicationController":
        return equalities(spec.selector)
    return label_selector(spec.selector) or ()


def _claim(obj: Any) -> Claim:
    spec = api.thaw(obj).get("spec", {})
    size = spec.get("resources", {}).get("requests", {}).get("storage", "0")
    return Claim(spec.get("volumeName", ""), spec.get("storageClassName", ""), units(size),
                 tuple(spec.get("accessModes", ())))


def _requirement(found: dict[str, Any]) -> Requirement:
    return Requirement(found["key"], found["operator"], tuple(found.get("values", ())))


def _volume(obj: Any) -> Volume:
    document = api.thaw(obj)
    spec = document.get("spec", {})
    required = spec.get("nodeAffinity", {}).get("required")
    terms = None if required is None else tuple(
        NodeTerm(tuple(_requirement(each) for each in term.get("matchExpressions", ())),
                 tuple(_requirement(each) for each in term.get("matchFields", ())))
        for term in required.get("nodeSelectorTerms", ()))
    return Volume(obj.metadata.name or "",
                  document.get("status", {}).get("phase") == "Available",
                  spec.get("storageClassName", ""),
                  units(spec.get("capacity", {}).get("storage", "0")),
                  tuple(spec.get("accessModes", ())), terms)


def _storage_class(obj: Any) -> StorageClass:
    document = api.thaw(obj)
    return StorageClass(document.get("volumeBindingMode") == "WaitForFirstConsumer",
                        document.get("provisioner") != NO_PROVISIONER)


def noted(catalog: Catalog, lane: str, key: str, obj: Any) -> Catalog:
    """The catalog after an object of a collection changed; `obj` None: it is gone.

    `key` is the object's key in the store ("namespace/name" or "name").
    """
    field, prefix, reading = _READERS[lane]
    entries: FrozenMap[str, Any] = getattr(catalog, field)
    at = prefix + key
    value = None if obj is None else reading(obj)
    if entries.get(at) == value:
        return catalog
    return catalog._replace(**{field: entries.drop(at) if value is None
                               else entries.set(at, value)})


_READERS: dict[str, tuple[str, str, Any]] = {
    "namespaces": ("namespaces", "", lambda obj: FrozenMap(obj.metadata.labels or ())),
    "services": ("services", "",
                 lambda obj: equalities(obj.spec.selector if obj.spec is not None else None)),
    "replicationcontrollers": ("owners", "ReplicationController/", _owner_selector),
    "replicasets": ("owners", "ReplicaSet/", _owner_selector),
    "poddisruptionbudgets": ("budgets", "", budget),
    "persistentvolumeclaims": ("claims", "", _claim),
    "persistentvolumes": ("volumes", "", _volume),
    "storageclasses": ("classes", "", _storage_class),
}
