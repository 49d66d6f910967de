"""Every spec: searched whole at its CI scope, proved inductive, and made to fail by its mutants.

The counts are pinned: a change of a spec's meaning moves a number here. `kubeproof check SPEC`
prints the new ones after a change that was meant.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.kernel.engines.check import check, with_mutant
from model.kernel.engines.prove import prove
from model.kernel.engines.smt import prove_inductive
from model.kernel.engines.smt_open import prove_any_size
from model.kernel.spec import ir
from model.kernel.spec.find import all_specs
from model.kernel.spec.ground import ground
from model.kernel.spec.scope import make_scope

# Path: states, transitions, depth (levels) at the scope "ci".
PINNED = {
    "apiserver/access": (2_990, 16_525, 22),
    "apiserver/component": (50_908, 283_286, 20),
    "benchmark": (70_656, 667_760, 20),
    "cloud": (351, 1_431, 8),
    "cluster": (68_976, 372_000, 30),
    "controllers/deployment": (233_280, 3_290_688, 26),
    "controllers/disruption": (16_846, 66_552, 30),
    "controllers/endpoint": (24_704, 149_504, 27),
    "controllers/endpoint_slice": (61_744, 354_648, 36),
    "controllers/garbage_collector": (10_616, 55_530, 20),
    "controllers/leader": (13_814, 59_361, 24),
    "controllers/namespace": (288, 698, 15),
    "controllers/node": (3_996_000, 35_300_160, 69),
    "controllers/replica_set": (566, 3_096, 12),
    "controllers/replication": (68_380, 388_394, 36),
    "controllers/resource_quota": (712, 3_277, 16),
    "controllers/root_ca": (7_200, 40_648, 22),
    "controllers/service": (10_368, 55_664, 25),
    "controllers/service_account": (4_680, 22_848, 24),
    "controllers/token": (20_310, 134_420, 32),
    "etcd/member": (42_971, 192_628, 19),
    "etcd/raft": (1_740_645, 12_104_145, 26),
    "etcd/watch": (61_706, 264_803, 11),
    "kube_proxy": (476, 4_616, 8),
    "kubectl": (52, 192, 11),
    "kubelet": (28_492, 203_288, 10),
    "list_watch": (231_932, 1_051_060, 22),
    "observer": (1_296, 6_444, 17),
    "scheduler": (13_192, 99_984, 22),
}

# Proved at their scope only: rules that relate maxima or sums of minima, a number bounded by how
# many members there are, or two majorities (that they meet is no rule about one count); Z3 finds no
# proof of those for any size.
AT_A_BOUND_ONLY = {"controllers/deployment", "controllers/disruption", "controllers/replica_set",
                   "etcd/raft", "etcd/watch"}

# Mutants of these are shown not to be proved for any size either; the others take too long here.
DOUBTED = {"apiserver/component", "cluster", "kube_proxy", "kubelet", "list_watch", "scheduler"}

SPECS = sorted(all_specs())
MUTANTS = [(path, mutant.name) for path in SPECS for mutant in all_specs()[path].module().mutants]


def proof_scope(module: ir.Module) -> ir.Scope:
    """The scope of the proof: its own, or that of CI."""
    return make_scope(module, "proof" if "proof" in module.scopes else "ci")


def mutant_of(path: str, name: str) -> tuple[ir.Module, ir.Mutant]:
    module = all_specs()[path].module()
    return module, next(each for each in module.mutants if each.name == name)


def with_rule_alone(module: ir.Module, name: str) -> ir.Module:
    """The spec with just this rule, so that no other fails before it."""
    return replace(module, invariants=tuple(each for each in module.invariants
                                            if each.name == name),
                   step_rules=tuple(each for each in module.step_rules if each.name == name),
                   leads_tos=tuple(each for each in module.leads_tos if each.name == name))


@pytest.mark.parametrize("path", SPECS)
def test_all_states_keep_all_rules_and_the_counts_are_as_pinned(path: str) -> None:
    """Safety, leads-to, every action taken, every witness met; every leads-to judged."""
    module = all_specs()[path].module()
    report = check(module, make_scope(module))
    assert report.verdict == "holds", report.failure
    assert (report.states, report.transitions, report.depth) == PINNED[path]
    assert all(report.coverage.taken.values())
    assert all(verdict.startswith("holds") for verdict in report.liveness.values())


def test_the_composition_is_safe_with_three_pods_too() -> None:
    """Controller, API server, scheduler and kubelets; a machine dies and an answer is lost."""
    module = all_specs()["cluster"].module()
    report = check(module, make_scope(module, "three"), liveness=False)
    assert (report.verdict, report.states, report.transitions) == ("holds", 6_811_020, 52_528_722)


@pytest.mark.parametrize("path", SPECS)
def test_every_action_preserves_the_rules(path: str) -> None:
    """By Z3 at the scope of the proof, and for any number of members but where said above."""
    module = all_specs()[path].module()
    proof = prove(module, proof_scope(module))
    assert proof.outcome == "proved", proof.text(path)
    assert proof.any_size is not None
    assert (proof.any_size.outcome == "proved") == (path not in AT_A_BOUND_ONLY), proof.text(path)


@pytest.mark.parametrize(("path", "name"), MUTANTS)
def test_a_mutant_breaks_the_rule_that_it_names(path: str, name: str) -> None:
    """In the search, by a history that contains the mutated action, or a lasso."""
    module, mutant = mutant_of(path, name)
    report = check(with_rule_alone(module, mutant.breaks), make_scope(module), mutant=name)
    assert report.failure is not None
    assert report.failure.name == mutant.breaks
    assert report.trace is not None
    assert report.failure.kind == "leads-to" or mutant.replaces in {
        step.action for step in report.trace.steps}


@pytest.mark.parametrize(("path", "name"), MUTANTS)
def test_a_mutant_makes_the_proof_fail_at_the_mutated_action(path: str, name: str) -> None:
    """The other actions are proved one by one above, and a mutant changes none of them. One that
    breaks a leads-to alone is not a matter of induction."""
    module, mutant = mutant_of(path, name)
    proofs = prove_inductive(ground(with_mutant(module, name), proof_scope(module)),
                             only=mutant.replaces)
    failed = [each.action for each in proofs if each.outcome != "proved"]
    if mutant.breaks in {each.name for each in module.leads_tos}:
        assert failed in ([], [mutant.replaces])
    else:
        assert failed == [mutant.replaces]
        if path in DOUBTED:
            assert prove_any_size(with_mutant(module, name), proof_scope(module),
                                  only=mutant.replaces).outcome != "proved"


@pytest.mark.parametrize("path", SPECS)
def test_a_spec_says_something(path: str) -> None:
    """It has an invariant, a witness and a mutant, and its rules are no mere bounds."""
    module = all_specs()[path].module()
    assert [each for each in module.invariants if not each.lemma]
    assert module.witnesses
    assert module.mutants
    assert all(not isinstance(each.condition, ir.Constant) for each in module.invariants)
    assert all(each.breaks for each in module.mutants)
    assert module.doc
