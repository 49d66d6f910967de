"""The container runtime, as pure functions on the records of pods and containers.

Every function takes a record and gives the next one; none has an effect. Rules: Kubernetes
documentation "Pod Lifecycle" (phases, restart policy, back-off of 10 s doubled up to 300 s, the
first restart at once, termination of pods) and "Images" (pull policy, image pull back-off).
"""

from __future__ import annotations

import re

from model.api.metadata import annotation
from model.api.objects import Container, ContainerStatus, Pod, PodSpec, PodStatus, milliseconds
from model.api.quantities import milli, units
from reference_impl.kubelet.state import (
    BACKOFF,
    CREATING,
    DONE,
    HELD,
    LIVE,
    PULL_BACKOFF,
    PULL_FAILED,
    PULLING,
    RUNNING,
    STOPPING,
    ContainerRecord,
    Exit,
    PodRecord,
    Used,
)

BACKOFF_MS_FIRST = 10_000
BACKOFF_MS_MAX = 300_000
GRACE_SECONDS = 30
_EXIT = re.compile(r"(\d{1,3})(?:\*(\d{1,6}))?(?:@(\d{1,6}))?")
TERMINAL = ("Succeeded", "Failed")
EXIT_ANNOTATION = "kubeproof.io/exit"
STUBBORN_ANNOTATION = "kubeproof.io/ignores-sigterm"
SIGTERM_CODE = 143
SIGKILL_CODE = 137
EMPTY_SPEC = PodSpec()
EMPTY_STATUS = PodStatus()


def spec_of(pod: Pod) -> PodSpec:
    """The spec of a pod, an empty one where it has none."""
    return pod.spec if pod.spec is not None else EMPTY_SPEC


def policy_of(pod: Pod) -> str:
    """The restart policy of a pod."""
    return spec_of(pod).restart_policy or "Always"


def grace_ms(pod: Pod) -> int:
    """How long the containers of a pod may take to stop."""
    seconds = pod.metadata.deletion_grace_period_seconds
    if seconds is None:
        seconds = spec_of(pod).termination_grace_period_seconds
    return 1000 * (GRACE_SECONDS if seconds is None else seconds)


def container_backoff_ms(crashes: int) -> int:
    """The wait before the restart that follows the `crashes`-th end of one image of a container."""
    if crashes <= 1:
        return 0
    return min(BACKOFF_MS_FIRST << min(crashes - 2, 10), BACKOFF_MS_MAX)


def pull_backoff_ms(failures: int) -> int:
    """The wait before the pull that follows the `failures`-th failed one."""
    return min(BACKOFF_MS_FIRST << min(failures - 1, 10), BACKOFF_MS_MAX)


def is_pullable(image: str) -> bool:
    """Whether a pull of the image succeeds: not when its name or its tag is `bad`."""
    name, _, tag = image.rpartition("/")[2].partition(":")
    return "bad" not in (name, tag)


def pulls_always(container: Container) -> bool:
    """Whether the image is pulled before each start: by policy, or since its tag is `latest`."""
    if container.image_pull_policy is not None:
        return container.image_pull_policy == "Always"
    name, _, tag = (container.image or "").rpartition("/")[2].partition(":")
    return bool(name) and tag in ("", "latest")


def exits_of(pod: Pod, name: str) -> tuple[int, int, int]:
    """How the scenario lets this container end by itself: exit code, how often, after which ms.

    The annotation `kubeproof.io/exit` holds CODE*TIMES@SECONDS for all containers, or a comma list
    of CONTAINER=CODE*TIMES@SECONDS, for example "main=1*3,side=0*1@20". TIMES is 1 where it is
    left out; without SECONDS the container may end at any time. What cannot be read means never.
    """
    for part in (annotation(pod.metadata, EXIT_ANNOTATION) or "").split(","):
        who, equals, what = part.rpartition("=")
        found = _EXIT.fullmatch(what)
        if found and (not equals or who == name):
            code, times, seconds = found.groups()
            return int(code), int(times or 1), 1000 * int(seconds or 0)
    return 0, 0, 0


