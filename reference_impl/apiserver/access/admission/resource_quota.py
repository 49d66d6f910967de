"""ResourceQuota: the last word on a creation, and on a service that comes to use more.

It charges every matching quota, or refuses.

Source: Kubernetes documentation, "Resource Quotas". Each quota is charged by a compare-and-swap of
its own on `status.used`, before the object is stored; when the creation fails afterwards the charge
stays, and the quota controller repairs it. A quota whose status nobody has computed limits nothing.

What an object uses, and which quotas concern it, stands in `reference_impl.lib.quota`: the quota
controller counts by the same rules.

Not modelled: resizing of pods and claims (those subresources are not served).
"""

from __future__ import annotations

from typing import Any

from model.api.objects import Pairs, ResourceQuota, ResourceQuotaStatus, pairs, put
from model.api.quantities import add, compare, subtract
from model.api.requests import Status, forbidden
from reference_impl.apiserver.access.admission.attributes import CREATE, UPDATE, Attributes
from reference_impl.apiserver.registry.allocators import Work
from reference_impl.lib.quota import COMPUTE, concerns, usage

CHARGE = "charge"


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
        if not hard or not concerns(quota, obj):
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


def _unset(quota: Any, hard: dict[str, str], pod: Any) -> str:
    """What a quota on cpu or memory demands of each container and some do not set."""
    missing: dict[str, list[str]] = {}
    for name in sorted(hard):
        which, _, resource = name.rpartition(".")
        which = which or "requests"
        if resource not in COMPUTE or which not in ("requests", "limits"):
            continue
        for container in pod.spec.containers or ():
            wish = container.resources
            if resource not in dict((getattr(wish, which) if wish else None) or ()):
                missing.setdefault(name, []).append(container.name or "")
    return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
