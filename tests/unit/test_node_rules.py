"""Taints, tolerations and lost nodes: facts of Kubernetes 1.32."""

from __future__ import annotations

import pytest

from model.api.metadata import Condition, Metadata
from model.api.objects import Node, NodeSpec, NodeStatus, Pod, PodSpec, Taint, Toleration
from reference_impl.lib import node_rules

GONE = Taint("node.kubernetes.io/unreachable", None, "NoExecute")
SMOKE = Taint("smoke", "thick", "NoExecute")


def node(ready: str, *taints: Taint, unschedulable: bool | None = None,
         pressure: str = "False") -> Node:
    conditions = (Condition("MemoryPressure", pressure), Condition("Ready", ready))
    return Node(metadata=Metadata(name="n"), status=NodeStatus(conditions=conditions),
                spec=NodeSpec(unschedulable=unschedulable, taints=taints or None))


def names(made: Node) -> list[tuple[str | None, str | None]]:
    taints = None if made.spec is None else made.spec.taints
    return [(taint.key, taint.effect) for taint in taints or ()]


class TestTaints:
    def test_a_ready_node_has_none(self) -> None:
        """What the controller gave it takes back; other taints stay."""
        made = node_rules.retainted(node("True", GONE, SMOKE), True, 0)
        assert names(made) == [("smoke", "NoExecute")]

    def test_a_silent_node_is_unreachable(self) -> None:
        """NoSchedule at once, NoExecute only when it is its turn."""
        lost = node("Unknown")
        assert names(node_rules.retainted(lost, False, 0)) == [
            ("node.kubernetes.io/unreachable", "NoSchedule")]
        assert names(node_rules.retainted(lost, True, 0)) == [
            ("node.kubernetes.io/unreachable", "NoSchedule"),
            ("node.kubernetes.io/unreachable", "NoExecute")]

    def test_a_node_that_says_no_is_not_ready(self) -> None:
        """The other pair of taints replaces the first."""
        made = node_rules.retainted(node("False", GONE), True, 0)
        assert names(made) == [("node.kubernetes.io/not-ready", "NoSchedule"),
                               ("node.kubernetes.io/not-ready", "NoExecute")]

    def test_pressure_and_cordon_keep_new_pods_away(self) -> None:
        """Each by a taint of its own."""
        made = node_rules.retainted(node("True", unschedulable=True, pressure="True"), True, 0)
        assert names(made) == [("node.kubernetes.io/memory-pressure", "NoSchedule"),
                               ("node.kubernetes.io/unschedulable", "NoSchedule")]

    def test_a_node_that_has_its_taints_is_left_alone(self) -> None:
        """The very same object means: nothing to write."""
        made = node_rules.retainted(node("Unknown"), True, 0)
        assert node_rules.retainted(made, True, 5000) is made


def test_a_lost_node_has_unknown_conditions() -> None:
    """Those that a kubelet reports, with Kubernetes' words; missing ones are added."""
    status = node_rules.lost_status(node("True"), 1000)
    found = {each.type: (each.status, each.reason) for each in status.conditions or ()}
    assert found["Ready"] == ("Unknown", "NodeStatusUnknown")
    assert found["DiskPressure"] == ("Unknown", "NodeStatusNeverUpdated")


@pytest.mark.parametrize(("tolerations", "stays_ms"), [
    ((), 0),
    ((Toleration("node.kubernetes.io/unreachable", "Exists", None, "NoExecute", 300),), 0),
    ((Toleration(operator="Exists"),), None),
    ((Toleration("node.kubernetes.io/unreachable", "Exists", None, "NoExecute", 300),
      Toleration("smoke", "Equal", "thick", "NoExecute", 60)), 60_000),
    ((Toleration("node.kubernetes.io/unreachable", "Exists"),
      Toleration("smoke", None, "thin")), 0),
    ((Toleration("node.kubernetes.io/unreachable", "Exists"),
      Toleration("smoke", None, "thick")), None),
    ((Toleration(operator="Exists", effect="NoSchedule"),), 0),
], ids=["none", "one of two", "everything", "the shortest counts", "another value", "for ever",
        "another effect"])
def test_how_long_a_pod_bears_its_node(tolerations: tuple[Toleration, ...],
                                       stays_ms: int | None) -> None:
    """All taints must be tolerated; None means for ever."""
    pod = Pod(spec=PodSpec(tolerations=tolerations))
    assert node_rules.tolerated_ms(pod, (GONE, SMOKE)) == stays_ms
