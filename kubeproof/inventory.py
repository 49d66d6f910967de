"""What a set of manifests or a snapshot of a live cluster amounts to: nodes, and pods to place.

Workloads are unfolded into the pods that they wish for; pods of theirs that are listed already (as
in a snapshot) count towards the wish. Kinds that nothing here understands are listed, not dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from model.api import objects as api
from model.api import selectors
from model.api.manifests import Manifest
from model.api.scenario import node_shape

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000,
                     "system-node-critical": 2_000_001_000}
REPLICATED = ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet")
UNDERSTOOD = (*REPLICATED, "Pod", "Node", "Service", "PodDisruptionBudget", "ResourceQuota",
              "Namespace", "PriorityClass", "DaemonSet", "Job")


class Source(NamedTuple):
    """Where something is written."""

    file: str = ""
    line: int = 0


class Workload(NamedTuple):
    """A wish for pods: its kind and key, selector, how many, and the pods that stand for it."""

    kind: str
    key: str
    namespace: str
    selector: selectors.Selector | None
    template: api.PodTemplateSpec
    replicas: int
    source: Source


class Inventory(NamedTuple):
    """`pods` by key with the workload that they belong to in `owners`; `sources` by pod key."""

    nodes: dict[str, api.Node]
    pods: dict[str, api.Pod]
    owners: dict[str, str]
    sources: dict[str, Source]
    workloads: tuple[Workload, ...]
    manifests: tuple[Manifest, ...]
    unknown: tuple[tuple[str, int], ...]
    assumed_nodes: bool

    def of_kind(self, kind: str) -> list[Manifest]:
        """The manifests of one kind."""
        return [each for each in self.manifests if each.object.kind == kind]


def take(manifests: Sequence[Manifest], nodes: int | None = None) -> Inventory:
    """The inventory of what was read. `nodes`: so many standard machines in place of any listed."""
    listed = {each.object.metadata.name or "": each.object for each in manifests
              if each.object.kind == "Node"}
    assumed = nodes is not None or not listed
    if assumed:
        machines = [_machine(number) for number in range(1, (nodes or 2) + 1)]
        listed = {machine.metadata.name or "": machine for machine in machines}
    priorities = _priorities(manifests)
    pods: dict[str, api.Pod] = {}
    owners: dict[str, str] = {}
    sources: dict[str, Source] = {}
    for each in manifests:
        pod = each.object
        if pod.kind == "Pod" and not _finished(pod):
            key = f"{pod.metadata.namespace or 'default'}/{pod.metadata.name}"
            pods[key] = _prioritised(_in_namespace(pod), priorities)
            sources[key] = Source(each.file, each.line)
    workloads = tuple(found for each in manifests
                      if (found := _workload(each, len(listed))) is not None)
    for workload in workloads:
        _unfold(workload, pods, owners, sources, priorities)
    counts: dict[str, int] = {}
    for each in manifests:
        if each.object.kind not in UNDERSTOOD:
            counts[each.object.kind] = counts.get(each.object.kind, 0) + 1
    return Inventory(listed, pods, owners, sources, workloads, tuple(manifests),
                     tuple(sorted(counts.items())), assumed)


def _machine(number: int) -> api.Node:
    shape = node_shape(number)
    labels = api.pairs({"kubernetes.io/hostname": shape.name, **dict(shape.labels)})
    return api.Node(metadata=api.Metadata(name=shape.name, labels=labels), spec=api.NodeSpec(),
                    status=api.NodeStatus(capacity=shape.capacity, allocatable=shape.capacity))


def _finished(pod: api.Pod) -> bool:
    return pod.status is not None and pod.status.phase in ("Succeeded", "Failed")


def _in_namespace(pod: api.Pod) -> api.Pod:
    if pod.metadata.namespace:
        return pod
    return api.with_metadata(pod, pod.metadata._replace(namespace="default"))


def _priorities(manifests: Sequence[Manifest]) -> dict[str, tuple[int, str | None]]:
    found: dict[str, tuple[int, str | None]] = {
        name: (value, None) for name, value in SYSTEM_PRIORITIES.items()}
    for each in manifests:
        obj = each.object
        if obj.kind == "PriorityClass":
            entry = (obj.value or 0, obj.preemption_policy)
            found[obj.metadata.name or ""] = entry
            if obj.global_default:
                found[""] = entry
    return found


def _prioritised(pod: api.Pod, priorities: dict[str, tuple[int, str | None]]) -> api.Pod:
    """The pod with the number of its priority class, as admission would write it."""
    spec = pod.spec or api.PodSpec()
    entry = priorities.get(spec.priority_class_name or "")
    if spec.priority is not None or entry is None:
        return pod
    policy = spec.preemption_policy or entry[1]
    return api.with_spec(pod, spec._replace(priority=entry[0], preemption_policy=policy))


def _workload(manifest: Manifest, nodes: int) -> Workload | None:
    """The wish of a workload; None for other kinds and for what a listed controller owns."""
    obj = manifest.object
    owner = api.controller_of(obj.metadata)
    owned = owner is not None and owner.kind in REPLICATED
    if obj.kind not in (*REPLICATED, "Job", "DaemonSet") or owned:
        return None
    document = api.thaw(obj).get("spec") or {}
    template = api.read(api.PodTemplateSpec, document.get("template") or {})
    if obj.kind == "ReplicationController":
        selector = selectors.from_pairs(obj.spec.selector) or selectors.from_pairs(
            template.metadata.labels if template.metadata is not None else None)
    elif "selector" in document:
        selector = selectors.from_object(api.read(api.LabelSelector, document["selector"]))
    else:
        selector = None
    replicas = nodes if obj.kind == "DaemonSet" else document.get(
        "parallelism" if obj.kind == "Job" else "replicas", 1)
    namespace = obj.metadata.namespace or "default"
    return Workload(obj.kind, f"{namespace}/{obj.metadata.name}", namespace, selector, template,
                    1 if replicas is None else replicas, Source(manifest.file, manifest.line))


def _unfold(workload: Workload, pods: dict[str, api.Pod], owners: dict[str, str],
            sources: dict[str, Source], priorities: dict[str, tuple[int, str | None]]) -> None:
    """Add the pods that a workload wishes for and that are not listed."""
    if workload.kind == "DaemonSet":
        return
    name = f"{workload.kind} {workload.key}"
    mine = [key for key, pod in pods.items() if key not in owners
            and pod.metadata.namespace == workload.namespace
            and selectors.matches(workload.selector, pod.metadata.labels)]
    for key in mine:
        owners[key] = name
    metadata = workload.template.metadata or api.Metadata()
    owner = api.OwnerReference(kind=workload.kind, name=workload.key.partition("/")[2],
                               controller=True)
    for number in range(len(mine) + 1, workload.replicas + 1):
        key = f"{workload.key}-{number}"
        made = api.Pod(
            metadata=api.Metadata(name=key.partition("/")[2], namespace=workload.namespace,
                                  labels=metadata.labels, owner_references=(owner,)),
            spec=workload.template.spec)
        pods[key] = _prioritised(made, priorities)
        owners[key] = name
        sources[key] = workload.source
