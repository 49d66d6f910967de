"""Whether labels, taints and node terms match: the small predicates that plug-ins share.

Source: Kubernetes documentation, "Labels and Selectors", "Assigning Pods to Nodes", "Taints and
Tolerations".
"""

from __future__ import annotations

from reference_impl.scheduler.records import (
    HostPort,
    Labels,
    Needs,
    NodeInfo,
    NodeTerm,
    Selector,
    Snapshot,
    Taint,
    Term,
    Toleration,
)


def selects(selector: Selector | None, labels: Labels) -> bool:
    """Whether all requirements hold of the labels; no selector selects nothing."""
    if selector is None:
        return False
    for key, operator, values in selector:
        value = labels.get(key)
        if operator == "In":
            if value not in values:
                return False
        elif operator == "NotIn":
            if value in values:
                return False
        elif operator == "Exists":
            if value is None:
                return False
        elif operator == "DoesNotExist":
            if value is not None:
                return False
        elif not _compares(value, operator, values):
            return False
    return True


def _compares(value: str | None, operator: str, values: tuple[str, ...]) -> bool:
    """Gt and Lt read both sides as integers; what is no integer does not match."""
    if value is None or len(values) != 1:
        return False
    try:
        left, right = int(value), int(values[0])
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right


def term_matches(term: NodeTerm, node: NodeInfo) -> bool:
    """Whether a node satisfies a node selector term; an empty term matches no node."""
    if not term.expressions and not term.fields:
        return False
    for key, operator, values in term.fields:
        if key != "metadata.name" or (node.name in values) != (operator == "In"):
            return False
    return selects(term.expressions, node.labels)


def admits_node(needs: Needs, node: NodeInfo) -> bool:
    """Whether node selector and required node affinity of a pod hold of a node."""
    if needs.node_selector and not selects(needs.node_selector, node.labels):
        return False
    terms = needs.node_terms
    return terms is None or any(term_matches(term, node) for term in terms)


def tolerates(tolerations: tuple[Toleration, ...], taint: Taint) -> bool:
    """Whether one of the tolerations covers the taint."""
    for toleration in tolerations:
        if ((not toleration.effect or toleration.effect == taint.effect)
                and (not toleration.key or toleration.key == taint.key)
                and (toleration.exists or toleration.value == taint.value)):
            return True
    return False


def untolerated(needs: Needs, node: NodeInfo) -> Taint | None:
    """The first taint of the node that keeps the pod away."""
    for taint in node.hard_taints:
        if not tolerates(needs.tolerations, taint):
            return taint
    return None


def concerns(term: Term, needs: Needs, snapshot: Snapshot) -> bool:
    """Whether a rule towards pods speaks about a pod: its namespace and its labels."""
    if needs.namespace not in term.namespaces:
        chosen = term.namespace_selector
        if chosen is None:
            return False
        if chosen:
            labels = snapshot.catalog.namespaces.get(needs.namespace)
            if labels is None or not selects(chosen, labels):
                return False
    return selects(term.selector, needs.labels)


def ports_clash(wanted: tuple[HostPort, ...], taken: tuple[HostPort, ...]) -> bool:
    """Whether a host port is taken; the address 0.0.0.0 stands for every address."""
    for address, protocol, port in wanted:
        for other, other_protocol, other_port in taken:
            if (port == other_port and protocol == other_protocol
                    and (address == other or "0.0.0.0" in (address, other))):
                return True
    return False
