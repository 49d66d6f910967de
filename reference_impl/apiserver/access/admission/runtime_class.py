"""RuntimeClass: a pod that names a runtime class gets its overhead and its place.

Source: Kubernetes documentation, "Runtime Class" and "Pod Overhead".
"""

from __future__ import annotations

from typing import Any

from model.api.objects import pairs, put, rest_fields
from model.api.pods import Toleration
from model.api.records import read
from model.api.requests import forbidden
from model.kernel.values import EMPTY
from reference_impl.apiserver.access.admission.attributes import CREATE, Attributes


def admit(attributes: Attributes, obj: Any) -> Any:
    """A pod as its runtime class wants it, or why it is refused."""
    if obj.kind != "Pod" or attributes.operation != CREATE or obj.spec is None:
        return obj
    name = rest_fields(obj.spec).get("runtimeClassName") if obj.spec.rest else None
    if not name:
        if obj.spec.overhead:
            return _refused(obj, "Pod Overhead set without corresponding RuntimeClass defined "
                            "Overhead")
        return obj
    found = attributes.cache.get("runtimeclasses", EMPTY).get(name)
    if found is None:
        return _refused(obj, f'RuntimeClass "{name}" not found')
    fields = rest_fields(found)
    spec = obj.spec
    overhead = pairs({key: str(value) for key, value in (
        (fields.get("overhead") or {}).get("podFixed") or {}).items()}) or None
    if spec.overhead and spec.overhead != overhead:
        return _refused(obj, "Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    place = fields.get("scheduling") or {}
    wanted, own = place.get("nodeSelector") or {}, dict(spec.node_selector or ())
    clash = [key for key in sorted(wanted) if own.get(key, wanted[key]) != wanted[key]]
    if clash:
        return _refused(obj, f"conflict: runtimeClass.scheduling.nodeSelector[{clash[0]}] = "
                        f"{wanted[clash[0]]}; pod.spec.nodeSelector[{clash[0]}] = {own[clash[0]]}")
    added = tuple(read(Toleration, each) for each in place.get("tolerations") or ())
    tolerations = (*(spec.tolerations or ()),
                   *(each for each in added if each not in (spec.tolerations or ())))
    return put(obj, "spec", spec._replace(
        overhead=overhead or spec.overhead,
        node_selector=pairs({**own, **wanted}) if wanted else spec.node_selector,
        tolerations=tolerations if added else spec.tolerations))


def _refused(pod: Any, why: str) -> Any:
    return forbidden("pods", pod.metadata.name or "", f"pod rejected: {why}")
