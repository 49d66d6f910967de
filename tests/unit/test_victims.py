"""Which pods go first: facts that a Kubernetes 1.32 cluster shows."""

from __future__ import annotations

import pytest

from model.api.metadata import Condition, Metadata
from model.api.objects import ContainerStatus, Pod, PodSpec, PodStatus, timestamp
from reference_impl.lib.victims import to_delete

NOW_MS = 10_000_000


def pod(name: str, *, node: str | None = "n", phase: str = "Running", ready: bool = True,
        cost: str | None = None, ready_ms: int = 0, restarts: int = 0, made_ms: int = 0,
        uid: str = "u") -> Pod:
    annotations = None if cost is None else (
        ("controller.kubernetes.io/pod-deletion-cost", cost),)
    condition = Condition("Ready", "True" if ready else "False",
                          last_transition_time=timestamp(ready_ms))
    return Pod(metadata=Metadata(name=name, uid=uid, annotations=annotations,
                                 creation_timestamp=timestamp(made_ms)),
               spec=PodSpec(node_name=node),
               status=PodStatus(phase=phase, conditions=(condition,), container_statuses=(
                   ContainerStatus(restart_count=restarts),)))


@pytest.mark.parametrize(("first", "second"), [
    (pod("a", node=None), pod("b", phase="Pending", ready=False)),
    (pod("a", phase="Pending", ready=False), pod("b", phase="Unknown", ready=False)),
    (pod("a", phase="Unknown", ready=False), pod("b", ready=False)),
    (pod("a", ready=False), pod("b", cost="-5")),
    (pod("a", cost="-5"), pod("b", ready_ms=9_999_000)),
    (pod("a", ready_ms=9_999_000), pod("b", ready_ms=5_000_000)),
    (pod("a", ready_ms=1_500_000, uid="1"), pod("b", ready_ms=2_000_000, uid="2")),
    (pod("a", restarts=3), pod("b", made_ms=9_999_000)),
    (pod("a", made_ms=9_999_000), pod("b")),
], ids=["unassigned", "pending", "unknown", "not ready", "cheaper", "ready for less time",
        "same power of two: lower uid", "more restarts", "younger"])
def test_the_first_goes_before_the_second(first: Pod, second: Pod) -> None:
    """One rule a row, in the order in which they apply."""
    for pods in ((first, second), (second, first)):
        assert [each.metadata.name for each in to_delete(pods, 1, NOW_MS)] == ["a"]


def test_a_cost_that_is_no_number_counts_as_nothing() -> None:
    """As does none at all."""
    assert to_delete((pod("a", cost="dear", ready=False), pod("b", cost="0")), 1, NOW_MS)[
        0].metadata.name == "a"


def test_all_go_when_all_must() -> None:
    """Then nothing is sorted."""
    pods = (pod("b"), pod("a"))
    assert to_delete(pods, 2, NOW_MS) == pods
