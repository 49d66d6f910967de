"""What an object uses of a quota: the controller's function against the properties' own measure."""

from __future__ import annotations

from typing import Any

import pytest

from model.api.objects import freeze
from model.api.quantities import parse
from properties.controllers.resource_quota import measure
from reference_impl.lib import quota

LIMITS = ("pods", "count/pods", "requests.cpu", "cpu", "limits.memory", "memory", "services",
          "services.nodeports", "services.loadbalancers", "count/services", "configmaps",
          "count/configmaps", "secrets")


def container(**resources: dict[str, str]) -> dict[str, Any]:
    return {"name": "c", "image": "nginx", "resources": resources}


def pod(phase: str, *containers: dict[str, Any], init: tuple[dict[str, Any], ...] = ()) -> Any:
    return freeze({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                   "spec": {"containers": list(containers), "initContainers": list(init)},
                   "status": {"phase": phase}})


def service(type_: str, ports: int, **spec: Any) -> Any:
    return freeze({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
                   "spec": {"type": type_, "ports": [{"port": 80 + at} for at in range(ports)],
                            **spec}})


SMALL = container(requests={"cpu": "100m", "memory": "64Mi"}, limits={"memory": "128Mi"})
LARGE = container(requests={"cpu": "1"}, limits={"memory": "1Gi", "cpu": "2"})


@pytest.mark.parametrize(("obj", "plural"), [
    (pod("Running", SMALL, SMALL), "pods"), (pod("Pending", SMALL, init=(LARGE,)), "pods"),
    (pod("Succeeded", LARGE), "pods"), (pod("Running"), "pods"),
    (service("ClusterIP", 2), "services"), (service("NodePort", 2), "services"),
    (service("LoadBalancer", 1), "services"),
    (service("LoadBalancer", 1, allocateLoadBalancerNodePorts=False), "services"),
    (freeze({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}), "configmaps"),
])
def test_two_ways_to_measure_agree(obj: Any, plural: str) -> None:
    """For every kind of limit."""
    used = dict(quota.usage(obj, plural))
    for limit in LIMITS:
        assert parse(used.get(limit, "0")).nano == measure(limit, plural, obj), limit


def test_the_sum_of_two_pods() -> None:
    """Amounts add up in the family of the first; an init container counts when it is larger."""
    objects = [(pod("Running", SMALL), "pods"), (pod("Pending", SMALL, init=(LARGE,)), "pods")]
    assert quota.total(objects, ("pods", "requests.cpu", "limits.memory")) == {
        "pods": "2", "requests.cpu": "1100m", "limits.memory": "1152Mi"}


def test_scopes_choose_pods() -> None:
    """A quota with scopes concerns pods alone, and of those the ones in all of its scopes."""
    best_effort = freeze({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                          "spec": {"hard": {"pods": "1"}, "scopes": ["NotTerminating"]}})
    assert quota.concerns(best_effort, pod("Running", SMALL))
    bounded = freeze({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                      "spec": {"containers": [SMALL], "activeDeadlineSeconds": 5}})
    assert not quota.concerns(best_effort, bounded)
    assert not quota.concerns(best_effort, service("ClusterIP", 1))
