"""Z3: inductive steps, bounded checking, k-induction, proofs for any number of members."""

from __future__ import annotations

import pytest
from spec_toys import lock, toy

from model.benchmark import SPEC
from model.kernel.engines.check import with_mutant
from model.kernel.engines.prove import prove
from model.kernel.engines.smt import check_bounded, prove_by_k_induction, prove_inductive
from model.kernel.engines.smt_open import prove_any_size
from model.kernel.spec import ir
from model.kernel.spec.ground import ground
from model.kernel.spec.interpret import Program
from model.kernel.spec.scope import make_scope


def without_lemmas(module: ir.Module) -> ir.Module:
    from dataclasses import replace

    return replace(module, invariants=tuple(each for each in module.invariants if not each.lemma))


def test_without_its_lemma_the_induction_fails_and_shows_a_step_of_the_spec() -> None:
    """The counterexample to induction is a real step: enabled before, broken after."""
    module = without_lemmas(SPEC.module())
    grounded = ground(module, make_scope(module))
    proofs = {each.action: each for each in prove_inductive(grounded)}
    found = proofs["create"].counterexample
    assert found is not None
    assert found.broken == ("live_pods_never_exceed_the_ceiling",)
    program = Program(grounded)
    edges: list[tuple[object, int, object]] = []
    program.level([found.before], {}, [], edges)
    assert program.violated([found.before]) is None
    assert any(after == found.after and grounded.instances[number].action == "create"
               for _, number, after in edges)
    assert program.violated([found.after]) is not None


@pytest.mark.parametrize(("bug", "action"), [(1, "create"), (2, "bind")])
def test_a_bug_is_pinned_to_its_action(bug: int, action: str) -> None:
    """All other actions are still proved."""
    module = SPEC.module()
    proofs = prove_inductive(ground(module, make_scope(module, "ci", {"bug": bug})))
    assert [each.action for each in proofs if each.outcome != "proved"] == [action]


def test_bounded_checking_finds_the_shortest_run_and_nothing_before_it() -> None:
    """Bug 1 needs five actions, as the search says too."""
    module = without_lemmas(SPEC.module())
    grounded = ground(module, make_scope(module, "ci", {"bug": 1}))
    assert check_bounded(grounded, 4).outcome == "proved"
    found = check_bounded(grounded, 6)
    assert (found.outcome, found.depth, found.rule) == (
        "failed", 5, "live_pods_never_exceed_the_ceiling")
    assert found.labels[0].startswith("set_desired(")


TWO_STEPS = '''
    at: Annotated[int, Between(0, 9)] = 0

    @action
    def step(self) -> None:
        self.at = 0 if self.at == 1 else 1 if self.at == 0 else self.at + 1 if self.at < 9 else 0

    @invariant
    def it_is_never_five(self) -> bool:
        return self.at != 5
'''


def test_k_induction_proves_what_one_step_cannot() -> None:
    """From 2, 3 and 4 the step leads towards 5, so that two or three steps are not enough."""
    module = toy(TWO_STEPS)
    grounded = ground(module, make_scope(module))
    assert [prove_by_k_induction(grounded, k).outcome for k in (1, 3, 4)] == [
        "unknown", "unknown", "proved"]


def test_a_proof_says_at_which_scope_and_for_which_sizes_it_holds() -> None:
    """The two claims stand apart."""
    module = SPEC.module()
    proof = prove(module, make_scope(module))
    assert proof.outcome == "proved"
    text = proof.text("benchmark")
    assert "proved by induction at Pod=4, Node=2" in text
    assert ("proved for any number of Pod, any number of Node, every capacity >= 0, "
            "every ceiling >= 0 (with bug = 0)") in text


@pytest.mark.parametrize(("name", "pair"), [
    ("create_does_not_count", ("create", "the_cache_counts_no_live_pod_too_few")),
    ("bind_overlooks_terminating_pods", ("bind", "no_node_holds_more_pods_than_its_capacity"))])
def test_a_mutant_is_not_proved_for_any_size(name: str, pair: tuple[str, str]) -> None:
    """And the pair that fails is the mutated action with its rule."""
    module = SPEC.module()
    proof = prove_any_size(with_mutant(module, name), make_scope(module))
    assert (proof.outcome, proof.unproved) == ("unknown", (pair,))


