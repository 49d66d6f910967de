"""Clusters that Hypothesis draws: manifests, machines, a second user, faults; every promise holds.

Each drawn scenario is booted once and serves several schedules. Goals are asked for where a
cluster can come to rest: a quota that is used up makes controllers try again for ever, and the
garbage collector that later releases rely on is not there.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kubeproof.explorer import all_properties
from kubeproof.testing import fail
from model.api.scenario import Scenario
from model.kernel.driver import BytesDriver, converge, run
from model.kernel.property import Checker, Violation
from model.kernel.system import System
from model.kernel.world import World
from properties import strategies
from reference_impl.cluster import build, start

STEPS = 800
# Histories are data: the concrete actions go to our own shrinker, so Hypothesis only generates.
GENERATE = settings(phases=(Phase.generate,), max_examples=20, deadline=None, derandomize=True,
                    database=None, suppress_health_check=list(HealthCheck))
SCHEDULES = st.lists(strategies.schedules(STEPS), min_size=2, max_size=2)


def rests(scenario: Scenario) -> bool:
    """Whether the goals may be asked for in the end."""
    return scenario.release == "1.3" and not any("quota" in name for name, _ in scenario.files)


def history(scenario: Scenario, system: System, first: World, data: bytes, out: Path, *,
            goals: bool) -> None:
    """One schedule; HistoryError, with a story and a line that replays it, at a violation."""
    checker = Checker(system, all_properties())
    outcome = run(system, BytesDriver(data), first, steps=STEPS, checker=checker, full_every=50)
    violations: tuple[Violation, ...] = outcome.violations
    if goals and not violations:
        violations = converge(system, outcome.world, checker, steps=30_000).violations
    if violations:
        told = SimpleNamespace(scenario=scenario, properties=all_properties())
        fail(told, violations[0], 0, outcome.actions, out)


def test_every_promise_holds_in_clusters_drawn_by_hypothesis(tmp_path: Path) -> None:
    seen = {"small": 0, "rested": 0}

    @GENERATE
    @given(scenario=strategies.scenarios(nodes_max=3), drawn=SCHEDULES)
    def check(scenario: Scenario, drawn: list[bytes]) -> None:
        system = build(scenario)
        first = start(system, scenario)
        for number, data in enumerate(drawn):
            goals = number == 0 and rests(scenario)
            history(scenario, system, first, data, tmp_path, goals=goals)
            seen["rested"] += goals
        seen["small"] += 1

    check()
    assert seen["small"] >= 15
    assert seen["rested"] >= 1
