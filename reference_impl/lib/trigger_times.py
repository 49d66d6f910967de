"""When the oldest change happened that a write about a Service answers: the annotation
`endpoints.kubernetes.io/last-change-trigger-time` of Endpoints and EndpointSlices.

Source: Kubernetes 1.32, staging/src/k8s.io/endpointslice/trigger_time_tracker.go. A Service changes
when it is made, a pod when its condition Ready changes. What was known at the last look does not
count again; a Service that was not known counts from its creation. A write that answers nothing of
the kind (a pod is deleted, a label changes) takes the annotation away.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.conditions import find
from model.api.metadata import Metadata
from model.api.objects import Pod, Service, with_metadata
from model.api.records import put

ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


class Triggers(NamedTuple):
    """The times that were known at the last look: of the Service, and of each pod by name."""

    service: str = ""
    pods: tuple[tuple[str, str], ...] = ()


def looked_at(known: Triggers | None, service: Service,
              pods: list[Pod]) -> tuple[Triggers, str | None]:
    """What is known after a look, and the time of the oldest change since the one before."""
    created = service.metadata.creation_timestamp or ""
    times = tuple((pod.metadata.name or "", moment) for pod in pods
                  if (moment := _ready_since(pod)) is not None)
    after = Triggers(created, times)
    if known is None:
        return after, created or None
    before = dict(known.pods)
    news = [moment for name, moment in times if moment > before.get(name, "")]
    if created > known.service:
        news.append(created)
    return after, min(news, default=None)


def _ready_since(pod: Pod) -> str | None:
    ready = find(pod.status.conditions, "Ready") if pod.status is not None else None
    return None if ready is None else ready.last_transition_time


def annotated(obj: Any, moment: str | None) -> Any:
    """The object with the annotation, or without it where there is no such time."""
    metadata: Metadata = obj.metadata
    kept = {name: value for name, value in metadata.annotations or () if name != ANNOTATION}
    if moment is not None:
        kept[ANNOTATION] = moment
    return with_metadata(obj, put(metadata, "annotations", tuple(sorted(kept.items())) or None))
