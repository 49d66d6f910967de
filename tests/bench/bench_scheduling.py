"""Scheduling in one run, as a table: decisions a second, verdicts, losses, hard packings.

CPU seconds of this process. `make bench` prints the table; the tests assert order of magnitude
only, since machines differ.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from model.api.objects import freeze
from properties.scheduler import solver, verdict
from properties.scheduler.facts import NodeFacts, PodFacts, node_facts, pod_facts
from properties.scheduler.problem import Problem, build
from reference_impl.scheduler import cache, read
from reference_impl.scheduler.decide import schedule
from reference_impl.scheduler.records import PodInfo, Snapshot

pytestmark = pytest.mark.bench

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def node_document(number: int, cpu: str = "32", memory: str = "128Gi",
                  tainted: bool = False) -> dict[str, Any]:
    name = f"n{number:04}"
    taints = [{"key": "pool", "value": "a", "effect": "NoSchedule"}] if tainted else []
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {HOST: name, ZONE: f"z{number % 4}"}},
            "spec": {"taints": taints},
            "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "110"}}}


def pod_document(name: str, app: str, cpu: str = "100m", memory: str = "200Mi",
                 **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {
                "requests": {"cpu": cpu, "memory": memory}}}], **spec}}


def mixed(number: int) -> dict[str, Any]:
    """30 % node affinity, 20 % spread, 20 % affinity between pods, the others plain."""
    app = f"a{number % 20}"
    mine = {"matchLabels": {"app": app}}
    spec: dict[str, Any] = {}
    part = number % 10
    if part < 3:
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [
                {"key": ZONE, "operator": "In", "values": ["z0", "z1"]}]}]}}}
    elif part < 5:
        spec["topologySpreadConstraints"] = [
            {"maxSkew": 2, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule",
             "labelSelector": mine}]
    elif part < 7:
        spec["affinity"] = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 50, "podAffinityTerm": {"labelSelector": mine, "topologyKey": ZONE}}]}}
    return pod_document(f"p{number}", app, **spec)


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds that a call takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def throughput(nodes: int, pods: list[PodInfo], tainted: bool) -> float:
    """Pods decided and placed in a CPU second."""
    snapshot = Snapshot()
    for number in range(nodes):
        document = node_document(number, tainted=tainted and number % 5 == 0)
        snapshot = cache.set_node(snapshot, read.node_info(freeze(document)))

    def place() -> None:
        nonlocal snapshot
        for pod in pods:
            best = schedule(pod, snapshot).best
            snapshot = cache.add_pod(snapshot, pod._replace(node=best[0]))

    return len(pods) / cpu_seconds(place)


def instance(seed: int, pods: int, nodes: int, fill: float) -> tuple[list[NodeFacts],
                                                                     list[PodFacts]]:
    """Unequal pods on equal nodes: 30 % confined to a zone, a fifth of the nodes tainted, a
    tenth of the pods kept apart from their like; `fill` of all room is asked for."""
    draw = random.Random(seed)
    places = [node_facts(freeze(node_document(at, "8", "32Gi", tainted=at % 5 == 0)))
              for at in range(nodes)]
    cpu_each, memory_each = 8000 * nodes * fill / pods, 32 * 1024 * nodes * fill / pods
    wanted = []
    weights = [draw.uniform(0.5, 1.5) for _ in range(2 * pods)]
    scale = [sum(weights[:pods]) / pods, sum(weights[pods:]) / pods]
    for at in range(pods):
        app = f"a{at % 20}"
        spec: dict[str, Any] = {}
        if draw.random() < 0.3:
            spec["nodeSelector"] = {ZONE: f"z{draw.randrange(4)}"}
        if draw.random() < 0.6:
            spec["tolerations"] = [{"key": "pool", "operator": "Exists"}]
        if draw.random() < 0.1:
            spec["affinity"] = {"podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": HOST}]}}
        wanted.append(pod_facts(freeze(pod_document(
            f"p{at}", app, f"{int(cpu_each * weights[at] / scale[0])}m",
            f"{int(memory_each * weights[pods + at] / scale[1])}Mi", **spec))))
    return places, wanted


def replicated(pods: int, nodes: int, fill: float) -> Problem:
    """A large cluster of workloads of 50 like pods."""
    places = [node_facts(freeze(node_document(at, "8", "32Gi"))) for at in range(nodes)]
    cpu = int(8000 * nodes * fill / pods)
    wanted = [pod_facts(freeze(pod_document(f"p{at}", f"a{at // 50}", f"{cpu}m", "100Mi")))
              for at in range(pods)]
    return build(places, wanted)


def test_decisions_a_second() -> None:
    plain = [read.pod_info(freeze(pod_document(f"p{at}", f"a{at % 20}"))) for at in range(400)]
    mix = [read.pod_info(freeze(mixed(at))) for at in range(400)]
    print("\nscheduling, pods a CPU second")
    for nodes, plain_aim, mix_aim in ((50, 0, 0), (100, 2000, 500), (1000, 300, 60)):
        plainly, mixedly = throughput(nodes, plain, False), throughput(nodes, mix, True)
        print(f"  {nodes:5} nodes  plain {plainly:7,.0f} (aim {plain_aim})  mix {mixedly:7,.0f} "
              f"(aim {mix_aim})")
        assert plainly > plain_aim / 4
        assert mixedly > mix_aim / 4


def test_verdicts_and_losses() -> None:
    times, losses, engines = [], [], set()
    for seed in range(7):
        for fill in (0.75, 1.04):
            problem = build(*instance(seed, 200, 40, fill))
            times.append(cpu_seconds(lambda p=problem: verdict.decide(p, 1)))
            found = verdict.decide(problem, 1)
            engines.add(found.engine)
            if found.answer is not None:
                answer = found.answer
                losses.append(cpu_seconds(
                    lambda p=problem, a=answer: losses.survives(p, a, 1, seconds=1)))
    problem = build(*instance(0, 200, 40, 0.6))
    answer = verdict.decide(problem, 1).answer
    assert answer is not None
    pairs = cpu_seconds(lambda: losses.survives(problem, answer, 2, seconds=1))
    big = {fill: cpu_seconds(lambda f=fill: verdict.decide(replicated(5000, 500, f)))
           for fill in (0.8, 1.05)}
    print("\n200 pods on 40 nodes, CPU ms: "
          f"verdict median {statistics.median(times) * 1000:.1f} (aim 5), by {sorted(engines)}; "
          f"N-1 median {statistics.median(losses) * 1000:.0f} (aim 200); N-2 {pairs * 1000:.0f} "
          f"(aim 5000); 5,000 pods on 500 nodes, with reading: fits "
          f"{big[0.8] * 1000:.0f}, does not {big[1.05] * 1000:.0f} (aim 5000)")
    assert statistics.median(times) < 0.05
    assert statistics.median(losses) < 2


def test_hard_packings() -> None:
    """97 % full, and too tight to pack although no sum is exceeded; 2 s for each."""
    print("\nhard packings of 24 pods on 6 nodes: verdict by layer, CPU ms; CP-SAT alone")
    decided = 0
    problems = [build(*instance(seed, 24, 6, fill)) for seed in range(4) for fill in (0.9, 0.97)]
    for problem in problems:
        began = time.process_time()
        found = verdict.decide(problem, 2, use_cp_sat=False)
        own = time.process_time() - began
        decided += found.fits is not None
        other = "not installed"
        if solver.has_cp_sat():
            began = time.process_time()
            alone = solver.cp_sat(problem, 2)
            other = f"{alone.fits} {(time.process_time() - began) * 1000:.0f}"
            assert None in (found.fits, alone.fits) or found.fits == alone.fits
        print(f"  {found.fits} by {found.engine} {own * 1000:.0f}; CP-SAT {other}")
    print(f"  decided without CP-SAT: {decided} of {len(problems)}")
    assert decided >= len(problems) // 2
