"""What the published figures promise, and a second way to work them out.

The load is a pure function and has no spec; `effort_seconds` and `figures_at` are its oracle,
written from the sentence that describes the load: calm for 40 s, three times as hard for 20 s,
again and again; memory grows by half in two minutes.
"""

from __future__ import annotations

from model.api.objects import NodeMetrics, PodMetrics
from model.api.quantities import milli
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes
from model.kernel.system import Transition
from model.kernel.values import EMPTY
from model.kernel.world import World
from properties.kubelet import kubelets
from reference_impl.kubelet import cadvisor, metrics
from reference_impl.kubelet.state import Local, PodRecord

METRICS = Part("kubelet/*", "metrics")
SHOWN = Part("apiserver", "cache")


def effort_seconds(age: int) -> int:
    """The work of a container in its first `age` seconds, a calm second being one."""
    return sum(1 if second % 60 < 40 else 3 for second in range(age))


def figures_at(load: cadvisor.Profile, age: int) -> tuple[int, int, int, int]:
    """Processor nanoseconds, memory, file system and received bytes `age` whole seconds after the
    start."""
    growth = min(age, 120) / 120
    return (load.cpu_milli * 1_000_000 * effort_seconds(age),
            int(load.memory_bytes * (1 + growth / 2)),
            load.log_bytes_ms * 1000 * age % (16 * 1024 * 1024),
            load.received_bytes_ms * 1000 * effort_seconds(age))


def _published(step: Transition) -> str | None:
    for _, lane, request in step.sent:
        body = getattr(request, "body", None)
        if lane != "metrics" or not isinstance(body, (NodeMetrics, PodMetrics)):
            continue
        local: Local = step.after.slots[step.mover].local
        if isinstance(body, NodeMetrics):
            wrong = _amount(f"node {body.metadata.name}", body.usage)
        else:
            wrong = _pod(local, body)
        if wrong is not None:
            return wrong
    return None


def _pod(local: Local, body: PodMetrics) -> str | None:
    key = f"{body.metadata.namespace}/{body.metadata.name}"
    alive = [container.name for container in local.pods[key].containers if container.alive]
    told = [container.name for container in body.containers or ()]
    if told != alive:
        return f"the figures of pod {key} are for containers {told}, those that run are {alive}"
    for container in body.containers or ():
        wrong = _amount(f"container {container.name} of pod {key}", container.usage)
        if wrong is not None:
            return wrong
    return None


def _amount(what: str, usage: object) -> str | None:
    amounts = dict(usage or ())  # type: ignore[call-overload]  # pairs of strings
    cpu = milli(amounts["cpu"])
    if cpu < 0:
        return f"{what} is told to use {cpu} milli-cores"
    return None


each_running_container_is_told_once_with_a_use_that_is_not_negative = Property(
    "each_running_container_is_told_once_with_a_use_that_is_not_negative", "refines", _published,
    (METRICS,), "sums over series count twice what is told twice, and a reset is no work undone")


@leads_to(within_ms=300_000, reads=(METRICS, SHOWN), why="what is gone uses nothing")
def figures_are_those_of_pods_that_are_there(world: World) -> str | None:
    cache = world["apiserver"].cache
    shown, pods = cache.get(metrics.POD_METRICS, EMPTY), cache.get("pods", EMPTY)
    for name, local in kubelets(world):
        for key in local.metrics.published:
            if key in shown and key not in pods:
                return f"{name} still publishes figures of pod {key}, which is gone"
    return None


@sometimes(reads=(METRICS,), why="figures have to be published to be judged")
def a_pod_has_figures(world: World) -> bool:
    return any(key != metrics.NODE for _, local in kubelets(world)
               for key in local.metrics.published)


def _with_the_old_instance(record: PodRecord,
                           now: int) -> tuple[tuple[str, cadvisor.Sample], ...]:
    found = list(_newest(record, now))
    for container in record.containers:
        if container.alive and container.last_exit is not None:
            found.extend((name, sample) for name, sample in _newest(record, now)
                         if name == container.name)
    return tuple(found)


def _across_instances(previous: cadvisor.Sample | None, current: cadvisor.Sample) -> int:
    if previous is None or previous.at_ms >= current.at_ms:
        return 0
    return (current.cpu_nanos - previous.cpu_nanos) // (1000 * (current.at_ms - previous.at_ms))


_newest = metrics.figures
PROPERTIES = (
    each_running_container_is_told_once_with_a_use_that_is_not_negative,
    figures_are_those_of_pods_that_are_there,
    a_pod_has_figures,
)
_CAUGHT_BY = "each_running_container_is_told_once_with_a_use_that_is_not_negative"
MUTANTS = (
    Mutant("cadvisor-old-instance-still-reported", "cadvisor-old-instance-still-reported",
           _CAUGHT_BY, (("reference_impl.kubelet.metrics:figures", _with_the_old_instance),),
           "measured-container"),
    Mutant("cadvisor-counter-reset-negative-rate", "cadvisor-counter-reset-negative-rate",
           _CAUGHT_BY, (("reference_impl.kubelet.cadvisor:rate_milli", _across_instances),),
           "measured-container"),
)