def counted(step: str, rule: str = "count(self.on[p] for p in Pod) <= 2") -> ir.Module:
    """Switches on pods, a step, and a rule about how many are on."""
    return toy(f'''
    on: Map[Pod, bool] = each(False)
    mark: Map[Pod, int] = each(0)
    level: int = 0

    @action
    def act(self, p: Pod, q: Pod) -> None:
        {step}

    @invariant
    def the_rule(self) -> bool:
        return {rule}
    ''')


@pytest.mark.parametrize(("step", "proved"), [
    ("require(count(self.on[x] for x in Pod) < 2)\n        self.on[p] = True", True),
    ("require(count(self.on[x] for x in Pod) < 3)\n        self.on[p] = True", False),
    ("require(self.on[p])\n        self.on[p] = False\n        "
     "for x in Pod:\n            if x != p and x == q:\n                self.on[x] = True", False),
    ("for x in Pod:\n            self.on[x] = False", True),
    ("for x in Pod:\n            self.on[x] = self.on[x] and x != p", True),
    ("for x in Pod:\n            self.on[x] = not self.on[x]", False),
    ("require(p != q and self.on[p] and not self.on[q])\n        "
     "self.on[p] = False\n        self.on[q] = True", True),
    ("require(p != q and count(self.on[x] for x in Pod) < 2)\n        "
     "self.on[p] = True\n        self.on[q] = True", False),
])
def test_ghost_counters_follow_single_and_bulk_updates(step: str, proved: bool) -> None:
    """What is proved is true, what is false is not proved; a bulk update gives only an order."""
    proof = prove_any_size(counted(step), make_scope(counted(step)))
    assert proof.refused == ""
    assert (proof.outcome == "proved") == proved


@pytest.mark.parametrize("step", [
    "self.on[p] = True",
    "require(count(self.on[x] for x in Pod) < 3)\n        self.on[p] = True",
    "for x in Pod:\n            self.on[x] = not self.on[x]"])
def test_what_fails_at_a_scope_is_never_proved_for_any_size(step: str) -> None:
    """Soundness, seen from the finite side."""
    module = counted(step)
    finite = prove_inductive(ground(module, make_scope(module, "ci", {"Pod": 4})))
    assert any(each.outcome == "failed" for each in finite)
    assert prove_any_size(module, make_scope(module)).outcome == "unknown"


def test_sums_and_maxima_have_ghosts_too() -> None:
    """A sum moves by the difference, a maximum is described whole."""
    total = counted("require(self.mark[p] < 0)\n        self.mark[p] = 0\n        "
                    "self.level = self.level - self.mark[p]",
                    "self.level == sum(self.mark[x] for x in Pod)")
    assert prove_any_size(total, make_scope(total)).outcome == "proved"
    highest = counted("require(self.level <= self.mark[p] + 1)\n        "
                      "self.mark[p] += 1\n        self.level = max(self.level, self.mark[p] + 1)",
                      "self.level == max((self.mark[x] for x in Pod), default=0)")
    assert prove_any_size(highest, make_scope(highest)).outcome == "proved"
    wrong = counted("self.mark[p] += 1\n        self.level = self.mark[p] + 1",
                    "self.level == max((self.mark[x] for x in Pod), default=0)")
    assert prove_any_size(wrong, make_scope(wrong)).outcome == "unknown"


def test_counting_over_two_index_sets_at_once_is_refused_with_the_line() -> None:
    """With the reason."""
    pairs = counted("pass", "count(self.on[x] and self.on[y] for x in Pod for y in Pod) >= 0")
    assert "counts over two index sets at once" in prove_any_size(pairs, make_scope(pairs)).refused


def test_a_lock_is_proved_at_its_scope_and_for_any_number_of_jobs() -> None:
    """A rule about a count of at most one."""
    proof = prove(lock(), make_scope(lock()))
    assert proof.outcome == "proved"
    assert proof.any_size is not None
    assert proof.any_size.outcome == "proved"
