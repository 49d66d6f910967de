"""TaintNodesByCondition: a new node takes no pods before the node controller has seen it ready.

Source: Kubernetes documentation, "Taints and Tolerations" (taint nodes by condition).
"""

from __future__ import annotations

from typing import Any

from model.api.objects import NodeSpec, Taint, put
from reference_impl.apiserver.access.admission.attributes import CREATE, Attributes

NOT_READY = Taint("node.kubernetes.io/not-ready", None, "NoSchedule")


def admit(attributes: Attributes, obj: Any) -> Any:
    """A new node with the taint not-ready."""
    if obj.kind != "Node" or attributes.operation != CREATE:
        return obj
    spec = obj.spec or NodeSpec()
    if any(taint.key == NOT_READY.key and taint.effect == NOT_READY.effect
           for taint in spec.taints or ()):
        return obj
    return put(obj, "spec", put(spec, "taints", (*(spec.taints or ()), NOT_READY)))
