"""ResourceQuota: the last word on a creation, and on a service that comes to use more.

It charges every matching quota, or refuses.

Source: Kubernetes documentation, "Resource Quotas". Each quota is charged by a compare-and-swap of
its own on `status.used`, before the object is stored; when the creation fails afterwards the charge
stays, and the quota controller repairs it. A quota whose status nobody has computed limits nothing.

Not modelled: resizing of pods and claims (those subresources are not served), scopes by priority
class with operators other than In and Exists.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from model.api.objects import Pairs, ResourceQuota, ResourceQuotaStatus, pairs, put
from model.api.quantities import add, compare, subtract
from model.api.requests import Status, forbidden
from reference_impl.apiserver.access.admission.attributes import CREATE, UPDATE, Attributes
from reference_impl.apiserver.registry.allocators import Work

CHARGE = "charge"
_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def charges(attributes: Attributes, obj: Any) -> tuple[Work, ...] | Status:
    """The quotas that a write must charge, each with what it uses more; or why it is refused."""
    if not attributes.cache.get("resourcequotas"):
        return ()
    work = []
    use = usage(obj, attributes.resource.group_resource)
    if attributes.operation == UPDATE:
        use = _more(use, usage(attributes.old, attributes.resource.group_resource))
    for quota in attributes.of_namespace("resourcequotas"):
        hard = dict(quota.status.hard or ()) if quota.status is not None else {}
        if not hard or not _in_scopes(quota, obj):
            continue
        mine = tuple((name, amount) for name, amount in use if name in hard)
        if obj.kind == "Pod" and attributes.operation == CREATE:
            fault = _unset(quota, hard, obj)
            if fault:
                return forbidden("pods", obj.metadata.name or "",
                                 f"failed quota: {quota.metadata.name}: must specify {fault}")
        if mine:
            work.append(Work(CHARGE, "resourcequotas",
                             f"{attributes.namespace}/{quota.metadata.name}", mine))
    return tuple(work)


def _more(new: Pairs, old: Pairs) -> Pairs:
    """What an update uses more than before. What it uses less the controller gives back."""
    before = dict(old)
    grown = {name: subtract(amount, before.get(name, "0")) for name, amount in new}
    return pairs({name: amount for name, amount in grown.items() if compare(amount, "0") > 0})


def charged(quota: ResourceQuota, mine: Pairs, resource: str, name: str) -> Any:
    """The quota with a creation charged, or the Status of its refusal."""
    status = quota.status or ResourceQuotaStatus()
    hard, used = dict(status.hard or ()), dict(status.used or ())
    unknown = [each for each, _ in mine if each in hard and each not in used]
    if unknown:
        return forbidden(resource, name, f"status unknown for quota: {quota.metadata.name}, "
                         f"resources: {','.join(sorted(unknown))}")
    over = [each for each, amount in mine
            if each in hard and compare(add(used[each], amount), hard[each]) > 0]
    if over:
        def listed(values: dict[str, str]) -> str:
            return ",".join(f"{each}={values[each]}" for each in sorted(over))
        return forbidden(resource, name, f"exceeded quota: {quota.metadata.name}, requested: "
                         f"{listed(dict(mine))}, used: {listed(used)}, limited: {listed(hard)}")
    for each, amount in mine:
        if each in hard:
            used[each] = add(used[each], amount)
    return put(quota, "status", put(status, "used", pairs(used)))


def usage(obj: Any, group_resource: str) -> Pairs:
    """What one object uses of each countable resource."""
    used = {f"count/{group_resource}": "1"}
    if obj.kind == "Pod":
        used["pods"] = "1"
        if obj.spec is not None:
            used.update(_pod_usage(obj.spec.containers, obj.spec.init_containers))
    elif obj.kind == "Service":
        used["services"] = "1"
        spec = obj.spec
        if spec is not None and spec.type in ("NodePort", "LoadBalancer"):
            if spec.allocate_load_balancer_node_ports is not False or spec.type == "NodePort":
                used["services.nodeports"] = str(len(spec.ports or ()))
            if spec.type == "LoadBalancer":
                used["services.loadbalancers"] = "1"
    elif group_resource in ("configmaps", "secrets", "replicationcontrollers", "resourcequotas",
                            "persistentvolumeclaims"):
        used[group_resource] = "1"
    return pairs(used)


@lru_cache(maxsize=1024)
def _pod_usage(containers: Any, init_containers: Any) -> Pairs:
    used: dict[str, str] = {}
    for which in ("requests", "limits"):
        total = _added(containers, which)
        for container in init_containers or ():
            for name, text in getattr(container.resources, which, None) or ():
                if name not in total or compare(text, total[name]) > 0:
                    total[name] = text
        for name, text in total.items():
            used[f"{which}.{name}"] = text
            if which == "requests" and name in _COMPUTE:
                used[name] = text
    return pairs(used)


def _added(containers: Any, which: str) -> dict[str, str]:
    total: dict[str, str] = {}
    for container in containers or ():
        for name, text in getattr(container.resources, which, None) or ():
            total[name] = add(total[name], text) if name in total else text
    return total


def _unset(quota: Any, hard: dict[str, str], pod: Any) -> str:
    """What a quota on cpu or memory demands of each container and some do not set."""
    missing: dict[str, list[str]] = {}
    for name in sorted(hard):
        which, _, resource = name.rpartition(".")
        which = which or "requests"
        if resource not in _COMPUTE or which not in ("requests", "limits"):
            continue
        for container in pod.spec.containers or ():
            wish = container.resources
            if resource not in dict((getattr(wish, which) if wish else None) or ()):
                missing.setdefault(name, []).append(container.name or "")
    return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


def _in_scopes(quota: Any, obj: Any) -> bool:
    spec = quota.spec
    if spec is None:
        return True
    scopes = [(name, "Exists", ()) for name in spec.scopes or ()]
    if spec.scope_selector is not None:
        scopes += [(each.scope_name, each.operator, each.values or ())
                   for each in spec.scope_selector.match_expressions or ()]
    if scopes and obj.kind != "Pod":
        return False
    return all(_in_scope(name or "", operator or "", tuple(values), obj)
               for name, operator, values in scopes)


def _in_scope(name: str, operator: str, values: tuple[str, ...], pod: Any) -> bool:
    spec = pod.spec
    best_effort = pod.status is not None and pod.status.qos_class == "BestEffort"
    if name == "Terminating":
        return spec.active_deadline_seconds is not None
    if name == "NotTerminating":
        return spec.active_deadline_seconds is None
    if name == "BestEffort":
        return best_effort
    if name == "NotBestEffort":
        return not best_effort
    if name == "PriorityClass":
        has = spec.priority_class_name or ""
        return has in values if operator == "In" else bool(has)
    return True
