"""What becomes of dependents, told as short stories: a whole cluster, served fairly, no faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from model.api.scenario import kubectl
from model.kernel.driver import FairDriver, run
from properties.reading import objects
from reference_impl.cluster import build, start
from reference_impl.scenarios import named


def told(*lines: str) -> Any:
    """The world after these commands, each given when all is quiet."""
    scenario = replace(named("dependents"), script=(kubectl(*lines),))
    system = build(scenario)
    outcome = run(system, FairDriver(), start(system, scenario), steps=20_000)
    assert outcome.world.quiet()
    return outcome.world


def names(world: Any, plural: str) -> list[str]:
    return [obj.metadata.name.rpartition("-")[0] or obj.metadata.name
            for obj in objects(world, plural)]


@pytest.mark.parametrize("how", ["background", "foreground"])
def test_pods_go_with_their_controller(how: str) -> None:
    """At once or first, but they go."""
    world = told("create -f web.yaml", f"delete rc web --cascade={how} --wait=false")
    assert names(world, "pods") == names(world, "replicationcontrollers") == []


def test_orphans_stay_and_name_no_owner() -> None:
    """The controller goes."""
    world = told("create -f web.yaml", "delete rc web --cascade=orphan --wait=false")
    [pod] = objects(world, "pods")
    assert pod.metadata.owner_references is None
    assert names(world, "replicationcontrollers") == []


def test_a_new_controller_takes_the_orphans_in() -> None:
    """By their labels."""
    world = told("create -f web.yaml", "delete rc web --cascade=orphan", "create -f web.yaml")
    [pod] = objects(world, "pods")
    [controller] = objects(world, "replicationcontrollers")
    assert [ref.uid for ref in pod.metadata.owner_references] == [controller.metadata.uid]


def test_what_names_nobody_or_somebody_elsewhere_goes() -> None:
    """And what names somebody who is there stays."""
    world = told("create -f kept.yaml", "create -f astray.yaml", "create -f stray.yaml")
    kept = {"kept"} & set(names(world, "configmaps"))
    gone = {"astray", "stray"} & set(names(world, "configmaps"))
    assert (kept, gone) == ({"kept"}, set())
