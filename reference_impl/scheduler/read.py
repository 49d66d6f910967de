"""From API objects to what the scheduler decides by.

The costly part (`needs_of`) depends on the template only and is remembered, so that a cluster of
many like pods reads each template once. Source of the request rules: Kubernetes documentation,
"Init containers" and "Sidecar containers" (the larger of the running sum and each start-up step),
"Pod Overhead", "Resource Management for Pods and Containers".
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from model.api import objects as api
from model.api.quantities import milli, units
from model.kernel.values import FrozenMap, stable_digest
from reference_impl.scheduler.records import (
    NO_LABELS,
    Amounts,
    Budget,
    HostPort,
    Labels,
    Needs,
    NodeInfo,
    NodeTerm,
    PodInfo,
    Requirement,
    Selector,
    Spread,
    Taint,
    Term,
    Toleration,
)

SCORED_CPU_DEFAULT = 100
SCORED_MEMORY_DEFAULT = 200 * 1024 * 1024
FINISHED = ("Succeeded", "Failed")
_NODE_NAME_AT = api.PodSpec._fields.index("node_name")


@lru_cache(maxsize=4096)
def amounts(pairs: api.Pairs) -> Amounts:
    """A resource list as integers; resources of a node beyond the three are `extended`."""
    cpu = memory = ephemeral = 0
    extended = []
    for name, text in pairs:
        if name == "cpu":
            cpu = milli(text)
        elif name == "memory":
            memory = units(text)
        elif name == "ephemeral-storage":
            ephemeral = units(text)
        elif name != "pods":
            extended.append((name, units(text)))
    return Amounts(cpu, memory, ephemeral, tuple(extended))


def plus(left: Amounts, right: Amounts) -> Amounts:
    """The sum, resource by resource."""
    extended = left.extended or right.extended
    if left.extended and right.extended:
        totals = dict(left.extended)
        for name, number in right.extended:
            totals[name] = totals.get(name, 0) + number
        extended = tuple(sorted(totals.items()))
    return Amounts(left[0] + right[0], left[1] + right[1], left[2] + right[2], extended)


def minus(left: Amounts, right: Amounts) -> Amounts:
    """The difference, resource by resource; resources that become zero are dropped."""
    extended = left.extended
    if right.extended:
        totals = dict(left.extended)
        for name, number in right.extended:
            totals[name] = totals.get(name, 0) - number
        extended = tuple(sorted((name, number) for name, number in totals.items() if number))
    return Amounts(left[0] - right[0], left[1] - right[1], left[2] - right[2], extended)


def larger(left: Amounts, right: Amounts) -> Amounts:
    """The maximum, resource by resource."""
    totals = dict(left.extended)
    for name, number in right.extended:
        totals[name] = max(totals.get(name, 0), number)
    return Amounts(max(left[0], right[0]), max(left[1], right[1]), max(left[2], right[2]),
                   tuple(sorted(totals.items())))


def _container_request(container: api.Container, scored: bool) -> Amounts:
    """Requests of a container, from limits where they are missing; `scored` adds defaults."""
    resources = container.resources
    requests = dict((resources.requests or ()) if resources else ())
    for name, text in (resources.limits or ()) if resources else ():
        requests.setdefault(name, text)
    found = amounts(tuple(sorted(requests.items())))
    if not scored:
        return found
    return found._replace(cpu=found.cpu if "cpu" in requests else SCORED_CPU_DEFAULT,
                          memory=found.memory if "memory" in requests else SCORED_MEMORY_DEFAULT)


def pod_request(spec: api.PodSpec, scored: bool = False) -> Amounts:
    """What a pod asks of a node at the worst moment of its life.

    Sidecars (init containers that restart always) count from their start on; other init
    containers run alone, after the sidecars that stand before them. Overhead is added.
    """
    running = starting = sidecars = Amounts()
    for container in spec.containers or ():
        running = plus(running, _container_request(container, scored))
    for container in spec.init_containers or ():
        own = _container_request(container, scored)
        if container.restart_policy == "Always":
            sidecars = plus(sidecars, own)
            own = sidecars
        else:
            own = plus(own, sidecars)
        starting = larger(starting, own)
    total = larger(plus(running, sidecars), starting)
    return plus(total, amounts(spec.overhead)) if spec.overhead else total


def requirements(found: Iterable[Any] | None) -> Selector:
    """Match expressions as requirements."""
    return tuple(Requirement(r.key or "", r.operator or "", r.values or ()) for r in found or ())


def equalities(pairs: api.Pairs | None) -> Selector:
    """A map of labels as requirements."""
    return tuple(Requirement(key, "In", (text,)) for key, text in pairs or ())


def label_selector(selector: api.LabelSelector | None) -> Selector | None:
    """A label selector; None, which selects nothing, stays None."""
    if selector is None:
        return None
    return equalities(selector.match_labels) + requirements(selector.match_expressions)


def _own_labels(keys: tuple[str, ...] | None, labels: Labels, operator: str) -> Selector:
    """matchLabelKeys: the pod's own values of these labels, as requirements."""
    return tuple(Requirement(key, operator, (labels[key],)) for key in keys or ()
                 if key in labels)


