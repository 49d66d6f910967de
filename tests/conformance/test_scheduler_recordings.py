"""Decisions, messages and plug-in scores against recordings of kube-scheduler 1.32: those of the
scheduler, and those of the independent judge that histories are checked by.

The recordings lie beside the repository, not in it; facts drawn from them are in
tests/unit/test_scheduler_decisions.py.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from model.api.objects import freeze
from model.kernel.values import FrozenMap
from properties.scheduler import rules, scores
from properties.scheduler.facts import PodFacts, node_facts, pod_facts
from reference_impl.scheduler import cache, catalog, read
from reference_impl.scheduler.decide import schedule
from reference_impl.scheduler.framework import Decision
from reference_impl.scheduler.records import Catalog, PodInfo, Snapshot

FOLDER = Path(__file__).parents[3] / "shared" / "recordings" / "kubernetes-1.32"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recordings beside this clone")

PRIORITIES = {"low": 100, "mid": 500, "high": 1000, "never": 1000}
ENDED = {"succeeded_pods_free_resources": "default/e"}
"""A pod whose end was written outside of the recording."""
LANES = {"Namespace": "namespaces", "Service": "services", "ReplicaSet": "replicasets",
         "ReplicationController": "replicationcontrollers",
         "PodDisruptionBudget": "poddisruptionbudgets", "StorageClass": "storageclasses",
         "PersistentVolumeClaim": "persistentvolumeclaims", "PersistentVolume": "persistentvolumes"}


def pod_of(document: dict[str, Any]) -> PodInfo:
    """A pod as the API server would have stored it: with the number of its priority class."""
    name = document["spec"].get("priorityClassName")
    if name in PRIORITIES:
        spec = {**document["spec"], "priority": PRIORITIES[name]}
        if name == "never":
            spec["preemptionPolicy"] = "Never"
        document = {**document, "spec": spec}
    return read.pod_info(freeze(document))


def judge(tally: Counter[str], got: Decision, wanted: dict[str, Any], message: str | None) -> None:
    """Count agreement of one decision with what was recorded."""
    node = wanted["nodeName"]
    tally["decisions"] += 1
    tally["decisions agreed"] += node in got.best if node else not got.best
    if message is not None:
        tally["messages"] += 1
        tally["messages agreed"] += message == got.message
    if wanted.get("plugin_scores"):
        tally["scores"] += 1
        scores = {name: dict(parts) for name, parts in got.scores}
        tally["scores agreed"] += scores == wanted["plugin_scores"]


def all_agree(tally: Counter[str]) -> bool:
    """Whether each kind was counted and agrees throughout."""
    kinds = ("decisions", "messages", "scores")
    return all(tally[kind] and tally[kind] == tally[f"{kind} agreed"] for kind in kinds)


def test_every_random_cluster_is_decided_as_recorded() -> None:
    tally: Counter[str] = Counter()
    for file in sorted((FOLDER / "scheduler_random").glob("*.json")):
        for case in json.loads(file.read_text())["steps"]:
            if "case" in case:
                run_case(case, tally)
    assert all_agree(tally), tally
    assert tally["victims"] == tally["victims agreed"] > 0, tally


def run_case(case: dict[str, Any], tally: Counter[str]) -> None:
    """Place the pods of one generated cluster, one after the other, as recorded."""
    names = ("default", "other")
    snapshot = Snapshot(catalog=Catalog(namespaces=FrozenMap(
        (name, FrozenMap([("kubernetes.io/metadata.name", name)])) for name in names)))
    for node in case["nodes"]:
        snapshot = cache.set_node(snapshot, read.node_info(freeze(node)))
    for document in case["bound_pods"]:
        snapshot = cache.add_pod(snapshot, pod_of(document))
    gone: set[str] = set()
    for document in case["pods"]:
        pod, wanted = pod_of(document), case["outcome"][document["metadata"]["name"]]
        decision = schedule(pod, snapshot)
        if decision.victims:
            gone |= {key.partition("/")[2] for key in decision.victims}
            for key in decision.victims:
                snapshot = cache.remove_pod(snapshot, key)
            decision = schedule(pod._replace(nominated=decision.nominated), snapshot)
        judge(tally, decision, wanted, wanted["message"])
        if "evicted_so_far" in wanted:
            tally["victims"] += 1
            tally["victims agreed"] += gone == set(wanted["evicted_so_far"])
        if wanted["nodeName"]:
            snapshot = cache.add_pod(snapshot, pod._replace(node=wanted["nodeName"]))


def test_the_independent_judge_scores_as_recorded() -> None:
    """Feasible nodes, each plug-in's score, and who is best, from the documents alone."""
    decided = scored = 0
    for file in sorted((FOLDER / "scheduler_random").glob("nopreempt_*.json")):
        for case in json.loads(file.read_text())["steps"]:
            if "case" not in case:
                continue
            nodes = {each["metadata"]["name"]: node_facts(freeze(each)) for each in case["nodes"]}
            placement = rules.Placement(nodes, {}, {}, {name: {
                "kubernetes.io/metadata.name": name} for name in ("default", "other")})
            for document in case["bound_pods"]:
                placement = with_pod(placement, document, document["spec"]["nodeName"])
            images = {each["metadata"]["name"]: {
                scores.tagged(name): image["sizeBytes"]
                for image in each["status"].get("images") or () for name in image["names"]}
                for each in case["nodes"]}
            for document in case["pods"]:
                pod, wanted = facts_of(document), case["outcome"][document["metadata"]["name"]]
                feasible = [name for name in nodes if rules.against(pod, name, placement) is None]
                best = scores.best(pod, feasible, scores.Scene(placement, images))
                decided += 1
                assert wanted["nodeName"] in best if wanted["nodeName"] else not feasible
                for name, parts in (wanted.get("plugin_scores") or {}).items():
                    told = scores.scores(pod, feasible, scores.Scene(placement, images))[name]
                    assert {plugin: told[plugin] for plugin in parts} == parts
                    scored += 1
                if wanted["nodeName"]:
                    placement = with_pod(placement, document, wanted["nodeName"])
    assert decided > 100
    assert scored > 100


