"""The packed engines find what the interpreter finds, at every corner of the language."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import packed_specs  # a sibling, found by the path above

from model.benchmark import Benchmark
from model.kernel.engines import codegen, packed
from model.kernel.engines.check import with_mutant
from model.kernel.engines.layout import plan
from model.kernel.engines.liveness import build_graph
from model.kernel.engines.lower import Unpackable, lower
from model.kernel.engines.packed import PackedResult, search
from model.kernel.engines.retrace import packer
from model.kernel.engines.symmetry import evaluator, printer
from model.kernel.spec import interpret, ir
from model.kernel.spec.ground import GroundState, ground

ENGINES: tuple[packed.EngineName, ...] = ("native", "numpy")
CORNERS = ("Aliases", "Crowns", "Ring", "Election", "Peers", "Broad", "Faulty")


def module_of(name: str) -> ir.Module:
    return Benchmark.module() if name == "Benchmark" else getattr(packed_specs, name).module()


def scope_of(module: ir.Module, **constants: int) -> ir.Scope:
    scope = module.scopes["ci"]
    return ir.Scope(scope.sizes, {**scope.constants, **constants})


def benchmark_scope(pods: int, nodes: int, capacity: int, ceiling: int, bug: int = 0) -> ir.Scope:
    return ir.Scope({"Pod": pods, "Node": nodes},
                    {"capacity": capacity, "ceiling": ceiling, "bug": bug})


def without_lemmas(module: ir.Module) -> ir.Module:
    return replace(module, invariants=tuple(each for each in module.invariants if not each.lemma))


def counts(result: PackedResult) -> tuple[int, int, int]:
    return result.states, result.transitions, result.depth


def holds_two_words(name: str) -> bool:
    return name == "Broad"


# ---------------------------------------------------------------------------- the benchmark


@pytest.mark.parametrize(("scope", "states", "transitions", "orbits"), [
    ((4, 2, 2, 3), 70_656, 667_760, 2_652),
    ((4, 3, 2, 3), 557_056, 6_053_152, 6_824),
    ((5, 3, 2, 3), 3_040_928, 35_293_344, 9_680),
])
def test_the_benchmark_is_counted_as_everybody_counts_it(
        scope: tuple[int, int, int, int], states: int, transitions: int, orbits: int) -> None:
    """States, transitions and orbits of the common model, in machine code."""
    module = Benchmark.module()
    whole = search(module, benchmark_scope(*scope))
    assert (whole.states, whole.transitions, whole.orbits) == (states, transitions, None)
    assert (whole.verdict, whole.visited) == ("holds", "dense bitset")
    assert search(module, benchmark_scope(*scope), symmetry=True).orbits == orbits


@pytest.mark.nightly
@pytest.mark.parametrize(("scope", "states", "transitions", "orbits"), [
    ((5, 3, 3, 4), 11_000_000, 146_912_920, 35_810),
    ((6, 3, 2, 3), 13_700_544, 167_168_640, 11_384),
    ((5, 4, 2, 3), 22_750_016, 294_299_584, 19_648),
    ((6, 3, 3, 4), 75_955_320, 1_082_828_520, 56_820),
])
def test_the_large_rows_of_the_benchmark(
        scope: tuple[int, int, int, int], states: int, transitions: int, orbits: int) -> None:
    """The rest of the table, in machine code, below 4 GB."""
    module = Benchmark.module()
    whole = search(module, benchmark_scope(*scope))
    assert (whole.states, whole.transitions, whole.verdict) == (states, transitions, "holds")
    assert whole.bytes_per_state * whole.states < 4 << 30
    assert search(module, benchmark_scope(*scope), symmetry=True).orbits == orbits


def test_seven_pods_on_four_nodes_up_to_symmetry() -> None:
    """More than 2**33 numbers, so the hash table: 434,388 orbits."""
    result = search(Benchmark.module(), benchmark_scope(7, 4, 3, 5), symmetry=True)
    assert (result.orbits, result.visited) == (434_388, "hash table")


@pytest.mark.parametrize("symmetry", [False, True])
def test_numpy_counts_the_benchmark(symmetry: bool) -> None:
    """The engine without a compiler agrees."""
    result = search(Benchmark.module(), benchmark_scope(4, 3, 2, 3), engine="numpy",
                    symmetry=symmetry)
    assert result.states == (6_824 if symmetry else 557_056)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("symmetry", [False, True])
@pytest.mark.parametrize(("bug", "rule", "length"), [
    (1, "live_pods_never_exceed_the_ceiling", 5),
    (2, "no_node_holds_more_pods_than_its_capacity", 9),
])
def test_seeded_bugs_are_found_by_shortest_traces(
        engine: packed.EngineName, symmetry: bool, bug: int, rule: str, length: int) -> None:
    """Both bugs of the benchmark, with concrete traces that the interpreter confirms."""
    module = without_lemmas(Benchmark.module())
    scope = benchmark_scope(4, 3, 2, 3, bug)
    failure = search(module, scope, engine=engine, symmetry=symmetry).failure
    assert failure is not None
    assert (failure.kind, failure.name, len(failure.path)) == ("invariant", rule, length)
    assert_is_a_run(module, scope, failure)


def assert_is_a_run(module: ir.Module, scope: ir.Scope, failure: interpret.Failure) -> None:
    """Each state of the trace follows from the one before by the instance that is named."""
    grounded = ground(module, scope)
    program = interpret.Program(grounded)
    assert failure.states[0] == grounded.initial
    for before, instance, after in zip(failure.states, failure.path, failure.states[1:],
                                       strict=False):
        edges: list[tuple[GroundState, int, GroundState]] = []
        program.level([before], {}, [], edges)
        assert (before, instance, after) in edges


# ------------------------------------------------------------- agreement at every corner


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CORNERS)
def test_engines_agree_with_the_interpreter(name: str, engine: packed.EngineName) -> None:
    """States, transitions, depth, coverage and verdict."""
    module = module_of(name)
    scope = scope_of(module)
    if engine == "numpy" and holds_two_words(name):
        with pytest.raises(Unpackable, match="two words"):
            search(module, scope, engine=engine)
        return
    found = interpret.search(ground(module, scope))
    result = search(module, scope, engine=engine)
    assert found.complete
    assert result.verdict == "holds"
    assert counts(result) == (found.states, found.transitions, found.depth)
    assert tuple(result.actions.values()) == found.taken
    assert tuple(result.witnesses.values()) == tuple(at >= 0 for at in found.witnessed)
    for at, cell in enumerate(ground(module, scope).cells):
        assert {state[at] for state in found.parents} <= result.reached[cell.variable]


def test_what_never_comes_up_is_not_reported_as_reached() -> None:
    """A pod of the Faulty spec that behaves never moves; its nodes do come up."""
    result = search(module_of("Faulty"), scope_of(module_of("Faulty"), how=2), max_states=3)
    assert result.reached["level"] == {0, 1, 2}
    assert result.reached["up"] == {True}


def renamings(module: ir.Module, scope: ir.Scope) -> list[Any]:
    """Every renaming of the members of symmetric sets, as a function of ground states."""
    grounded = ground(module, scope)
    names = [index.name for index in module.indexes if index.symmetric]
    found = []
    for orders in product(*(permutations(range(scope.sizes[name])) for name in names)):
        order = dict(zip(names, orders, strict=True))

        def rename(state: GroundState, order: dict[str, tuple[int, ...]] = order) -> GroundState:
            renamed: dict[Any, Any] = {}
            for cell, value in zip(grounded.cells, state, strict=True):
                indexes = module.variable(cell.variable).keys
                keys = tuple(order[index][key] if index in order else key
                             for index, key in zip(indexes, cell.keys, strict=True))
                if isinstance(cell.type, ir.MemberType) and value is not None \
                        and cell.type.index in order:
                    value = order[cell.type.index][int(value)]
                renamed[cell.variable, keys] = value
            return tuple(renamed[cell.variable, cell.keys] for cell in grounded.cells)

        found.append(rename)
    return found


@pytest.mark.parametrize("name", ["Aliases", "Election", "Peers", "Benchmark"])
def test_a_representative_stands_for_exactly_its_orbit(name: str) -> None:
    """Against all renamings, written down: the same representative within an orbit, a member of
    it, and the number of orbits that both engines count."""
    module = module_of(name)
    scope = {"Benchmark": benchmark_scope(3, 2, 1, 2),
             "Election": ir.Scope({"Pod": 2, "Node": 3}, {})}.get(name, scope_of(module))
    grounded, layout = ground(module, scope), plan(lower(module, scope))
    pack, canonical = packer(layout, grounded), evaluator(layout)
    rename = renamings(module, scope)
    orbits: dict[frozenset[Any], Any] = {}
    for state in interpret.search(grounded).parents:
        orbit = frozenset(pack(each(state)) for each in rename)
        representative = canonical(pack(state))
        assert representative in orbit
        assert orbits.setdefault(orbit, representative) == representative
    for engine in ENGINES:
        assert search(module, scope, engine=engine, symmetry=True).orbits == len(orbits)


def test_symmetry_that_is_dear_is_refused() -> None:
    """Eight members that point at one another would mean trying 40,320 orders for a state."""
    module = module_of("Peers")
    with pytest.raises(Unpackable, match="40320 orders"):
        search(module, ir.Scope({"Node": 8}, {}), symmetry=True)


# ----------------------------------------------------------------------- faults and bounds


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("symmetry", [False, True])
@pytest.mark.parametrize(("how", "kind", "names", "length"), [
    (1, "fault", {"level leaves its values 0..3"}, 4),
    (2, "step rule", {"the_level_never_sinks", "nobody_moves"}, 4),
    (3, "invariant", {"some_node_is_up"}, 7),
    (5, "step rule", {"only_who_settles_is_shaken"}, 3),
])
def test_every_kind_of_mistake_is_found(engine: packed.EngineName, symmetry: bool, how: int,
                                        kind: str, names: set[str], length: int) -> None:
    """An update out of its domain, a broken step rule, a broken invariant."""
    module = module_of("Faulty")
    scope = scope_of(module, how=how)
    failure = search(module, scope, engine=engine, symmetry=symmetry).failure
    assert failure is not None
    assert (failure.kind, len(failure.path)) == (kind, length)
    assert failure.name in names
    assert failure.line > 0
    assert_is_a_run(module, scope, failure)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_read_outside_a_numbered_index_is_a_mistake(engine: packed.EngineName) -> None:
    """It is found when it is evaluated, and only then."""
    module = module_of("Ring")
    assert search(module, scope_of(module), engine=engine).verdict == "holds"
    for guarded, length in ((0, 0), (2, 4)):  # in a guard; in the value of an update
        failure = search(module, scope_of(module, guarded=guarded), engine=engine).failure
        assert failure is not None
        assert (failure.kind, failure.name, len(failure.states)) == (
            "fault", "a numbered index is read outside its values", length + 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_value_outside_its_domain_is_told_before_its_record(engine: packed.EngineName) -> None:
    """The record that it would make is in no table; that is the spec's mistake, not ours."""
    module = module_of("Crowns")
    failure = search(module, scope_of(module, wild=1), engine=engine).failure
    assert failure is not None
    assert (failure.kind, failure.name, len(failure.path)) == (
        "fault", "weight leaves its values 0..3", 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("bound", "stopped_by"), [
    ({"max_states": 1_000}, "states"), ({"max_seconds": -1.0}, "seconds"),
    ({"max_memory_bytes": 40_000_000}, "memory"),
])
def test_a_bound_ends_a_search_with_a_partial_verdict(
        engine: packed.EngineName, bound: dict[str, Any], stopped_by: str) -> None:
    """Never a crash; the bound is named, and held."""
    result = search(Benchmark.module(), benchmark_scope(6, 3, 3, 4), engine=engine, **bound)
    assert (result.verdict, result.stopped_by) == ("incomplete", stopped_by)
    assert result.states <= bound.get("max_states", 10_000_000) + 6_000
    assert result.bytes_per_state * result.states <= bound.get("max_memory_bytes", 1 << 30)


