"""What the page for people shows: nodes, pods, services with their routes, and what happened.

All of it is read off the world; nothing of the cluster knows of it.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from kubeproof.http.engine import Engine
from model.api.conditions import is_true
from model.api.objects import timestamp
from model.kernel.values import EMPTY
from model.kernel.world import UP, World
from reference_impl.kube_proxy.rules import packet_walk

PAGE = Path(__file__).with_name("ui") / "index.html"


def overview(engine: Engine, since: int) -> dict[str, Any]:
    """The cluster now, and the steps after step number `since`."""
    world = engine.world
    pods = _objects(world, "pods")
    nodes = _nodes(world, pods)
    known = {node["name"] for node in nodes}
    return {
        "speed": engine.speed, "time": timestamp(world.now), "now": world.now,
        "steps": engine.steps, "ready": world.total,
        "components": [{"name": name, "up": world.status(name) == UP} for name in world.names],
        "nodes": nodes,
        "waiting": [_pod(pod) for pod in pods if _node_of(pod) not in known],
        "services": [_service(world, service, pods) for service in _objects(world, "services")],
        "violations": [{"property": each.property.replace("_", " "), "message": each.message,
                        "times": engine.violated[each.property]} for each in engine.violations],
        "timeline": [{"step": entry.number, "now": entry.now, "actor": entry.actor,
                      "text": entry.text} for entry in engine.timeline(since)]}


def _objects(world: World, resource: str) -> list[Any]:
    return list(world["apiserver"].cache.get(resource, EMPTY).values())


def _node_of(pod: Any) -> str:
    return str((pod.spec.node_name if pod.spec else "") or "")


def _is_ready(obj: Any) -> bool:
    return obj.status is not None and is_true(obj.status.conditions, "Ready")


def _nodes(world: World, pods: list[Any]) -> list[dict[str, Any]]:
    found = []
    for node in _objects(world, "nodes"):
        name = node.metadata.name
        kubelet = f"kubelet/{name}"
        found.append({
            "name": name, "ready": _is_ready(node),
            "up": kubelet not in world or world.status(kubelet) == UP,
            "unschedulable": bool(node.spec and node.spec.unschedulable),
            "pods": [_pod(pod) for pod in pods if _node_of(pod) == name]})
    return found


def _pod(pod: Any) -> dict[str, Any]:
    status = pod.status
    containers = (status.container_statuses if status else None) or ()
    reason = next((each.state.waiting.reason for each in containers
                   if each.state and each.state.waiting and each.state.waiting.reason), "")
    return {"namespace": pod.metadata.namespace, "name": pod.metadata.name,
            "phase": (status.phase if status else None) or "Pending",
            "ready": _is_ready(pod), "reason": reason,
            "ending": pod.metadata.deletion_timestamp is not None,
            "address": (status.pod_ip if status else None) or "",
            "restarts": sum(each.restart_count or 0 for each in containers)}


def _service(world: World, service: Any, pods: list[Any]) -> dict[str, Any]:
    spec = service.spec
    names = {pod.status.pod_ip: pod.metadata.name for pod in pods if pod.status}
    address = (spec.cluster_ip if spec else None) or ""
    ports = (spec.ports if spec else None) or ()
    return {"namespace": service.metadata.namespace, "name": service.metadata.name,
            "type": (spec.type if spec else None) or "ClusterIP", "address": address,
            "ports": [{"port": port.port, "protocol": port.protocol or "TCP",
                       "node_port": port.node_port or 0,
                       "routes": _routes(world, address, port, names)} for port in ports]}


def _routes(world: World, address: str, port: Any, names: dict[str, str]) -> list[dict[str, Any]]:
    """Where packets to a service port end, by what the kernels hold; nodes that agree stand
    together."""
    by_ends: dict[tuple[tuple[str, Fraction], ...], list[str]] = {}
    for component in world.names:
        family, _, node = component.partition("/")
        if family != "kube-proxy" or not address or address == "None":
            continue
        hops = packet_walk(world[component].rules, "192.0.2.1", address, port.protocol or "TCP",
                           port.port)
        ends = tuple((f"{hop.address}:{hop.port}", share) for hop, share in hops)
        by_ends.setdefault(ends, []).append(node)
    return [{"nodes": nodes, "ends": [
        {"to": end, "pod": names.get(end.rpartition(":")[0], ""), "share": float(share)}
        for end, share in ends]} for ends, nodes in by_ends.items()]
