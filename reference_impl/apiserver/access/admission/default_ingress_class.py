"""DefaultIngressClass: an Ingress that names no class gets the default one, if there is one.

Source: Kubernetes documentation, "Ingress" (default IngressClass): of several default
classes the newest is taken.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import rest_fields, with_rest
from model.kernel.values import EMPTY
from reference_impl.apiserver.access.admission.attributes import CREATE, Attributes
from reference_impl.apiserver.access.admission.default_storage_class import newest_default

DEFAULT = "ingressclass.kubernetes.io/is-default-class"
OLD_CLASS = "kubernetes.io/ingress.class"


def admit(attributes: Attributes, obj: Any) -> Any:
    """An Ingress with its class."""
    if obj.kind != "Ingress" or attributes.operation != CREATE:
        return obj
    spec = rest_fields(obj).get("spec") or {}
    if spec.get("ingressClassName") is not None or any(
            key == OLD_CLASS for key, _ in obj.metadata.annotations or ()):
        return obj
    name = newest_default(attributes.cache.get("ingressclasses", EMPTY), (DEFAULT,))
    return obj if not name else with_rest(obj, spec={**spec, "ingressClassName": name})
