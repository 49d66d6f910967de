"""A spec as a component of a system: its counterexamples replay, shrink and draw like all others.

The local state is a tuple with a field for each variable; maps go from member names to values. The
steps are the instances that are enabled. A step that leaves the spec's own domains raises
AssertionError, which replay reports like any other mistake.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from typing import Any

from model.kernel.action import Action, Scalar
from model.kernel.component import Component, Io, Step
from model.kernel.property import Part, Property
from model.kernel.spec import ir
from model.kernel.spec.ground import (
    CellInfo,
    Grounded,
    GroundState,
    Instance,
    after_step,
    name_member,
)
from model.kernel.spec.interpret import Program, SpecFaultError
from model.kernel.values import FrozenMap
from model.kernel.world import World


class SpecMachine(Component[Any]):
    """The machine of a grounded spec; its name is that of the spec."""

    host = "spec"

    def __init__(self, grounded: Grounded) -> None:
        self.name = grounded.module.name
        self.grounded = grounded
        self.rules = grounded.step_rules
        self.program = Program(replace(grounded, step_rules=(), instances=tuple(
            each._replace(checks=()) for each in grounded.instances)))
        self.local = namedtuple("Local", [each.name for each in grounded.module.variables])  # type: ignore[misc]  # the fields are the spec's variables
        self.by_step = {self.step_of(each): number
                        for number, each in enumerate(grounded.instances)}
        self._keys = [self._key(cell) for cell in grounded.cells]

    def step_of(self, instance: Instance) -> Step:
        """The verb and arguments of an instance, as actions carry them."""
        return instance.action, tuple(
            each if isinstance(each, (str, int)) and not isinstance(each, bool) else str(each)
            for each in self.grounded.show_arguments(instance))

    def show(self, state: GroundState) -> Any:
        """A state of the search as a local state."""
        values = {name: FrozenMap(value.items()) if isinstance(value, dict) else value
                  for name, value in self.grounded.show(state).items()}
        return self.local(**values)

    def _key(self, cell: CellInfo) -> str:
        names = self.grounded.module.variable(cell.variable).keys
        return ", ".join(name_member(self.grounded.module.index(index), number)
                         for index, number in zip(names, cell.keys, strict=True))

    def hide(self, local: Any) -> GroundState:
        """The state of the search that a local state shows."""
        values = []
        for cell, key in zip(self.grounded.cells, self._keys, strict=True):
            value = getattr(local, cell.variable)
            value = value[key] if cell.keys else value
            if isinstance(cell.type, ir.MemberType) and value is not None:
                value = int(value.rsplit("-", 1)[1])
            values.append(value)
        return tuple(values)

    def init(self, io: Io) -> Any:
        """The initial state."""
        return self.show(self.grounded.initial)

    def _edges(self, state: GroundState) -> list[tuple[GroundState, int, GroundState]]:
        edges: list[tuple[GroundState, int, GroundState]] = []
        try:
            self.program.level([state], {}, [], edges)
        except SpecFaultError as fault:
            raise AssertionError(f"{fault.text} (line {fault.line})") from fault
        return edges

    def steps(self, local: Any) -> tuple[Step, ...]:
        """The enabled instances."""
        return tuple(self.step_of(self.grounded.instances[number])
                     for _, number, _ in self._edges(self.hide(local)))

    def step(self, local: Any, verb: str, args: tuple[Scalar, ...], io: Io) -> Any:
        """Take an instance."""
        wanted = self.by_step[verb, args]
        state = self.hide(local)
        for check in self.grounded.instances[wanted].checks:
            if not self.program.predicate(check.condition)(state):
                raise AssertionError(f"{check.text} (line {check.line})")
        return next(self.show(after) for _, number, after in self._edges(state)
                    if number == wanted)

    def properties(self) -> tuple[Property, ...]:
        """Invariants, lemmas and step rules as properties of the system."""
        reads = (Part(self.name),)
        found = [Property(rule.name, "always", self._invariant(rule.condition), reads, "")
                 for rule in self.grounded.invariants]
        found += [Property(rule.name, "step", self._step_rule(rule.condition), reads, "")
                  for rule in self.rules]
        return tuple(found)

    def _invariant(self, condition: Any) -> Any:
        holds = self.program.predicate(condition)

        def check(world: World) -> str | None:
            return None if holds(self.hide(world[self.name])) else "does not hold in this state"

        return check

    def _step_rule(self, condition: Any) -> Any:
        def check(before: World, action: Action, after: World) -> str | None:
            number = self.by_step.get((action.verb, action.args))
            if number is None:
                return None
            rule = after_step(condition, self.grounded.instances[number])
            if self.program.predicate(rule)(self.hide(before[self.name])):
                return None
            return f"does not hold for {action}"

        return check
