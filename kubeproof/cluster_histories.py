"""Random histories of the user's own cluster with losses of nodes: what a static check cannot see.

The inventory becomes a scenario: the same nodes, namespaces, priority classes, quotas, services and
pods; machines crash and are cut off, all properties of the project are checked on the way.

Not the same as in the user's cluster: every workload stands as a ReplicationController with the
same pods (histories roll nothing out); pods get no volumes, accounts, pull secrets or runtime
classes (they would wait for objects that were not given); budgets, limit ranges and autoscalers are
left out. That is sound for what is checked here, since each of these only keeps pods from running.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeproof.checks import ERROR, NOTE, OK, UNKNOWN, Finding, number_of
from kubeproof.inventory import REPLICATED, Inventory, Workload, node_of_tied, pinned
from model.api import objects as api
from model.api.scenario import DEFAULT_CAPACITY, NodeShape, Scenario, kubectl, node_shape
from model.kernel.errors import InputError
from model.kernel.fault import FaultPlan
from model.kernel.values import canonical_json
from reference_impl.apiserver.access.admission.node_restriction import may_label

if TYPE_CHECKING:
    from kubeproof.verification import Outcome

PODS_MAX = 400
STEPS = 150
GOALS_PODS_MAX, GOALS_EVERY = 40, 10
"""In clusters of so many pods each tenth history is also served until all goals are reached."""
BOOT_STEPS, BOOT_STEPS_A_POD = 3_000, 250
"""How long the fairly served run lasts in which the cluster comes up; histories begin on it."""
LEFT_OUT = ("volumes", "serviceAccountName", "serviceAccount", "imagePullSecrets", "overhead",
            "runtimeClassName", "nodeName", "priority", "preemptionPolicy")
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
LOSSES = FaultPlan((("crash_machine", 2), ("isolate", 1)))


def explored(inventory: Inventory, outcome: Outcome, seconds: float, seed: int, out: Path,
             quiet: bool) -> list[Finding]:
    """What random histories of the cluster found in the time. A failure is shrunk and kept under
    `out`; its finding names the line that replays it."""
    subject = (f"{number_of(len(inventory.pods), 'pod')} on "
               f"{number_of(len(inventory.nodes), 'node')}")
    if outcome.answer is None:
        return [Finding("histories", NOTE, subject, "not tried: the pods do not fit as it is")]
    if len(inventory.pods) > PODS_MAX:
        return [Finding("histories", NOTE, subject, f"not tried: more than {PODS_MAX} pods")]
    from kubeproof.explorer import Explorer, Plan

    if not quiet:
        print(f"starting {subject} for random histories", file=sys.stderr, flush=True)
    try:
        explorer = Explorer(scenario_of(inventory),
                            fair_steps=BOOT_STEPS + BOOT_STEPS_A_POD * len(inventory.pods))
    except InputError as error:
        return [Finding("histories", UNKNOWN, subject, f"not tried: {error}")]
    told = [0.0]

    def watch(tally: Any) -> None:
        if tally.seconds - told[0] >= 2 and not quiet:
            told[0] = tally.seconds
            print(f"{tally.histories} histories, {tally.steps} steps of {seconds:g} s",
                  file=sys.stderr, flush=True)

    every = GOALS_EVERY if len(inventory.pods) <= GOALS_PODS_MAX else 0
    tally = explorer.explore(Plan(1_000_000, STEPS, seed, seconds, converge_every=every), watch)
    if not tally.failures:
        goals = "" if every else " (what must come about in the end was not checked: too many pods)"
        return [Finding("histories", OK, subject, f"{tally.histories} random histories with losses "
                        f"of nodes, {tally.steps + tally.converge_steps} steps, break no property"
                        f"{goals}")]
    return [_kept(explorer, failure, out) for failure in tally.failures]


def _kept(explorer: Any, failure: Any, out: Path) -> Finding:
    from kubeproof.failures import keep
    from model.api.scenario_file import to_document
    from traces.history import History

    history = History(to_document(explorer.scenario), failure.actions, failure.seed,
                      failure.violation.property, failure.violation.message)
    kept = keep(history, explorer.properties, out, replays_max=150)
    return Finding("histories", ERROR, failure.violation.property,
                   f"{failure.violation.message} (replay: {kept.command})")


def scenario_of(inventory: Inventory) -> Scenario:
    """The user's cluster as a scenario; see the head of this file."""
    files = tuple((f"{number:03}-{document['kind'].lower()}.json", canonical_json(document))
                  for number, document in enumerate(_documents(inventory)))
    nodes = tuple(_shape(number, node) for number, node in
                  enumerate(inventory.nodes.values(), start=1))
    script = kubectl(*_labelled(inventory), *(f"create -f {name}" for name, _ in files))
    return Scenario("your-cluster", nodes=nodes, files=files, script=(script,),
                    faults=LOSSES._replace(hosts=tuple(shape.name for shape in nodes)))


