"""Stage three: evictions ask the disruption budgets first.

Source: Kubernetes documentation, "API-initiated Eviction", and the answers of release 1.32.
"""

from __future__ import annotations

from typing import Any

from model.api import conditions, selectors
from model.api.objects import (
    Condition,
    PodDisruptionBudgetStatus,
    PodStatus,
    pairs,
    put,
    timestamp,
)
from model.api.requests import Cause, Status, budget_exhausted
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.apiserver.registry import deletion, transforms
from reference_impl.apiserver.registry.allocators import Work
from reference_impl.apiserver.registry.transforms import Write

GRANT, MARK = "grant", "mark"


def decided(cache: FrozenMap[str, FrozenMap[str, Any]], write: Write, pod: Any) -> Any:
    """What an eviction makes of a pod: a Status, or the outcome of its deletion with what comes
    before it, as (outcome, work): a budget grants it, and the pod is told why it goes."""
    gone = outcome(write, pod)
    if type(gone) is Status:
        return gone
    key = f"{pod.metadata.namespace}/{pod.metadata.name}"
    mark = Work(MARK, "pods", key)
    budgets = () if _needs_no_grant(pod) else matching(cache, pod)
    if not budgets:
        return gone, (mark,)
    if len(budgets) > 1:
        return Status(code=500, message="This pod has more than one PodDisruptionBudget, which "
                      "the eviction subresource does not support.")
    key = f"{pod.metadata.namespace}/{budgets[0].metadata.name}"
    return gone, (Work(GRANT, "poddisruptionbudgets", key, (pod,)), mark)


def outcome(write: Write, pod: Any) -> Any:
    """What the deletion that an eviction asks for makes of a pod."""
    return transforms.evicted(_as_delete(write), pod)


def marked(pod: Any, now: int) -> Any:
    """The pod with the condition that tells why it goes."""
    status = pod.status or PodStatus()
    if conditions.is_true(status.conditions, "DisruptionTarget"):
        return pod
    target = Condition("DisruptionTarget", "True", "EvictionByEvictionAPI",
                       "Eviction API: evicting", last_transition_time=timestamp(now))
    return put(pod, "status", put(status, "conditions",
                                  conditions.set_condition(status.conditions, target)))


def _as_delete(write: Write) -> Write:
    body = write.request.body
    options = write.request.options
    wanted = body.delete_options if body is not None else None
    if wanted is not None:
        held = wanted.preconditions
        options = options._replace(
            grace_period_seconds=wanted.grace_period_seconds,
            propagation_policy=wanted.propagation_policy or "",
            precondition_uid=held.uid if held else None,
            precondition_resource_version=held.resource_version if held else None)
    return write._replace(request=write.request._replace(options=options))


def _needs_no_grant(pod: Any) -> bool:
    phase = pod.status.phase if pod.status is not None else None
    return (phase in ("Pending", *deletion.FINISHED)
            or pod.metadata.deletion_timestamp is not None)


def matching(cache: FrozenMap[str, FrozenMap[str, Any]], pod: Any) -> list[Any]:
    """The budgets of a pod's namespace that select it."""
    return [budget for budget in cache.get("poddisruptionbudgets", EMPTY).values()
            if budget.metadata.namespace == pod.metadata.namespace and budget.spec is not None
            and selectors.matches(selectors.from_object(budget.spec.selector),
                                  pod.metadata.labels)]


def granted(budget: Any, pod: Any, now: int) -> Any:
    """The budget with one disruption less, unchanged where none is needed, or the 429."""
    status = budget.status or PodDisruptionBudgetStatus()
    ready = pod.status is not None and conditions.is_true(pod.status.conditions, "Ready")
    if not ready:
        desired = status.desired_healthy or 0
        healthy_enough = (status.current_healthy or 0) >= desired > 0
        if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow" or healthy_enough:
            return budget
    name = budget.metadata.name or ""
    if (status.observed_generation or 0) < (budget.metadata.generation or 0):
        return Status(code=429, reason="TooManyRequests", retry_after_seconds=10,
                      message="Cannot evict pod as it would violate the pod's disruption budget.",
                      causes=(Cause("DisruptionBudget", f"The disruption budget {name} is still "
                                    "being processed by the server.", ""),))
    if (status.disruptions_allowed or 0) <= 0:
        return budget_exhausted(name, f"needs {status.desired_healthy or 0} healthy pods and has "
                                f"{status.current_healthy or 0} currently")
    disrupted = dict(status.disrupted_pods or ())
    disrupted[pod.metadata.name or ""] = timestamp(now)
    left = (status.disruptions_allowed or 0) - 1
    changed = status._replace(disruptions_allowed=left, disrupted_pods=pairs(disrupted))
    if left == 0:
        exhausted = Condition("DisruptionAllowed", "False", "InsufficientPods", "",
                              last_transition_time=timestamp(now),
                              observed_generation=status.observed_generation)
        changed = changed._replace(
            conditions=conditions.set_condition(status.conditions, exhausted))
    return put(budget, "status", changed)
