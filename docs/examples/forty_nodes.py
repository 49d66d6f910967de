"""A snapshot of a cluster of 40 nodes, as `kubectl get ... -A -o yaml` would print it.

Made by rules, not by chance: three zones, four pools of machines (two of them tainted), workloads
with affinity, spread, priorities, budgets, autoscalers and a quota; its pods are bound where the
reference scheduler puts them. A few things are wrong with it, as they are in real clusters.

    python docs/examples/forty_nodes.py > forty-nodes.yaml
    kubeproof verify forty-nodes.yaml
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

from model.api import objects as api
from model.kernel.values import FrozenMap
from reference_impl.scheduler import cache, read
from reference_impl.scheduler.decide import schedule
from reference_impl.scheduler.records import Catalog, Snapshot

ZONE, HOST, POOL = "topology.kubernetes.io/zone", "kubernetes.io/hostname", "pool"
ZONES = ("west-1a", "west-1b", "west-1c")
POOLS: tuple[tuple[str, int, dict[str, str], bool], ...] = (
    ("general", 24, {"cpu": "7800m", "memory": "30Gi", "pods": "110"}, False),
    ("system", 6, {"cpu": "3800m", "memory": "14Gi", "pods": "110"}, False),
    ("memory", 6, {"cpu": "7800m", "memory": "62Gi", "pods": "110"}, True),
    ("gpu", 4, {"cpu": "15", "memory": "60Gi", "pods": "110", "nvidia.com/gpu": "4"}, True))
"""Name, number of machines, what each can allocate, and whether the pool is tainted."""
PRIORITIES = {"critical-service": 1000, "batch": -10}
Document = dict[str, Any]


def nodes() -> list[Document]:
    """The machines, zone after zone."""
    made, number = [], 0
    for pool, count, room, tainted in POOLS:
        for at in range(count):
            number += 1
            name = f"{pool}-{at + 1:02}"
            taints = [{"key": POOL, "value": pool, "effect": "NoSchedule"}] if tainted else []
            made.append({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
                HOST: name, ZONE: ZONES[at % len(ZONES)], POOL: pool}}, "spec": {"taints": taints},
                "status": {"allocatable": room, "capacity": room}})
    return made


def container(cpu: str, memory: str, port: int = 0, **more: Any) -> Document:
    """One container with its requests; port 0: none."""
    ports = {"ports": [{"name": "main", "containerPort": port}]} if port else {}
    return {"name": "main", "image": "registry.example/app:1.4",
            "resources": {"requests": {"cpu": cpu, "memory": memory}}, **ports, **more}


def spread(app: str, key: str, skew: int = 1, **more: Any) -> Document:
    """A hard spread constraint over the pods of an app."""
    return {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": app}}, **more}


def terms(kind: str, app: str, key: str) -> Document:
    """A required rule towards the pods of an app."""
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}]}}


def in_pool(pool: str) -> Document:
    """What sends a pod to a tainted pool."""
    return {"nodeSelector": {POOL: pool},
            "tolerations": [{"key": POOL, "value": pool, "effect": "NoSchedule"}]}


Workload = tuple[str, str, str, int, Document]
WORKLOADS: tuple[Workload, ...] = (
    ("Deployment", "shop", "web", 18, {
        "containers": [container("900m", "1500Mi", 8080)], "nodeSelector": {POOL: "general"},
        "topologySpreadConstraints": [spread("web", ZONE), spread("web", HOST)],
        "priorityClassName": "critical-service"}),
    ("Deployment", "shop", "api", 24, {
        "containers": [container("1500m", "3Gi", 9000)], "nodeSelector": {POOL: "general"},
        "topologySpreadConstraints": [spread("api", ZONE, 2)],
        "priorityClassName": "critical-service"}),
    ("StatefulSet", "shop", "orders-db", 3, {
        "containers": [container("3", "24Gi", 5432)], **in_pool("memory"),
        "affinity": terms("podAntiAffinity", "orders-db", ZONE),
        "priorityClassName": "critical-service"}),
    ("StatefulSet", "shop", "cache", 6, {
        "containers": [container("2", "20Gi", 6379)], **in_pool("memory"),
        "affinity": terms("podAntiAffinity", "cache", HOST)}),
    ("Deployment", "shop", "session", 6, {
        "containers": [container("500m", "1Gi", 7000)], **in_pool("memory"),
        "affinity": terms("podAffinity", "cache", HOST)}),
    ("Deployment", "shop", "payment", 1, {"containers": [container("1", "2Gi", 8443)]}),
    ("Deployment", "vision", "inference", 14, {
        "containers": [{**container("3", "12Gi", 8500), "resources": {
            "requests": {"cpu": "3", "memory": "12Gi"}, "limits": {"nvidia.com/gpu": "1"}}}],
        **in_pool("gpu")}),
    ("Deployment", "edge", "ingress", 3, {
        "containers": [{**container("1", "1Gi"), "ports": [
            {"name": "https", "containerPort": 8443, "hostPort": 443}]}],
        "nodeSelector": {POOL: "system"},
        "topologySpreadConstraints": [spread("ingress", ZONE)]}),
    ("Deployment", "kube-system", "coredns", 3, {
        "containers": [container("100m", "170Mi", 53)], "nodeSelector": {POOL: "system"},
        "affinity": terms("podAntiAffinity", "coredns", HOST),
        "priorityClassName": "system-cluster-critical"}),
    ("Deployment", "reports", "nightly", 40, {
        "containers": [container("1800m", "4Gi")], "nodeSelector": {POOL: "general"},
        "priorityClassName": "batch"}),
    ("Deployment", "reports", "scratch", 4, {"containers": [{"name": "main", "image": "busybox"}],
                                             "nodeSelector": {POOL: "system"}}),
)
"""Kind, namespace, name, replicas and pod spec."""

DAEMONS = (("kube-system", "node-agent", "150m", "256Mi"), ("kube-system", "logs", "100m", "200Mi"))


def workload(kind: str, namespace: str, name: str, replicas: int, spec: Document) -> Document:
    """A controller of pods."""
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": spec}}}


def daemon(namespace: str, name: str, cpu: str, memory: str) -> Document:
    """A pod on every node."""
    found = workload("DaemonSet", namespace, name, 0, {
        "containers": [container(cpu, memory)], "tolerations": [{"operator": "Exists"}]})
    del found["spec"]["replicas"]
    return found


def beside() -> list[Document]:
    """Services, budgets, autoscalers, priorities and a quota."""
    made: list[Document] = [
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
         "value": value} for name, value in PRIORITIES.items()]
    for namespace, name, port in (("shop", "web", "main"), ("shop", "api", "main"),
                                  ("shop", "orders-db", "main"), ("shop", "cache", "main"),
                                  ("shop", "payment", "https"), ("vision", "inference", "main"),
                                  ("edge", "ingress", "https")):
        made.append({"apiVersion": "v1", "kind": "Service",
                     "metadata": {"name": name, "namespace": namespace},
                     "spec": {"selector": {"app": name},
                              "ports": [{"port": 80, "targetPort": port}]}})
    for namespace, name, rule in (("shop", "web", {"maxUnavailable": "20%"}),
                                  ("shop", "orders-db", {"minAvailable": 2}),
                                  ("shop", "payment", {"minAvailable": 1}),
                                  ("kube-system", "coredns", {"maxUnavailable": 1})):
        made.append({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                     "metadata": {"name": name, "namespace": namespace},
                     "spec": {**rule, "selector": {"matchLabels": {"app": name}}}})
    for name, most in (("web", 24), ("api", 40)):
        made.append({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                     "metadata": {"name": name, "namespace": "shop"},
                     "spec": {"minReplicas": 6, "maxReplicas": most, "scaleTargetRef": {
                         "apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                         "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {
                             "type": "Utilization", "averageUtilization": 70}}}]}})
    made.append({"apiVersion": "v1", "kind": "ResourceQuota",
                 "metadata": {"name": "compute", "namespace": "reports"},
                 "spec": {"hard": {"pods": "60", "requests.cpu": "80"}}})
    return made


def pods(machines: list[Document]) -> list[Document]:
    """The pods that run, each where the scheduler puts it; one that finds no node waits."""
    snapshot = Snapshot(catalog=Catalog(namespaces=FrozenMap(
        (name, FrozenMap([("kubernetes.io/metadata.name", name)]))
        for name in sorted({each[1] for each in WORKLOADS} | {each[0] for each in DAEMONS}))))
    made = []
    for machine in machines:
        snapshot = cache.set_node(snapshot, read.node_info(api.freeze(machine)))
    for namespace, name, cpu, memory in DAEMONS:
        for machine in machines:
            at = machine["metadata"]["name"]
            pod = pod_document("DaemonSet", namespace, name, f"{name}-{at}", {
                "containers": [container(cpu, memory)], "nodeName": at,
                "tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                        {"matchFields": [{"key": "metadata.name", "operator": "In",
                                          "values": [at]}]}]}}}})
            made.append(pod)
            snapshot = cache.add_pod(snapshot, read.pod_info(api.freeze(pod)))
    for kind, namespace, name, replicas, spec in WORKLOADS:
        for number in range(replicas):
            pod = pod_document(kind, namespace, name, f"{name}-{number}", dict(spec))
            info = read.pod_info(api.freeze(pod))
            best = schedule(info, snapshot).best
            if best:
                pod["spec"]["nodeName"] = best[number % len(best)]
                snapshot = cache.add_pod(snapshot, read.pod_info(api.freeze(pod)))
            made.append(pod)
    return made


def pod_document(kind: str, namespace: str, app: str, name: str, spec: Document) -> Document:
    """One pod of a controller."""
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": app},
                         "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": app,
                                              "uid": f"uid-of-{app}", "controller": True}]},
            "spec": {**spec, **({"priority": PRIORITIES[spec["priorityClassName"]]}
                                if spec.get("priorityClassName") in PRIORITIES else {})},
            "status": {"phase": "Running"}}


def snapshot() -> Document:
    """The whole cluster as one List."""
    machines = nodes()
    return {"apiVersion": "v1", "kind": "List", "items": [
        *machines, *(workload(*each) for each in WORKLOADS), *(daemon(*each) for each in DAEMONS),
        *beside(), *pods(machines)]}


if __name__ == "__main__":
    yaml.safe_dump(snapshot(), sys.stdout, sort_keys=False)
