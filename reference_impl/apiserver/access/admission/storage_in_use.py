"""StorageObjectInUseProtection: a volume or claim in use stays until nobody uses it.

Source: Kubernetes documentation, "Persistent Volumes" (storage object in use protection). The
finalizer is set here; controllers take it away once nothing uses the object.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import put, with_metadata
from reference_impl.apiserver.access.admission.attributes import CREATE, Attributes

FINALIZERS = {"PersistentVolumeClaim": "kubernetes.io/pvc-protection",
              "PersistentVolume": "kubernetes.io/pv-protection"}


def admit(attributes: Attributes, obj: Any) -> Any:
    """A new volume or claim with its finalizer."""
    finalizer = FINALIZERS.get(obj.kind)
    if finalizer is None or attributes.operation != CREATE:
        return obj
    held = obj.metadata.finalizers or ()
    if finalizer in held:
        return obj
    return with_metadata(obj, put(obj.metadata, "finalizers", (*held, finalizer)))
