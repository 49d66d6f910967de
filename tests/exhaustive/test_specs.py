"""Every spec: searched whole at its CI scope, proved inductive, and made to fail by its mutants.

The counts are pinned: a change of a spec's meaning moves a number here. After a change that was
meant, run `python -m tests.exhaustive.test_specs` style helpers: `kubeproof check SPEC` prints the
new ones.
"""

from __future__ import annotations

import pytest

from model.kernel.engines.check import check, with_mutant
from model.kernel.engines.prove import prove
from model.kernel.engines.smt import prove_inductive
from model.kernel.spec import ir
from model.kernel.spec.find import all_specs
from model.kernel.spec.ground import ground
from model.kernel.spec.scope import make_scope

# Path: states, transitions, depth (levels) at the scope "ci".
PINNED = {
    "benchmark": (70_656, 667_760, 20),
}

# Specs whose rules are proved for any number of members, not only at a bound.
ANY_SIZE = {"benchmark"}

SPECS = sorted(all_specs())
MUTANTS = [(path, mutant.name) for path in SPECS for mutant in all_specs()[path].module().mutants]


def proof_scope(module: ir.Module) -> ir.Scope:
    """The scope of the proof: its own, or that of CI."""
    return make_scope(module, "proof" if "proof" in module.scopes else "ci")


@pytest.mark.parametrize("path", SPECS)
def test_all_states_keep_all_rules_and_the_counts_are_as_pinned(path: str) -> None:
    """Safety, leads-to, every action taken, every witness met; under five seconds each."""
    module = all_specs()[path].module()
    report = check(module, make_scope(module))
    assert report.verdict == "holds", report.failure
    assert (report.states, report.transitions, report.depth) == PINNED[path]
    assert all(report.coverage.taken.values())
    assert set(report.liveness.values()) <= {"holds"}


@pytest.mark.parametrize("path", SPECS)
def test_every_action_preserves_the_rules(path: str) -> None:
    """By Z3 at the scope of the proof; for any size where the table above says so."""
    module = all_specs()[path].module()
    proof = prove(module, proof_scope(module))
    assert proof.outcome == "proved", proof.text(path)
    assert proof.any_size is not None
    assert (proof.any_size.outcome == "proved") == (path in ANY_SIZE), proof.text(path)


@pytest.mark.parametrize(("path", "name"), MUTANTS)
def test_a_mutant_breaks_the_rule_that_it_names(path: str, name: str) -> None:
    """In the search, by a shortest history."""
    module = all_specs()[path].module()
    mutant = next(each for each in module.mutants if each.name == name)
    report = check(module, make_scope(module), mutant=name)
    assert report.failure is not None
    assert mutant.breaks == report.failure.name
    assert report.trace is not None
    assert any(step.action == mutant.replaces for step in report.trace.steps) \
        or report.failure.kind == "leads-to"


@pytest.mark.parametrize(("path", "name"), MUTANTS)
def test_a_mutant_makes_the_proof_fail_at_the_mutated_action(path: str, name: str) -> None:
    """Unless it breaks a leads-to, which induction does not speak of."""
    module = all_specs()[path].module()
    mutant = next(each for each in module.mutants if each.name == name)
    if mutant.breaks in {each.name for each in module.leads_tos}:
        return
    proofs = prove_inductive(ground(with_mutant(module, name), proof_scope(module)),
                             only=mutant.replaces)
    assert [(each.action, each.outcome) for each in proofs] == [(mutant.replaces, "failed")]


@pytest.mark.parametrize("path", SPECS)
def test_a_spec_says_something(path: str) -> None:
    """It has an invariant, a witness and a mutant, and its rules are no mere bounds."""
    module = all_specs()[path].module()
    assert [each for each in module.invariants if not each.lemma]
    assert module.witnesses
    assert module.mutants
    assert all(not isinstance(each.condition, ir.Constant) for each in module.invariants)
    assert module.doc
