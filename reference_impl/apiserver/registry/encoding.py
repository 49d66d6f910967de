"""Stage three: what is left of a document once the server has decoded and encoded it.

A field of a plain Go type that is marked to be omitted when empty disappears when it holds the zero
of its type; quantities are written in canonical form. A pointer keeps its zero, so the fields are
named. Source: the field types of the Kubernetes 1.32 API, encoding/json ("omitempty").

Not modelled: fields that hardly any client sends as zero; they come back as they were sent, which
says the same.
"""

from __future__ import annotations

from typing import Any

from model.api.quantities import canonical, parse
from model.kernel.errors import InputError

Document = dict[str, Any]
PLAIN = frozenset((
    "hostNetwork", "hostPID", "hostIPC", "hostname", "subdomain", "nodeName", "serviceAccountName",
    "serviceAccount", "priorityClassName", "workingDir", "stdin", "stdinOnce", "tty", "hostPort",
    "hostIP", "readOnly", "subPath", "subPathExpr", "value", "initialDelaySeconds", "operator",
    "effect", "minReadySeconds", "paused", "publishNotReadyAddresses", "unschedulable",
    "podCIDR", "providerID", "externalName", "loadBalancerIP", "globalDefault", "description",
    "nodePort", "healthCheckNodePort", "volumeName", "medium"))
"""Fields without a pointer: their zero is not written."""
AMOUNTS = frozenset(("limits", "requests", "hard", "used", "capacity", "allocatable", "overhead",
                     "min", "max", "default", "defaultRequest", "maxLimitRequestRatio"))
"""Maps of quantities."""
_OPAQUE = frozenset(("labels", "annotations", "matchLabels", "nodeSelector", "data", "binaryData",
                     "stringData", "parameters"))
_ZEROS = {"value": ("",)}
"""The value of a priority class is a number that is always written."""
_OPTIONAL_LISTS = frozenset(("schedulingGates", "tolerations", "volumes", "imagePullSecrets",
                             "topologySpreadConstraints", "initContainers", "hostAliases"))


def tidy(document: Document) -> None:
    """Bring a document, or a part of one, into the form that the server writes; in place."""
    for field in list(document):
        value = document[field]
        if field in _OPAQUE:
            continue
        if field in AMOUNTS and isinstance(value, dict):
            document[field] = amounts(value)
        elif isinstance(value, dict):
            tidy(value)
        elif isinstance(value, list):
            if not value and field in _OPTIONAL_LISTS:
                del document[field]
            else:
                _tidy_list(field, value)
        elif field in PLAIN and value in _ZEROS.get(field, (False, 0, "")):
            del document[field]


def _tidy_list(field: str, entries: list[Any]) -> None:
    for entry in entries:
        if isinstance(entry, dict):
            if field in ("imagePullSecrets", "secrets") and entry.get("name") == "":
                del entry["name"]
            tidy(entry)


_STATUS_ZEROS = {
    "ReplicationController": ("fullyLabeledReplicas", "readyReplicas", "availableReplicas",
                              "observedGeneration"),
    "ReplicaSet": ("fullyLabeledReplicas", "readyReplicas", "availableReplicas",
                   "observedGeneration"),
    "Deployment": ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas",
                   "availableReplicas", "unavailableReplicas"),
    "PodDisruptionBudget": ("observedGeneration",),
}
"""Counts of a status whose zero is not written."""


def tidy_status(document: Document, kind: str, gone: Any = ...) -> None:
    """Bring the status that a client sent into the form that the server writes; in place. `gone`
    stands in for what is not written; ... drops the field."""
    status = document.get("status")
    if not isinstance(status, dict):
        return
    for field in _STATUS_ZEROS.get(kind, ()):
        if status.get(field) == 0:
            if gone is ...:
                del status[field]
            else:
                status[field] = gone
    if status.get("disruptedPods") == {} and gone is ...:
        del status["disruptedPods"]


def amounts(quantities: Document) -> Document:
    """A map of quantities in canonical form; what is none is left for validation to refuse."""
    return {name: amount(name, value) for name, value in quantities.items()}


def amount(name: str, value: Any) -> Any:
    """One quantity in canonical form. A fraction of what comes in wholes stays as it is: its
    refusal shows how it was sent."""
    text = value if isinstance(value, str) else repr(value)
    try:
        if parse(text).nano % 10**9 and not name.endswith("cpu"):
            return value
        return canonical(text)
    except InputError:
        return value