def node_terms(selector: api.NodeSelector | None) -> tuple[NodeTerm, ...] | None:
    """The terms of a node selector; None when there is no selector."""
    if selector is None:
        return None
    return tuple(node_term(term) for term in selector.node_selector_terms or ())


def node_term(term: api.NodeSelectorTerm | None) -> NodeTerm:
    """One term; a missing one is empty."""
    if term is None:
        return NodeTerm()
    return NodeTerm(requirements(term.match_expressions), requirements(term.match_fields))


def _term(term: api.PodAffinityTerm | None, namespace: str, labels: Labels,
          weight: int = 0) -> Term:
    found = term or api.PodAffinityTerm()
    selector = label_selector(found.label_selector)
    if selector is not None:
        selector += (_own_labels(found.match_label_keys, labels, "In")
                     + _own_labels(found.mismatch_label_keys, labels, "NotIn"))
    chosen = label_selector(found.namespace_selector)
    names = found.namespaces or (() if chosen is not None else (namespace,))
    return Term(selector, names, chosen, found.topology_key or "", weight)


def _terms(rules: api.PodAffinity | None, namespace: str,
           labels: Labels) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
    """Required and preferred terms of an affinity or anti-affinity."""
    if rules is None:
        return (), ()
    required = rules.required_during_scheduling_ignored_during_execution or ()
    preferred = rules.preferred_during_scheduling_ignored_during_execution or ()
    return (tuple(_term(term, namespace, labels) for term in required),
            tuple(_term(each.pod_affinity_term, namespace, labels, each.weight or 0)
                  for each in preferred))


def _spread(constraint: api.TopologySpreadConstraint, labels: Labels) -> Spread:
    selector = label_selector(constraint.label_selector)
    if selector is not None:
        selector += _own_labels(constraint.match_label_keys, labels, "In")
    return Spread(constraint.max_skew or 1, constraint.topology_key or "",
                  constraint.when_unsatisfiable != "ScheduleAnyway", selector,
                  constraint.min_domains or 1, constraint.node_affinity_policy != "Ignore",
                  constraint.node_taints_policy == "Honor")


def _host_ports(spec: api.PodSpec) -> tuple[HostPort, ...]:
    sidecars = tuple(c for c in spec.init_containers or () if c.restart_policy == "Always")
    return tuple((port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)
                 for container in (spec.containers or ()) + sidecars
                 for port in container.ports or () if port.host_port)


