"""The status of a pod as the kubelet writes it, computed from its record and nothing else.

Rules: Kubernetes documentation "Pod Lifecycle" (phases, conditions, container states). Parts of
the status that others own (conditions of other types, nominatedNodeName, qosClass) are kept from
the newest version of the object; the time of a condition changes only with its status.
"""

from __future__ import annotations

from functools import lru_cache

from model.api.conditions import find
from model.api.objects import (
    AddressEntry,
    Condition,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    PodStatus,
    timestamp,
)
from model.kernel.values import stable_digest
from reference_impl.kubelet.runtime import (
    EMPTY_STATUS,
    TERMINAL,
    container_backoff_ms,
)
from reference_impl.kubelet.state import (
    BACKOFF,
    DEADLINE,
    DONE,
    HELD,
    LIVE,
    PULL_BACKOFF,
    PULL_FAILED,
    REJECTED,
    RUNNING,
    ContainerRecord,
    Exit,
    PodRecord,
)

OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@lru_cache(maxsize=65536)
def container_id(uid: str, name: str, instance: int) -> str:
    """The runtime's id of one instance of a container: a function of what it is an instance of."""
    words = [stable_digest(f"{part}/{uid}/{name}/{instance}") for part in range(4)]
    return "containerd://" + "".join(words)


@lru_cache(maxsize=4096)
def image_id(image: str) -> str:
    """The digest of an image: a function of its name."""
    words = [stable_digest(f"{part}/{image}") for part in range(4)]
    return f"{image.rpartition(':')[0] or image}@sha256:" + "".join(words)


