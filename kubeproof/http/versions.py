"""Kinds that are served in an older version too: their documents on the way in and out.

HorizontalPodAutoscaler is stored as autoscaling/v2; clients such as `kubectl autoscale` speak
autoscaling/v1, whose one target is the use of processor time. Source: Kubernetes 1.32 API
reference, autoscaling/v1 and v2. Not modelled: the annotations in which v1 carries other metrics
and behaviour; they are left out of a v1 answer and kept in what is stored.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import Generic, canonical_json, rest_fields
from model.api.requests import ObjectList

AUTOSCALER, OLD, NEW = "HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"
_TARGET = "targetCPUUtilizationPercentage"


def inward(document: dict[str, Any]) -> dict[str, Any]:
    """A document in the version in which its kind is stored."""
    if document.get("apiVersion") != OLD or document.get("kind") != AUTOSCALER:
        return document
    spec = dict(document.get("spec") or {})
    wanted = spec.pop(_TARGET, None)
    if wanted is not None:
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": {
            "type": "Utilization", "averageUtilization": wanted}}}]
    return {**{key: value for key, value in document.items() if key != "status"},
            "apiVersion": NEW, "spec": spec}


def outward(body: Any, group: str, version: str) -> Any:
    """An answer in the version that a URL asked for."""
    if f"{group}/{version}" != OLD:
        return body
    if isinstance(body, ObjectList):
        return body._replace(items=tuple(map(_old, body.items)), api_version=OLD)
    return _old(body)


def _old(obj: Any) -> Any:
    if not isinstance(obj, Generic) or obj.kind != AUTOSCALER:
        return obj
    fields = rest_fields(obj)
    spec = dict(fields.get("spec") or {})
    spec.pop("behavior", None)
    for metric in spec.pop("metrics", None) or ():
        resource = metric.get("resource") or {}
        if resource.get("name") == "cpu":
            spec[_TARGET] = (resource.get("target") or {}).get("averageUtilization")
    old = fields.get("status") or {}
    status = {name: old.get(name, 0) for name in ("currentReplicas", "desiredReplicas")}
    return obj._replace(api_version=OLD,
                        rest=canonical_json({**fields, "spec": spec, "status": status}))
