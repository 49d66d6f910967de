"""Victims that the scheduler chooses against the documents restated, on random clusters."""

from __future__ import annotations

import random
from typing import Any

from model.api.objects import Pod, freeze, timestamp
from model.kernel.values import FrozenMap
from properties.scheduler import preemption, rules
from properties.scheduler.facts import node_facts, pod_facts
from reference_impl.scheduler import cache, read
from reference_impl.scheduler.decide import schedule
from reference_impl.scheduler.records import Catalog, Snapshot

HOST = "kubernetes.io/hostname"


def random_pod(draw: random.Random, name: str, priority: int, node: str = "") -> Pod:
    """A pod with a priority, some with a rule towards other pods."""
    spec: dict[str, Any] = {"priority": priority, "containers": [{
        "name": "c", "image": "i", "resources": {"requests": {"cpu": str(draw.randint(1, 3))}}}]}
    if draw.random() < 0.15:
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": draw.choice("xy")}}, "topologyKey": HOST}]}}
    if draw.random() < 0.2:
        spec["nodeSelector"] = {"disk": "fast"}
    status: dict[str, Any] = {}
    if node:
        spec["nodeName"] = node
        if draw.random() < 0.8:
            status["startTime"] = timestamp(1000 * draw.randint(1, 4))
    pod: Pod = freeze({"apiVersion": "v1", "kind": "Pod", "metadata": {
        "name": name, "namespace": "default", "labels": {"app": draw.choice("xyz")}},
        "spec": spec, "status": status})
    return pod


def random_budget(draw: random.Random, name: str) -> Any:
    return freeze({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                   "metadata": {"name": name, "namespace": "default"},
                   "spec": {"selector": {"matchLabels": {"app": draw.choice("xyz")}}},
                   "status": {"disruptionsAllowed": draw.randint(0, 1)}})


def test_victims_are_those_of_the_documents() -> None:
    """Node among the best ones, victims of that node, and none when nothing helps."""
    chosen = broken = none = 0
    for seed in range(450):
        draw = random.Random(seed)
        budgets = [random_budget(draw, f"b{at}") for at in range(draw.randint(0, 2))]
        snapshot = Snapshot(catalog=Catalog(budgets=FrozenMap(
            (f"default/b{at}", read.budget(each)) for at, each in enumerate(budgets))))
        nodes = [freeze({"apiVersion": "v1", "kind": "Node", "metadata": {
            "name": f"n{at}", "labels": {HOST: f"n{at}", "disk": draw.choice(["fast", "slow"])}},
            "status": {"allocatable": {"cpu": "5", "memory": "8Gi", "pods": "9"}}})
            for at in range(3)]
        for node in nodes:
            snapshot = cache.set_node(snapshot, read.node_info(node))
        facts, where, started = {}, {}, {}
        for number in range(7):
            name = f"n{draw.randrange(3)}"
            pod = random_pod(draw, f"p{number}", draw.choice([0, 0, 5, 10, 20]), name)
            info, fact = read.pod_info(pod), pod_facts(pod)
            if snapshot.nodes[name].used.cpu + info.needs.request.cpu > 5000:
                continue
            snapshot = cache.add_pod(snapshot, info)
            facts[fact.key], where[fact.key] = fact, name
            if info.started is not None:
                started[fact.key] = info.started
        coming = random_pod(draw, "coming", 15)
        decision = schedule(read.pod_info(coming), snapshot)
        if decision.best:
            continue
        contest = preemption.Contest(
            rules.Placement({node.metadata.name: node_facts(node) for node in nodes}, facts, where),
            started, [preemption.Budget("default", each.spec.selector,
                                        each.status.disruptions_allowed or 0) for each in budgets])
        wanted = preemption.choices(pod_facts(coming), contest)
        if not wanted:
            assert not decision.nominated, seed
            none += 1
            continue
        assert decision.nominated in wanted, (seed, wanted, decision.nominated)
        there = wanted[decision.nominated]
        assert set(decision.victims) == there.keys, (seed, there, decision.victims)
        chosen += 1
        broken += there.broken > 0
    assert chosen > 60
    assert broken >= 4
    assert none > 5
