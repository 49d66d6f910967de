"""States of three words and more: the packed search finds what the interpreter finds."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from packed_specs import Broad  # a sibling, found by the path above

from model.kernel.engines import codegen, compiled
from model.kernel.engines.layout import WORDS_MAX, Layout, plan
from model.kernel.engines.lower import Unpackable, lower
from model.kernel.engines.packed import PackedResult, search
from model.kernel.spec import interpret, ir
from model.kernel.spec.ground import GroundState, ground
from model.kernel.spec.language import (
    Between,
    Index,
    Map,
    Spec,
    action,
    constant,
    each,
    invariant,
    require,
    step_rule,
    witness,
)


class Pod(Index, symmetric=True):
    """A pod."""


class Node(Index, symmetric=True):
    """A node."""


class Vast(Spec):
    """Three words: a map of two keys that crosses a word's end, wide numbers, and at the very end a
    mark that two states may differ in alone. `slip` seeds a fault: 1 breaks the invariant, 2 the
    step rule, 3 leaves a domain."""

    slip = constant(0)
    scopes = {"ci": {"Pod": 6, "Node": 12}}
    place: Map[Pod, Annotated[int, Between(-400, 400)]] = each(0)
    seen: Map[tuple[Pod, Node], bool] = each(False)
    moves: Annotated[int, Between(0, 3)] = 0
    last: Pod | None = None
    mark: bool = False

    @action
    def visit(self, p: Pod, n: Node) -> None:
        require(self.moves == 0 or (self.moves == 1 and self.last == p))
        require(not self.seen[p, n])
        self.seen[p, n] = True
        self.place[p] = 401 if self.slip == 3 and self.moves == 1 else self.place[p] + 7
        self.last = p
        self.moves += 1

    @action
    def leave(self, n: Node) -> None:
        require(self.moves == 2)
        for p in Pod:
            if self.seen[p, n]:
                self.seen[p, n] = False
                self.place[p] = 0 - self.place[p]
        self.moves = 1 if self.slip == 2 else 3

    @action
    def relieve(self, p: Pod, q: Pod) -> None:
        require(self.moves == 3 and self.last == p and p != q)
        self.place[p] = self.place[p] + 1
        self.place[q] = self.place[q] - 2
        self.last = None

    @action
    def toggle(self) -> None:
        require(self.last is None)
        self.mark = not self.mark

    @invariant
    def the_marked_have_few_below(self) -> bool:
        return self.slip != 1 or not self.mark or all(self.place[p] > -14 for p in Pod)

    @step_rule
    def moves_never_fall(self, after: Vast) -> bool:
        return after.moves >= self.moves

    @witness
    def somebody_is_below(self) -> bool:
        return any(self.place[p] < 0 for p in Pod)


def scope_of(**constants: int) -> ir.Scope:
    scope = Vast.module().scopes["ci"]
    return ir.Scope(scope.sizes, {**scope.constants, **constants})


def layout_of(scope: ir.Scope) -> Layout:
    return plan(lower(Vast.module(), scope))


@cache
def interpreted(slip: int) -> interpret.Found:
    return interpret.search(ground(Vast.module(), scope_of(slip=slip)))


def counts(result: PackedResult | interpret.Found) -> tuple[int, int, int]:
    return result.states, result.transitions, result.depth


def test_the_spec_needs_more_than_two_words() -> None:
    """And what it packs it unpacks; the last variable stands in the last word."""
    layout = layout_of(scope_of())
    assert len(layout.ranks) == 3
    assert layout.blocks[layout.block_of("mark")[0]].parts[0].word == 2
    words = layout.initial()
    state = layout.unpack(words)
    for name, at in (("place", 5), ("seen", 71), ("mark", 0)):
        other = {**state, name: [*state[name][:at], 1, *state[name][at + 1 :]]}
        if name == "place":
            other[name][at] = 7
        assert layout.unpack(layout.pack(other)) == other
        assert layout.pack(other) != words


def test_a_wide_search_agrees_with_the_interpreter() -> None:
    """States, transitions, depth, coverage, witnesses and verdict."""
    found = interpreted(0)
    result = search(Vast.module(), scope_of())
    assert found.complete
    assert result.verdict == "holds"
    assert counts(result) == counts(found)
    assert tuple(result.actions.values()) == found.taken
    assert tuple(result.witnesses.values()) == tuple(at >= 0 for at in found.witnessed)
    assert result.reached["mark"] == {False, True}


def test_the_table_grows_without_losing_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a table that is nearly full at once, several times."""
    monkeypatch.setattr(compiled, "TABLE_FIRST", 1 << 9)
    assert counts(search(Vast.module(), scope_of())) == counts(interpreted(0))


