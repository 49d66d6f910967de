"""The disruption controller: how many pods of each PodDisruptionBudget may be evicted now.

Source: Kubernetes documentation, "Specifying a Disruption Budget for your Application"; Kubernetes
1.32, pkg/controller/disruption. A budget is worth what its status says, because evictions look at
nothing else: an eviction takes one from `disruptionsAllowed` and notes its pod in `disruptedPods`.
The controller counts the healthy pods: ready, not being deleted, and not noted there. A note is
kept until its pod is seen to go, or for two minutes: then the eviction is taken to have failed.

`minAvailable` as a number counts all selected pods; as a share, like `maxUnavailable`, it is
measured by the wishes of the pods' controllers, of which each counts once (ReplicationControllers,
ReplicaSets, the Deployments of ReplicaSets, StatefulSets), rounded up. Pods without a controller do
not count there, with a warning; a controller of another kind makes the budget unusable: it allows
nothing and says so.

When a controller's wish changes, its budgets are looked at a little later: by then its pods have
changed as well, as a rule. Kubernetes looks only when pods change.

Not modelled: controllers of custom kinds with a scale, and taking back the condition
DisruptionTarget of a pod whose eviction failed. Of several budgets for one pod each is kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api import selectors
from model.api.conditions import find, is_true, set_condition
from model.api.metadata import Condition, controller_of
from model.api.objects import (
    IntOrString,
    Pod,
    PodDisruptionBudget,
    PodDisruptionBudgetStatus,
    milliseconds,
    rest_fields,
    timestamp,
    with_status,
)
from model.api.requests import Request, update_status
from model.api.scenario import Scenario
from model.kernel.component import Component, Io
from reference_impl.lib import work_queue
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector
from reference_impl.lib.service_pods import pair_values, pod_values

BUDGETS, PODS = "poddisruptionbudgets", "pods"
OWNERS = {"ReplicationController": "replicationcontrollers", "ReplicaSet": "replicasets",
          "Deployment": "deployments", "StatefulSet": "statefulsets"}
VERSIONS = {"ReplicationController": "v1"}
APPS = "apps/v1"
DELETION_TIMEOUT_MS = 120_000
AFTER_SCALING_MS = 1_000
ALLOWED = "DisruptionAllowed"
NOTED = "noted:"
"""The timer that gives up the oldest note of a budget."""

State = ControllerState[None]


class Expected(NamedTuple):
    """What a budget is measured by: pods that should be there, healthy ones that must be, names of
    pods that do not count, and why it cannot be told."""

    pods: int = 0
    healthy: int = 0
    unmanaged: tuple[str, ...] = ()
    fault: str = ""


def namespace_of(obj: Any) -> str | None:
    """The namespace of an object."""
    namespace: str | None = obj.metadata.namespace
    return namespace


class Disruption(Controller[None]):
    """See the head of this file."""

    name = "controllers/disruption"
    source = "controllermanager"
    reflectors = (
        Reflector(BUDGETS, indexes={"namespace": namespace_of}),
        Reflector(PODS, indexes={"labels": pod_values, "namespace": namespace_of}),
        *(Reflector(lane) for lane in OWNERS.values()),
    )
    blank = None

    # -- handlers -------------------------------------------------------------------------------

    def observed(self, local: State, lane: str, change: Change, io: Io) -> State:
        old, new = change.old, change.new
        if lane in (BUDGETS, PODS) or old is None or new is None or wish_of(old) == wish_of(new):
            return local
        for key in self.reflector(BUDGETS).keys_by(local.caches[BUDGETS], "namespace",
                                                   new.metadata.namespace):
            work_queue.add_after(io, key, AFTER_SCALING_MS)
        return local

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        if lane == BUDGETS:
            return (change.key,)
        if lane != PODS:
            return ()
        old, new = change.old, change.new
        if old is not None and new is not None and seen_by_budgets(old) == seen_by_budgets(new):
            return ()
        found = (key for pod in (old, new) if pod is not None
                 for key in self._budgets_of(local, pod))
        return tuple(dict.fromkeys(found))

    def _budgets_of(self, local: State, pod: Pod) -> list[str]:
        cache = local.caches[BUDGETS]
        keys = self.reflector(BUDGETS).keys_by(cache, "namespace", pod.metadata.namespace or "")
        return [key for key in keys if selects(cache.store[key], pod)]

    def alarm(self, local: State, key: str, io: Io) -> State:
        return self.enqueue(local, (key.removeprefix(NOTED),))

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        budget: PodDisruptionBudget | None = self.cached(local, BUDGETS, key)
        if budget is None:
            return self.done(local)
        pods = self._pods_of(local, budget)
        if not pods:
            local = self.event(local, budget, "Normal", "NoPods", "No matching pods found", io)
        expected = self._expected(local, budget, pods)
        if expected.fault:
            local = self.event(local, budget, "Warning", "CalculateExpectedPodCountFailed",
                               "Failed to calculate the number of expected pods: "
                               f"{expected.fault}", io)
            status = failed(budget, expected.fault, timestamp(io.now))
        else:
            if expected.unmanaged:
                local = self.event(local, budget, "Warning", "UnmanagedPods",
                                   unmanaged_text(budget, expected.unmanaged), io)
            noted, recheck = self.still_noted(budget, pods, io)
            status = told(budget, expected, healthy_among(pods, noted), noted, timestamp(io.now))
            if recheck:
                io.after(recheck, NOTED + key)
            else:
                io.cancel(NOTED + key)
        if status == budget.status:
            return self.done(local)
        return self.ask(local, self.writing(budget, status), status, io)

    def writing(self, budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus) -> Request:
        """The write of a status: only over the one that was seen, since evictions change it too."""
        return update_status(with_status(budget, status))

    def still_noted(self, budget: PodDisruptionBudget, pods: list[Pod],
                    io: Io) -> tuple[tuple[tuple[str, str], ...], int]:
        """The notes of evictions that are still to come true, and in how many milliseconds the
        first of them is given up (0: none)."""
        status = budget.status or PodDisruptionBudgetStatus()
        names = {pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp is None}
        kept = []
        recheck = 0
        for name, moment in status.disrupted_pods or ():
            left = milliseconds(moment) + DELETION_TIMEOUT_MS - io.now
            if name in names and left > 0:
                kept.append((name, moment))
                recheck = min(recheck or left, left)
        return tuple(kept), recheck

    def _pods_of(self, local: State, budget: PodDisruptionBudget) -> list[Pod]:
        """The pods that a budget selects, in the order of their names."""
        reflector, cache = self.reflector(PODS), local.caches[PODS]
        spec, namespace = budget.spec, budget.metadata.namespace or ""
        if spec is None or spec.selector is None:
            return []
        lists = [reflector.keys_by(cache, "labels", value)
                 for value in pair_values(namespace, spec.selector.match_labels)]
        keys = min(lists, key=len) if lists else reflector.keys_by(cache, "namespace", namespace)
        return [pod for pod in (cache.store[key] for key in keys) if selects(budget, pod)]

    # -- what there should be -------------------------------------------------------------------

    def _expected(self, local: State, budget: PodDisruptionBudget, pods: list[Pod]) -> Expected:
        spec = budget.spec
        if spec is None:
            return Expected()
        if spec.max_unavailable is not None:
            found = self._wished(local, pods)
            unavailable = scaled(spec.max_unavailable, found.pods)
            return found._replace(healthy=max(0, found.pods - unavailable))
        if isinstance(spec.min_available, int):
            return Expected(len(pods), spec.min_available)
        if spec.min_available is not None:
            found = self._wished(local, pods)
            return found._replace(healthy=scaled(spec.min_available, found.pods))
        return Expected()

    def _wished(self, local: State, pods: list[Pod]) -> Expected:
        """How many pods their controllers wish for, each controller once."""
        wishes: dict[str, int] = {}
        unmanaged = []
        seen: set[str] = set()
        for pod in pods:
            ref = controller_of(pod.metadata)
            if ref is None:
                unmanaged.append(pod.metadata.name or "")
                continue
            if ref.uid in seen:
                continue
            seen.add(ref.uid or "")
            owner = self._owner(local, pod.metadata.namespace, ref)
            above = None if owner is None else controller_of(owner.metadata)
            if owner is not None and owner.kind == "ReplicaSet" and above is not None and \
                    above.kind == "Deployment":
                owner = self._owner(local, pod.metadata.namespace, above)
            if owner is None:
                return Expected(fault=f'found no controllers for pod "{pod.metadata.name}"')
            wishes[owner.metadata.uid] = wish_of(owner)
        return Expected(sum(wishes.values()), 0, tuple(unmanaged))

    def _owner(self, local: State, namespace: str | None, ref: Any) -> Any:
        lane = OWNERS.get(ref.kind)
        if lane is None or ref.api_version != VERSIONS.get(ref.kind, APPS):
            return None
        owner = self.cached(local, lane, f"{namespace}/{ref.name}")
        return owner if owner is not None and owner.metadata.uid == ref.uid else None


# -- rules ---------------------------------------------------------------------------------------


def seen_by_budgets(pod: Pod) -> tuple[Any, ...]:
    """Everything of a pod that its budgets depend on."""
    return (pod.metadata.labels, pod.metadata.uid, pod.metadata.deletion_timestamp is None,
            pod.metadata.owner_references, is_ready(pod))


def selects(budget: PodDisruptionBudget, pod: Pod) -> bool:
    """Whether a budget speaks of a pod of its namespace: an empty selector means all of them."""
    return (budget.spec is not None and budget.metadata.namespace == pod.metadata.namespace
            and selectors.matches(selectors.from_object(budget.spec.selector),
                                  pod.metadata.labels))


def is_ready(pod: Pod) -> bool:
    """Whether a pod's condition Ready is True."""
    return pod.status is not None and is_true(pod.status.conditions, "Ready")


