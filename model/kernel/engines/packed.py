"""Packed search: all states of a spec at a scope, in machine words.

`search` is breadth first, so a counterexample is as short as there is one; `graph` hands over all
states and edges. The same program runs in machine code (engine native: LLVM; or numba) and in
NumPy, where no compiler is wanted.
Bounds on states, seconds and memory end a search with the verdict "incomplete", never a crash.
A state is checked when its turn comes; those still waiting at the end of a bounded search are
checked before it reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from model.kernel.engines.layout import Layout, plan
from model.kernel.engines.lower import Unpackable, decode, lower
from model.kernel.spec import ir
from model.kernel.spec.interpret import Failure

if TYPE_CHECKING:
    from model.kernel.engines.liveness import Graph

EngineName = Literal["native", "numba", "numpy"]
Verdict = Literal["holds", "violated", "incomplete"]
DENSE_RANKS_MAX = 1 << 33


class Limits(NamedTuple):
    """Where a search stops: states kept, wall seconds, bytes of its arrays."""

    states: int = 100_000_000
    seconds: float = 3_600.0
    memory_bytes: int = 4 << 30


class Progress(NamedTuple):
    """How far a search has come."""

    states: int
    expanded: int
    transitions: int
    depth: int


@dataclass
class PackedResult:
    """The outcome of a search; `failure` is the interpreter's, with concrete states also under
    symmetry. `depth` counts levels, the initial state's among them. `orbits` is the number of
    states up to symmetry, where that was on (`states` is the same number then), else None.
    `reached` holds the values that each variable took; `witnesses` says which conditions some
    state satisfied; `stopped_by` names the bound that made the verdict incomplete."""

    states: int
    transitions: int
    depth: int
    orbits: int | None
    verdict: Verdict
    engine: str
    cpu_seconds_search: float
    cpu_seconds_compile: float
    bytes_per_state: float
    visited: str
    failure: Failure | None = None
    actions: dict[str, int] = field(default_factory=dict)
    reached: dict[str, frozenset[ir.Value]] = field(default_factory=dict)
    witnesses: dict[str, bool] = field(default_factory=dict)
    stopped_by: str = ""


class Raw(NamedTuple):
    """What an engine found, in words. `path` leads from the initial state to the failure."""

    states: int
    transitions: int
    depth: int
    complete: bool
    stopped_by: str
    seconds_search: float
    seconds_compile: float
    bytes_used: int
    visited: str
    failure: Failure | None
    path: list[tuple[int, ...]]
    actions: list[int]
    reached: list[list[int]]
    witnessed: list[bool]


class Engine(Protocol):
    """One way to run a program: `compiled` and `numpy_search` each export such a function."""

    def __call__(self, layout: Layout, *, symmetry: bool, limits: Limits,
                 progress: Callable[[Progress], None] | None) -> Raw: ...


def search(module: ir.Module, scope: ir.Scope, *, engine: EngineName = "native",
           symmetry: bool = False, max_states: int = Limits().states,
           max_seconds: float = Limits().seconds, max_memory_bytes: int = Limits().memory_bytes,
           progress: Callable[[Progress], None] | None = None) -> PackedResult:
    """Search all states. Unpackable, with the reason, where the packed engines cannot: a state of
    more words than the engine holds (NumPy one, the others 16), an integer without bounds, a
    symmetry that is not cheap to reduce."""
    layout = plan(lower(module, scope))
    limits = Limits(max_states, max_seconds, max_memory_bytes)
    raw = _engine(engine)(layout, symmetry=symmetry, limits=limits, progress=progress)
    verdict: Verdict = "violated" if raw.failure else "holds" if raw.complete else "incomplete"
    program = layout.program
    failure = raw.failure
    if failure is not None:
        from model.kernel.engines.retrace import retrace

        failure = retrace(layout, raw.path, failure, symmetry=symmetry)
    return PackedResult(
        raw.states, raw.transitions, raw.depth, raw.states if symmetry else None, verdict, engine,
        raw.seconds_search, raw.seconds_compile, raw.bytes_used / max(1, raw.states), raw.visited,
        failure,
        {rule.name: count for rule, count in zip(program.rules, raw.actions, strict=True)},
        _reached(layout, raw.reached, symmetry),
        {claim.name: seen for claim, seen in zip(program.witnesses, raw.witnessed, strict=True)},
        raw.stopped_by)


def graph(module: ir.Module, scope: ir.Scope, *, states_max: int) -> Graph | None:
    """All states and transitions, as the liveness check takes them; None where there are more
    states or a rule fails. Unpackable as for `search`, and for states of more than one word."""
    from model.kernel.engines.retrace import graph as graph_of

    return graph_of(plan(lower(module, scope)), states_max=states_max)


def _engine(name: EngineName) -> Engine:
    if name == "numpy":
        from model.kernel.engines import numpy_search

        return numpy_search.run
    from model.kernel.engines import compiled

    return partial(compiled.run, compiler=name)


def _reached(layout: Layout, digits: list[list[int]], symmetry: bool) -> dict[
        str, frozenset[ir.Value]]:
    """The values that each variable took; a search up to symmetry has seen one member for all."""
    program = layout.program
    symmetric = {index.name for index in program.module.indexes if index.symmetric}
    found = {}
    for block, hit in zip(layout.blocks, digits, strict=True):
        records = [record for record, seen in zip(block.group.records, hit, strict=True) if seen]
        for at, each in enumerate(block.group.fields):
            values = {decode(record[at], each.type, program.scope) for record in records}
            if symmetry and isinstance(each.type, ir.MemberType) \
                    and each.type.index in symmetric and values - {None}:
                values |= set(range(program.scope.sizes[each.type.index]))
            found[each.name] = frozenset(values)
    return found


__all__ = ["Failure", "Limits", "PackedResult", "Progress", "Raw", "Unpackable", "graph", "search"]
