"""The events that a kubelet tells about its pods, and how a repeated one is counted.

Texts: Kubernetes 1.32 (kubelet events). Not modelled: the rate limit for similar events; a kubelet
here keeps a bounded queue and drops what does not fit, as events are told at best effort.
"""

from __future__ import annotations

from model.api.objects import (
    Event,
    EventSource,
    Metadata,
    ObjectReference,
    canonical_json,
    timestamp,
)
from model.kernel.values import stable_digest
from reference_impl.kubelet.state import Local, PodRecord

QUEUE_MAX = 64


def event_for(record: PodRecord, node: str, type_: str, reason: str, message: str, container: str,
              now: int) -> Event:
    """An event about a pod, or about one container of it; equal events have the same name."""
    pod = record.pod
    names = [each.name for each in record.containers]
    path = None
    if container:
        kind = "initContainers" if names.index(container) < record.inits else "containers"
        path = f"spec.{kind}{{{container}}}"
    namespace, _, name = record.key.partition("/")
    seen = timestamp(now)
    digest = stable_digest("/".join((record.uid, reason, message, container)))
    return Event(
        metadata=Metadata(name=f"{name}.{digest}", namespace=namespace),
        involved_object=ObjectReference("Pod", namespace, name, record.uid, "v1",
                                        pod.metadata.resource_version, path),
        reason=reason, message=message, source=EventSource("kubelet", node),
        first_timestamp=seen, last_timestamp=seen, count_=1, type=type_,
        rest=canonical_json({"eventTime": None, "reportingComponent": "kubelet",
                             "reportingInstance": node}))


def queued(local: Local, event: Event) -> Local:
    """The event behind those that wait to be written, unless too many wait."""
    if len(local.events) >= QUEUE_MAX:
        return local
    return local._replace(events=(*local.events, event))


def again(stored: Event, event: Event) -> Event:
    """The stored event, seen once more."""
    return stored._replace(count_=(stored.count_ or 1) + 1, last_timestamp=event.last_timestamp)
