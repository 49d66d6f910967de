"""What a set of manifests or a snapshot of a live cluster amounts to: nodes, and pods to place.

Workloads are unfolded into the pods that they wish for; pods of theirs that are listed already (as
in a snapshot) count towards the wish. A DaemonSet wishes for one pod on each node that it may use;
these, and the static pods of a node, are tied to their node. The hard default constraints of a
scheduler configuration, if one is given, are written into the pods that have none of their own.
Kinds that nothing here understands are listed, not dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from model.api import objects as api
from model.api import selectors
from model.api.manifests import Manifest
from model.api.scenario import node_shape

if TYPE_CHECKING:
    from reference_impl.scheduler.records import Snapshot

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000,
                     "system-node-critical": 2_000_001_000}
REPLICATED = ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet")
UNDERSTOOD = (*REPLICATED, "Pod", "Node", "Service", "PodDisruptionBudget", "ResourceQuota",
              "Namespace", "PriorityClass", "DaemonSet", "Job", "HorizontalPodAutoscaler")
LANES = {"Namespace": "namespaces", "Service": "services", "ReplicaSet": "replicasets",
         "ReplicationController": "replicationcontrollers",
         "PodDisruptionBudget": "poddisruptionbudgets", "StorageClass": "storageclasses",
         "PersistentVolumeClaim": "persistentvolumeclaims", "PersistentVolume": "persistentvolumes"}
"""The collections beside pods and nodes that the scheduler's cache knows, by kind."""
DAEMON_TAINTS = (("node.kubernetes.io/not-ready", "NoExecute"),
                 ("node.kubernetes.io/unreachable", "NoExecute"),
                 ("node.kubernetes.io/disk-pressure", "NoSchedule"),
                 ("node.kubernetes.io/memory-pressure", "NoSchedule"),
                 ("node.kubernetes.io/pid-pressure", "NoSchedule"),
                 ("node.kubernetes.io/unschedulable", "NoSchedule"))
"""Taints that the pods of a DaemonSet tolerate ("DaemonSet", Concepts)."""


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
    """`pods` by key with the workload that they belong to in `owners`; `sources` by pod key;
    `tied` are the pods that live and die with their node."""

    nodes: dict[str, api.Node]
    pods: dict[str, api.Pod]
    owners: dict[str, str]
    sources: dict[str, Source]
    workloads: tuple[Workload, ...]
    manifests: tuple[Manifest, ...]
    unknown: tuple[tuple[str, int], ...]
    assumed_nodes: bool
    tied: frozenset[str] = frozenset()

    def of_kind(self, kind: str) -> list[Manifest]:
        """The manifests of one kind."""
        return [each for each in self.manifests if each.object.kind == kind]

    @property
    def bound(self) -> dict[str, str]:
        """The node of each pod that is on one."""
        return {key: pod.spec.node_name for key, pod in self.pods.items()
                if pod.spec is not None and pod.spec.node_name in self.nodes}

def take(manifests: Sequence[Manifest], nodes: int | None = None,
         configuration: Mapping[str, Any] | None = None) -> Inventory:
    """The inventory of what was read. `nodes`: so many standard machines in place of any listed;
    `configuration`: that of the scheduler (a KubeSchedulerConfiguration)."""
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
        if workload.kind == "DaemonSet":
            _unfold_daemons(workload, listed, pods, owners, sources, priorities)
        else:
            _unfold(workload, pods, owners, sources, priorities)
    tied = _tie(pods)
    _default_spread(configuration or {}, manifests, pods)
    counts: dict[str, int] = {}
    for each in manifests:
        if each.object.kind not in UNDERSTOOD:
            counts[each.object.kind] = counts.get(each.object.kind, 0) + 1
    return Inventory(listed, pods, owners, sources, workloads, tuple(manifests),
                     tuple(sorted(counts.items())), assumed, tied)


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
    replicas = nodes if obj.kind == "DaemonSet" else _left_of_job(api.thaw(obj)) \
        if obj.kind == "Job" else document.get("replicas", 1)
    namespace = obj.metadata.namespace or "default"
    return Workload(obj.kind, f"{namespace}/{obj.metadata.name}", namespace, selector, template,
                    1 if replicas is None else replicas, Source(manifest.file, manifest.line))


def _left_of_job(document: Mapping[str, Any]) -> int:
    """How many pods of a Job are still to run at a time."""
    spec, status = document.get("spec") or {}, document.get("status") or {}
    parallel = spec.get("parallelism", 1)
    left = spec.get("completions", parallel) - status.get("succeeded", 0)
    return int(max(0, min(parallel, left)))


