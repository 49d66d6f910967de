"""Every spec of the system, at its smallest scope: the packed engines and the interpreter agree."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from model.kernel.discover import exporting
from model.kernel.engines.check import with_mutant
from model.kernel.engines.lower import Unpackable
from model.kernel.engines.packed import PackedResult, search
from model.kernel.spec import interpret, ir
from model.kernel.spec.ground import ground

SPECS: dict[str, Any] = exporting("model", "SPEC")
STATES_MAX = 60_000  # for the interpreter; a larger spec is compared between packed engines
NUMPY_STATES_MAX = 1_000_000


def smallest(module: ir.Module) -> ir.Scope:
    return min(module.scopes.values(), key=lambda scope: (sum(scope.sizes.values()), str(scope)))


@cache
def whole(path: str) -> PackedResult:
    """All states of a spec at its smallest scope, in machine code."""
    module = SPECS[path].module()
    return search(module, smallest(module))


def assert_fails_alike(result: PackedResult, failure: interpret.Failure) -> None:
    """After as many steps. Which of two rules that fail so early is named may differ."""
    assert result.failure is not None
    assert len(result.failure.path) == len(failure.path)


@pytest.mark.parametrize("path", SPECS)
def test_packed_engines_agree_with_the_interpreter(path: str) -> None:
    """States, transitions, depth, what each action did, which witnesses were met."""
    module = SPECS[path].module()
    scope = smallest(module)
    found = interpret.search(ground(module, scope), states_max=STATES_MAX)
    native = whole(path)
    if found.failure is not None:  # whether it may fail is another test's business
        assert_fails_alike(native, found.failure)
    elif found.complete:
        assert (native.states, native.transitions, native.depth) == (
            found.states, found.transitions, found.depth)
        assert tuple(native.actions.values()) == found.taken
        assert tuple(native.witnesses.values()) == tuple(at >= 0 for at in found.witnessed)
    else:
        assert native.states >= found.states
    try:
        columns = search(module, scope, engine="numpy", max_states=NUMPY_STATES_MAX)
    except Unpackable as reason:
        if "two words" in reason.what:
            return
        raise
    if columns.verdict == "holds":
        assert (columns.states, columns.transitions, columns.depth, columns.actions,
                columns.reached, columns.witnesses) == (
            native.states, native.transitions, native.depth, native.actions, native.reached,
            native.witnesses)
    else:
        assert columns.verdict == native.verdict or columns.stopped_by == "states"


@pytest.mark.parametrize("path", SPECS)
def test_symmetry_keeps_verdict_depth_and_coverage(path: str) -> None:
    """Fewer states, the same levels, the same actions taken, the same values met."""
    module = SPECS[path].module()
    every = whole(path)
    try:
        reduced = search(module, smallest(module), symmetry=True)
    except Unpackable as reason:
        if "orders" in reason.what or "too many to sort" in reason.what:
            return
        raise
    assert (reduced.verdict, reduced.depth) == (every.verdict, every.depth)
    assert reduced.states <= every.states
    taken = {name: bool(count) for name, count in every.actions.items()}
    assert {name: bool(count) for name, count in reduced.actions.items()} == taken
    assert reduced.reached == every.reached
    assert reduced.witnesses == every.witnesses


@pytest.mark.parametrize(("path", "mutant"), [
    (path, each.name) for path, spec in SPECS.items() for each in spec.module().mutants[:1]])
def test_mutants_fail_alike(path: str, mutant: str) -> None:
    """With a seeded mistake both engines fail after as many steps, or neither fails: some
    mistakes break only proofs or leads-to rules."""
    module = with_mutant(SPECS[path].module(), mutant)
    scope = smallest(module)
    found = interpret.search(ground(module, scope), states_max=STATES_MAX)
    result = search(module, scope, max_states=STATES_MAX)
    if found.failure is not None:
        assert_fails_alike(result, found.failure)
    else:
        assert result.failure is None
        assert result.states == found.states or not found.complete
