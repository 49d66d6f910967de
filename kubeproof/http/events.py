"""Events in their newer form: one object in two versions, told apart at the front door.

Source: Kubernetes 1.32 API reference, events.k8s.io/v1: the same objects as core events, with other
names for some fields. They are stored in the core form; rights are asked for the core group.

Not modelled: the stricter validation of the newer form, and its form in patches and watches (a
watch shows core events).
"""

from __future__ import annotations

from typing import Any

from model.api.objects import freeze, thaw
from model.api.requests import ObjectList, Request

GROUP, VERSION = "events.k8s.io", "events.k8s.io/v1"
NAMES = {"regarding": "involvedObject", "note": "message", "deprecatedSource": "source",
         "deprecatedFirstTimestamp": "firstTimestamp",
         "deprecatedLastTimestamp": "lastTimestamp", "deprecatedCount": "count",
         "reportingController": "reportingComponent"}
"""Field of the newer form -> field of the core form."""
_BACK = {core: newer for newer, core in NAMES.items()}


def to_core(request: Request) -> Request:
    """A request about events of the newer group, as one about core events."""
    body = request.body
    if getattr(body, "kind", "") == "Event":
        document = thaw(body)
        renamed = {NAMES.get(field, field): value for field, value in document.items()}
        body = freeze(renamed | {"apiVersion": "v1"})
    return request._replace(resource="events", body=body)


def from_core(body: Any) -> Any:
    """An answer with events in the newer form; anything else as it is."""
    if isinstance(body, ObjectList):
        return body._replace(items=tuple(map(from_core, body.items)), api_version=VERSION)
    if body.kind != "Event":
        return body
    document = thaw(body)
    renamed = {_BACK.get(field, field): value for field, value in document.items()}
    return freeze(renamed | {"apiVersion": VERSION})
