"""Quotas, namespaces, accounts and tokens: every history in their bounds, each mistake found."""

from __future__ import annotations

from typing import Any

import pytest

from model.controllers import namespace, resource_quota, service_account, token
from model.kernel.engines.check import check
from model.kernel.engines.smt import prove_inductive
from model.kernel.spec.ground import ground
from model.kernel.spec.scope import make_scope

PINNED = [(resource_quota.SPEC, 712, 3_277, 16), (namespace.SPEC, 288, 698, 15),
          (service_account.SPEC, 4_680, 22_848, 24), (token.SPEC, 20_310, 134_420, 32)]
MISTAKES = [(spec, mutant.name, mutant.breaks) for spec, *_ in PINNED
            for mutant in spec.module().mutants]


@pytest.mark.parametrize(("spec", "states", "transitions", "depth"), PINNED,
                         ids=[spec.__name__ for spec, *_ in PINNED])
def test_every_state_keeps_the_rules_and_every_goal_is_reached(
        spec: Any, states: int, transitions: int, depth: int) -> None:
    """The counts are pinned: a change of meaning moves them. Every action and witness is met."""
    module = spec.module()
    report = check(module, make_scope(module, "ci"), engine="interpreter")
    assert report.failure is None
    assert report.verdict == "holds"
    assert (report.states, report.transitions, report.depth) == (states, transitions, depth)
    assert not report.coverage.gaps()
    assert set(report.liveness.values()) == {"holds"}


@pytest.mark.parametrize(("spec", "mutant", "rule"), MISTAKES, ids=[each[1] for each in MISTAKES])
def test_each_mistake_breaks_its_rule(spec: Any, mutant: str, rule: str) -> None:
    """A rule that no mistake breaks says nothing."""
    module = spec.module()
    report = check(module, make_scope(module, "ci"), mutant=mutant, engine="interpreter")
    assert report.failure is not None
    assert report.failure.name == rule


@pytest.mark.parametrize("spec", [spec for spec, *_ in PINNED], ids=lambda spec: spec.__name__)
def test_the_rules_are_inductive(spec: Any) -> None:
    """They hold in all states, not only in those that a search reaches."""
    module = spec.module()
    proofs = prove_inductive(ground(module, make_scope(module, "proof")))
    assert proofs
    assert [proof.action for proof in proofs if proof.outcome != "proved"] == []
