"""Defaults of the objects that steer admission: policies, their bindings, webhook configurations.

Source: Kubernetes 1.32 API reference, admissionregistration.k8s.io/v1.
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def _selectors(holder: Any) -> None:
    if isinstance(holder, dict):
        holder.setdefault("namespaceSelector", {})
        holder.setdefault("objectSelector", {})
        holder.setdefault("matchPolicy", "Equivalent")


def _rules(rules: Any) -> None:
    for rule in rules or ():
        if isinstance(rule, dict):
            rule.setdefault("scope", "*")


def default_policy(document: Document) -> None:
    """A ValidatingAdmissionPolicy."""
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return
    spec.setdefault("failurePolicy", "Fail")
    constraints = spec.get("matchConstraints")
    if isinstance(constraints, dict):
        _selectors(constraints)
        for field in ("resourceRules", "excludeResourceRules"):
            _rules(constraints.get(field))


def default_policy_binding(document: Document) -> None:
    """A ValidatingAdmissionPolicyBinding."""
    matched = (document.get("spec") or {}).get("matchResources")
    _selectors(matched)
    if isinstance(matched, dict):
        for field in ("resourceRules", "excludeResourceRules"):
            _rules(matched.get(field))


def default_webhooks(document: Document) -> None:
    """The webhooks of a configuration."""
    for webhook in document.get("webhooks") or ():
        if not isinstance(webhook, dict):
            continue
        _selectors(webhook)
        webhook.setdefault("failurePolicy", "Fail")
        webhook.setdefault("timeoutSeconds", 10)
        if document.get("kind") == "MutatingWebhookConfiguration":
            webhook.setdefault("reinvocationPolicy", "Never")
        _rules(webhook.get("rules"))
        service = (webhook.get("clientConfig") or {}).get("service")
        if isinstance(service, dict):
            service.setdefault("port", 443)
