"""PersistentVolumeClaimResize: only a claim whose class allows it may ask for more.

Source: Kubernetes documentation, "Admission Controllers" (PersistentVolumeClaimResize).
"""

from __future__ import annotations

from typing import Any

from model.api.objects import rest_fields
from model.api.quantities import compare
from model.api.requests import Status, forbidden
from model.kernel.values import EMPTY
from reference_impl.apiserver.access.admission.attributes import UPDATE, Attributes


def validate(attributes: Attributes, obj: Any) -> Status | None:
    """Why a claim may not grow, None when it may or does not."""
    if obj.kind != "PersistentVolumeClaim" or attributes.operation != UPDATE \
            or attributes.request.subresource or attributes.old is None:
        return None
    before, after = _size(attributes.old), _size(obj)
    if before is None or after is None or compare(after, before) <= 0:
        return None
    fields = rest_fields(attributes.old)
    if (fields.get("status") or {}).get("phase") != "Bound":
        why = "Only bound persistent volume claims can be expanded"
        return forbidden("persistentvolumeclaims", obj.metadata.name or "", why)
    name = (rest_fields(obj).get("spec") or {}).get("storageClassName") or ""
    found = attributes.cache.get("storageclasses", EMPTY).get(name)
    if found is not None and rest_fields(found).get("allowVolumeExpansion"):
        return None
    return forbidden("persistentvolumeclaims", obj.metadata.name or "", "only dynamically "
                     "provisioned pvc can be resized and the storageclass that provisions the pvc "
                     "must support resize")


def _size(claim: Any) -> str | None:
    spec = rest_fields(claim).get("spec") or {}
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return None if size is None else str(size)