@pytest.mark.parametrize("engine", ENGINES)
def test_states_that_wait_are_checked_before_a_partial_verdict(
        engine: packed.EngineName) -> None:
    """The bug shows in a state that the search has met but not expanded."""
    module = without_lemmas(Benchmark.module())
    scope = benchmark_scope(4, 3, 2, 3, bug=1)
    whole = search(module, scope, engine=engine)
    low, high = 1, whole.states  # the least bound with which the state is met
    while low + 1 < high:
        bound = (low + high) // 2
        result = search(module, scope, engine=engine, max_states=bound)
        low, high = (low, bound) if result.verdict == "violated" else (bound, high)
    late = search(module, scope, engine=engine, max_states=high)
    assert late.failure is not None
    assert late.transitions < whole.transitions


def test_integers_without_bounds_are_refused() -> None:
    """The reason is told, so that the caller can take another engine."""
    module = module_of("Faulty")
    level = module.variable("level")._replace(type=ir.INT)
    endless = replace(module, variables=(level, *module.variables[1:]))
    with pytest.raises(Unpackable, match="without bounds"):
        search(endless, scope_of(module))


# -------------------------------------------------------------------- compilers and sources


def printed(module: ir.Module, scope: ir.Scope, *, symmetry: bool) -> codegen.Printed:
    layout = plan(lower(module, scope))
    return codegen.Search(layout, dense=len(layout.ranks) == 1 and layout.ranks[0] < 1 << 24,
                          canonical=printer(layout) if symmetry else None).printed()


