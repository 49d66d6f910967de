"""What containers use: a deterministic load, as a function of image, name and age of an instance.

Source of the figures' meaning: cAdvisor's ContainerStats (cumulative processor time, working set,
file system usage, network counters). The load itself is made up: its size follows from the image
and the container's name, it works three times as hard in the last third of each minute, its memory
grows by half in the first two minutes, its log is rotated. Not modelled: measurement noise and the
house-keeping interval; a figure is that of the moment at which it is read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from model.api.objects import Container
from model.api.quantities import milli, units
from model.kernel.values import stable_digest

CYCLE_MS = 60_000
CALM_MS = 40_000
BUSY_FACTOR = 3
GROWTH_MS = 120_000
LOG_BYTES_MAX = 16 * 2**20
SYSTEM_CPU_MILLI = 80
SYSTEM_MEMORY_BYTES = 300 * 2**20
_NO_LIMIT = 1 << 62


class Profile(NamedTuple):
    """How hard a container works: in milli-cores, bytes, and bytes a millisecond."""

    cpu_milli: int
    memory_bytes: int
    log_bytes_ms: int
    received_bytes_ms: int
    sent_bytes_ms: int


class Sample(NamedTuple):
    """The figures of one instance of a container at one moment; those of `Profile` a millisecond
    are cumulative from its start."""

    instance: int
    started_ms: int
    at_ms: int
    cpu_nanos: int
    memory_bytes: int
    filesystem_bytes: int
    received_bytes: int
    sent_bytes: int


@lru_cache(maxsize=4096)
def profile(image: str, name: str, cpu_limit_milli: int = _NO_LIMIT,
            memory_limit_bytes: int = _NO_LIMIT) -> Profile:
    """The load of a container; replicas are alike, and limits hold."""
    seed = int(stable_digest(f"{image}/{name}"), 16)
    cpu = min(5 + seed % 96, cpu_limit_milli // BUSY_FACTOR)
    memory = min((16 + seed // 96 % 240) * 2**20, memory_limit_bytes * 2 // 3)
    return Profile(cpu, memory, 1 + seed % 7, 1 + seed % 50, 1 + seed // 50 % 50)


def profile_of(container: Container, image: str) -> Profile:
    """The load of a container of a spec that runs `image`."""
    limits = dict((container.resources.limits if container.resources else None) or ())
    return profile(image, container.name or "",
                   milli(limits["cpu"]) if "cpu" in limits else _NO_LIMIT,
                   units(limits["memory"]) if "memory" in limits else _NO_LIMIT)


def sample(load: Profile, instance: int, started_ms: int, now_ms: int) -> Sample:
    """The figures of an instance that started at `started_ms`, now."""
    age = max(0, now_ms - started_ms)
    cycles, within = divmod(age, CYCLE_MS)
    busy = max(0, within - CALM_MS)
    effort = cycles * (CALM_MS + BUSY_FACTOR * (CYCLE_MS - CALM_MS)) \
        + min(within, CALM_MS) + BUSY_FACTOR * busy
    grown = load.memory_bytes * min(age, GROWTH_MS) // (2 * GROWTH_MS)
    return Sample(instance, started_ms, now_ms, 1000 * load.cpu_milli * effort,
                  load.memory_bytes + grown, load.log_bytes_ms * age % LOG_BYTES_MAX,
                  load.received_bytes_ms * effort, load.sent_bytes_ms * effort)


def rate_milli(previous: Sample | None, current: Sample) -> int:
    """The processor use in milli-cores between two samples of one instance, else since its start.

    A counter begins anew with each instance, so samples of two instances have no difference.
    """
    if previous is None or previous.instance != current.instance \
            or previous.started_ms != current.started_ms or previous.at_ms >= current.at_ms:
        age = current.at_ms - current.started_ms
        return current.cpu_nanos // (1000 * age) if age > 0 else 0
    return (current.cpu_nanos - previous.cpu_nanos) // (1000 * (current.at_ms - previous.at_ms))
