"""The arithmetic of Deployments: bounds, shares, revisions, history, conditions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as draw

from model.api.conditions import find
from model.api.metadata import Condition
from model.api.objects import Deployment, DeploymentStatus, ReplicaSet, freeze, timestamp
from reference_impl.lib import rollout

NOW = 1_000_000


def deployment(replicas: int = 4, surge: Any = "25%", slack: Any = "25%", image: str = "web:1",
               annotations: dict[str, str] | None = None, **spec: Any) -> Deployment:
    """A Deployment of the name web."""
    made: Deployment = freeze({
        "kind": "Deployment", "apiVersion": "apps/v1",
        "metadata": {"name": "web", "namespace": "n", "uid": "d", "generation": 1,
                     "annotations": annotations or {}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                 "strategy": {"type": "RollingUpdate", "rollingUpdate": {
                     "maxSurge": surge, "maxUnavailable": slack}},
                 "template": template(image), **spec}})
    return made


def template(image: str) -> dict[str, Any]:
    """A pod template."""
    return {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image}]}}


def replica_set(name: str, size: int, available: int | None = None, *, image: str = "web:0",
                born: int = 0, **annotations: str) -> ReplicaSet:
    """A ReplicaSet of that Deployment; annotations by their last word."""
    notes = {f"deployment.kubernetes.io/{key.replace('_', '-')}": value
             for key, value in annotations.items()}
    made: ReplicaSet = freeze({
        "kind": "ReplicaSet", "apiVersion": "apps/v1",
        "metadata": {"name": name, "uid": name, "generation": 1, "annotations": notes,
                     "creationTimestamp": timestamp(born)},
        "spec": {"replicas": size, "template": template(image)},
        "status": {"replicas": size, "observedGeneration": 1,
                   "availableReplicas": size if available is None else available}})
    return made


@pytest.mark.parametrize(("replicas", "surge", "slack", "expected"), [
    (4, "25%", "25%", (1, 1)), (10, "25%", "25%", (3, 2)), (1, "25%", "25%", (1, 0)),
    (3, 0, 0, (0, 1)), (3, "0%", "10%", (0, 1)), (2, 5, 9, (5, 2)), (0, "25%", "25%", (0, 0)),
])
def test_surplus_is_rounded_up_and_lack_down(replicas: int, surge: Any, slack: Any,
                                             expected: tuple[int, int]) -> None:
    """Where both come out as 0, one pod may lack."""
    assert rollout.bounds(deployment(replicas, surge, slack)) == expected


def test_a_change_of_the_wish_is_spread_by_shares() -> None:
    """The example of the documentation: 10 pods become 15 while 8 old and 5 new are there."""
    old = replica_set("old", 8, max_replicas="13", desired_replicas="10")
    new = replica_set("new", 5, image="web:1", born=1000, max_replicas="13", desired_replicas="10")
    wished = deployment(15, 3, 2)
    assert rollout.is_scaling(wished, (old, new))
    assert dict(rollout.level(wished, new, (old,))) == {"old": 11, "new": 7}


@given(draw.lists(draw.integers(1, 9), min_size=2, max_size=4), draw.integers(0, 12),
       draw.integers(0, 3))
def test_an_interrupted_spread_goes_on_where_it_stopped(sizes: list[int], wish: int,
                                                        surge: int) -> None:
    """However many writes were done before a crash, the result is the same, and fits the bounds."""
    before = sum(sizes)
    sets = {f"s{at}": replica_set(f"s{at}", size, born=1000 * at, max_replicas=str(before),
                                  desired_replicas=str(wish + 1)) for at, size in enumerate(sizes)}
    wished = deployment(wish, surge, 1)
    plan = rollout.proportional(wished, tuple(sets.values()))
    assert sum(size for _, size in plan) == (wish + surge if wish else 0)
    for done in range(len(plan)):
        half = dict(sets)
        for name, size in plan[:done]:
            half[name] = rollout.sized(half[name], wished, size)
        living = rollout.active(half.values())
        again = {name: rollout.size_of(half[name]) for name in half}
        again.update(rollout.proportional(wished, living))
        assert again == dict(plan)


def test_old_pods_that_are_not_available_go_first_and_free() -> None:
    """Three of four must stay: two are not there, so none that is may go."""
    new = replica_set("new", 0, image="web:1", born=1000)
    assert dict(rollout.scale_down(deployment(4), new, (replica_set("old", 4, 2),))) == {"old": 3}
    new = replica_set("new", 2, 2, image="web:1", born=1000)
    assert rollout.scale_down(deployment(4), new, (replica_set("old", 3, 2),)) == (
        ("old", 2), ("old", 1))
    lagging = replica_set("old", 2, 3)
    assert rollout.scale_down(deployment(4), replica_set("new", 1, 1), (lagging,)) == ()


def test_a_rollback_keeps_its_history() -> None:
    """The old ReplicaSet gets the next revision and remembers those it had."""
    once = replica_set("old", 0, revision="1")
    back = rollout.with_revision(deployment(annotations={"note": "x"}), once, 3)
    assert dict(back.metadata.annotations or ()) == {
        rollout.REVISION: "3", rollout.HISTORY: "1", "note": "x"}
    twice = rollout.with_revision(deployment(), back, 5)
    assert dict(twice.metadata.annotations or ())[rollout.HISTORY] == "1,3"
    assert rollout.with_revision(deployment(), twice, 4) is twice


def test_history_beyond_the_limit_goes_lowest_revision_first() -> None:
    """But nothing that still has pods, or was not looked at yet."""
    sets = tuple(replica_set(f"r{at}", 1 if at == 2 else 0, revision=str(at)) for at in (3, 1, 2))
    found = rollout.expendable(deployment(revisionHistoryLimit=1), sets)
    assert [each.metadata.name for each in found] == ["r1"]
    assert rollout.expendable(deployment(), sets) == ()


def test_a_template_is_found_by_what_it_says() -> None:
    """The label of the hash is not part of it; of two equal ones the older is the new one."""
    made = rollout.new_set(deployment(), ())
    assert (made.metadata.name or "").startswith("web-")
    assert rollout.size_of(made) == 4
    older = replica_set("older", 1, image="web:1")
    assert rollout.find_new(deployment(), (made._replace(metadata=made.metadata._replace(
        creation_timestamp=timestamp(5000))), older)) is older
    assert rollout.find_new(deployment(image="web:2"), (made,)) is None


@pytest.mark.parametrize(("old", "new", "reason"), [
    ({"replicas": 4}, {"replicas": 4, "updated_replicas": 4, "available_replicas": 4},
     "NewReplicaSetAvailable"),
    ({"replicas": 4, "updated_replicas": 1}, {"replicas": 4, "updated_replicas": 2},
     "ReplicaSetUpdated"),
    ({"replicas": 4, "updated_replicas": 2}, {"replicas": 4, "updated_replicas": 2},
     "ProgressDeadlineExceeded"),
])
def test_progress_is_told_by_the_counts(old: dict[str, int], new: dict[str, int],
                                        reason: str) -> None:
    """All new and available; further than before; or standing still past the deadline."""
    began = Condition("Progressing", "True", "ReplicaSetUpdated", "",
                      last_update_time=timestamp(NOW - 700_000))
    wished = deployment(progressDeadlineSeconds=600)._replace(
        status=DeploymentStatus(conditions=(began,), **old))
    counted = DeploymentStatus(1, conditions=(began,), **new)
    told = rollout.progressed(wished, counted, (), None, NOW)
    found = find(told.conditions, "Progressing")
    assert found is not None
    assert found.reason == reason
