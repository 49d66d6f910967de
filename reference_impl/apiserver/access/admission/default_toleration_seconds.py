"""DefaultTolerationSeconds: pods stay five minutes on a node that fails.

Source: Kubernetes documentation, "Taints and Tolerations" (taint based evictions).
"""

from __future__ import annotations

from typing import Any

from model.api.objects import Toleration, put
from reference_impl.apiserver.access.admission.attributes import CREATE, Attributes

SECONDS = 300
KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_ADDED = tuple(Toleration(key, "Exists", None, "NoExecute", SECONDS) for key in KEYS)


def admit(attributes: Attributes, obj: Any) -> Any:
    """A pod that tolerates not-ready and unreachable nodes for a while."""
    if obj.kind != "Pod" or attributes.operation != CREATE or obj.spec is None:
        return obj
    held = obj.spec.tolerations or ()
    if not held:
        return put(obj, "spec", put(obj.spec, "tolerations", _ADDED))
    missing = tuple(added for added in _ADDED if not any(
        (each.key == added.key or not each.key) and each.effect in (None, "", "NoExecute")
        for each in held))
    return put(obj, "spec", put(obj.spec, "tolerations", (*held, *missing))) if missing else obj