def image_name(image: str) -> str:
    """The name of an image with a tag."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"


def _images(spec: api.PodSpec) -> tuple[str, ...]:
    return tuple(image_name(container.image or "")
                 for container in (spec.init_containers or ()) + (spec.containers or ()))


@lru_cache(maxsize=4096)
def _needs(namespace: str, pairs: api.Pairs | None, spec: api.PodSpec) -> Needs:
    labels: Labels = FrozenMap(pairs) if pairs else NO_LABELS
    affinity = spec.affinity or api.Affinity()
    wanted = affinity.node_affinity or api.NodeAffinity()
    required, preferred = _terms(affinity.pod_affinity, namespace, labels)
    refused, disliked = _terms(affinity.pod_anti_affinity, namespace, labels)
    scored = pod_request(spec, scored=True)
    rules = (required, preferred, refused, disliked)
    group = f"{namespace} {','.join(f'{k}={v}' for k, v in labels.items())}"
    if any(rules):
        group = f"{group} {stable_digest(repr(rules))[:12]}"
    return Needs(
        namespace, labels, pod_request(spec), scored.cpu, scored.memory, _host_ports(spec),
        equalities(spec.node_selector),
        node_terms(wanted.required_during_scheduling_ignored_during_execution),
        tuple((each.weight or 0, node_term(each.preference)) for each in
              wanted.preferred_during_scheduling_ignored_during_execution or ()),
        tuple(Toleration(t.key or "", t.operator == "Exists", t.value or "", t.effect or "")
              for t in spec.tolerations or ()),
        required, refused, preferred, disliked,
        tuple(_spread(each, labels) for each in spec.topology_spread_constraints or ()),
        _images(spec),
        tuple(volume.persistent_volume_claim.claim_name or "" for volume in spec.volumes or ()
              if volume.persistent_volume_claim is not None),
        tuple(gate.name or "" for gate in spec.scheduling_gates or ()), spec.priority or 0,
        spec.preemption_policy == "Never", spec.scheduler_name or "default-scheduler", group)


_NO_SPEC = api.PodSpec()


def needs_of(pod: api.Pod) -> Needs:
    """What a pod asks for, whatever node it is bound to."""
    spec = pod.spec or _NO_SPEC
    if spec.node_name is not None:
        unbound: tuple[Any, ...] = (*spec[:_NODE_NAME_AT], None, *spec[_NODE_NAME_AT + 1:])
        spec = tuple.__new__(api.PodSpec, unbound)
    return _needs(pod.metadata.namespace or "default", pod.metadata.labels, spec)


def pod_info(pod: api.Pod) -> PodInfo:
    """A pod as the scheduler sees it."""
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    owner = api.controller_of(metadata)
    namespace = metadata.namespace or "default"
    created = metadata.creation_timestamp
    started = status.start_time if status is not None else None
    return PodInfo(
        f"{namespace}/{metadata.name}", metadata.uid or "", needs_of(pod),
        (spec.node_name or "") if spec is not None else "",
        (status.nominated_node_name or "") if status is not None else "",
        metadata.deletion_timestamp is not None,
        api.milliseconds(created) if created else 0,
        api.milliseconds(started) if started else None,
        None if owner is None else (owner.kind or "", owner.name or ""))


def finished(pod: api.Pod) -> bool:
    """Whether the pod has ended and takes no room any more."""
    return pod.status is not None and pod.status.phase in FINISHED


@lru_cache(maxsize=4096)
def _node_info(name: str, labels: api.Pairs | None, spec: api.NodeSpec | None,
               allocatable: api.Pairs | None, images: Any) -> NodeInfo:
    room = allocatable or ()
    taints = tuple(Taint(t.key or "", t.value or "", t.effect or "")
                   for t in (spec.taints or () if spec else ()))
    sizes = {image_name(each): image.size_bytes or 0
             for image in images or () for each in image.names or ()}
    return NodeInfo(
        name, FrozenMap(labels or ()),
        tuple(taint for taint in taints if taint.effect in ("NoSchedule", "NoExecute")),
        tuple(taint for taint in taints if taint.effect == "PreferNoSchedule"),
        bool(spec and spec.unschedulable), amounts(room),
        next((units(text) for key, text in room if key == "pods"), 0), FrozenMap(sizes.items()))


def node_info(node: api.Node) -> NodeInfo:
    """A node without pods."""
    status = node.status
    return _node_info(node.metadata.name or "", node.metadata.labels, node.spec,
                      status.allocatable if status else None, status.images if status else None)


def budget(found: api.PodDisruptionBudget) -> Budget:
    """A disruption budget with what its status allows now."""
    spec, status = found.spec, found.status
    return Budget(found.metadata.namespace or "default",
                  label_selector(spec.selector) if spec else None,
                  (status.disruptions_allowed or 0) if status else 0,
                  tuple(name for name, _ in (status.disrupted_pods or ())) if status else ())
