"""Random histories of a scheduler behind a small API server: promises, spec, seeded bugs."""

from __future__ import annotations

import pytest
from node_agents import explore
from scheduler_cluster import CONTESTED, LATE_NODE, SCRIPT, scheduling

from model.kernel.mutant import Mutant
from properties.scheduler import MUTANTS, PROPERTIES


@pytest.mark.parametrize("faults", ["none", "crash", "cut", "lose_reply", "lose_request"])
def test_the_scheduler_keeps_its_promises(faults: str) -> None:
    """No property fails, every step is one of the spec's, and the witnesses were seen."""
    found = explore(scheduling(faults), PROPERTIES, histories=60, steps=300)
    assert found.violations == ()
    assert found.seen == {each.name for each in PROPERTIES if each.kind == "sometimes"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_seeded_bug_of_the_scheduler_is_caught(mutant: Mutant) -> None:
    """The property that must catch it does, alone."""
    wanted = tuple(each for each in PROPERTIES if each.name == mutant.caught_by)
    every = 1 if wanted[0].kind == "leads_to" else 1000
    with mutant.installed():
        # A short history: five minutes after the loss a pod is tried again anyhow.
        script, steps = (LATE_NODE, 70) if mutant.scenario == "room-freed-late" else (
            CONTESTED if mutant.scenario == "contested-room" else SCRIPT, 300)
        found = explore(scheduling(mutant.faults, script), wanted, histories=400, steps=steps,
                        converge_every=every)
    assert [each.property for each in found.violations][:1] == [mutant.caught_by]
