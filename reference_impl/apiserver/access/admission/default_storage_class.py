"""DefaultStorageClass: a claim that names no class gets the default one, if there is one.

Source: Kubernetes documentation, "Storage Classes" (default StorageClass): of several default
classes the newest is taken.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import rest_fields, with_rest
from model.kernel.values import EMPTY
from reference_impl.apiserver.access.admission.attributes import CREATE, Attributes

DEFAULTS = ("storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class")
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def admit(attributes: Attributes, obj: Any) -> Any:
    """A claim with its class."""
    if obj.kind != "PersistentVolumeClaim" or attributes.operation != CREATE:
        return obj
    spec = rest_fields(obj).get("spec") or {}
    if spec.get("storageClassName") is not None or any(
            key == BETA_CLASS for key, _ in obj.metadata.annotations or ()):
        return obj
    name = newest_default(attributes.cache.get("storageclasses", EMPTY), DEFAULTS)
    return obj if not name else with_rest(obj, spec={**spec, "storageClassName": name})


def newest_default(classes: Any, annotations: tuple[str, ...]) -> str:
    """The newest class that an annotation marks as default, by name where equally old."""
    marked = [each.metadata for each in classes.values()
              if any(key in annotations and value == "true"
                     for key, value in each.metadata.annotations or ())]
    marked.sort(key=lambda metadata: metadata.name or "")
    marked.sort(key=lambda metadata: metadata.creation_timestamp or "", reverse=True)
    return marked[0].name or "" if marked else ""
