"""Strategies draw what they say, and rule machines find a seeded fault and pass without it."""

from __future__ import annotations

import json

import pytest
import toy
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.stateful import run_state_machine_as_test

from model.api import manifests as reader
from model.api import scenario_file
from model.api.manifests import Manifest
from model.api.scenario import Scenario
from model.api.selectors import selects
from model.kernel.driver import BytesDriver, run
from model.kernel.fault import FaultPlan
from model.kernel.property import Part, always
from properties import strategies
from properties.strategies import Ground

QUICK = settings(max_examples=40, deadline=None, phases=(Phase.generate,),
                 suppress_health_check=[HealthCheck.too_slow])


def objects(scenario: Scenario) -> list[Manifest]:
    return [each for name, text in scenario.files for each in reader.parse(text, name)]


@QUICK
@given(strategies.scenarios())
def test_every_drawn_scenario_can_be_read_built_and_written(scenario: Scenario) -> None:
    """Its manifests parse, its script names files that exist, its document reads back."""
    names = {name for name, _ in scenario.files}
    for session in scenario.script:
        for action in session:
            line = str(action.args[0])
            if " -f " in line:
                assert line.split(" -f ")[1].split()[0] in names
    assert len(objects(scenario)) == len(names)
    assert 1 <= len(scenario.nodes) <= strategies.NODES_MAX
    again = scenario_file.parse(json.dumps(scenario_file.to_document(scenario)), "s.json", {})
    assert again == scenario


def _near_miss(scenario: Scenario) -> bool:
    """A service's selector shares a pair with a controller's labels and still selects nothing."""
    found = objects(scenario)
    wishes = [each.object.spec.selector for each in found if each.object.kind == "Service"]
    carried = [each.object.spec.template.metadata.labels for each in found
               if each.object.kind == "ReplicationController"]
    return any(set(wish) & set(labels) and not selects(wish, labels)
               for wish in wishes for labels in carried)


def _same_node_port(scenario: Scenario) -> bool:
    ports = [port.node_port for each in objects(scenario) if each.object.kind == "Service"
             for port in each.object.spec.ports if port.node_port]
    return len(set(ports)) < len(ports)


@pytest.mark.parametrize("wanted", [
    _near_miss, _same_node_port,
    lambda scenario: any(each.object.kind == "ResourceQuota" for each in objects(scenario)),
    lambda scenario: len(scenario.nodes) == 5 and len(scenario.files) >= 6,
    lambda scenario: not scenario.files,
], ids=["near-miss", "same-node-port", "quota", "large", "empty"])
def test_the_corners_are_within_reach(wanted: object) -> None:
    found = find(strategies.scenarios(), wanted,  # type: ignore[arg-type]  # a predicate
                 settings=settings(max_examples=3000, deadline=None, phases=(Phase.generate,),
                                   suppress_health_check=list(HealthCheck)))
    assert isinstance(found, Scenario)


@QUICK
@given(strategies.schedules(60))
def test_a_schedule_is_a_history_of_as_many_choices(data: bytes) -> None:
    system = toy.toy()
    outcome = run(system, BytesDriver(data), system.init(), steps=1_000)
    assert len(data) == 120
    assert 0 < len(outcome.actions) <= 60


def test_a_schedule_has_a_bound() -> None:
    with pytest.raises(ValueError, match="1 to 2000 steps"):
        strategies.schedules(strategies.STEPS_MAX + 1)


SHORT = settings(max_examples=15, stateful_step_count=20, deadline=None,
                 suppress_health_check=list(HealthCheck))


def test_a_rule_machine_walks_a_sound_system() -> None:
    def ground() -> Ground:
        system = toy.toy(faults=FaultPlan((("skew", 1), ("isolate", 1))))
        return Ground(system, system.init(), toy.PROPERTIES)
    run_state_machine_as_test(strategies.machine(ground), settings=SHORT)


def test_a_rule_machine_tells_the_story_of_a_violation() -> None:
    """A property that must fail is found, with the actions that led to it."""
    @always(reads=(Part("server", "counters"),), why="it must fail here")
    def nobody_ever_counts(world: object) -> str | None:
        counters = world["server"].counters  # type: ignore[index]  # a World
        return "something was counted" if len(counters) else None

    def ground() -> Ground:
        system = toy.toy()
        return Ground(system, system.init(), (nobody_ever_counts,))
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(strategies.machine(ground), settings=settings(
            SHORT, max_examples=60, phases=(Phase.generate, Phase.shrink)))
    assert "nobody ever counts: something was counted" in str(caught.value)
    assert "receives from" in str(caught.value)
