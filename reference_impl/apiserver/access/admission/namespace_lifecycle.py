"""NamespaceLifecycle: nothing is created in a namespace that is missing or going away.

Source: Kubernetes documentation, "Admission Controllers". A namespace that the cache lacks is
looked up in etcd, so that a creation right after its namespace's is accepted.
"""

from __future__ import annotations

from typing import Any

from model.api.requests import Cause, Status, forbidden, not_found
from reference_impl.apiserver.access.admission.attributes import (
    CREATE,
    DELETE,
    Attributes,
    LookUp,
)

IMMORTAL = ("default", "kube-public", "kube-system")


def admit(attributes: Attributes, obj: Any) -> Any:
    """The object unchanged, or why it is refused."""
    namespace = attributes.namespace
    if attributes.operation == DELETE:
        if attributes.resource.name == "namespaces" and attributes.request.name in IMMORTAL:
            return forbidden("namespaces", attributes.request.name,
                             "this namespace may not be deleted")
        return obj
    if attributes.operation != CREATE or not namespace:
        return obj
    found = attributes.known("namespaces", namespace)
    if found is None:
        if attributes.looked_up is None:
            return LookUp("namespaces", namespace)
        return not_found("namespaces", namespace)
    if found.metadata.deletion_timestamp is not None:
        return _terminating(attributes, obj, namespace)
    return obj


def _terminating(attributes: Attributes, obj: Any, namespace: str) -> Status:
    why = (f"unable to create new content in namespace {namespace} because it is being "
           "terminated")
    cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated",
                  "metadata.namespace")
    return forbidden(attributes.request.resource, obj.metadata.name or "", why, (cause,))