def healthy_among(pods: list[Pod], noted: tuple[tuple[str, str], ...]) -> int:
    """How many pods are ready and will stay, as far as is known."""
    going = {name for name, _ in noted}
    return sum(1 for pod in pods if pod.metadata.deletion_timestamp is None
               and pod.metadata.name not in going and is_ready(pod))


def wish_of(owner: Any) -> int:
    """How many pods a controller wishes for; one, where it does not say."""
    if owner.kind == "StatefulSet":
        wish = rest_fields(owner).get("spec", {}).get("replicas")
    else:
        wish = None if owner.spec is None else owner.spec.replicas
    return 1 if wish is None else int(wish)


def scaled(value: IntOrString, total: int) -> int:
    """A number as it is, a percentage of `total` rounded up."""
    if isinstance(value, int):
        return value
    return -(-int(value.rstrip("%")) * total // 100)


def unmanaged_text(budget: PodDisruptionBudget, names: tuple[str, ...]) -> str:
    """The warning about pods that a budget cannot be measured by."""
    return (f"Pods selected by this PodDisruptionBudget (selector: {selector_text(budget)}) were "
            f"found to be unmanaged: [{' '.join(names)}]. As a result, the status of the PDB cannot"
            " be calculated correctly, which may result in undefined behavior. To account for these"
            ' pods please set ".spec.minAvailable" field of the PDB to an integer value.')


def selector_text(budget: PodDisruptionBudget) -> str:
    """A budget's selector as Go prints it."""
    selector = None if budget.spec is None else budget.spec.selector
    if selector is None:
        return "nil"
    pairs = "".join(f"{name}: {value}," for name, value in selector.match_labels or ())
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{each.key},Operator:{each.operator},"
        f"Values:[{' '.join(each.values or ())}],}}," for each in selector.match_expressions or ())
    return (f"&LabelSelector{{MatchLabels:map[string]string{{{pairs}}},"
            f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}")


