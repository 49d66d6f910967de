"""Checks of manifests and snapshots that need no placement: each restates a document it names.

Services and their ports, selectors that overlap, quotas, disruption budgets, requests that miss,
autoscalers whose target is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from kubeproof.inventory import Inventory, Source, Workload
from model.api import objects as api
from model.api import quantities, selectors
from model.api.resources import BY_KIND
from properties.scheduler.facts import asks_of
from properties.scheduler.losses import Guard
from reference_impl.lib.quota import COMPUTE, concerns, total, usage

ERROR, WARNING, NOTE, OK, UNKNOWN = "error", "warning", "note", "ok", "unknown"

RULES = {
    "fits": "All pods fit on the nodes together.",
    "order": "The default scheduler strands no pod, in whatever order pods come.",
    "survives": "After the losses asked about all pods still fit.",
    "killing set": "The smallest set of losses after which the pods do not fit.",
    "drain": "Each node can be drained: budgets let its pods go and they find another place.",
    "cheapest": "The fewest nodes that are enough.",
    "spread": "Pods with a hard spread constraint can be spread.",
    "scale": "With every autoscaler at its maximum all pods fit.",
    "service selects": "Every Service selects at least one pod.",
    "service port": "The pods that a Service selects have the port that it sends to.",
    "selectors": "No two workloads select each other's pods.",
    "quota": "What is wished for stays below each quota, and pods say what it limits.",
    "budget": "Each disruption budget lets some pod go.",
    "requests": "Containers request processor and memory.",
    "autoscaler": "Each autoscaler has a target that it can scale.",
    "kinds": "Kinds that are not checked.",
    "histories": "Random histories with losses of nodes break no property.",
}
"""What each rule of a finding asks for."""


class Finding(NamedTuple):
    """One line of the table. `rule` names the check, `subject` what it is about."""

    rule: str
    level: str
    subject: str
    text: str
    file: str = ""
    line: int = 0
    waived: str = ""


def number_of(number: int, noun: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def static(inventory: Inventory) -> Iterator[Finding]:
    """The findings of every check of this module."""
    for check in (services, overlaps, quotas, budgets, missing_requests, autoscalers):
        yield from check(inventory)
    for kind, number in inventory.unknown:
        yield Finding("kinds", NOTE, kind, f"{number} of a kind that is not checked")


def services(inventory: Inventory) -> Iterator[Finding]:
    """Every Service with a selector reaches a pod, at a port that the pod has."""
    for each in inventory.of_kind("Service"):
        service = each.object
        spec = service.spec
        namespace = service.metadata.namespace or "default"
        subject = f"{namespace}/{service.metadata.name}"
        if spec is None or not spec.selector or spec.type == "ExternalName":
            continue
        chosen = [pod for pod in inventory.pods.values()
                  if (pod.metadata.namespace or "default") == namespace
                  and selectors.selects(spec.selector, pod.metadata.labels)]
        line = each.lines.get("spec.selector", each.line)
        if not chosen:
            wanted = ", ".join(f"{key}={value}" for key, value in spec.selector)
            yield Finding("service selects", ERROR, subject, f"no pod has {wanted}",
                          each.file, line)
            continue
        for port in spec.ports or ():
            target = port.target_port if port.target_port is not None else port.port
            missing = [pod for pod in chosen if not _has_port(pod, target)]
            if missing:
                level = ERROR if isinstance(target, str) else WARNING
                yield Finding("service port", level, subject,
                              f"pod {missing[0].metadata.name} declares no port {target}",
                              each.file, each.lines.get("spec.ports", each.line))
                break
        else:
            yield Finding("service selects", OK, subject,
                          f"it selects {number_of(len(chosen), 'pod')}")


def _has_port(pod: api.Pod, target: int | str | None) -> bool:
    declared = [port for container in (pod.spec.containers or () if pod.spec else ())
                for port in container.ports or ()]
    return any(target in (port.name, port.container_port) for port in declared)


def overlaps(inventory: Inventory) -> Iterator[Finding]:
    """Two workloads of a namespace whose selectors select each other's pods fight over them."""
    counted = [each for each in inventory.workloads if each.selector is not None]
    for at, left in enumerate(counted):
        for right in counted[at + 1:]:
            if left.namespace == right.namespace and (_claims(left, right)
                                                      or _claims(right, left)):
                yield Finding("selectors", WARNING, f"{left.kind} {left.key}",
                              f"its pods and those of {right.kind} {right.key} match one selector",
                              *left.source)


