"""The rules of placement, one function each: a sentence when a pod may not be on a node.

Independent of the scheduler: each rule restates its document. Rules that look at one node get the
pod and the node; rules between pods get the whole placement. `check` applies all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from model.api.objects import LabelSelector
from properties.scheduler.facts import NANO, NodeFacts, PodFacts, covers

NOT_SCHEDULABLE = ("node.kubernetes.io/unschedulable", "", "NoSchedule")


class Placement(NamedTuple):
    """Who is where: nodes by name, pods by key, and the node of each placed pod.

    `namespaces` are the labels of namespaces, which namespace selectors read.
    """

    nodes: Mapping[str, NodeFacts]
    pods: Mapping[str, PodFacts]
    where: Mapping[str, str]
    namespaces: Mapping[str, Mapping[str, str]] = {}


def holds(requirement: Any, labels: Mapping[str, str]) -> bool:
    """Whether one requirement of a selector is met ("Labels and Selectors")."""
    key, operator = requirement.key, requirement.operator
    wanted: tuple[str, ...] = requirement.values or ()
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if operator == "In":
        return key in labels and labels[key] in wanted
    if operator == "NotIn":
        return key not in labels or labels[key] not in wanted
    found = labels.get(key, "")
    if not (_is_integer(found) and len(wanted) == 1 and _is_integer(wanted[0])):
        return False
    return int(found) > int(wanted[0]) if operator == "Gt" else int(found) < int(wanted[0])


def _is_integer(text: str) -> bool:
    return text.lstrip("+-").isdigit()


def picks(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects; a missing one selects nothing, an empty one all."""
    if selector is None:
        return False
    return (all(labels.get(key) == value for key, value in selector.match_labels or ())
            and all(holds(each, labels) for each in selector.match_expressions or ()))


# -- one pod, one node ----------------------------------------------------------------------------


def taints(pod: PodFacts, node: NodeFacts) -> str | None:
    """A node's NoSchedule and NoExecute taints, and its cordon, must be tolerated."""
    repelling = [taint for taint in node.taints if taint[2] in ("NoSchedule", "NoExecute")]
    if node.cordoned:
        repelling.append(NOT_SCHEDULABLE)
    for taint in repelling:
        if not any(covers(each, *taint) for each in pod.spec.tolerations or ()):
            return f"{pod.key} does not tolerate {taint[0]}={taint[1]}:{taint[2]} of {node.name}"
    return None


def node_choice(pod: PodFacts, node: NodeFacts) -> str | None:
    """nodeSelector and required node affinity: all labels, and one of the terms."""
    for key, value in pod.spec.node_selector or ():
        if node.labels.get(key) != value:
            return f"{pod.key} wants nodes with {key}={value}, {node.name} is none"
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required = None if affinity is None else \
        affinity.required_during_scheduling_ignored_during_execution
    if required is None:
        return None
    for term in required.node_selector_terms or ():
        expressions, fields = term.match_expressions or (), term.match_fields or ()
        if (expressions or fields) and all(holds(each, node.labels) for each in expressions) \
                and all(holds(each, {"metadata.name": node.name}) for each in fields):
            return None
    return f"no node affinity term of {pod.key} matches {node.name}"


def lone(pod: PodFacts, node: NodeFacts) -> str | None:
    """The request must fit the node even when it is empty."""
    return room([pod], node)


# -- a node and all its pods ----------------------------------------------------------------------


def room(pods: Iterable[PodFacts], node: NodeFacts,
         newcomer: PodFacts | None = None) -> str | None:
    """The sum of the requests must not exceed what the node can allocate.

    For a newcomer only what it asks for counts: it may come to a node on which something else is
    overbooked, by pods that were created there.
    """
    totals: dict[str, int] = {}
    for pod in pods:
        for name, amount in pod.asks.items():
            totals[name] = totals.get(name, 0) + amount
    for name in sorted(totals if newcomer is None else newcomer.asks):
        if totals[name] > node.has.get(name, 0):
            return (f"{node.name} has {plain(node.has.get(name, 0))} {name}, its pods ask for "
                    f"{plain(totals[name])}")
    return None


