"""The scheduler's filters and scores against the documents restated, on random clusters.

The two were written apart; where they differ one of them misreads Kubernetes.
"""

from __future__ import annotations

import random
from typing import Any

from model.api.objects import Node, Pod, freeze
from model.kernel.values import FrozenMap
from properties.scheduler import rules
from properties.scheduler import scores as documents
from properties.scheduler.facts import PodFacts, node_facts, pod_facts
from reference_impl.scheduler import cache, read
from reference_impl.scheduler.decide import schedule
from reference_impl.scheduler.framework import Decision
from reference_impl.scheduler.records import Catalog, Snapshot

ZONE, HOST = "zone", "kubernetes.io/hostname"
NAMESPACES = {"default": {"team": "a"}, "other": {"team": "b"}}


def selector(draw: random.Random) -> dict[str, Any]:
    if draw.random() < 0.2:
        return {"matchExpressions": [{"key": "app", "operator": draw.choice(["In", "NotIn"]),
                                      "values": ["web"]}]}
    return {"matchLabels": {"app": draw.choice(["web", "db"])}}


def term(draw: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"labelSelector": selector(draw),
                             "topologyKey": draw.choice([ZONE, HOST])}
    if draw.random() < 0.2:
        found["namespaceSelector"] = draw.choice([{}, {"matchLabels": {"team": "b"}}])
    if draw.random() < 0.2:
        found["namespaces"] = ["other"]
    return found


def random_node(draw: random.Random, name: str) -> Node:
    labels = {HOST: name, "size": str(draw.randint(1, 3))}
    if draw.random() < 0.8:
        labels[ZONE] = draw.choice("ab")
    images = [{"names": [draw.choice(["i", "i:latest", "j:1"])], "sizeBytes": size * 2 ** 20}
              for size in (draw.choice([10, 300, 2000]),) if draw.random() < 0.4]
    taints = [{"key": "k", "value": draw.choice("xy"),
               "effect": draw.choice(["NoSchedule", "NoExecute", "PreferNoSchedule"])}]
    node: Node = freeze({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints if draw.random() < 0.3 else [],
                 "unschedulable": draw.random() < 0.1},
        "status": {"allocatable": {"cpu": str(draw.randint(1, 4)), "memory": "4Gi",
                                   "pods": str(draw.randint(1, 5))},
                   "images": images}})
    return node


def random_pod(draw: random.Random, name: str) -> Pod:
    container: dict[str, Any] = {"name": "c", "image": "i", "resources": {
        "requests": {"cpu": f"{draw.randint(0, 4) * 500}m"}}}
    if draw.random() < 0.2:
        container["ports"] = [{"containerPort": 1, "hostPort": draw.choice([80, 81])}]
    spec: dict[str, Any] = {"containers": [container], "preemptionPolicy": "Never"}
    affinity: dict[str, Any] = {}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    if draw.random() < 0.3:
        spec["tolerations"] = [draw.choice([
            {"operator": "Exists"}, {"key": "k", "value": "x"},
            {"key": "k", "operator": "Exists", "effect": "NoSchedule"}])]
    if draw.random() < 0.2:
        spec["initContainers"] = [{"name": "s", "restartPolicy": draw.choice(["Always", None]),
                                   "resources": {"limits": {"cpu": "1"}}}]
    if draw.random() < 0.2:
        spec["nodeSelector"] = {ZONE: "a"}
    if draw.random() < 0.2:
        operator = draw.choice(["In", "NotIn", "Gt", "Lt", "Exists"])
        values = [] if operator == "Exists" else ["2"]
        affinity["nodeAffinity"] = {required: {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "size", "operator": operator, "values": values}]},
            *([{}] if draw.random() < 0.3 else [])]}}
    if draw.random() < 0.25:
        affinity["podAffinity"] = {required: [term(draw)]}
    if draw.random() < 0.25:
        affinity["podAntiAffinity"] = {required: [term(draw)]}
    wish(draw, affinity)
    if draw.random() < 0.3:
        spec["topologySpreadConstraints"] = [{
            "maxSkew": draw.randint(1, 2), "topologyKey": draw.choice([ZONE, HOST]),
            "whenUnsatisfiable": draw.choice(["DoNotSchedule", "ScheduleAnyway"]),
            "labelSelector": selector(draw),
            **({"minDomains": 3} if draw.random() < 0.3 else {}),
            **({"nodeTaintsPolicy": "Honor"} if draw.random() < 0.3 else {})}]
    pod: Pod = freeze({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": draw.choice(["default", "default", "other"]),
                     "labels": {"app": draw.choice(["web", "db"])}},
        "spec": {**spec, **({"affinity": affinity} if affinity else {})}})
    return pod


def compare_scores(decision: Decision, pod: PodFacts, nodes: list[Node],
                   placement: rules.Placement) -> None:
    """Each plug-in's score of each node, and who is best."""
    images = {node.metadata.name or "": {
        documents.tagged(name): image.size_bytes or 0
        for image in (node.status.images or () if node.status is not None else ())
        for name in image.names or ()} for node in nodes}
    scene = documents.Scene(placement, images)
    found = documents.scores(pod, decision.feasible, scene)
    for name, parts in decision.scores:
        told = {plugin: found[name][plugin] for plugin, _ in parts}
        assert told == dict(parts), (name, pod.spec)
    assert documents.best(pod, decision.feasible, scene) == set(decision.best)


def wish(draw: random.Random, affinity: dict[str, Any]) -> None:
    """Add preferences."""
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    for kind in ("podAffinity", "podAntiAffinity"):
        if draw.random() < 0.25:
            affinity.setdefault(kind, {})[preferred] = [
                {"weight": draw.randint(1, 100), "podAffinityTerm": term(draw)}]
    if draw.random() < 0.25:
        affinity.setdefault("nodeAffinity", {})[preferred] = [
            {"weight": draw.randint(1, 100), "preference": draw.choice([{}, {"matchExpressions": [
                {"key": "size", "operator": "Gt", "values": ["1"]}]}])} for _ in range(2)]


def test_filters_and_scores_agree_with_the_documents_on_every_node() -> None:
    taken = refused = scored = 0
    for seed in range(250):
        draw = random.Random(seed)
        nodes = [random_node(draw, f"n{at}") for at in range(draw.randint(2, 4))]
        snapshot = Snapshot(catalog=Catalog(namespaces=FrozenMap(
            (name, FrozenMap(labels.items())) for name, labels in NAMESPACES.items())))
        for node in nodes:
            snapshot = cache.set_node(snapshot, read.node_info(node))
        facts = {node.metadata.name or "": node_facts(node) for node in nodes}
        placement = rules.Placement(facts, {}, {}, NAMESPACES)
        for number in range(6):
            pod = random_pod(draw, f"p{number}")
            info, wish = read.pod_info(pod), pod_facts(pod)
            decision = schedule(info, snapshot)
            allowed = {name for name in facts
                       if rules.against(wish, name, placement) is None}
            assert set(decision.feasible) == allowed, (
                seed, number, decision.rejected,
                {name: rules.against(wish, name, placement) for name in facts})
            if decision.scores:
                compare_scores(decision, wish, nodes, placement)
                scored += 1
            taken += len(allowed)
            refused += len(facts) - len(allowed)
            if decision.best:
                where = decision.best[0]
                snapshot = cache.add_pod(snapshot, info._replace(node=where))
                placement = rules.Placement(
                    facts, {**placement.pods, wish.key: wish},
                    {**placement.where, wish.key: where}, NAMESPACES)
    assert scored > 200
    assert taken > 500
    assert refused > 500
