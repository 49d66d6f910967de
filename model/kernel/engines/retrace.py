"""From the packed states of a counterexample to concrete ones, by the interpreter.

Each packed state is met by running the interpreter from the state before it, which makes every
counterexample of a packed search a result that a second engine has confirmed. Under symmetry the
packed states are representatives: any successor that is represented by the next one will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from model.kernel.engines.layout import Layout
from model.kernel.engines.lower import code
from model.kernel.spec.ground import Grounded, GroundState, ground
from model.kernel.spec.interpret import Failure, Program, SpecFaultError

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


def unpacker(layout: Layout, grounded: Grounded) -> Callable[[Sequence[int]], GroundState]:
    """From words to the interpreter's states."""
    from model.kernel.engines.lower import decode

    scope = layout.program.scope
    types = {cell.variable: cell.type for cell in grounded.cells}

    def unpack(words: Sequence[int]) -> GroundState:
        codes = layout.unpack(words)
        return tuple(decode(each, kind, scope) for name, kind in types.items()
                     for each in codes[name])

    return unpack


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
        instance, state = next((instance, after) for _, instance, after in edges
                               if represented(after) == target)
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