@pytest.mark.parametrize("symmetry", [False, True])
@pytest.mark.parametrize("name", ["Aliases", "Crowns", "Election", "Ring", "Peers"])
def test_the_printed_source_is_plain_python(name: str, symmetry: bool) -> None:
    """Run without any compiler, it finds what LLVM's code finds."""
    import numpy as np

    module = module_of(name)
    scope = scope_of(module)
    text = printed(module, scope, symmetry=symmetry)
    if symmetry and name == "Election":
        scope = ir.Scope({"Pod": 2, "Node": 2}, {})
        text = printed(module, scope, symmetry=symmetry)
    layout = plan(lower(module, scope))
    space: dict[str, Any] = {"njit": lambda **_: lambda function: function}
    source = text.source.replace("from numba import njit", "")
    exec(compile(source, "<printed>", "exec"), space)
    s = np.zeros(text.words, np.int64)
    for at, values in text.tables:
        s[at : at + len(values)] = values
    initial = layout.initial()[0]
    queue, parents = np.zeros(20_000, np.int64), np.zeros(20_000, np.int64)
    dense = "insert" not in space
    seen = np.zeros((layout.ranks[0] >> 6) + 1, np.uint64) if dense else np.full(
        1 << 15, -1, np.int64)
    queue[0], s[codegen.TAIL], s[codegen.LEVEL_END] = initial, 1, 1
    with np.errstate(over="ignore"):  # hashes wrap
        if dense:
            seen[initial >> 6] = np.uint64(1 << (initial & 63))
        else:
            space["refill"](seen, queue, 1)
        space["search"](s, seen, queue, parents, 19_000, 19_000, False)
    result = search(module, scope, symmetry=symmetry)
    assert (s[codegen.TAIL], s[codegen.TRANSITIONS], s[codegen.DEPTH] + 1) == counts(result)


