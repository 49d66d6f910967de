"""What budgets ask for, in numbers: the rules of the disruption controller on values."""

from __future__ import annotations

import pytest

from model.api.metadata import Condition, LabelSelector, Metadata
from model.api.objects import (
    Pod,
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
    PodStatus,
)
from reference_impl.controllers.disruption import (
    Expected,
    healthy_among,
    scaled,
    selector_text,
    selects,
    told,
)

NOW = "2016-07-01T00:00:00Z"


def pod(name: str, *, ready: bool = True, going: bool = False) -> Pod:
    return Pod(metadata=Metadata(name=name, namespace="default", labels=(("app", "web"),),
                                 deletion_timestamp=NOW if going else None),
               status=PodStatus(conditions=(Condition("Ready", "True" if ready else "False"),)))


def budget(selector: LabelSelector | None,
           status: PodDisruptionBudgetStatus | None = None) -> PodDisruptionBudget:
    return PodDisruptionBudget(metadata=Metadata(name="web", namespace="default", generation=1),
                               spec=PodDisruptionBudgetSpec(selector=selector), status=status)


@pytest.mark.parametrize(("value", "total", "wanted"), [
    (2, 10, 2), ("50%", 3, 2), ("0%", 3, 0), ("100%", 3, 3), ("1%", 100, 1), ("1%", 101, 2)])
def test_shares_are_rounded_up(value: int | str, total: int, wanted: int) -> None:
    """As Kubernetes rounds both minAvailable and maxUnavailable."""
    assert scaled(value, total) == wanted


def test_healthy_pods_are_ready_and_stay() -> None:
    """Neither a pod that leaves nor one whose eviction was granted counts."""
    pods = [pod("a"), pod("b", ready=False), pod("c", going=True), pod("d")]
    assert healthy_among(pods, ()) == 2
    assert healthy_among(pods, (("d", NOW),)) == 1


def test_an_empty_selector_means_all_pods_and_an_absent_one_none() -> None:
    """policy/v1, unlike its beta."""
    assert selects(budget(LabelSelector()), pod("a"))
    assert not selects(budget(None), pod("a"))


@pytest.mark.parametrize(("expected", "healthy", "allowed"), [
    (Expected(3, 2), 3, 1), (Expected(3, 2), 2, 0), (Expected(3, 2), 1, 0), (Expected(0, 0), 0, 0)])
def test_what_is_above_the_need_is_allowed(expected: Expected, healthy: int, allowed: int) -> None:
    """Nothing where there are no pods; the condition says which of the two it is."""
    status = told(budget(LabelSelector()), expected, healthy, (), NOW)
    assert status.disruptions_allowed == allowed
    [condition] = status.conditions or ()
    assert (condition.status, condition.reason) == (
        ("True", "SufficientPods") if allowed else ("False", "InsufficientPods"))


def test_a_status_that_tells_the_same_is_left_alone() -> None:
    """The very object, so that nothing is written."""
    first = told(budget(LabelSelector()), Expected(3, 2), 3, (), NOW)
    again = told(budget(LabelSelector(), first), Expected(3, 2), 3, (), "2016-07-02T00:00:00Z")
    assert again is first


def test_a_selector_in_go_s_words() -> None:
    """As the event UnmanagedPods shows it."""
    assert selector_text(budget(LabelSelector((("app", "web"),)))) == (
        "&LabelSelector{MatchLabels:map[string]string{app: web,},"
        "MatchExpressions:[]LabelSelectorRequirement{},}")