def facts_of(document: dict[str, Any]) -> PodFacts:
    """A pod as the documents see it."""
    return pod_facts(freeze(document))


def with_pod(placement: rules.Placement, document: dict[str, Any], node: str) -> rules.Placement:
    """The placement with one more pod."""
    pod = facts_of(document)
    return placement._replace(pods={**placement.pods, pod.key: pod},
                              where={**placement.where, pod.key: node})


def first_outcome(steps: list[dict[str, Any]]) -> tuple[Snapshot, list[PodInfo], dict[str, Any]]:
    """The cluster as it stood when the first decisions fell, the pods to decide, the outcome."""
    snapshot, waiting = Snapshot(), []
    for name in ("default", "kube-system"):
        labels = FrozenMap([("kubernetes.io/metadata.name", name)])
        snapshot = snapshot._replace(catalog=snapshot.catalog._replace(
            namespaces=snapshot.catalog.namespaces.set(name, labels)))
    for step in steps:
        if "outcome" in step:
            return snapshot, waiting, step["pods"]
        document = step["response"]["body"]
        if step["request"]["method"] == "GET" or step["response"]["status"] >= 300:
            continue
        obj = freeze(document)
        lane = LANES.get(obj.kind)
        if obj.kind == "Node":
            snapshot = cache.set_node(snapshot, read.node_info(obj))
        elif obj.kind == "Pod":
            info = read.pod_info(obj)
            waiting = [pod for pod in waiting if pod.key != info.key]
            snapshot = cache.remove_pod(snapshot, info.key)
            if read.finished(obj):
                continue
            if info.node:
                snapshot = cache.add_pod(snapshot, info)
            else:
                waiting.append(info)
        elif lane is not None:
            metadata = obj.metadata
            key = f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name
            snapshot = snapshot._replace(catalog=catalog.noted(snapshot.catalog, lane, key, obj))
    raise AssertionError("the recording has no outcome")


def test_every_decision_table_is_decided_as_recorded() -> None:
    tally: Counter[str] = Counter()
    odd = []
    for file in sorted((FOLDER / "scheduler").glob("*.json")):
        snapshot, waiting, outcome = first_outcome(json.loads(file.read_text())["steps"])
        snapshot = cache.remove_pod(snapshot, ENDED.get(file.stem, ""))
        for pod in sorted(waiting, key=lambda each: -each.needs.priority):
            wanted = outcome.get(pod.key.partition("/")[2])
            elsewhere = pod.needs.scheduler_name != "default-scheduler"
            if wanted is None or pod.needs.gates or elsewhere:
                continue
            conditions = wanted["PodScheduled"] if not wanted["nodeName"] else ()
            message = conditions[0].get("message") if conditions else None
            before = tally.copy()
            decision = schedule(pod, snapshot)
            judge(tally, decision, wanted, message)
            if wanted["nominatedNodeName"]:
                tally["nominations"] += 1
                tally["nominations agreed"] += decision.nominated == wanted["nominatedNodeName"]
            new = tally - before
            odd += [(file.stem, wanted, decision) for kind in ("decisions", "messages", "scores",
                    "nominations") if new[kind] != new[f"{kind} agreed"]]
            if wanted["nodeName"]:
                snapshot = cache.add_pod(snapshot, pod._replace(node=wanted["nodeName"]))
    assert not odd, [(name, wanted, decision.message) for name, wanted, decision in odd]
    assert all_agree(tally), tally
    assert tally["nominations"] == tally["nominations agreed"] > 0, tally