def _unfold(workload: Workload, pods: dict[str, api.Pod], owners: dict[str, str],
            sources: dict[str, Source], priorities: dict[str, tuple[int, str | None]]) -> None:
    """Add the pods that a workload wishes for and that are not listed."""
    name = f"{workload.kind} {workload.key}"
    mine = _claimed(workload, pods, owners)
    for number in range(len(mine) + 1, workload.replicas + 1):
        key = f"{workload.key}-{number}"
        pods[key] = _prioritised(_made(workload, number), priorities)
        owners[key] = name
        sources[key] = workload.source


def _claimed(workload: Workload, pods: dict[str, api.Pod], owners: dict[str, str]) -> list[str]:
    """The listed pods that count towards a wish; notes to whom they belong."""
    mine = [key for key, pod in pods.items() if key not in owners
            and pod.metadata.namespace == workload.namespace
            and selectors.matches(workload.selector, pod.metadata.labels)]
    owners.update(dict.fromkeys(mine, f"{workload.kind} {workload.key}"))
    return mine


def _unfold_daemons(workload: Workload, nodes: Mapping[str, api.Node], pods: dict[str, api.Pod],
                    owners: dict[str, str], sources: dict[str, Source],
                    priorities: dict[str, tuple[int, str | None]]) -> None:
    """One pod on each node that the template may use and that has none yet."""
    from properties.scheduler import rules
    from properties.scheduler.facts import node_facts, pod_facts

    there = {(pods[key].spec or api.PodSpec()).node_name
             for key in _claimed(workload, pods, owners)}
    metadata = workload.template.metadata or api.Metadata()
    spec = workload.template.spec or api.PodSpec()
    tolerations = (*(spec.tolerations or ()), *(
        api.Toleration(key=key, operator="Exists", effect=effect) for key, effect in DAEMON_TAINTS))
    owner = api.OwnerReference(kind="DaemonSet", name=workload.key.partition("/")[2],
                               controller=True)
    for name, node in nodes.items():
        key = f"{workload.key}-{name}"
        made = api.Pod(
            metadata=api.Metadata(name=key.partition("/")[2], namespace=workload.namespace,
                                  labels=metadata.labels, owner_references=(owner,)),
            spec=spec._replace(tolerations=tolerations))
        facts, place = pod_facts(made), node_facts(node)
        if name in there or rules.taints(facts, place) or rules.node_choice(facts, place):
            continue
        pods[key] = _prioritised(pinned(made, name), priorities)
        owners[key] = f"DaemonSet {workload.key}"
        sources[key] = workload.source


def pinned(pod: api.Pod, node: str) -> api.Pod:
    """The pod with the node affinity by which a DaemonSet names the node of a pod."""
    spec = pod.spec or api.PodSpec()
    term = api.NodeSelectorTerm(match_fields=(api.NodeSelectorRequirement(
        key="metadata.name", operator="In", values=(node,)),))
    wanted = api.NodeAffinity(required_during_scheduling_ignored_during_execution=api.NodeSelector(
        node_selector_terms=(term,)))
    affinity = (spec.affinity or api.Affinity())._replace(node_affinity=wanted)
    return api.with_spec(pod, spec._replace(affinity=affinity))


def with_replicas(inventory: Inventory, workload: Workload, replicas: int) -> Inventory:
    """The inventory in which a workload wishes for more pods."""
    pods, owners, sources = dict(inventory.pods), dict(inventory.owners), dict(inventory.sources)
    name = f"{workload.kind} {workload.key}"
    there = sum(owner == name for owner in owners.values())
    template = next((pods[key] for key, owner in owners.items() if owner == name), None)
    for number in range(there + 1, replicas + 1):
        made = _made(workload, number)
        if template is not None and template.spec is not None and not template.spec.node_name:
            made = api.with_spec(made, template.spec)
        key = f"{workload.key}-{number}"
        pods[key], owners[key], sources[key] = made, name, workload.source
    return inventory._replace(pods=pods, owners=owners, sources=sources)


def _made(workload: Workload, number: int) -> api.Pod:
    """A pod that a workload wishes for."""
    metadata = workload.template.metadata or api.Metadata()
    owner = api.OwnerReference(kind=workload.kind, name=workload.key.partition("/")[2],
                               controller=True)
    name = f"{workload.key}-{number}".partition("/")[2]
    return api.Pod(metadata=api.Metadata(name=name, namespace=workload.namespace,
                                         labels=metadata.labels, owner_references=(owner,)),
                   spec=workload.template.spec)


