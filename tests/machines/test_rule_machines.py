"""Short rule machines over the worked example: Hypothesis chooses rule by rule, and shrinks.

That a machine finds what is wrong, and tells it as a story, is tested on a toy system beside the
strategies.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from kubeproof.explorer import all_properties
from model.kernel.fault import budget_of
from properties.strategies import Ground, machine
from reference_impl import scenarios
from reference_impl.cluster import build, start

SHORT = settings(max_examples=12, stateful_step_count=40, deadline=None, derandomize=True,
                 database=None, suppress_health_check=list(HealthCheck))


@cache
def ground() -> Ground:
    """The booted worked example, in which one fault of each kind may happen."""
    scenario = scenarios.named("worked-example")
    scenario = replace(scenario, faults=scenario.faults._replace(budget=budget_of("all")))
    system = build(scenario)
    return Ground(system, start(system, scenario), all_properties())


def test_every_promise_holds_whatever_rule_comes_next() -> None:
    run_state_machine_as_test(machine(ground), settings=SHORT)
