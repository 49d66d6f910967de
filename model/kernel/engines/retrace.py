"""From packed states to concrete ones: counterexamples, and the graph for the liveness check.

Each packed state is met by running the interpreter from the state before it, which makes every
counterexample of a packed search a result that a second engine has confirmed. Under symmetry the
packed states are representatives: any successor that is represented by the next one will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from model.kernel.engines.layout import Layout
from model.kernel.engines.lower import code, decode, span
from model.kernel.spec.ground import Grounded, GroundState, ground
from model.kernel.spec.interpret import Failure, Program, SpecFaultError

if TYPE_CHECKING:
    from model.kernel.engines.liveness import Graph

Words = tuple[int, ...]


def packer(layout: Layout, grounded: Grounded) -> Callable[[GroundState], Words]:
    """From the interpreter's states to words."""
    scope = layout.program.scope

    def pack(state: GroundState) -> Words:
        codes: dict[str, list[int]] = {}
        for cell, value in zip(grounded.cells, state, strict=True):
            codes.setdefault(cell.variable, []).append(code(value, cell.type, scope))
        return layout.pack(codes)

    return pack


def _states(layout: Layout, words: Any) -> list[GroundState]:
    """The interpreter's states of many packed ones, column by column."""
    import numpy as np

    scope = layout.program.scope
    rest = words.astype(np.int64)
    columns: dict[str, list[Any]] = {}
    for block in layout.blocks:
        digits = []
        for _ in range(block.entries):
            digits.append(rest % block.radix)
            rest = rest // block.radix
        for at, each in enumerate(block.group.fields):
            values = np.empty(block.radix, object)
            values[:] = [decode(record[at], each.type, scope) for record in block.group.records]
            columns[each.name] = [values[digit].tolist() for digit in digits]
    names = [each.name for each in layout.program.module.variables]
    return list(zip(*(column for name in names for column in columns[name]), strict=True))


def retrace(layout: Layout, path: Sequence[Words], failure: Failure, *,
            symmetry: bool) -> Failure:
    """The failure with its path (instances) and concrete states filled in."""
    grounded = ground(layout.program.module, layout.program.scope)
    program = Program(grounded)
    represented = _represented(layout, grounded, symmetry)
    state = grounded.initial
    taken: list[int] = []
    states = [state]
    for target in path[1:]:
        edges: list[tuple[GroundState, int, GroundState]] = []
        program.level([state], {}, [], edges)
        steps = [(each, after) for _, each, after in edges if represented(after) == target]
        assert steps, "the interpreter does not make a step that the packed search made"
        instance, state = steps[0]
        taken.append(instance)
        states.append(state)
    name, line = failure.name, failure.line
    if failure.kind != "invariant":
        name, line, last = _fault(program, state)
        taken += [last] if last >= 0 else []
    return Failure(failure.kind, name, line, tuple(taken), tuple(states))


def _represented(layout: Layout, grounded: Grounded, symmetry: bool) -> Callable[
        [GroundState], Words]:
    pack = packer(layout, grounded)
    if not symmetry:
        return pack
    from model.kernel.engines.symmetry import evaluator

    canonical = evaluator(layout)
    return lambda state: canonical(pack(state))


def _fault(program: Program, state: GroundState) -> tuple[str, int, int]:
    """What the interpreter says about the step that fails, and which instance it is."""
    found: list[Any] = []
    try:
        program.level([state], {}, found)
    except SpecFaultError as fault:
        return fault.text, abs(fault.line), fault.instance
    raise AssertionError("the interpreter finds no fault where the packed search found one")


def graph(layout: Layout, *, states_max: int) -> Graph | None:
    """All states and transitions for the liveness check, found by the packed search.

    None when there are more states than that, or a rule fails. Unpackable for wide states.
    """
    import numpy as np

    from model.kernel.engines import compiled
    from model.kernel.engines.liveness import Graph
    from model.kernel.engines.packed import Limits

    found = compiled.edges(layout, Limits(states=states_max + 1))
    if found is None:
        return None
    grounded = ground(layout.program.module, layout.program.scope)
    states = _states(layout, found.words)
    numbers = np.array(_instance_numbers(layout, grounded))
    instance = numbers[found.instance]
    parents: dict[GroundState, tuple[GroundState | None, int]] = {states[0]: (None, -1)}
    tree = found.parents[found.target] == found.source
    for source, number, target in zip(found.source[tree].tolist(), instance[tree].tolist(),
                                      found.target[tree].tolist(), strict=True):
        parents.setdefault(states[target], (states[source], number))
    changing = found.source != found.target
    return Graph(grounded, states, found.source[changing].astype(np.int64), instance[changing],
                 found.target[changing], parents)


def _instance_numbers(layout: Layout, grounded: Grounded) -> list[int]:
    """From the packed numbers of instances to the interpreter's; -1 where it has left one out."""
    scope = layout.program.scope
    known = {(each.action, tuple(code(value, binder.type, scope) for value, binder in zip(
        each.arguments, grounded.module.action(each.action).parameters, strict=True))): number
        for number, each in enumerate(grounded.instances)}
    numbers = []
    for rule in layout.program.rules:
        spans = [span(binder.type, scope) for binder in rule.parameters]
        backwards = product(*(range(low, high + 1) for low, high in reversed(spans)))
        numbers += [known.get((rule.name, codes[::-1]), -1) for codes in backwards]
    return numbers
