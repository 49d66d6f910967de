"""Priority: a pod's number comes from its priority class.

Source: Kubernetes documentation, "Pod Priority and Preemption".
"""

from __future__ import annotations

from typing import Any

from model.api.objects import put
from model.api.requests import forbidden
from model.kernel.values import EMPTY
from reference_impl.apiserver.access.admission.attributes import CREATE, Attributes


def admit(attributes: Attributes, obj: Any) -> Any:
    """A pod with its priority and preemption policy, or why it is refused."""
    if obj.kind != "Pod" or attributes.operation != CREATE or obj.spec is None:
        return obj
    spec = obj.spec
    name = spec.priority_class_name
    classes = attributes.cache.get("priorityclasses", EMPTY)
    if name:
        found = classes.get(name)
        if found is None:
            return forbidden("pods", obj.metadata.name or "",
                             f"no PriorityClass with name {name} was found")
    else:
        found = next((each for each in classes.values() if each.global_default), None)
        name = found.metadata.name if found is not None else None
    value = (found.value or 0) if found is not None else 0
    policy = (found.preemption_policy if found is not None else None) or "PreemptLowerPriority"
    if spec.priority is not None and spec.priority != value:
        return forbidden("pods", obj.metadata.name or "", "the integer value of priority "
                         f"({spec.priority}) must not be provided in pod spec; priority "
                         f"admission controller computed {value} from the given PriorityClass "
                         "name")
    return put(obj, "spec", spec._replace(
        priority_class_name=name, priority=value,
        preemption_policy=spec.preemption_policy or policy))
