"""No part of the cluster is refused by access control: its roles allow what a component does."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeproof.options import load_scenario
from model.api.requests import Reply
from model.kernel.action import Action
from model.kernel.driver import FairDriver, RandomDriver, run
from model.kernel.system import System
from model.kernel.world import World
from reference_impl.apiserver.access import default_roles
from reference_impl.cluster import build

SCENARIOS = sorted(path.parent.name for path in Path("reference_impl/scenarios").glob(
    "*/scenario.yaml"))
STEPS = 700


def refusals(name: str, seed: int) -> set[str]:
    """What access control answered to components in a history of a scenario: half of it at random,
    half of it served fairly, so that inputs are worked off. What users are refused does not count:
    some of them try on purpose."""
    system = build(load_scenario(name))
    world, found = system.init(), set()
    for driver in (FairDriver(script=True), RandomDriver(seed)):
        done = run(system, driver, world, steps=STEPS)
        found |= _told(system, world, done.actions)
        world = done.world
    return found


def _told(system: System, world: World, actions: tuple[Action, ...]) -> set[str]:
    found = set()
    for action in actions:
        step = system.transition(world, action)
        assert step is not None
        world = step.after
        body = None if step.message is None else step.message.body
        if (isinstance(body, Reply) and body.code == 403 and " cannot " in body.body.message
                and not action.actor.startswith("kubectl")):
            found.add(body.body.message)
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_component_is_refused(name: str) -> None:
    """Neither in the scenario's own story nor at random."""
    assert refusals(name, 1) == set()


def test_a_missing_right_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to create pods, the replication controller gets nowhere."""
    role = "system:controller:replication-controller"
    rules = tuple(rule.replace("create delete list patch watch; core; pods", "list; core; pods")
                  for rule in default_roles.RULES[role])
    assert rules != default_roles.RULES[role]
    monkeypatch.setitem(default_roles.RULES, role, rules)
    caches = (default_roles.rules_of, default_roles.roles)
    for cache in caches:
        cache.cache_clear()
    try:
        assert any('cannot create resource "pods"' in told for told in refusals("orphans", 1))
    finally:
        monkeypatch.undo()
        for cache in caches:
            cache.cache_clear()