def duration(ms: int) -> str:
    """A time span as Go prints it: 10s, 1m20s, 5m0s."""
    minutes, seconds = divmod(ms // 1000, 60)
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def long_name(record: PodRecord) -> str:
    """A pod as the kubelet's messages name it: NAME_NAMESPACE(UID)."""
    namespace, _, name = record.key.partition("/")
    return f"{name}_{namespace}({record.uid})"


def phase_of(record: PodRecord) -> str:
    """The phase that the containers amount to; a final phase stays."""
    if record.phase in TERMINAL:
        return record.phase
    if record.ending == REJECTED:
        return "Failed"
    containers = record.containers
    inits, main = containers[:record.inits], containers[record.inits:]
    if record.ending != LIVE:
        if not record.stopped:
            return record.phase
        clean = record.ending != DEADLINE and all(map(_succeeded, containers))
        return "Succeeded" if clean else "Failed"
    if any(each.point == DONE and not _succeeded(each) for each in inits):
        return "Failed"
    if not all(each.point == DONE for each in inits):
        return record.phase
    if all(each.point == DONE for each in main):
        return "Succeeded" if all(map(_succeeded, main)) else "Failed"
    if any(not each.alive and each.last_exit is None for each in main):
        return record.phase
    return "Running"


def _succeeded(container: ContainerRecord) -> bool:
    return container.last_exit is not None and container.last_exit.code == 0


def status_of(record: PodRecord, host_ip: str, now: int) -> PodStatus:
    """The whole status of a pod now. `record.phase` is already the one to report."""
    old = record.pod.status if record.pod.status is not None else EMPTY_STATUS
    if record.ending == REJECTED:
        return old._replace(phase=record.phase, reason=record.reason, message=record.message,
                            start_time=timestamp(record.started_ms))
    inits = tuple(_container_status(record, each) for each in record.containers[:record.inits])
    main = tuple(_container_status(record, each) for each in record.containers[record.inits:])
    ip = record.ip or None
    return PodStatus(
        record.phase, _conditions(record, old, now), record.message or None, record.reason or None,
        old.nominated_node_name, host_ip, (AddressEntry(host_ip),), ip,
        None if ip is None else (AddressEntry(ip),), timestamp(record.started_ms),
        inits or None, main or None, old.qos_class, old.rest)


def _container_status(record: PodRecord, container: ContainerRecord) -> ContainerStatus:
    running = container.alive
    last = container.last_exit
    shown = running or last is not None
    final = container.point == DONE and last is not None
    return ContainerStatus(
        container.name, _state(record, container),
        ContainerState() if last is None or final else ContainerState(
            terminated=_terminated(record, container, last)),
        container.point == RUNNING or (final and _is_init(record, container)
                                       and _succeeded(container)),
        container.restarts, container.image, image_id(container.image) if shown else "",
        container_id(record.uid, container.name, container.restarts) if shown else None, running)


def _is_init(record: PodRecord, container: ContainerRecord) -> bool:
    return container in record.containers[:record.inits]


def _state(record: PodRecord, container: ContainerRecord) -> ContainerState:
    if container.alive:
        return ContainerState(running=ContainerStateRunning(timestamp(container.started_ms)))
    if container.point == DONE and container.last_exit is not None:
        return ContainerState(terminated=_terminated(record, container, container.last_exit))
    return ContainerState(waiting=waiting_of(record, container))


def waiting_of(record: PodRecord, container: ContainerRecord) -> ContainerStateWaiting:
    """Why a container that neither runs nor has ended for good does not run."""
    point = container.point
    if point == BACKOFF:
        wait = duration(container_backoff_ms(container.crashes))
        return ContainerStateWaiting(
            "CrashLoopBackOff", f"back-off {wait} restarting failed container={container.name} "
            f"pod={long_name(record)}")
    if point == PULL_FAILED:
        return ContainerStateWaiting("ErrImagePull", f'image "{container.image}" not found')
    if point == PULL_BACKOFF:
        return ContainerStateWaiting("ImagePullBackOff",
                                     f'Back-off pulling image "{container.image}"')
    waits = record.inits and (point == HELD or any(
        each.point != DONE for each in record.containers[:record.inits]))
    return ContainerStateWaiting("PodInitializing" if waits else "ContainerCreating")


def _terminated(record: PodRecord, container: ContainerRecord,
                last: Exit) -> ContainerStateTerminated:
    return ContainerStateTerminated(
        exit_code=last.code, reason=last.reason,
        started_at=timestamp(last.started_ms) if last.started_ms >= 0 else None,
        finished_at=timestamp(last.finished_ms) if last.finished_ms >= 0 else None,
        container_id=container_id(record.uid, container.name, last.instance))


def _conditions(record: PodRecord, old: PodStatus, now: int) -> tuple[Condition, ...]:
    inits, main = record.containers[:record.inits], record.containers[record.inits:]
    initialized = all(each.point == DONE and _succeeded(each) for each in inits)
    unready = [each.name for each in main if each.point != RUNNING]
    why, what = None, None
    if record.phase in TERMINAL:
        why = "PodCompleted" if record.phase == "Succeeded" else "PodFailed"
    elif unready:
        why = "ContainersNotReady"
        what = f"containers with unready status: [{' '.join(unready)}]"
    ready = not unready and record.phase not in TERMINAL
    waiting = [each.name for each in inits if each.point != DONE]
    fresh = (
        _condition("PodReadyToStartContainers",
                   bool(record.ip) and (record.phase not in TERMINAL or not record.stopped)),
        _condition("Initialized", initialized, None if initialized else "ContainersNotInitialized",
                   None if initialized else
                   f"containers with incomplete status: [{' '.join(waiting)}]"),
        _condition("Ready", ready, why, what),
        _condition("ContainersReady", ready, why, what),
        _condition("PodScheduled", True))
    before = old.conditions or ()
    others = tuple(each for each in before if each.type not in OWNED)
    return (*(_dated(each, find(before, each.type or ""), now) for each in fresh), *others)


def _condition(type_: str, holds: bool, reason: str | None = None,
               message: str | None = None) -> Condition:
    return Condition(type_, "True" if holds else "False", reason, message)


def _dated(new: Condition, old: Condition | None, now: int) -> Condition:
    if old is not None and old.status == new.status:
        since = old.last_transition_time
    else:
        since = timestamp(now)
    return new._replace(last_transition_time=since)