def _labelled(inventory: Inventory) -> Iterator[str]:
    """Client lines that set the labels of nodes that a kubelet may not set itself."""
    for name, node in inventory.nodes.items():
        pairs = [f"{key}={value}" for key, value in node.metadata.labels or ()
                 if not may_label(key)]
        if pairs:
            yield f"label node {name} {' '.join(pairs)}"


def _shape(number: int, node: api.Node) -> NodeShape:
    room = node.status.allocatable if node.status is not None else None
    taints = (node.spec.taints or ()) if node.spec is not None else ()
    if node.spec is not None and node.spec.unschedulable:
        taints = (*taints, api.Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule"))
    labels = tuple(each for each in node.metadata.labels or () if may_label(each[0]))
    return NodeShape(node.metadata.name or "", node_shape(number).address,
                     room or DEFAULT_CAPACITY, labels, taints)


def _documents(inventory: Inventory) -> Iterator[dict[str, Any]]:
    """The objects to create, in an order in which each finds what it needs."""
    spaces = {pod.metadata.namespace or "default" for pod in inventory.pods.values()}
    for name in sorted(spaces.difference(SYSTEM_NAMESPACES)):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for kind in ("PriorityClass", "ResourceQuota", "Service"):
        for manifest in inventory.of_kind(kind):
            document = api.thaw(manifest.object)
            document.pop("status", None)
            spec = document.get("spec", {})
            for field in ("clusterIP", "clusterIPs"):
                if spec.get(field) != "None":
                    spec.pop(field, None)
            for port in spec.get("ports", ()):
                port.pop("nodePort", None)
            yield {**document, "metadata": _metadata(document["metadata"])}
    for workload in inventory.workloads:
        if workload.kind in (*REPLICATED, "Job") and workload.replicas:
            found = _controller(inventory, workload)
            if found is not None:
                yield found
    for key, pod in inventory.pods.items():
        if key in inventory.tied or key not in inventory.owners:
            node = node_of_tied(pod) if key in inventory.tied else ""
            document = api.thaw(pinned(pod, node) if node else pod)
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(document["metadata"]),
                   "spec": _pod_spec(document.get("spec", {}))}


def _metadata(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("name", "namespace", "labels") if name in found}


def _controller(inventory: Inventory, workload: Workload) -> dict[str, Any] | None:
    """The ReplicationController that stands for a workload; None without labels to select by."""
    name = f"{workload.kind} {workload.key}"
    keys = [key for key, owner in inventory.owners.items() if owner == name]
    labels = dict(workload.template.metadata.labels or ()) \
        if workload.template.metadata is not None else {}
    if not labels or not keys:
        return None
    like = api.thaw(inventory.pods[keys[0]]).get("spec", {})
    short = f"{workload.kind.lower()}-{workload.key.partition('/')[2]}"
    return {"apiVersion": "v1", "kind": "ReplicationController",
            "metadata": {"name": short, "namespace": workload.namespace},
            "spec": {"replicas": len(keys), "selector": labels,
                     "template": {"metadata": {"labels": labels}, "spec": _pod_spec(like)}}}


def _pod_spec(found: dict[str, Any]) -> dict[str, Any]:
    spec = {name: value for name, value in found.items() if name not in LEFT_OUT}
    for field in ("containers", "initContainers"):
        if field in spec:
            spec[field] = [{name: value for name, value in container.items()
                            if name not in ("volumeMounts", "env", "envFrom")}
                           for container in spec[field]]
    return spec
