"""The property all others stand on: same seed, same bytes, in any process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from kubeproof.explorer import Explorer, Plan
from model.kernel.driver import RandomDriver, run
from model.kernel.fault import budget_of
from model.kernel.property import Checker
from reference_impl.scenarios import named
from traces.history import entry

ROOT = Path(__file__).parents[2]


def worked_example_text(histories: int = 6) -> str:
    """The actions of a few random histories with all faults, as trace lines."""
    scenario = named("worked-example")
    scenario = replace(scenario, faults=scenario.faults._replace(budget=budget_of("all")))
    explorer = Explorer(scenario, ())
    lines = []
    for seed in range(histories):
        _, world = explorer.checkpoints[seed % len(explorer.checkpoints)]
        outcome = run(explorer.system, RandomDriver(seed, fault_rate=24), world, steps=150)
        lines.extend(entry(action) for action in outcome.actions)
    return "\n".join(lines)


def test_one_seed_gives_the_same_bytes_in_other_processes_and_hash_seeds() -> None:
    """Three processes with different PYTHONHASHSEED write the same trace lines as this one."""
    program = ("import sys; sys.path.insert(0, 'tests/meta'); "
               "from test_determinism import worked_example_text as text; "
               "sys.stdout.write(text())")
    here = worked_example_text()
    for seed in ("0", "77"):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              cwd=ROOT, env={"PYTHONHASHSEED": seed}, check=True)
        assert done.stdout == here
    assert "fault" in here


def test_delta_checked_histories_agree_with_full_scans() -> None:
    """After every step of random histories a full scan finds nothing the deltas missed."""
    scenario = named("worked-example")
    scenario = replace(scenario, faults=scenario.faults._replace(budget=budget_of("all")))
    explorer = Explorer(scenario)
    for seed in range(8):
        _, world = explorer.checkpoints[seed]
        outcome = run(explorer.system, RandomDriver(seed), world, steps=60,
                      checker=Checker(explorer.system, explorer.properties), full_every=1)
        assert outcome.violations == ()


def test_two_explorations_of_one_plan_are_equal() -> None:
    """The tally of an exploration is a function of scenario and plan."""
    plan = Plan(histories=12, steps=60)
    first, second = (Explorer(named("worked-example")).explore(plan) for _ in range(2))
    assert (first.steps, first.writes, first.covered) == (
        second.steps, second.writes, second.covered)
