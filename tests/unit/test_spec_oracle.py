"""The oracle: one open state, names instead of numbers, counts kept from state to state."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.benchmark import SPEC
from model.kernel.errors import InputError
from model.kernel.spec.oracle import Label, Oracle, Refusal
from model.kernel.values import FrozenMap


def oracle(**constants: int) -> Oracle:
    return Oracle(SPEC.module(), constants)


def state(**pods: tuple[str, str | None]) -> dict[str, object]:
    """A cluster of two machines with these pods (phase, machine)."""
    return {"phase": FrozenMap((name, phase) for name, (phase, _) in pods.items()),
            "node": FrozenMap((name, node) for name, (_, node) in pods.items()),
            "up": FrozenMap({"n1": True, "n2": False}.items()), "desired": 3, "cached": 2}


def test_a_step_gives_what_the_action_assigns() -> None:
    """Right sides read the old state; the key of a plain variable is ()."""
    before = state(a=("pending", None))
    assert oracle().step(before, Label("bind", ("a", "n1"))) == {
        "phase": {"a": "bound"}, "node": {"a": "n1"}}
    assert oracle().step(before, Label("create", ("b",))) == {
        "phase": {"b": "pending"}, "cached": {(): 3}}


def test_a_refusal_names_the_conjunct_that_was_false_and_its_line() -> None:
    """With the names in place of the parameters."""
    refused = oracle().step(state(a=("pending", None)), Label("bind", ("a", "n2")))
    assert isinstance(refused, Refusal)
    assert refused.text.startswith("bind(a, n2) needs up[n2] (model/benchmark.py:")


def test_a_bulk_update_covers_the_names_that_the_maps_hold() -> None:
    """recover moves every running pod of its machine."""
    before = state(a=("running", "n2"), b=("running", "n1"), c=("bound", "n2"))
    assert oracle().step(before, Label("recover", ("n2",))) == {
        "up": {"n2": True}, "phase": {"a": "bound"}}


def test_check_accepts_the_step_and_names_each_way_to_deviate() -> None:
    """Missing, wrong and surplus changes, stutters, unknown actions."""
    judge = oracle()
    before = state(a=("pending", None))
    after = judge.after(before, {"phase": {"a": "bound"}, "node": {"a": "n1"}})
    label = Label("bind", ("a", "n1"))
    assert judge.check(before, [label], after) is None
    assert judge.check(before, [], before) is None
    half = judge.after(before, {"phase": {"a": "bound"}})
    wrong = judge.after(after, {"node": {"a": "n2"}})
    more = judge.after(after, {"phase": {"b": "pending"}})
    assert judge.check(before, [label], half) == "bind(a, n1): node[a] is None, the spec says n1"
    assert judge.check(before, [label], wrong) == "bind(a, n1): node[a] is n2, the spec says n1"
    assert judge.check(before, [label], more) == (
        "bind(a, n1): phase[b] went from None to pending, the spec leaves it")
    assert judge.check(before, [], after) == ("a step that the spec does not see: phase[a] went "
                                              "from pending to bound, the spec leaves it")
    with pytest.raises(InputError, match="has no action 'jump'"):
        judge.step(before, Label("jump"))


def test_several_labels_are_taken_one_after_the_other() -> None:
    """A transaction is a sequence; a refusal in the middle is told."""
    judge = oracle()
    before = state()
    labels = [Label("create", ("a",)), Label("bind", ("a", "n1"))]
    after = judge.after(before, {"phase": {"a": "bound"}, "node": {"a": "n1"}, "cached": {(): 3}})
    assert judge.check(before, labels, after) is None
    assert "needs phase[a]" in str(judge.check(before, labels[::-1], after))


def test_a_missing_entry_means_the_initial_value() -> None:
    """An entry may go when its value is the initial one again."""
    judge = oracle()
    before = state(a=("terminating", "n1"))
    after = {**before, "phase": FrozenMap(), "node": FrozenMap()}
    assert judge.check(before, [Label("finish", ("a",))], after) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(
    ["absent", "pending", "bound", "running", "terminating"]), st.sampled_from(["n1", "n2"])),
    max_size=25))
def test_counts_kept_by_difference_are_the_counts(writes: list[tuple[str, str, str]]) -> None:
    """After any writes the kept count decides the guard as a fresh count does."""
    kept = oracle(capacity=2)
    now = state()
    phase, node = FrozenMap[str, str](), FrozenMap[str, str]()
    for name, value, machine in writes:
        phase, node = phase.set(name, value), node.set(name, machine)
        now = {**now, "phase": phase.set("x", "pending"), "node": node}
        occupied = sum(1 for each in node.values() if each == "n1")
        allowed = isinstance(kept.step(now, Label("bind", ("x", "n1"))), dict)
        assert allowed == (occupied < 2)
