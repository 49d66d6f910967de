"""What a kubelet answers when it is asked for the log of a container.

Source: Kubernetes documentation "Logging Architecture" and the reference of `kubectl logs`.

The simulated containers print nothing, so their text is made from what the runtime knows of an
instance: one line when it begins, one each ten seconds that it runs, one when it ends. The same
state always gives the same text. A process that was killed prints no last word.

Not modelled: rotation by size (the newest `LINES_MAX` lines are kept instead), the separation of
stdout and stderr, instances before the previous one, and the loss of the files with a machine: an
instance that the API's status still tells of can be read, except where its end is unknown. Nothing
in the cluster reads logs, so none of this changes what the cluster does.
"""

from __future__ import annotations

from typing import NamedTuple

from reference_impl.kubelet.runtime import SIGKILL_CODE
from reference_impl.kubelet.state import (
    DONE,
    PULL_BACKOFF,
    PULL_FAILED,
    REJECTED,
    ContainerRecord,
    Local,
    PodRecord,
)
from reference_impl.kubelet.status import container_id, waiting_of

LINE_EVERY_MS = 10_000
LINES_MAX = 1000


class Line(NamedTuple):
    """One line: its number from 0 within the log, the tick of the clock, and the text."""

    number: int
    at: int
    text: str


class Log(NamedTuple):
    """The log of one instance of a container. `over`: nothing more will be written."""

    instance: int
    lines: tuple[Line, ...]
    over: bool


class Refusal(NamedTuple):
    """Why there is no log; the HTTP status of the kubelet, and its text."""

    code: int
    text: str


def log_of(local: Local, key: str, name: str, previous: bool, now: int) -> Log | Refusal:
    """The log of a container of the pod `key`: of the instance that runs, else of the last one;
    with `previous` of the one before. A Refusal where there is none."""
    record = local.pods.get(key)
    if record is None:
        return Refusal(404, "pod does not exist")
    pod = key.partition("/")[2]
    container = next((each for each in record.containers if each.name == name), None)
    if container is None or record.ending == REJECTED:
        return Refusal(400, f'container "{name}" in pod "{pod}" is not available')
    last = container.last_exit
    if previous and (last is None or container.point == DONE):
        return Refusal(400, f'previous terminated container "{name}" in pod "{pod}" not found')
    if container.alive and not previous:
        return _written(record, container, container.restarts, now)
    if last is None:
        return Refusal(400, f'container "{name}" in pod "{pod}" is waiting to start: '
                            + _wait(record, container))
    if last.started_ms < 0 or last.reason == "ContainerStatusUnknown":
        # By now the answer has begun, so what went wrong stands in its text.
        return Refusal(200, "unable to retrieve container logs for "
                            + container_id(record.uid, name, last.instance))
    return _written(record, container, last.instance, now)


def instance_log(local: Local, key: str, name: str, instance: int, now: int) -> Log | None:
    """The log of one instance, None when the machine no longer knows of it."""
    record = local.pods.get(key)
    for container in record.containers if record is not None else ():
        last = container.last_exit
        if container.name == name and record is not None and (
                (container.alive and container.restarts == instance)
                or (last is not None and last.instance == instance)):
            return _written(record, container, instance, now)
    return None


def _wait(record: PodRecord, container: ContainerRecord) -> str:
    if container.point == PULL_FAILED:
        return "image can't be pulled"
    if container.point == PULL_BACKOFF:
        return "trying and failing to pull image"
    return waiting_of(record, container).reason or ""


def _written(record: PodRecord, container: ContainerRecord, instance: int, now: int) -> Log:
    """The newest lines of an instance that runs or was the last to end."""
    last = container.last_exit
    over = last is not None and last.instance == instance
    begun = last.started_ms if last is not None and over else container.started_ms
    until = last.finished_ms if last is not None and over else now
    who = f"{record.key.partition('/')[2]}/{container.name}"
    signs = max(0, (until - begun) // LINE_EVERY_MS)
    lines = [Line(number, begun + number * LINE_EVERY_MS,
                  f"{who}: has run for {number * LINE_EVERY_MS // 1000} s")
             for number in range(max(1, signs - LINES_MAX), signs + 1)]
    lines.insert(0, Line(0, begun, f"{who}: instance {instance} begins"))
    if last is not None and over and last.code != SIGKILL_CODE:
        lines.append(Line(signs + 1, until, f"{who}: ends with exit code {last.code}"))
    return Log(instance, tuple(lines[-LINES_MAX:]), over)
