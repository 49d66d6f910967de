"""Which writes an admission policy or a webhook concerns: its rules and its selectors.

Source: Kubernetes documentation, "Dynamic Admission Control" (matching requests: rules,
objectSelector, namespaceSelector). `matchPolicy` makes no difference here: every resource is served
in one version.
"""

from __future__ import annotations

from typing import Any

from model.api import selectors
from model.api.metadata import LabelSelector
from model.api.records import read
from reference_impl.apiserver.access.admission.attributes import Attributes

Document = dict[str, Any]


def concerned(rules: list[Document], excluded: list[Document], namespaces: Document,
              objects: Document, attributes: Attributes, obj: Any) -> bool:
    """Whether a write matches some rule, no excluded rule, and both selectors."""
    return (any(_matches(rule, attributes, obj) for rule in rules)
            and not any(_matches(rule, attributes, obj) for rule in excluded)
            and _selected_namespace(namespaces, attributes, obj)
            and (_selects(objects, obj.metadata.labels) or (
                attributes.old is not None
                and _selects(objects, attributes.old.metadata.labels))))


def _matches(rule: Document, attributes: Attributes, obj: Any) -> bool:
    resource, subresource = attributes.resource, attributes.request.subresource
    scope = rule.get("scope") or "*"
    names = rule.get("resourceNames")
    return (_among(rule.get("operations"), attributes.operation)
            and _among(rule.get("apiGroups"), resource.group)
            and _among(rule.get("apiVersions"), resource.version)
            and any(_is_resource(each, resource.name, subresource)
                    for each in rule.get("resources") or ())
            and (scope == "*" or (scope == "Namespaced") == bool(attributes.namespace))
            and (not names or (attributes.request.name or obj.metadata.name) in names))


def _among(values: list[str] | None, value: str) -> bool:
    return "*" in (values or ()) or value in (values or ())


def _is_resource(pattern: str, name: str, subresource: str) -> bool:
    wanted, slash, sub = pattern.partition("/")
    if wanted not in ("*", name):
        return False
    return sub in ("*", subresource) if slash else not subresource


def _selected_namespace(selector: Document, attributes: Attributes, obj: Any) -> bool:
    if not selector:
        return True
    if obj.kind == "Namespace":
        return _selects(selector, obj.metadata.labels)
    if not attributes.namespace:
        return True
    namespace = attributes.known("namespaces", attributes.namespace)
    return namespace is not None and _selects(selector, namespace.metadata.labels)


def _selects(selector: Document, labels: Any) -> bool:
    if not selector:
        return True
    return selectors.matches(selectors.from_object(read(LabelSelector, selector)), labels)


def selects(selector: Document | None, labels: Any) -> bool:
    """Whether a selector as a document, absent for all, selects these labels."""
    return _selects(selector or {}, labels)