def plain(nano: int) -> str:
    """An amount for messages: whole units, or thousandths."""
    return str(nano // NANO) if nano % NANO == 0 else f"{nano // 10 ** 6 / 1000:g}"


def ports_of(pod: PodFacts) -> list[tuple[str, int, str]]:
    """The host ports of a pod: protocol, number and address; sidecars hold theirs too."""
    sidecars = [each for each in pod.spec.init_containers or () if each.restart_policy == "Always"]
    return [(port.protocol or "TCP", port.host_port, port.host_ip or "0.0.0.0")
            for container in [*(pod.spec.containers or ()), *sidecars]
            for port in container.ports or () if port.host_port]


def host_ports(pods: Iterable[PodFacts], node: NodeFacts) -> str | None:
    """A host port of an address and protocol is held by one pod; 0.0.0.0 is every address."""
    held: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for pod in pods:
        for protocol, number, address in ports_of(pod):
            others = held.setdefault((protocol, number), [])
            for key, other in others:
                if key != pod.key and (address == other or "0.0.0.0" in (address, other)):
                    return f"{key} and {pod.key} share host port {number} of {node.name}"
            others.append((pod.key, address))
    return None


# -- between pods ---------------------------------------------------------------------------------


def _terms(pod: PodFacts, kind: str) -> tuple[Any, ...]:
    rules = getattr(pod.spec.affinity, kind) if pod.spec.affinity is not None else None
    if rules is None:
        return ()
    return rules.required_during_scheduling_ignored_during_execution or ()


def anti_affinity_terms(pod: PodFacts) -> tuple[Any, ...]:
    """The required anti-affinity terms of a pod."""
    return _terms(pod, "pod_anti_affinity")


def affinity_terms(pod: PodFacts) -> tuple[Any, ...]:
    """The required affinity terms of a pod."""
    return _terms(pod, "pod_affinity")


def depends_on_others(pod: PodFacts) -> bool:
    """Whether where others are decides, beyond room and exclusion: affinity or hard spread."""
    hard = any(each.when_unsatisfiable != "ScheduleAnyway"
               for each in pod.spec.topology_spread_constraints or ())
    return hard or bool(affinity_terms(pod))


def speaks_of(term: Any, owner: PodFacts, other: PodFacts, placement: Placement) -> bool:
    """Whether an affinity term of `owner` selects `other` ("Inter-pod affinity")."""
    named = set(term.namespaces or ())
    if term.namespace_selector is None:
        inside = other.namespace in (named or {owner.namespace})
    else:
        labels = placement.namespaces.get(other.namespace)
        everything = not (term.namespace_selector.match_labels
                          or term.namespace_selector.match_expressions)
        inside = other.namespace in named or everything or (
            labels is not None and picks(term.namespace_selector, labels))
    if not inside or not picks(term.label_selector, other.labels):
        return False
    return (all(other.labels.get(key) == owner.labels[key]
                for key in term.match_label_keys or () if key in owner.labels)
            and all(other.labels.get(key) != owner.labels[key]
                    for key in term.mismatch_label_keys or () if key in owner.labels))


def same_domain(key: str, left: NodeFacts, right: NodeFacts) -> bool:
    """Whether two nodes carry the same value of a topology key."""
    return key in left.labels and left.labels[key] == right.labels.get(key)


def anti_affinity(pod: PodFacts, node: NodeFacts, placement: Placement) -> str | None:
    """No pod in the domain may be one that the pod's anti-affinity names, nor the reverse."""
    own = bool(anti_affinity_terms(pod))
    for key, name in placement.where.items():
        other = placement.pods[key]
        there = placement.nodes.get(name)
        if key == pod.key or there is None or not (own or anti_affinity_terms(other)):
            continue
        for owner, peer in ((pod, other), (other, pod)):
            for term in anti_affinity_terms(owner):
                if (same_domain(term.topology_key or "", node, there)
                        and speaks_of(term, owner, peer, placement)):
                    return (f"{owner.key} keeps {peer.key} out of its {term.topology_key}: "
                            f"{pod.key} on {node.name}, {key} on {name}")
    return None


def affinity(pod: PodFacts, node: NodeFacts, placement: Placement) -> str | None:
    """For each required term a pod that matches all of them is in the domain.

    A pod that matches its own terms may be the first when no other does anywhere.
    """
    terms = _terms(pod, "pod_affinity")
    if not terms:
        return None
    for term in terms:
        if (term.topology_key or "") not in node.labels:
            return f"{node.name} has no {term.topology_key}, which {pod.key} needs"
    friends = [placement.nodes[name] for key, name in placement.where.items()
               if key != pod.key and name in placement.nodes
               and all(speaks_of(term, pod, placement.pods[key], placement) for term in terms)]
    keyed = [there for there in friends
             if any(term.topology_key in there.labels for term in terms)]
    if not keyed and all(speaks_of(term, pod, pod, placement) for term in terms):
        return None
    for term in terms:
        if not any(same_domain(term.topology_key or "", node, there) for there in friends):
            return f"no pod that {pod.key} wants beside it is in its {term.topology_key}"
    return None


def spread(pod: PodFacts, node: NodeFacts, placement: Placement,
           terminating: frozenset[str] = frozenset()) -> str | None:
    """With the pod on the node no hard constraint exceeds its maxSkew."""
    hard = [each for each in pod.spec.topology_spread_constraints or ()
            if each.when_unsatisfiable != "ScheduleAnyway"]
    keys = [each.topology_key or "" for each in hard]
    for constraint in hard:
        key = constraint.topology_key or ""
        if key not in node.labels:
            return f"{node.name} has no {key}, by which {pod.key} is spread"
        held = {there.labels[key]: 0 for there in placement.nodes.values()
                if all(each in there.labels for each in keys)
                and is_domain(constraint, pod, there)}
        for other_key, name in placement.where.items():
            there = placement.nodes.get(name)
            other = placement.pods[other_key]
            if (there is not None and other_key != pod.key and other_key not in terminating
                    and other.namespace == pod.namespace and there.labels.get(key) in held
                    and all(each in there.labels for each in keys)
                    and is_domain(constraint, pod, there)
                    and counts(constraint, pod, other)):
                held[there.labels[key]] += 1
        few = len(held) < (constraint.min_domains or 1)
        fewest = 0 if few else min(held.values(), default=0)
        own = int(counts(constraint, pod, pod, itself=True))
        most = held.get(node.labels[key], 0) + own
        if most - fewest > (constraint.max_skew or 1):
            return (f"{pod.key} on {node.name} makes a skew of {most - fewest} over {key}, "
                    f"{constraint.max_skew or 1} is allowed")
    return None


def is_domain(constraint: Any, pod: PodFacts, node: NodeFacts) -> bool:
    """The node inclusion policies."""
    if constraint.node_affinity_policy != "Ignore" and node_choice(pod, node) is not None:
        return False
    return constraint.node_taints_policy != "Honor" or _tolerated(pod, node)


def _tolerated(pod: PodFacts, node: NodeFacts) -> bool:
    return all(any(covers(each, *taint) for each in pod.spec.tolerations or ())
               for taint in node.taints if taint[2] in ("NoSchedule", "NoExecute"))


def counts(constraint: Any, pod: PodFacts, other: PodFacts, itself: bool = False) -> bool:
    """Whether a spread constraint of `pod` counts `other`; `itself`: the pod that comes."""
    selector = constraint.label_selector
    empty = selector is not None and not (selector.match_labels or selector.match_expressions)
    if empty and not itself and not constraint.match_label_keys:
        return False
    return picks(selector, other.labels) and all(
        other.labels.get(key) == pod.labels[key]
        for key in constraint.match_label_keys or () if key in pod.labels)


# -- all together ---------------------------------------------------------------------------------


def alone(pod: PodFacts, node: NodeFacts) -> str | None:
    """Why a pod may never be on a node, whatever else is there."""
    return taints(pod, node) or node_choice(pod, node) or lone(pod, node)


def against(pod: PodFacts, name: str, placement: Placement,
            terminating: frozenset[str] = frozenset()) -> str | None:
    """Why a pod may not come to a node of a placement, which need not hold it yet."""
    node = placement.nodes.get(name)
    if node is None:
        return f"there is no node {name} for {pod.key}"
    found = taints(pod, node) or node_choice(pod, node)
    if found is not None:
        return found
    beside = [placement.pods[key] for key, at in placement.where.items()
              if at == name and key != pod.key]
    ports = next(filter(None, (host_ports((other, pod), node) for other in beside)), None) \
        if ports_of(pod) else None
    return (room([*beside, pod], node, pod) or ports
            or anti_affinity(pod, node, placement) or affinity(pod, node, placement)
            or spread(pod, node, placement, terminating))


def check(placement: Placement) -> list[str]:
    """What is wrong with a placement, whatever the order in which its pods came.

    Affinity towards pods and spread speak of the moment of binding: `binding_order` judges them.
    Pods of one template are judged once for each node.
    """
    found = []
    beside: dict[str, list[PodFacts]] = {}
    judged: dict[tuple[int, str], str | None] = {}
    templates: dict[Any, int] = {}
    for key, name in placement.where.items():
        pod, node = placement.pods[key], placement.nodes.get(name)
        if node is None:
            found.append(f"there is no node {name} for {key}")
            continue
        beside.setdefault(name, []).append(pod)
        template = templates.setdefault(pod.spec, len(templates))
        if (template, name) not in judged:
            judged[template, name] = taints(pod, node) or node_choice(pod, node)
        wrong = judged[template, name]
        if wrong is not None:
            found.append(wrong)
    for name, pods in beside.items():
        wrong = room(pods, placement.nodes[name]) or host_ports(pods, placement.nodes[name])
        if wrong is not None:
            found.append(wrong)
    return found + _kept_out(placement)


def _kept_out(placement: Placement) -> list[str]:
    """Anti-affinity of a whole placement: each owner of a rule against its domain."""
    domains: dict[str, dict[str, list[str]]] = {}
    found = []
    for key, name in placement.where.items():
        owner, node = placement.pods[key], placement.nodes.get(name)
        for term in anti_affinity_terms(owner) if node is not None else ():
            assert node is not None
            topology = term.topology_key or ""
            place = node.labels.get(topology)
            if place is None:
                continue
            if topology not in domains:
                domains[topology] = _by_domain(topology, placement)
            found += [f"{key} keeps {other} out of its {topology} {place}"
                      for other in domains[topology][place]
                      if other != key and speaks_of(term, owner, placement.pods[other], placement)]
    return found


def _by_domain(key: str, placement: Placement) -> dict[str, list[str]]:
    """Pods by the value that their node has for a topology key."""
    found: dict[str, list[str]] = {}
    for pod, name in placement.where.items():
        node = placement.nodes.get(name)
        if node is not None and key in node.labels:
            found.setdefault(node.labels[key], []).append(pod)
    return found