def test_numba_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other compiler, with its cache in a folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module = module_of("Election")
    scope = ir.Scope({"Pod": 2, "Node": 2}, {})
    for _ in range(2):  # the second time from the cache
        result = search(module, scope, engine="numba", symmetry=True)
        assert counts(result) == counts(search(module, scope, symmetry=True))
    assert len(list((tmp_path / "kubeproof").glob("*.py"))) == 1


def test_another_constant_is_another_source() -> None:
    """What numba's cache goes by is the file, so no constant may stand outside it."""
    module = Benchmark.module()
    sources = {printed(module, benchmark_scope(3, 2, capacity, 3, bug), symmetry=False).source
               for capacity in (1, 2) for bug in (0, 1, 2)}
    assert len(sources) == 6


def steps_to(graph: Any, state: Any) -> int:
    """How far a state is from the initial one, by the parents of the graph."""
    steps = 0
    while (state := graph.parents[state][0]) is not None:
        steps += 1
        assert steps < 1_000
    return steps


def test_the_graph_is_the_interpreters() -> None:
    """Every state and every transition that changes something, for the liveness check."""
    module = module_of("Aliases")
    scope = scope_of(module)
    ours, theirs = packed.graph(module, scope, states_max=5_000), build_graph(ground(module, scope))
    assert ours is not None
    assert theirs is not None

    def edges(graph: Any) -> set[Any]:
        return {(graph.states[a], int(k), graph.states[b]) for a, k, b in zip(
            graph.source, graph.instance, graph.target, strict=True)}

    assert edges(ours) == edges(theirs)
    assert ours.states[0] == theirs.states[0]
    known = edges(theirs)
    for state, (before, instance) in ours.parents.items():
        assert before is None or (before, instance, state) in known
        assert steps_to(ours, state) == steps_to(theirs, state)
    assert packed.graph(module, scope, states_max=100) is None


# --------------------------------------------------------------------------- mutants


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mutant", [each.name for each in Benchmark.module().mutants])
def test_mutants_of_the_benchmark_are_caught(engine: packed.EngineName, mutant: str) -> None:
    """By the rule that each says it breaks."""
    module = without_lemmas(with_mutant(Benchmark.module(), mutant))
    wanted = next(each.breaks for each in module.mutants if each.name == mutant)
    failure = search(module, benchmark_scope(4, 2, 2, 3), engine=engine).failure
    assert failure is not None
    assert failure.name == wanted
