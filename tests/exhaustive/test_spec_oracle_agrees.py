"""The oracle and the search give every action the same meaning, on every spec."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from model.kernel.spec import ir
from model.kernel.spec.find import all_specs
from model.kernel.spec.ground import Grounded, GroundState, ground
from model.kernel.spec.interpret import search
from model.kernel.spec.oracle import Label, Oracle
from model.kernel.spec.scope import make_scope
from model.kernel.values import FrozenMap

STATES = 150


def named(value_type: ir.Type, value: ir.Value) -> Any:
    """A member by a name, as an open state has it."""
    if isinstance(value_type, ir.MemberType) and value is not None:
        return f"{value_type.index}{value}"
    return value


def opened(grounded: Grounded, state: GroundState) -> dict[str, Any]:
    """A ground state as an open one, every entry written out."""
    module = grounded.module
    values: dict[str, Any] = {}
    for cell, value in zip(grounded.cells, state, strict=True):
        if not cell.keys:
            values[cell.variable] = named(cell.type, value)
            continue
        names = module.variable(cell.variable).keys
        parts = tuple(number if module.index(index).numbered else f"{index}{number}"
                      for index, number in zip(names, cell.keys, strict=True))
        key = parts[0] if len(parts) == 1 else parts
        values.setdefault(cell.variable, {})[key] = named(cell.type, value)
    return {name: FrozenMap(value.items()) if isinstance(value, dict) else value
            for name, value in values.items()}


@pytest.mark.parametrize("path", sorted(all_specs()))
def test_the_oracle_allows_and_assigns_what_the_search_does(path: str) -> None:
    """For early and late states and all instances: enabled alike, and leading to the same state."""
    module = all_specs()[path].module()
    scope = make_scope(module)
    grounded = ground(module, scope)
    edges: list[tuple[GroundState, int, GroundState]] = []
    search(grounded, states_max=20_000, edges=edges)
    expanded = dict.fromkeys(before for before, _, _ in edges)
    chosen = list(islice(expanded, 0, None, max(1, len(expanded) // STATES)))
    successors = {(before, number): after for before, number, after in edges}
    oracle = Oracle(module, scope.constants)
    limited = {action.name for action in module.actions if action.limits}
    for state in chosen:
        before = opened(grounded, state)
        for number, instance in enumerate(grounded.instances):
            binders = module.action(instance.action).parameters
            label = Label(instance.action, tuple(
                named(binder.type, value)
                for binder, value in zip(binders, instance.arguments, strict=True)))
            after = successors.get((state, number))
            changes = oracle.step(before, label)
            if after is None:
                assert instance.action in limited or not isinstance(changes, dict), label
            else:
                assert oracle.check(before, (label,), opened(grounded, after)) is None
