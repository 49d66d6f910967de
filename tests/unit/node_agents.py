"""Two machines with kubelets or proxies behind the small API server, and scripts for them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tiny_apiserver import TinyApiServer, pod_json

from model.api.scenario import Scenario, node_shape
from model.kernel.action import Action
from model.kernel.driver import RandomDriver, converge, run
from model.kernel.fault import FaultPlan, budget_of
from model.kernel.property import Checker, Property, Violation
from model.kernel.system import Script, System
from reference_impl import kube_proxy, kubelet

TWO_NODES = Scenario(name="node-agents", nodes=(node_shape(1), node_shape(2)),
                     settings=(("metrics-period-seconds", "8"), ("proxy-restore-failures", "1")))


def put(*args: Any, **more: Any) -> Action:
    """Create a pod, or change its images."""
    return Action("apiserver", "put", (pod_json(*args, **more),))


def put_document(document: dict[str, Any]) -> Action:
    return Action("apiserver", "put", (json.dumps(document),))


def ask(name: str, *seconds: int) -> Action:
    return Action("apiserver", "ask", ("pods", f"default/{name}", *seconds))


def spoil_node(name: str, why: str) -> Action:
    """Somebody else writes that a node is not ready."""
    return Action("apiserver", "status", (json.dumps({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": why}]}}),))


def erase(resource: str, name: str) -> Action:
    return Action("apiserver", "erase", (resource, f"default/{name}"))


def short_lived(name: str, seconds: int) -> Action:
    document = json.loads(pod_json(name))
    document["spec"]["activeDeadlineSeconds"] = seconds
    return put_document(document)


def service(name: str, ip: str, protocol: str = "TCP", node_port: int = 0,
            **spec: Any) -> Action:
    port: dict[str, Any] = {"name": "p", "port": 80, "protocol": protocol, "targetPort": 8080}
    if node_port:
        port["nodePort"] = node_port
    return put_document({"apiVersion": "v1", "kind": "Service",
                         "metadata": {"name": name, "namespace": "default"},
                         "spec": {"clusterIP": ip, "type": "ClusterIP", "ports": [port], **spec}})


def endpoints(name: str, *addresses: str, protocol: str = "TCP") -> Action:
    subsets = [{"addresses": [{"ip": ip} for ip in addresses],
                "ports": [{"name": "p", "port": 8080, "protocol": protocol}]}]
    return put_document({"apiVersion": "v1", "kind": "Endpoints",
                         "metadata": {"name": name, "namespace": "default"},
                         "subsets": subsets if addresses else []})


KUBELET_SCRIPT: Script = (
    (put("a", images=("x", "y"), exit="c0=1*3"), put("a", images=("x2", "y")), ask("a"),
     put("a", node="node-2")),
    (put("b", policy="Never", exit="1*1"), ask("b")),
    (short_lived("d", 5), ask("d")),
    (put("e", images=("bad",)), put("e", images=("good",))),
    (spoil_node("node-1", "one"), spoil_node("node-1", "two")),
    (put("f", ignores_sigterm="yes"), ask("f"), erase("pods", "f"),
     put("f", policy="OnFailure", exit="1*2")),
)
RESTARTS_SCRIPT: Script = ((put("g", exit="0*2@13"),),)
PROXY_SCRIPT: Script = (
    (service("a", "10.96.0.1", node_port=30001), endpoints("a", "10.244.0.2", "10.244.1.2"),
     endpoints("a", "10.244.1.2"), endpoints("a", "10.244.1.2", "10.244.1.3"),
     erase("services", "a"), erase("endpoints", "a"), service("c", "10.96.0.1")),
    (service("u", "10.96.0.9", "UDP"), endpoints("u", "10.244.0.3", protocol="UDP"),
     endpoints("u", "10.244.0.4", protocol="UDP"), endpoints("u", protocol="UDP"),
     endpoints("u", "10.244.0.5", protocol="UDP"), erase("services", "u")),
)


def kubelets(faults: str = "none", script: Script = KUBELET_SCRIPT) -> System:
    return _system(kubelet.components(TWO_NODES), faults, script)


def proxies(faults: str = "none", script: Script = PROXY_SCRIPT) -> System:
    return _system(kube_proxy.components(TWO_NODES), faults, script)


def _system(agents: tuple[Any, ...], faults: str, script: Script) -> System:
    plan = FaultPlan(budget_of(faults), (), ("node",))
    return System((TinyApiServer(), *agents), script, plan)


class Found(NamedTuple):
    """The violations of the first bad history, and how many histories were run."""

    violations: tuple[Violation, ...]
    histories: int
    seen: frozenset[str]


def explore(system: System, properties: tuple[Property, ...], *, histories: int,
            steps: int = 200, converge_every: int = 10) -> Found:
    """Random histories, each `converge_every`-th (0: none) continued until it is quiet."""
    checker = Checker(system, properties)
    start = system.init()
    for seed in range(histories):
        outcome = run(system, RandomDriver(seed, input_rate=40), start, steps=steps,
                      checker=checker, full_every=100)
        violations = outcome.violations
        if not violations and converge_every and seed % converge_every == 0:
            violations = converge(system, outcome.world, checker, steps=20_000).violations
        if violations:
            return Found(violations, seed + 1, frozenset(checker.seen))
    return Found((), histories, frozenset(checker.seen))
