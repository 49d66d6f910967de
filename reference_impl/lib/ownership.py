"""Changes of who owns an object: patches of its metadata that hold only for what was seen.

Source: Kubernetes 1.32, pkg/controller (controller_ref_manager.go, garbagecollector):
both write owner references by patch, with the uid in it as a condition. Ours names the version seen
as well, so a change in between is a conflict and the key is tried again.
"""

from __future__ import annotations

from typing import Any

from model.api.metadata import OwnerReference
from model.api.records import canonical_json, write
from model.api.requests import Patch, Request, patch


def metadata_patch(lane: str, obj: Any, fields: dict[str, Any]) -> Request:
    """A change of an object's metadata, only while it is as it was seen."""
    metadata = obj.metadata
    document = {"metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version,
                             **fields}}
    return patch(lane, metadata.namespace or "", metadata.name or "",
                 Patch("merge", canonical_json(document)))


def owners_patch(lane: str, obj: Any, left: tuple[OwnerReference, ...]) -> Request:
    """Give an object these owners and no others."""
    return metadata_patch(lane, obj, {"ownerReferences": [write(ref) for ref in left] or None})