def _claims(left: Workload, right: Workload) -> bool:
    labels = right.template.metadata.labels if right.template.metadata is not None else None
    return selectors.matches(left.selector, labels)


def quotas(inventory: Inventory) -> Iterator[Finding]:
    """What is wished for stays below each quota of its namespace, and pods say what it limits."""
    for each in inventory.of_kind("ResourceQuota"):
        quota = each.object
        namespace = quota.metadata.namespace or "default"
        subject = f"{namespace}/{quota.metadata.name}"
        hard = dict((quota.spec.hard if quota.spec is not None else None) or ())
        mine = [(obj, resource) for obj, resource in _limited(inventory, namespace)
                if concerns(quota, obj)]
        used, wrong = total(mine, hard), False
        pods = sum(resource == "pods" for _, resource in mine)
        for name, text in hard.items():
            line = each.lines.get(f"spec.hard.{name}", each.line)
            silent = next((obj.metadata.name for obj, resource in mine
                           if resource == "pods" and _must_say(name)
                           and name not in dict(usage(obj, resource))), None)
            if silent is not None:
                wrong = True
                yield Finding("quota", ERROR, subject, f"pod {silent} does not say {name}, so that "
                              "it is refused", each.file, line)
            if quantities.compare(used[name], text) > 0:
                wrong = True
                told = (f"{number_of(pods, 'pod')} and what is beside them use {used[name]} {name},"
                        f" {text} is allowed")
                yield Finding("quota", ERROR, subject, told, each.file, line)
        if not wrong:
            yield Finding("quota", OK, subject, "what is wished for stays below it")


def _limited(inventory: Inventory, namespace: str) -> Iterator[tuple[Any, str]]:
    """The objects of a namespace that a quota may count, with their resource."""
    for pod in inventory.pods.values():
        if (pod.metadata.namespace or "default") == namespace:
            yield pod, "pods"
    for manifest in inventory.manifests:
        obj = manifest.object
        resource = BY_KIND.get(obj.kind)
        if (resource is not None and resource.namespaced and obj.kind != "Pod"
                and (obj.metadata.namespace or "default") == namespace):
            yield obj, resource.group_resource


def _must_say(name: str) -> bool:
    """Whether a pod must state an amount where a quota limits it."""
    return name in COMPUTE or (name.partition(".")[0] in ("requests", "limits") \
        and name.partition(".")[2] in COMPUTE)


def budgets(inventory: Inventory) -> Iterator[Finding]:
    """A disruption budget that never lets a pod go blocks every drain; so do two for one pod."""
    held: dict[str, str] = {}
    for each in inventory.of_kind("PodDisruptionBudget"):
        subject = f"{each.object.metadata.namespace or 'default'}/{each.object.metadata.name}"
        pods = guarded(inventory, each.object)
        if each.object.spec is None or not pods:
            yield Finding("budget", WARNING, subject, "it selects no pod", each.file, each.line)
            continue
        allowed = may_go(each.object.spec, len(pods))
        twice = next((key for key in pods if key in held), None)
        if allowed <= 0:
            yield Finding("budget", WARNING, subject,
                          f"of {number_of(len(pods), 'pod')} none may go: a drain never ends",
                          each.file, each.line)
        elif twice is not None:
            yield Finding("budget", WARNING, subject, f"pod {twice} has budget {held[twice]} too: "
                          "a pod with two budgets cannot be evicted", each.file, each.line)
        else:
            yield Finding("budget", OK, subject,
                          f"{allowed} of {number_of(len(pods), 'pod')} may go at a time")
        held.update(dict.fromkeys(pods, subject))


