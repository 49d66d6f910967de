"""Autoscalers in their older version: what comes in, what goes out."""

from __future__ import annotations

from kubeproof.http import versions
from model.api.objects import freeze, thaw
from model.api.requests import ObjectList, not_found

OLD = {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1",
       "metadata": {"name": "web"}, "spec": {
           "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3,
           "targetCPUUtilizationPercentage": 60}}


def test_an_old_autoscaler_is_stored_in_the_new_version_and_comes_back() -> None:
    """The one target of the old version is a metric of the new one."""
    stored = versions.inward(OLD)
    assert stored["apiVersion"] == "autoscaling/v2"
    assert stored["spec"]["metrics"][0]["resource"] == {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    obj = freeze(stored)
    shown = thaw(versions.outward(obj, "autoscaling", "v1"))
    assert shown == {**OLD, "status": {"currentReplicas": 0, "desiredReplicas": 0}}
    listed = versions.outward(ObjectList("HorizontalPodAutoscalerList", (obj,)), "autoscaling",
                              "v1")
    assert (listed.api_version, thaw(listed.items[0])) == ("autoscaling/v1", shown)


def test_everything_else_stays_as_it_is() -> None:
    """The new version, other kinds, refusals."""
    obj = freeze(versions.inward(OLD))
    assert versions.outward(obj, "autoscaling", "v2") is obj
    refusal = not_found("horizontalpodautoscalers", "web")
    assert versions.outward(refusal, "autoscaling", "v1") is refusal
    pod = {"kind": "Pod", "apiVersion": "v1"}
    assert versions.inward(pod) is pod
