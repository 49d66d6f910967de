"""Random histories of what depends on other objects: collected dependents, budgets, slices, leases.

Only the properties of these controllers are checked here; `make explore` checks all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kubeproof.explorer import Explorer, Plan
from kubeproof.mutation import hunt
from model.kernel.fault import budget_of
from model.kernel.mutant import Mutant
from properties import observer
from properties.controllers import (
    disruption,
    endpoint_slice,
    garbage_collector,
    leader,
    root_ca,
)
from reference_impl.scenarios import named

MODULES: tuple[Any, ...] = (disruption, endpoint_slice, garbage_collector, leader,
                            observer, root_ca)
PROPERTIES = tuple(prop for module in MODULES for prop in module.PROPERTIES)
# They need unlikely histories, and are left to `kubeproof mutants` and the corpus.
RARE = {"gc-orphan-before-dependents-seen", "relist-ghost-object-in-queue",
        "replace-sync-after-delete-dropped"}
MUTANTS = [mutant for module in MODULES for mutant in module.MUTANTS if mutant.name not in RARE]


# Clocks that jump are no clocks that run at one speed, which leases rely on.
EVERY = "lose_request,lose_reply,cut,crash,crash_machine,isolate"


@pytest.mark.parametrize("faults", ["none", EVERY], ids=["none", "every"])
@pytest.mark.parametrize("scenario", ["dependents", "unseen-dependent", "sliced-services",
                                      "budgets", "budget-share", "two-candidates", "cut-off-leader",
                                      "certificates", "observer"])
def test_the_promises_hold(scenario: str, faults: str) -> None:
    """With and without faults, converged every six histories."""
    made = named(scenario)
    made = replace(made, faults=made.faults._replace(budget=budget_of(faults)))
    tally = Explorer(made, PROPERTIES).explore(Plan(30, 120, seed=3, converge_every=6))
    assert [str(failure.violation) for failure in tally.failures] == []
    assert tally.histories == 30


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_seeded_bug_is_caught(mutant: Mutant) -> None:
    """By the property that it names."""
    found = hunt(mutant, histories=400, steps=150, shrunk=False)
    assert found.property == mutant.caught_by