def told(budget: PodDisruptionBudget, expected: Expected, healthy: int,
         noted: tuple[tuple[str, str], ...], now: str) -> PodDisruptionBudgetStatus:
    """The status that tells what was counted; the old one itself when it tells the same."""
    old = budget.status or PodDisruptionBudgetStatus()
    allowed = max(0, healthy - expected.healthy) if expected.pods > 0 else 0
    generation = budget.metadata.generation
    reason = "SufficientPods" if allowed > 0 else "InsufficientPods"
    known = find(old.conditions, ALLOWED)
    if ((old.current_healthy or 0, old.desired_healthy or 0, old.expected_pods or 0,
         old.disruptions_allowed or 0, old.disrupted_pods or (), old.observed_generation)
            == (healthy, expected.healthy, expected.pods, allowed, noted, generation)
            and known is not None and known.observed_generation == generation
            and known.reason == reason):
        return old
    condition = Condition(ALLOWED, "True" if allowed > 0 else "False", reason, "",
                          last_transition_time=now, observed_generation=generation)
    return PodDisruptionBudgetStatus(generation, noted or None, allowed, healthy,
                                     expected.healthy, expected.pods,
                                     set_condition(old.conditions, condition), old.rest)


def failed(budget: PodDisruptionBudget, fault: str, now: str) -> PodDisruptionBudgetStatus:
    """The status of a budget that cannot be measured: nothing is allowed."""
    old = budget.status or PodDisruptionBudgetStatus()
    condition = Condition(ALLOWED, "False", "SyncFailed", fault, last_transition_time=now,
                          observed_generation=budget.metadata.generation)
    known = find(old.conditions, ALLOWED)
    if known is not None and (known.reason, known.message, known.observed_generation) == (
            "SyncFailed", fault, budget.metadata.generation) and not old.disruptions_allowed:
        return old
    return old._replace(disruptions_allowed=0,
                        conditions=set_condition(old.conditions, condition))


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The disruption controller of a cluster that runs the controllers of workloads."""
    return (Disruption(),) if scenario.workloads else ()
