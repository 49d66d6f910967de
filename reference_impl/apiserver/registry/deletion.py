"""Stage three: what a delete does: remove at once, or mark and wait for grace and finalizers.

Source: Kubernetes documentation, "Finalizers", "Pod Lifecycle" (termination), "Garbage Collection"
(foreground and orphan deletion). Propagation is recorded as a finalizer on the object; the garbage
collector that would act on it is no part of this server.
"""

from __future__ import annotations

from typing import Any, Literal

from model.api.objects import Metadata, Namespace, NamespaceStatus, put, timestamp, with_metadata
from model.api.requests import Options, Status, conflict
from model.api.resources import Resource

REMOVE: Literal["remove"] = "remove"
LAST = "last"
"""The piece of work that marks a pod before it is removed."""
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
ORPHANS_BY_DEFAULT = frozenset(("ReplicationController",))
FINISHED = ("Succeeded", "Failed")


def precondition_fault(obj: Any, options: Options, resource: Resource) -> Status | None:
    """The 409 of a delete whose preconditions do not hold."""
    metadata = obj.metadata
    name = metadata.name or ""
    uid, version = options.precondition_uid, options.precondition_resource_version
    if uid is not None and uid != metadata.uid:
        return _kind_conflict(resource, name, f"the UID in the precondition ({uid}) does not match "
                              f"the UID in record ({metadata.uid}). The object might have been "
                              "deleted and then recreated")
    if version is not None and version != metadata.resource_version:
        return _kind_conflict(resource, name, f"the ResourceVersion in the precondition ({version})"
                              f" does not match the ResourceVersion in record "
                              f"({metadata.resource_version}). The object might have been modified")
    return None


def _kind_conflict(resource: Resource, name: str, why: str) -> Status:
    found = conflict(resource.name, name, why)
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return found._replace(message=f'Operation cannot be fulfilled on {kind} "{name}": {why}',
                          details_kind=resource.kind)


def deleted(obj: Any, options: Options, resource: Resource, now: int) -> Any:
    """REMOVE, the object as it stays (marked), or the Status of a refusal."""
    fault = precondition_fault(obj, options, resource)
    if fault is not None:
        return fault
    if obj.kind == "Namespace":
        return _namespace(obj, now)
    grace = grace_seconds(obj, options)
    metadata: Metadata = obj.metadata
    finalizers = wanted_finalizers(obj, options)
    if metadata.deletion_timestamp is not None:
        left = metadata.deletion_grace_period_seconds or 0
        if not finalizers and (grace == 0 or not left):
            return REMOVE
        marked = _shortened(metadata, min(grace, left), now)
    elif not finalizers and grace == 0:
        return REMOVE
    else:
        marked = _marked(metadata, grace, now)
    if obj.kind in _COUNTS_DELETION and metadata.deletion_timestamp is None:
        marked = put(marked, "generation", (marked.generation or 0) + 1)
    return with_metadata(obj, put(marked, "finalizers", finalizers or metadata.finalizers))


_COUNTS_DELETION = frozenset(("ReplicationController", "ReplicaSet", "Deployment", "StatefulSet",
                              "DaemonSet", "PodDisruptionBudget", "Job"))


def grace_seconds(obj: Any, options: Options) -> int:
    """How long the object is given: pods that run on a node have time, all others none."""
    if obj.kind != "Pod":
        return 0
    spec, status = obj.spec, obj.status
    if spec is None or not spec.node_name or (status is not None and status.phase in FINISHED):
        return 0
    wanted = options.grace_period_seconds
    if wanted is None:
        wanted = spec.termination_grace_period_seconds
    if wanted is None:
        return 30
    return 1 if wanted < 0 else wanted


def wanted_finalizers(obj: Any, options: Options) -> tuple[str, ...]:
    """The finalizers that the object has after the request: propagation adds or replaces one."""
    held = tuple(obj.metadata.finalizers or ())
    policy = options.propagation_policy
    if not policy:
        if ORPHAN in held or FOREGROUND in held:
            return held
        policy = "Orphan" if obj.kind in ORPHANS_BY_DEFAULT else "Background"
    kept = tuple(each for each in held if each not in (ORPHAN, FOREGROUND))
    if policy == "Orphan":
        return (*kept, ORPHAN)
    return (*kept, FOREGROUND) if policy == "Foreground" else kept


def _marked(metadata: Metadata, grace: int, now: int) -> Metadata:
    return metadata._replace(deletion_timestamp=timestamp(now + grace * 1000),
                             deletion_grace_period_seconds=grace)


def is_marked_first(obj: Any) -> bool:
    """Whether the object is a pod whose end is not written down yet."""
    metadata = obj.metadata
    return obj.kind == "Pod" and (metadata.deletion_timestamp is None
                                  or metadata.deletion_grace_period_seconds != 0)


def at_once(pod: Any, now: int) -> Any:
    """The pod as it is stored last: no time is left to it."""
    return with_metadata(pod, _marked(pod.metadata, 0, now))


def _shortened(metadata: Metadata, grace: int, now: int) -> Metadata:
    if grace >= (metadata.deletion_grace_period_seconds or 0):
        return metadata
    return _marked(metadata, grace, now)


def _namespace(namespace: Namespace, now: int) -> Any:
    metadata = namespace.metadata
    held = (namespace.spec.finalizers or ()) if namespace.spec is not None else ()
    if metadata.deletion_timestamp is not None:
        return namespace if held or metadata.finalizers else REMOVE
    marked = metadata._replace(deletion_timestamp=timestamp(now))
    status = (namespace.status or NamespaceStatus())._replace(phase="Terminating")
    result = namespace._replace(metadata=marked, status=status)
    return result if held or metadata.finalizers else REMOVE


def is_finished(obj: Any) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata: Metadata = obj.metadata
    if metadata.deletion_timestamp is None or metadata.finalizers:
        return False
    if obj.kind == "Namespace":
        return not (obj.spec is not None and obj.spec.finalizers)
    return not metadata.deletion_grace_period_seconds
