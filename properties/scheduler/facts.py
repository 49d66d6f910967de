"""Pods and nodes as the rules of placement speak of them, read from the API objects.

Written from the documents ("Assigning Pods to Nodes", "Taints and Tolerations", "Resource
Management for Pods and Containers", "Sidecar Containers", "Pod Topology Spread Constraints"),
apart from the scheduler's own reading: what one gets wrong the other does not repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from model.api.objects import Node, Pod, PodSpec, Toleration
from model.api.quantities import parse

NANO = 10 ** 9
UNSAID = {"cpu": NANO // 10, "memory": 200 * 2 ** 20 * NANO}
Amounts = dict[str, int]
"""Resource name -> amount in billionths of its unit."""


class PodFacts(NamedTuple):
    """A pod: its name, labels, spec, and what it asks for. `asks` always holds `pods`: one."""

    key: str
    namespace: str
    labels: Mapping[str, str]
    spec: PodSpec
    asks: Mapping[str, int]


class NodeFacts(NamedTuple):
    """A node: its name, labels, taints as (key, value, effect), cordon, and what it has."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[tuple[str, str, str], ...]
    cordoned: bool
    has: Mapping[str, int]


def _amounts(pairs: Any) -> Amounts:
    return {name: parse(text).nano for name, text in pairs or ()}


def _container_asks(container: Any) -> Amounts:
    """Requests; a limit without a request is the request too."""
    resources = container.resources
    if resources is None:
        return {}
    return {**_amounts(resources.limits), **_amounts(resources.requests)}


def _added(totals: Amounts, more: Mapping[str, int]) -> Amounts:
    return {name: totals.get(name, 0) + more.get(name, 0) for name in {**totals, **more}}


def _pointwise_max(left: Amounts, right: Amounts) -> Amounts:
    return {name: max(left.get(name, 0), right.get(name, 0)) for name in {**left, **right}}


def _hungriest(spec: PodSpec, asks: Callable[[Any], Amounts]) -> Amounts:
    """What a pod needs at its hungriest, by what each container asks for: while it starts, or
    while it runs.

    Init containers run one after the other; those that restart always stay and count for
    everything that comes after them.
    """
    staying: Amounts = {}
    worst: Amounts = {}
    for container in spec.init_containers or ():
        own = _added(staying, asks(container))
        worst = _pointwise_max(worst, own)
        if container.restart_policy == "Always":
            staying = own
    for container in spec.containers or ():
        staying = _added(staying, asks(container))
    return _added(_pointwise_max(worst, staying), _amounts(spec.overhead))


@lru_cache(maxsize=4096)
def asks_of(spec: PodSpec) -> Mapping[str, int]:
    """What a pod needs, and a place among the node's pods."""
    total = _hungriest(spec, _container_asks)
    return {**{name: amount for name, amount in total.items() if amount}, "pods": NANO}


@lru_cache(maxsize=4096)
def asks_for_scores(spec: PodSpec) -> Mapping[str, int]:
    """What a pod counts for when nodes are compared: a container that does not say how much
    processor or memory it needs counts for a tenth of a processor and 200 MiB."""
    return _hungriest(spec, lambda container: {**UNSAID, **_container_asks(container)})


_NO_SPEC = PodSpec()


def pod_facts(pod: Pod) -> PodFacts:
    """A pod as the rules see it."""
    metadata = pod.metadata
    namespace = metadata.namespace or "default"
    spec = pod.spec or _NO_SPEC
    return PodFacts(f"{namespace}/{metadata.name}", namespace, dict(metadata.labels or ()), spec,
                    asks_of(spec))


@lru_cache(maxsize=4096)
def _node_facts(name: str, labels: Any, spec: Any, allocatable: Any) -> NodeFacts:
    taints = tuple((taint.key or "", taint.value or "", taint.effect or "")
                   for taint in (spec.taints or () if spec is not None else ()))
    return NodeFacts(name, dict(labels or ()), taints, bool(spec and spec.unschedulable),
                     _amounts(allocatable))


def node_facts(node: Node) -> NodeFacts:
    """A node as the rules see it."""
    return _node_facts(node.metadata.name or "", node.metadata.labels, node.spec,
                       node.status.allocatable if node.status is not None else None)


def takes_room(pod: Pod) -> bool:
    """Whether a bound pod still occupies its node: it has not ended."""
    return pod.status is None or pod.status.phase not in ("Succeeded", "Failed")


def covers(toleration: Toleration, key: str, value: str, effect: str) -> bool:
    """Whether a toleration matches a taint ("Taints and Tolerations", Concepts)."""
    if toleration.effect not in (None, "", effect):
        return False
    if toleration.operator == "Exists":
        return toleration.key in (None, "", key)
    return toleration.key == key and (toleration.value or "") == value
