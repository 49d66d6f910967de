"""The lane on which a kubelet publishes what its containers use, for `kubectl top`.

Every minute (setting `metrics-period-seconds`) it writes the NodeMetrics of its node and the
PodMetrics of each pod that runs, one request at a time, and removes those of pods that are gone.
A write that fails is left to the next round. A real cluster answers these from the memory of a
metrics server that asks the kubelets; here, components meet only at the API server.
"""

from __future__ import annotations

from typing import Any

from model.api.metadata import Metadata
from model.api.objects import (
    ContainerMetrics,
    NodeMetrics,
    PodMetrics,
    canonical_json,
    timestamp,
)
from model.api.requests import Reply, create, delete, update
from model.kernel.component import Io
from model.kernel.values import FrozenMap
from reference_impl.kubelet import cadvisor
from reference_impl.kubelet.node import Machine, image_bytes
from reference_impl.kubelet.runtime import containers_of
from reference_impl.kubelet.state import Local, PodRecord
from reference_impl.lib.informer import split_key

LANE = "metrics"
POD_METRICS = "pods.metrics.k8s.io"
NODE = ""


def round_begun(local: Local) -> Local:
    """The node, every pod that runs and every pod that has gone since wait to be written."""
    metrics = local.metrics
    if metrics.queue:
        return local
    keys = {key for key, record in local.pods.items() if not record.stopped}
    gone = {key for key in metrics.published if key not in local.pods}
    queue = (NODE, *sorted((keys | gone) - {NODE}))
    alive = {record.uid for record in local.pods.values()}
    samples = FrozenMap((place, sample) for place, sample in metrics.samples.items()
                        if place.partition("/")[0] in alive)
    return local._replace(metrics=metrics._replace(queue=queue, samples=samples))


def wants(local: Local) -> bool:
    """Whether something waits and nothing is in flight."""
    return bool(local.metrics.queue) and not local.metrics.point


def send(local: Local, machine: Machine, io: Io) -> Local:
    """Write what waits longest."""
    metrics = local.metrics
    while metrics.queue:
        key = metrics.queue[0]
        record = local.pods.get(key)
        body: Any = None
        if key == NODE:
            body = _node_metrics(local, machine, io.now)
        elif record is not None and not record.stopped:
            body, samples = _pod_metrics(metrics.samples, record, io.now)
            metrics = metrics._replace(samples=samples)
        if body is not None:
            known = key in metrics.published
            io.request("apiserver", LANE, update(body) if known else create(body))
            return local._replace(metrics=metrics._replace(
                point="updating" if known else "creating"))
        if record is None and key in metrics.published:
            io.request("apiserver", LANE, delete(POD_METRICS, *split_key(key)))
            return local._replace(metrics=metrics._replace(point="deleting"))
        metrics = metrics._replace(queue=metrics.queue[1:])
    return local._replace(metrics=metrics)


def replied(local: Local, body: Any) -> Local:
    """The answer to a write, or CUT: what was there already is updated, what was not is created."""
    metrics = local.metrics
    if not metrics.point:
        return local
    key, point, published = metrics.queue[0], metrics.point, metrics.published
    metrics = metrics._replace(point="")
    if type(body) is Reply:
        if point == "creating" and (body.code < 400 or body.code == 409):
            published = published.set(key, 1)
        elif body.code == 404 or point == "deleting":
            published = published.drop(key)
        metrics = metrics._replace(published=published)
        if (point, body.code) in (("creating", 409), ("updating", 404)):
            return local._replace(metrics=metrics)
    return local._replace(metrics=metrics._replace(queue=metrics.queue[1:]))


def figures(record: PodRecord, now: int) -> tuple[tuple[str, cadvisor.Sample], ...]:
    """One sample for each container that runs: that of its newest instance."""
    specs = {spec.name: spec for spec in containers_of(record.pod)[0]}
    return tuple(
        (each.name, cadvisor.sample(cadvisor.profile_of(specs[each.name], each.image),
                                    each.restarts, each.started_ms, now))
        for each in record.containers if each.alive)


def _pod_metrics(samples: FrozenMap[str, cadvisor.Sample], record: PodRecord,
                 now: int) -> tuple[PodMetrics, FrozenMap[str, cadvisor.Sample]]:
    listed = []
    found = figures(record, now)
    for name, sample in found:
        place = f"{record.uid}/{name}"
        cpu = cadvisor.rate_milli(samples.get(place), sample)
        samples = samples.set(place, sample)
        listed.append(ContainerMetrics(name, _usage(cpu, sample.memory_bytes,
                                                    sample.filesystem_bytes)))
    namespace, name = split_key(record.key)
    metadata = Metadata(name=name, namespace=namespace, labels=record.pod.metadata.labels)
    return PodMetrics(metadata=metadata, timestamp=timestamp(now), window="1m0s",
                      containers=tuple(listed), rest=_network(tuple(s for _, s in found))), samples


def _node_metrics(local: Local, machine: Machine, now: int) -> NodeMetrics:
    """The sum over all containers, and what the system itself uses."""
    cpu, every = cadvisor.SYSTEM_CPU_MILLI, []
    for record in local.pods.values():
        for name, sample in figures(record, now):
            cpu += cadvisor.rate_milli(local.metrics.samples.get(f"{record.uid}/{name}"), sample)
            every.append(sample)
    memory = cadvisor.SYSTEM_MEMORY_BYTES + sum(each.memory_bytes for each in every)
    images = sum(image_bytes(image) for image in local.images)
    disk = images + sum(each.filesystem_bytes for each in every)
    return NodeMetrics(metadata=Metadata(name=machine.name), timestamp=timestamp(now),
                       window="1m0s", usage=_usage(cpu, memory, disk), rest=_network(tuple(every)))


def _usage(cpu_milli: int, memory_bytes: int, disk_bytes: int) -> tuple[tuple[str, str], ...]:
    return (("cpu", f"{cpu_milli}m"), ("ephemeral-storage", f"{disk_bytes // 1024}Ki"),
            ("memory", f"{memory_bytes // 1024}Ki"))


def _network(samples: tuple[cadvisor.Sample, ...]) -> bytes:
    """The network counters, which the API type has no field for."""
    return canonical_json({"network": {
        "receivedBytes": sum(each.received_bytes for each in samples),
        "sentBytes": sum(each.sent_bytes for each in samples)}})
