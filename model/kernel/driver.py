"""Drivers choose; `run` lets one choose, checks every step, and keeps what was chosen."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from model.kernel.action import Action
from model.kernel.property import Checker, Violation
from model.kernel.system import ADVANCE, System, Transition
from model.kernel.world import CRASHED, CRASHED_WITH_MACHINE, World


class Driver(Protocol):
    """Chooses the next action; None ends the run."""

    def pick(self, system: System, world: World) -> Action | None:
        """An action that is enabled in `world`, or None."""


class RandomDriver:
    """A seeded random walk.

    Ready work is taken evenly; of 256 choices, `fault_rate` go to a fault and `input_rate` to the
    script while there is one. When nothing is ready the script goes on or the clock jumps.
    """

    def __init__(self, seed: int, *, fault_rate: int = 6, input_rate: int = 24) -> None:
        self._bits = random.Random(seed).getrandbits
        self._fault_rate = fault_rate
        self._input_rate = input_rate

    def pick(self, system: System, world: World) -> Action | None:
        return choose(system, world, self._bits(32), self._fault_rate, self._input_rate)


class BytesDriver:
    """Choices read from bytes, two a step: how Hypothesis draws a schedule."""

    def __init__(self, data: bytes, *, fault_rate: int = 6, input_rate: int = 24) -> None:
        self._data = data
        self._at = 0
        self._fault_rate = fault_rate
        self._input_rate = input_rate

    def pick(self, system: System, world: World) -> Action | None:
        if self._at + 2 > len(self._data):
            return None
        low, high = self._data[self._at], self._data[self._at + 1]
        self._at += 2
        # The low byte decides the class of the choice, both bytes the choice itself.
        return choose(system, world, low | (high * 251 + low) << 8, self._fault_rate,
                      self._input_rate)


class ReplayDriver:
    """The recorded actions, in order; the run ends at the first that is not possible."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self._actions = actions
        self._at = 0

    def pick(self, system: System, world: World) -> Action | None:
        if self._at == len(self._actions):
            return None
        self._at += 1
        return self._actions[self._at - 1]


class FairDriver:
    """Serves every ready slot in turn and every channel of a slot in turn; no faults.

    The script's inputs are taken when nothing is ready; then the clock jumps, until the world is
    quiet and `until_ms` has passed, or until `patience_ms` has passed though it is not quiet.
    """

    def __init__(self, until_ms: int = 0, *, script: bool = True,
                 patience_ms: int | None = None) -> None:
        self._until_ms = until_ms
        self._script = script
        self._patience_ms = patience_ms
        self._last = -1
        self._turns: dict[int, int] = {}

    def pick(self, system: System, world: World) -> Action | None:
        if not world.total:
            inputs = system.inputs(world) if self._script else ()
            if inputs:
                return inputs[0]
            if not system.clock(world) or (world.quiet() and world.now >= self._until_ms):
                return None
            if self._patience_ms is not None and world.now >= self._patience_ms:
                return None
            return ADVANCE
        index = next((at for at in world.ready if at > self._last), world.ready[0])
        self._last = index
        offset = sum(world.slots[at].ready for at in world.ready if at < index)
        turn = self._turns.get(index, 0)
        self._turns[index] = turn + 1
        return system.pick(world, offset + turn % world.slots[index].ready)


