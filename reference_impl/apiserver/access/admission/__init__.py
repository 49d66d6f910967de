"""Stage two, third: admission. Plug-ins change or refuse a write, in the documented order.

Source: Kubernetes documentation, "Admission Controllers" and the order of release 1.32's
`--enable-admission-plugins`. ResourceQuota comes last: it alone writes, so nothing may refuse the
request after it. Plug-ins are pure functions of what the server knows; each is one file.
"""

from __future__ import annotations

from typing import Any

from model.api.requests import Status
from reference_impl.apiserver.access.admission import (
    always_pull_images,
    default_toleration_seconds,
    limit_ranger,
    namespace_lifecycle,
    priority,
    resource_quota,
    service_account,
    taint_nodes_by_condition,
)
from reference_impl.apiserver.access.admission.attributes import Attributes, LookUp, WaitFor

ORDER = (
    ("NamespaceLifecycle", namespace_lifecycle.admit),
    ("LimitRanger", limit_ranger.admit),
    ("ServiceAccount", service_account.admit),
    ("TaintNodesByCondition", taint_nodes_by_condition.admit),
    ("AlwaysPullImages", always_pull_images.admit),
    ("Priority", priority.admit),
    ("DefaultTolerationSeconds", default_toleration_seconds.admit),
)
CHECKS = (("LimitRanger", limit_ranger.validate),)
"""What is looked at once the object is known to be valid."""
QUOTA = "ResourceQuota"
OFF_BY_DEFAULT = frozenset(("AlwaysPullImages",))
NAMES = (*(name for name, _ in ORDER), QUOTA)
Verdict = Status | LookUp | WaitFor


def admitted(plugins: frozenset[str], attributes: Attributes, obj: Any) -> Any:
    """The object as the chain leaves it, or the first verdict that stops it."""
    for name, admit in ORDER:
        if name in plugins:
            obj = admit(attributes, obj)
            if type(obj) in _STOPS:
                return obj
    return obj


def checked(plugins: frozenset[str], attributes: Attributes, obj: Any) -> Status | None:
    """Why a valid object may not be stored, the first reason."""
    for name, check in CHECKS:
        if name in plugins:
            fault = check(attributes, obj)
            if fault is not None:
                return fault
    return None


_STOPS = (Status, LookUp, WaitFor)
__all__ = ["NAMES", "OFF_BY_DEFAULT", "ORDER", "QUOTA", "Attributes", "LookUp", "Verdict",
           "WaitFor", "admitted", "checked", "resource_quota"]
