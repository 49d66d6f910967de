"""What one object uses of the resources that a quota may limit, and whether a quota concerns it.

Source: Kubernetes documentation, "Resource Quotas": object counts (`count/services`, `services`),
compute resources of pods that have not ended, and scopes. The sum over containers and the largest
init container count, whichever is more.

Not modelled: storage of claims (there are no volumes), the cross-namespace affinity scope, and
resources of a class of devices.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from model.api.objects import Pod, ResourceQuota, Service
from model.api.quantities import add, compare
from model.api.records import Pairs, pairs

COMPUTE = ("cpu", "memory", "ephemeral-storage")
COUNTED = ("pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps",
           "persistentvolumeclaims")
"""Collections whose plain name may stand in a quota; any may as `count/NAME`."""


def usage(obj: Any, group_resource: str) -> Pairs:
    """What an object uses, by the names that a quota may limit."""
    used = {f"count/{group_resource}": "1"}
    if isinstance(obj, Pod):
        if not has_ended(obj):
            used["pods"] = "1"
            spec = obj.spec
            used.update(_of_containers(spec and spec.containers, spec and spec.init_containers))
    elif isinstance(obj, Service):
        used["services"] = "1"
        used.update(_of_service(obj))
    elif group_resource in COUNTED:
        used[group_resource] = "1"
    return pairs(used)


def has_ended(pod: Pod) -> bool:
    """Whether a pod runs no more, so that it is counted as an object only."""
    return pod.status is not None and pod.status.phase in ("Succeeded", "Failed")


def _of_service(service: Service) -> dict[str, str]:
    spec = service.spec
    if spec is None or spec.type not in ("NodePort", "LoadBalancer"):
        return {}
    used = {}
    if spec.type == "NodePort" or spec.allocate_load_balancer_node_ports is not False:
        used["services.nodeports"] = str(len(spec.ports or ()))
    if spec.type == "LoadBalancer":
        used["services.loadbalancers"] = "1"
    return used


@lru_cache(maxsize=1024)
def _of_containers(containers: Any, init_containers: Any) -> dict[str, str]:
    used: dict[str, str] = {}
    for which in ("requests", "limits"):
        total: dict[str, str] = {}
        for container in containers or ():
            for name, text in _amounts(container, which):
                total[name] = add(total.get(name, "0"), text)
        for container in init_containers or ():
            for name, text in _amounts(container, which):
                if compare(text, total.get(name, "0")) > 0:
                    total[name] = text
        for name, text in total.items():
            used[f"{which}.{name}"] = text
            if which == "requests" and name in COMPUTE:
                used[name] = text
    return used


def _amounts(container: Any, which: str) -> Pairs:
    found: Pairs | None = getattr(container.resources, which, None)
    return found or ()


def total(objects: Iterable[tuple[Any, str]], names: Iterable[str]) -> dict[str, str]:
    """The sum over (object, group resource) pairs of what `names` limit."""
    sums = dict.fromkeys(names, "0")
    for obj, group_resource in objects:
        for name, amount in usage(obj, group_resource):
            if name in sums:
                sums[name] = add(sums[name], amount)
    return sums


def concerns(quota: ResourceQuota, obj: Any) -> bool:
    """Whether an object is in all scopes of a quota; only pods have scopes."""
    spec = quota.spec
    if spec is None:
        return True
    if not isinstance(obj, Pod):
        return not spec.scopes and spec.scope_selector is None
    if not all(_in_scope(scope, "Exists", (), obj) for scope in spec.scopes or ()):
        return False
    terms = spec.scope_selector.match_expressions if spec.scope_selector is not None else ()
    return all(_in_scope(each.scope_name or "", each.operator or "", each.values or (), obj)
               for each in terms or ())


def _in_scope(scope: str, operator: str, values: tuple[str, ...], pod: Pod) -> bool:
    spec = pod.spec
    if scope in ("Terminating", "NotTerminating"):
        bounded = spec is not None and spec.active_deadline_seconds is not None
        return bounded == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        best = pod.status is not None and pod.status.qos_class == "BestEffort"
        return best == (scope == "BestEffort")
    if scope == "PriorityClass":
        name = (spec.priority_class_name if spec is not None else None) or ""
        found = name in values if operator in ("In", "NotIn") else bool(name)
        return found == (operator in ("In", "Exists"))
    return True