def guarded(inventory: Inventory, budget: Any) -> list[str]:
    """The keys of the pods that a disruption budget selects."""
    if budget.spec is None:
        return []
    namespace = budget.metadata.namespace or "default"
    selector = selectors.from_object(budget.spec.selector)
    return [key for key, pod in inventory.pods.items()
            if (pod.metadata.namespace or "default") == namespace
            and selectors.matches(selector, pod.metadata.labels)]


def guards(inventory: Inventory) -> list[Guard]:
    """The budgets as numbers of pods that must run."""
    found = []
    for each in inventory.of_kind("PodDisruptionBudget"):
        pods = guarded(inventory, each.object)
        if pods and each.object.spec is not None:
            name = f"{each.object.metadata.namespace or 'default'}/{each.object.metadata.name}"
            need = len(pods) - may_go(each.object.spec, len(pods))
            found.append(Guard(name, frozenset(pods), need))
    return found


def may_go(spec: Any, number: int) -> int:
    """Pods that may be unavailable; percentages are rounded up, as Kubernetes does."""
    if spec.max_unavailable is not None:
        return _share(spec.max_unavailable, number)
    return number - _share(spec.min_available if spec.min_available is not None else 0, number)


def _share(value: int | str, number: int) -> int:
    if isinstance(value, str):
        return -(-int(value.removesuffix("%")) * number // 100)
    return value


def missing_requests(inventory: Inventory) -> Iterator[Finding]:
    """Without requests a pod counts for nothing when room is judged."""
    told = set()
    for key, pod in inventory.pods.items():
        subject = inventory.owners.get(key, f"Pod {key}")
        asks = asks_of(pod.spec or api.PodSpec())
        missing = [name for name in ("cpu", "memory") if name not in asks]
        if missing and subject not in told:
            told.add(subject)
            yield Finding("requests", NOTE, subject, f"no request for {' and '.join(missing)}",
                          *inventory.sources.get(key, Source()))


def targets(inventory: Inventory) -> Iterator[tuple[Any, dict[str, Any], Workload | None]]:
    """Each autoscaler with its spec and the workload that it scales, None when it is not there."""
    by_name = {(each.kind, each.key): each for each in inventory.workloads}
    for manifest in inventory.of_kind("HorizontalPodAutoscaler"):
        obj = manifest.object
        spec = api.thaw(obj).get("spec") or {}
        target = spec.get("scaleTargetRef") or {}
        key = f"{obj.metadata.namespace or 'default'}/{target.get('name', '')}"
        yield manifest, spec, by_name.get((target.get("kind", ""), key))


def autoscalers(inventory: Inventory) -> Iterator[Finding]:
    """An autoscaler scales a workload that is there, between bounds that make sense, and by
    shares of requests that its pods make."""
    for manifest, spec, workload in targets(inventory):
        obj = manifest.object
        subject = f"{obj.metadata.namespace or 'default'}/{obj.metadata.name}"
        target = spec.get("scaleTargetRef") or {}
        least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 1)
        if workload is None:
            yield Finding("autoscaler", ERROR, subject,
                          f"there is no {target.get('kind', '')} {target.get('name', '')}",
                          manifest.file, manifest.line)
        elif most < least:
            yield Finding("autoscaler", ERROR, subject, f"maxReplicas {most} is below minReplicas "
                          f"{least}", manifest.file, manifest.line)
        else:
            asks = asks_of(workload.template.spec or api.PodSpec())
            missing = [name for name in _scaled_by(spec) if name not in asks]
            if missing:
                yield Finding("autoscaler", ERROR, subject, f"it scales by the use of "
                              f"{missing[0]}, which {workload.kind} {workload.key} does not "
                              "request", manifest.file, manifest.line)


def _scaled_by(spec: dict[str, Any]) -> list[str]:
    """The resources whose use as a share of requests decides."""
    if "targetCPUUtilizationPercentage" in spec:
        return ["cpu"]
    return [metric["resource"]["name"] for metric in spec.get("metrics") or ()
            if metric.get("type") == "Resource"
            and (metric["resource"].get("target") or {}).get("type") == "Utilization"]
