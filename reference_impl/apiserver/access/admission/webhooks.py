"""Admission webhooks: nothing outside can be reached from a simulated server, so every call fails.

Source: Kubernetes documentation, "Dynamic Admission Control": a failed call refuses the write
where the failure policy is Fail, and is ignored where it is Ignore. Which writes a webhook is asked
about follows its rules and selectors; writes of webhook configurations themselves are never sent.

Not modelled: match conditions of webhooks, and answers of any kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from model.api.objects import rest_fields
from model.api.requests import Status, internal_error
from model.kernel.values import EMPTY
from reference_impl.apiserver.access.admission import rule_matching
from reference_impl.apiserver.access.admission.attributes import Attributes

EXEMPT = frozenset(("validatingwebhookconfigurations", "mutatingwebhookconfigurations",
                    "validatingadmissionpolicies", "validatingadmissionpolicybindings"))
MUTATING, VALIDATING = "mutatingwebhookconfigurations", "validatingwebhookconfigurations"


def admit(attributes: Attributes, obj: Any) -> Any:
    """The object as it is, or the failure of a mutating webhook."""
    fault = _failure(MUTATING, attributes, obj)
    return obj if fault is None else fault


def validate(attributes: Attributes, obj: Any) -> Status | None:
    """The failure of a validating webhook, None when none is asked (or its failure is ignored)."""
    return _failure(VALIDATING, attributes, obj)


def _failure(configurations: str, attributes: Attributes, obj: Any) -> Status | None:
    for webhook in _asked(configurations, attributes, obj):
        if webhook.get("failurePolicy", "Fail") == "Fail":
            return internal_error(f'failed calling webhook "{webhook["name"]}": failed to call '
                                  f"webhook: {_unreachable(webhook)}")
    return None


def _asked(configurations: str, attributes: Attributes, obj: Any) -> Iterator[dict[str, Any]]:
    stored = attributes.cache.get(configurations, EMPTY)
    if not stored or attributes.resource.name in EXEMPT:
        return
    for configuration in stored.values():
        for webhook in rest_fields(configuration).get("webhooks") or ():
            if rule_matching.concerned(
                    webhook.get("rules") or [], [], webhook.get("namespaceSelector") or {},
                    webhook.get("objectSelector") or {}, attributes, obj):
                yield webhook


def _unreachable(webhook: dict[str, Any]) -> str:
    """What the server's network tells of a call, in its words."""
    client = webhook.get("clientConfig") or {}
    seconds = webhook.get("timeoutSeconds", 10)
    url = client.get("url")
    if url:
        parts = urlsplit(url)
        port = parts.port or 443
        return (f'Post "{url}?timeout={seconds}s": dial tcp {parts.hostname}:{port}: connect: '
                "connection refused")
    service = client.get("service") or {}
    where = f"{service.get('name')}.{service.get('namespace')}.svc"
    return (f'Post "https://{where}:{service.get("port", 443)}{service.get("path") or "/"}'
            f'?timeout={seconds}s": no endpoints available for service "{service.get("name")}"')