def containers_of(pod: Pod) -> tuple[tuple[Container, ...], int]:
    """The containers in the order of their start, and how many of them are init containers.

    A sidecar (an init container that restarts always) starts along with the other containers.
    """
    spec = spec_of(pod)
    first = spec.init_containers or ()
    inits = tuple(each for each in first if each.restart_policy != "Always")
    sidecars = tuple(each for each in first if each.restart_policy == "Always")
    return (*inits, *sidecars, *(spec.containers or ())), len(inits)


def requested(pod: Pod) -> Used:
    """What a pod asks for: the sum of its containers, or its largest init container if more."""
    every, inits = containers_of(pod)
    cpu = memory = 0
    for each in every[inits:]:
        cpu += _request(each, "cpu")
        memory += _request(each, "memory")
    for each in every[:inits]:
        cpu = max(cpu, _request(each, "cpu"))
        memory = max(memory, _request(each, "memory"))
    return Used(cpu, memory, 1)


def _request(container: Container, resource: str) -> int:
    if container.resources is None or container.resources.requests is None:
        return 0
    for name, amount in container.resources.requests:
        if name == resource:
            return milli(amount) if resource == "cpu" else units(amount)
    return 0


# ---- admission and recovery --------------------------------------------------------------------


def admitted(key: str, pod: Pod, ip: str, now: int) -> PodRecord:
    """The record of a pod that this machine has not run.

    What the API's status says of its containers came from a machine that has since lost them: a
    finished container of a pod that is never restarted stays finished.
    """
    every, inits = containers_of(pod)
    status = pod.status if pod.status is not None else EMPTY_STATUS
    known = {each.name: each for each in (*(status.init_container_statuses or ()),
                                          *(status.container_statuses or ()))}
    containers = tuple(_recovered(pod, each, known.get(each.name), at < inits)
                       for at, each in enumerate(every))
    started = milliseconds(status.start_time) if status.start_time else now
    phase = status.phase or "Pending"
    return advanced(PodRecord(key, pod.metadata.uid or "", pod, containers, inits, ip, started,
                              phase, LIVE, status.reason or "", status.message or ""))


def _recovered(pod: Pod, container: Container, status: ContainerStatus | None,
               init: bool) -> ContainerRecord:
    """A container of a pod that has lost its sandbox; then init containers run once more."""
    code, times, after = exits_of(pod, container.name or "")
    fresh = ContainerRecord(container.name or "", container.image or "", exit_code=code,
                            exits_left=times, exit_after_ms=after)
    if status is None or status.state is None:
        return fresh
    state, restarts = status.state, status.restart_count or 0
    over = state.terminated
    if over is None and state.running is None and status.last_state is not None:
        over = status.last_state.terminated
    if over is not None:
        last = Exit(over.exit_code or 0, over.reason or "", _moment(over.started_at),
                    _moment(over.finished_at), restarts)
    elif state.running is not None:
        since = _moment(state.running.started_at)
        last = Exit(SIGKILL_CODE, "ContainerStatusUnknown", since, since, restarts)
    else:
        return fresh
    seen = fresh._replace(restarts=restarts, last_exit=last)
    terminal = pod.status is not None and pod.status.phase in TERMINAL
    policy = policy_of(pod)
    over_for_good = policy == "Never" if init else not restarts_after(policy, last.code)
    return seen._replace(point=DONE) if terminal or over_for_good else seen


def _moment(text: str | None) -> int:
    return milliseconds(text) if text else -1


def lacking(pod: Pod, used: Used, room: Used) -> tuple[str, int, int, int]:
    """The first resource that a pod would exceed, with what it asks, is used and is there.

    The name is "" when the pod fits.
    """
    asks = requested(pod)
    for name, ask, have, limit in zip(("cpu", "memory", "pods"), asks, used, room, strict=True):
        if ask and have + ask > limit:
            return name, ask, have, limit
    return "", 0, 0, 0


# ---- moves of one container --------------------------------------------------------------------