def node_of_tied(pod: api.Pod) -> str:
    """The node that a tied pod is on or is pinned to; "" when neither is said."""
    spec = pod.spec or api.PodSpec()
    if spec.node_name or spec.affinity is None or spec.affinity.node_affinity is None:
        return spec.node_name or ""
    wanted = spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    names = [value for term in (wanted.node_selector_terms or () if wanted else ())
             for each in term.match_fields or () for value in each.values or ()]
    return names[0] if len(names) == 1 else ""


def _tie(pods: dict[str, api.Pod]) -> frozenset[str]:
    """The pods that live and die with their node; static ones are pinned to it."""
    tied = set()
    for key, pod in pods.items():
        owner = api.controller_of(pod.metadata)
        kind = owner.kind if owner is not None else ""
        if kind == "Node" and pod.spec is not None and pod.spec.node_name:
            everything = (api.Toleration(operator="Exists"),)
            pods[key] = pinned(api.with_spec(pod, pod.spec._replace(tolerations=everything)),
                               pod.spec.node_name)
        if kind in ("DaemonSet", "Node"):
            tied.add(key)
    return frozenset(tied)


def _default_spread(configuration: Mapping[str, Any], manifests: Sequence[Manifest],
                    pods: dict[str, api.Pod]) -> None:
    """Write the hard default constraints of a scheduler configuration into pods without any.

    Source: "Pod Topology Spread Constraints", cluster-level default constraints. They count the
    pods that the Services and the workload of a pod select. (Those built into the scheduler are
    soft, and decide nothing here.)
    """
    hard = [each for each in _defaults_of(configuration)
            if each.when_unsatisfiable != "ScheduleAnyway"]
    if not hard:
        return
    for key, pod in pods.items():
        spec = pod.spec or api.PodSpec()
        wanted = _selected_with(pod, manifests)
        if spec.topology_spread_constraints or not wanted:
            continue
        selector = api.LabelSelector(match_labels=tuple(sorted(wanted.items())))
        pods[key] = api.with_spec(pod, spec._replace(topology_spread_constraints=tuple(
            each._replace(label_selector=selector) for each in hard)))


def _defaults_of(document: Mapping[str, Any]) -> list[api.TopologySpreadConstraint]:
    """The default constraints in the plug-in arguments of a scheduler configuration."""
    found = []
    for profile in document.get("profiles") or ():
        for plugin in profile.get("pluginConfig") or ():
            if plugin.get("name") == "PodTopologySpread":
                found += [api.read(api.TopologySpreadConstraint, each) for each in
                          (plugin.get("args") or {}).get("defaultConstraints") or ()]
    return found


def _selected_with(pod: api.Pod, manifests: Sequence[Manifest]) -> dict[str, str]:
    """The labels by which Services and equality selectors of workloads choose a pod."""
    wanted: dict[str, str] = {}
    for manifest in manifests:
        obj = manifest.object
        if (obj.metadata.namespace or "default") != (pod.metadata.namespace or "default"):
            continue
        chosen: Any = ()
        if obj.kind == "Service" and obj.spec is not None:
            chosen = obj.spec.selector or ()
        elif obj.kind in REPLICATED:
            found = (api.thaw(obj).get("spec") or {}).get("selector") or {}
            chosen = tuple((found.get("matchLabels") or (
                found if obj.kind == "ReplicationController" else {})).items())
        if chosen and selectors.selects(chosen, pod.metadata.labels):
            wanted.update(chosen)
    return wanted


def snapshot_of(inventory: Inventory) -> Snapshot:
    """The cluster as the scheduler's cache would hold it, without the pods that wait."""
    from model.kernel.values import FrozenMap
    from reference_impl.scheduler import cache, catalog, read
    from reference_impl.scheduler.records import Catalog, Snapshot

    names = sorted({pod.metadata.namespace or "default" for pod in inventory.pods.values()})
    snapshot = Snapshot(catalog=Catalog(namespaces=FrozenMap(
        (name, FrozenMap([("kubernetes.io/metadata.name", name)])) for name in names)))
    for each in inventory.manifests:
        lane = LANES.get(each.object.kind)
        if lane is not None:
            metadata = each.object.metadata
            scoped = lane not in ("namespaces", "storageclasses", "persistentvolumes")
            key = f"{metadata.namespace or 'default'}/{metadata.name}" if scoped else metadata.name
            snapshot = snapshot._replace(
                catalog=catalog.noted(snapshot.catalog, lane, key or "", each.object))
    for node in inventory.nodes.values():
        snapshot = cache.set_node(snapshot, read.node_info(node))
    for pod in inventory.pods.values():
        info = read.pod_info(pod)
        if info.node:
            snapshot = cache.add_pod(snapshot, info)
    return snapshot