def choose(system: System, world: World, draw: int, fault_rate: int,
           input_rate: int) -> Action | None:
    """The enabled action that the number `draw` (at least 24 bits) stands for."""
    kind, number = draw & 255, draw >> 8
    if kind < fault_rate and (world.budget or world.isolated):
        kinds = system.kinds_of_harm(world)
        harm = kinds[number % len(kinds)]
        targets = system.targets_of(world, harm)
        if targets:
            return Action("fault", harm, targets[number // len(kinds) % len(targets)])
    if world.total and not (system.script and kind >= 256 - input_rate):
        return system.pick(world, number % world.total)
    inputs = system.inputs(world) if system.script else ()
    if inputs and (world.total or kind & 1):
        return inputs[number % len(inputs)]
    if world.total:
        return system.pick(world, number % world.total)
    clock = system.clock(world)
    if clock:
        return ADVANCE
    return inputs[number % len(inputs)] if inputs else None


class Outcome(NamedTuple):
    """What a run did: the chosen actions, the last world, the first violations if any."""

    actions: tuple[Action, ...]
    world: World
    violations: tuple[Violation, ...]


Watch = Callable[[Transition], None]


def run(system: System, driver: Driver, world: World, *, steps: int, checker: Checker | None = None,
        full_every: int = 0, watch: Iterable[Watch] = ()) -> Outcome:
    """Let `driver` choose at most `steps` actions from `world` on.

    Stops at the first violation. Every `full_every` steps (0: never) the whole world is checked
    too. `watch` functions see every transition. An AssertionError inside a component is a
    violation like any other.
    """
    actions: list[Action] = []
    watchers = tuple(watch)
    for number in range(steps):
        action = driver.pick(system, world)
        if action is None:
            break
        try:
            step = system.transition(world, action)
        except AssertionError as fault:
            actions.append(action)
            return Outcome(tuple(actions), world, (crashed(action, fault),))
        if step is None:
            break
        actions.append(action)
        world = step.after
        for see in watchers:
            see(step)
        if checker is not None:
            violations = checker.check(step)
            if not violations and full_every and (number + 1) % full_every == 0:
                violations = checker.full(world)
            if violations:
                return Outcome(tuple(actions), world, tuple(violations))
    return Outcome(tuple(actions), world, ())


def crashed(action: Action, fault: Exception) -> Violation:
    """The violation for a component's own assertion, or for an error that it did not expect."""
    name = "" if isinstance(fault, AssertionError) else f"{type(fault).__name__}: "
    return Violation("no_component_fails_its_own_assertion", f"{action.actor}: {name}{fault}")


def heal(system: System, world: World) -> list[Action]:
    """The actions after which the only harm left is dead machines."""
    healing = [Action("fault", "rejoin", (host,)) for host in world.isolated]
    healing.extend(Action(component.name, "restart")
                   for component, slot in zip(system.components, world.slots, strict=True)
                   if slot.status in (CRASHED, CRASHED_WITH_MACHINE))
    return healing


def converge(system: System, world: World, checker: Checker, *, steps: int) -> Outcome:
    """Check the goals: heal, spend no more faults, serve fairly; each must hold in its bound.

    A goal is reached when its text is None in a quiet world, or at the end of its bound. A world
    that is still busy after `steps` fairly served steps has not reached what is pending then. The
    outcome's actions continue the history that led to `world`.
    """
    start = system.spent(world)
    done = run(system, ReplayDriver(heal(system, start)), start, steps=steps, checker=checker)
    if done.violations or not checker.goals:
        return done
    began, actions, now = done.world.now, list(done.actions), done.world
    longest = max(goal.within_ms for goal in checker.goals)
    driver = FairDriver(script=False, patience_ms=began + longest)
    while len(actions) < steps:
        part = run(system, driver, now, steps=steps - len(actions), checker=checker)
        actions.extend(part.actions)
        now = part.world
        pending = () if part.violations else checker.pending(now)
        late = tuple(v for v in pending if now.now - began >= _bound(checker, v.property))
        if part.violations or late or not pending or now.now - began >= longest:
            return Outcome(tuple(actions), now, part.violations or late)
        driver = FairDriver(now.now + 1, script=False, patience_ms=began + longest)
        if not part.actions and not system.clock(now):
            return Outcome(tuple(actions), now, tuple(pending))
    return Outcome(tuple(actions), now, tuple(checker.pending(now)))


def _bound(checker: Checker, name: str) -> int:
    return next(goal.within_ms for goal in checker.goals if goal.name == name)