def with_container(record: PodRecord, changed: ContainerRecord) -> PodRecord:
    """The pod with one container replaced, by name."""
    return record._replace(containers=tuple(
        changed if each.name == changed.name else each for each in record.containers))


def find(record: PodRecord, name: str) -> ContainerRecord:
    """The container of that name."""
    for each in record.containers:
        if each.name == name:
            return each
    raise AssertionError(f"{record.key} has no container {name}")


def advanced(record: PodRecord) -> PodRecord:
    """The pod with the containers released whose turn has come: init containers one by one."""
    if record.ending != LIVE or not any(each.point == HELD for each in record.containers):
        return record
    for at, each in enumerate(record.containers[:record.inits]):
        if each.point == HELD:
            return _released(record, at, at + 1)
        if each.point != DONE or each.last_exit is None or each.last_exit.code != 0:
            return record
    return _released(record, record.inits, len(record.containers))


def _released(record: PodRecord, first: int, last: int) -> PodRecord:
    return record._replace(containers=tuple(
        each._replace(point=PULLING) if first <= at < last and each.point == HELD else each
        for at, each in enumerate(record.containers)))


def pulled(container: ContainerRecord) -> ContainerRecord:
    """The pull ended: the image is here, or the pull failed."""
    if is_pullable(container.image):
        return container._replace(point=CREATING, pulls_failed=0)
    return container._replace(point=PULL_FAILED, pulls_failed=container.pulls_failed + 1)


def started(container: ContainerRecord, now: int) -> ContainerRecord:
    """The container runs."""
    again = 0 if container.last_exit is None else 1
    return container._replace(point=RUNNING, started_ms=now, restarts=container.restarts + again)


def restarts_after(policy: str, code: int) -> bool:
    """Whether a container that ended with `code` is started again."""
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def ended(record: PodRecord, container: ContainerRecord, code: int, now: int) -> PodRecord:
    """The process of a container ended: what comes next is for the policy, or the pod's end."""
    reason = "Completed" if code == 0 else "Error"
    last = Exit(code, reason, container.started_ms, now, container.restarts)
    over = container._replace(last_exit=last, started_ms=-1)
    at = record.containers.index(container)
    policy = policy_of(record.pod)
    if at < record.inits and policy == "Always":
        policy = "OnFailure"
    if record.ending != LIVE:
        after = over._replace(point=DONE)
    elif container.replacement:
        after = over._replace(point=PULLING, image=container.replacement, replacement="",
                              crashes=0, pulls_failed=0)
    elif restarts_after(policy, code):
        after = over._replace(point=BACKOFF, crashes=container.crashes + 1)
    else:
        after = over._replace(point=DONE)
    changed = with_container(record, after)
    if at < record.inits and after.point == DONE and code != 0:
        return finished(changed)
    return advanced(changed)


def finished(record: PodRecord) -> PodRecord:
    """The pod with every container that has not begun kept from beginning."""
    return record._replace(containers=tuple(
        each if each.alive else each._replace(point=DONE, replacement="")
        for each in record.containers))


def ending(record: PodRecord, why: str) -> PodRecord:
    """The pod on its way out: what runs is told to stop, what waits never starts."""
    containers = tuple(
        each._replace(point=STOPPING if each.alive else DONE, replacement="")
        for each in record.containers)
    return record._replace(ending=why, containers=containers)


def image_changed(container: ContainerRecord, image: str) -> ContainerRecord:
    """The spec names another image: a running container stops first, a waiting one takes it."""
    if container.alive:
        return container._replace(point=STOPPING, replacement=image)
    if container.point in (PULLING, PULL_FAILED, PULL_BACKOFF, CREATING, BACKOFF):
        return container._replace(point=PULLING, image=image, crashes=0, pulls_failed=0)
    return container._replace(image=image)


def survived(record: PodRecord) -> PodRecord:
    """What a restarted kubelet finds on its machine: processes and exits, no back-off counts."""
    def kept(each: ContainerRecord) -> ContainerRecord:
        if each.point == BACKOFF:
            return each._replace(point=PULLING, crashes=0)
        return each
    return record._replace(status=None,
                           containers=tuple(kept(each) for each in record.containers))