@pytest.mark.parametrize("symmetry", [False, True])
@pytest.mark.parametrize(("slip", "kind", "name"), [
    (1, "invariant", "the_marked_have_few_below"), (2, "step rule", "moves_never_fall"),
    (3, "fault", "place leaves its values -400..400"),
])
def test_a_seeded_fault_is_caught(slip: int, kind: str, name: str, symmetry: bool) -> None:
    """By the rule that it breaks, with a trace as short as the interpreter's."""
    module = Vast.module()
    scope = scope_of(slip=slip)
    theirs = interpreted(slip).failure
    ours = search(module, scope, symmetry=symmetry).failure
    assert ours is not None
    assert theirs is not None
    assert (ours.kind, ours.name, len(ours.path)) == (kind, name, len(theirs.path))
    assert theirs.name == name
    grounded = ground(module, scope)
    program = interpret.Program(grounded)
    assert ours.states[0] == grounded.initial
    for before, instance, after in zip(ours.states, ours.path, ours.states[1:], strict=False):
        edges: list[tuple[GroundState, int, GroundState]] = []
        program.level([before], {}, [], edges)
        assert (before, instance, after) in edges


def test_a_symmetric_search_of_wide_states_keeps_depth_and_coverage() -> None:
    """Fewer states; as many as the interpreter's fall into."""
    module, scope = Broad.module(), ir.Scope({"Pod": 20}, {})
    assert len(plan(lower(module, scope)).ranks) == 4
    found = interpret.search(ground(module, scope))
    every, reduced = search(module, scope), search(module, scope, symmetry=True)
    assert found.complete
    assert counts(every) == counts(found)
    orbits = {(*sorted(map(str, state[:20])), state[20]) for state in found.parents}
    assert (reduced.states, reduced.depth, reduced.verdict) == (len(orbits), found.depth, "holds")


@pytest.mark.parametrize(("bound", "stopped_by"), [
    ({"max_states": 1_000}, "states"), ({"max_seconds": -1.0}, "seconds"),
    ({"max_memory_bytes": 12_000_000}, "memory"),
])
def test_a_bound_ends_a_wide_search_with_a_partial_verdict(
        bound: dict[str, Any], stopped_by: str) -> None:
    """Never a crash; the bound is named, and held."""
    scope = ir.Scope({"Pod": 40}, {})
    result = search(Broad.module(), scope, **bound)
    assert (result.verdict, result.stopped_by) == ("incomplete", stopped_by)
    assert result.states <= bound.get("max_states", 10_000_000) + 80
    assert result.bytes_per_state * result.states <= bound.get("max_memory_bytes", 1 << 30)


def test_the_printed_source_of_a_wide_search_is_plain_python() -> None:
    """Run without any compiler, it finds what LLVM's code finds."""
    import numpy as np

    scope = scope_of()
    layout = layout_of(scope)
    words = len(layout.ranks)
    text = codegen.Search(layout, dense=False, canonical=None).printed()
    space: dict[str, Any] = {"njit": lambda **_: lambda function: function}
    exec(compile(text.source.replace("from numba import njit", ""), "<printed>", "exec"), space)
    s = np.zeros(text.words, np.int64)
    for at, values in text.tables:
        s[at : at + len(values)] = values
    queue, parents = np.zeros(20_000 * words, np.int64), np.zeros(20_000, np.int64)
    seen = np.zeros(1 << 15, np.uint32)
    queue[:words] = layout.initial()
    s[codegen.TAIL] = s[codegen.LEVEL_END] = 1
    with np.errstate(over="ignore"):  # hashes wrap
        space["refill"](seen, queue, 1)
        space["search"](s, seen, queue, parents, 19_000, 19_000, False)
    result = search(Vast.module(), scope)
    assert (s[codegen.TAIL], s[codegen.TRANSITIONS], s[codegen.DEPTH] + 1) == counts(result)


def test_states_beyond_the_widest_are_refused_with_their_size() -> None:
    """So that the caller can take another engine; NumPy refuses more than one word."""
    module = Broad.module()
    with pytest.raises(Unpackable, match=rf"bits, more than {WORDS_MAX} words"):
        search(module, ir.Scope({"Pod": 100}, {}))
    with pytest.raises(Unpackable, match="two words or more"):
        search(module, ir.Scope({"Pod": 20}, {}), engine="numpy")
