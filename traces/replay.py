"""Replay: take a history's actions again and see whether it still fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from model.kernel.action import Action
from model.kernel.driver import FairDriver, crashed, heal
from model.kernel.property import Checker, Property, Violation
from model.kernel.system import System, Transition
from model.kernel.world import World


class Replayed(NamedTuple):
    """What a replay saw. `taken`: the actions that were possible, in order; `skipped`: how many
    were not; `violation`: the first one, at `step` (1 is the first action; 0: the start)."""

    taken: tuple[Action, ...]
    skipped: int
    world: World
    violation: Violation | None
    step: int


def replay(system: System, start: World, actions: Sequence[Action],
           properties: Iterable[Property] = (), *, goal: str = "", goal_steps: int = 6_000,
           stop_at: int | None = None) -> Replayed:
    """Take `actions` from `start` on; those that are not possible are skipped.

    `goal` names a leads_to property: it counts as violated when, at the end, everything is healed
    and served fairly and it is still pending at the end of its bound. `stop_at` ends the replay
    after so many actions.
    """
    checker = Checker(system, properties)
    taken: list[Action] = []
    skipped, world = 0, start
    wrong = checker.full(start)
    if wrong:
        return Replayed((), 0, start, wrong[0], 0)
    for action in actions[:stop_at]:
        try:
            step = system.transition(world, action)
        except Exception as fault:  # what a recorded run survived by starting a component anew
            return Replayed((*taken, action), skipped, world, crashed(action, fault),
                            len(taken) + 1)
        if step is None:
            skipped += 1
            continue
        taken.append(action)
        world = step.after
        violations = checker.check(step)
        if violations:
            return Replayed(tuple(taken), skipped, world, violations[0], len(taken))
    violation = None
    if goal and stop_at is None:
        violation = _still_pending(system, world, checker, goal, goal_steps)
    return Replayed(tuple(taken), skipped, world, violation, len(taken) if violation else 0)


def _still_pending(system: System, world: World, checker: Checker, name: str,
                   steps: int) -> Violation | None:
    """The violation of a goal at the end of its bound, from `world` on, or None."""
    goal = next((each for each in checker.goals if each.name == name), None)
    if goal is None:
        return None
    world = system.spent(world)
    for healing in heal(system, world):
        world = system.apply(world, healing) or world
    until = world.now + goal.within_ms
    driver = FairDriver(until, script=False)
    for _ in range(steps):
        action = driver.pick(system, world)
        if action is None:
            break
        after = system.apply(world, action)
        assert after is not None
        world = after
        if world.now >= until and not world.total:
            break
    text = goal.check(world)
    return None if text is None else Violation(name, text)


def transitions(system: System, start: World, actions: Sequence[Action]) -> Iterator[Transition]:
    """The transitions of a history, skipping what is not possible, up to where a component
    failed."""
    world = start
    for action in actions:
        try:
            step = system.transition(world, action)
        except Exception:  # what `replay` reports as a violation
            return
        if step is not None:
            world = step.after
            yield step


def changes(before: World, after: World) -> tuple[str, ...]:
    """What one step changed: a line for each field of a local state that differs, and the clock."""
    lines = []
    if before.now != after.now:
        lines.append(f"clock: {before.now} ms -> {after.now} ms")
    for name, at in before.names.items():
        old, new = before.slots[at], after.slots[at]
        if old is new:
            continue
        if old.status != new.status:
            words = ("up", "crashed", "crashed with its machine", "down")
            lines.append(f"{name}: {words[old.status]} -> {words[new.status]}")
        lines.extend(_fields(name, old.local, new.local))
        for channel in new.inbox:
            count, was = len(new.inbox[channel]), len(old.inbox.get(channel, ()))
            if count != was:
                lines.append(f"{name} inbox from {channel[0]} on {channel[1]}: {was} -> {count}")
    return tuple(lines)


def _fields(name: str, old: object, new: object) -> Iterator[str]:
    if old is new or not hasattr(new, "_fields") or type(old) is not type(new):
        return
    for field in new._fields:
        before, after = getattr(old, field), getattr(new, field)
        if before is not after and before != after:
            if hasattr(before, "diff") and hasattr(after, "diff"):
                for key, was, now in before.diff(after):
                    yield f"{name}.{field}[{_short(key)}]: {_short(was)} -> {_short(now)}"
            else:
                yield f"{name}.{field}: {_short(before)} -> {_short(after)}"


def _short(value: object, limit: int = 160) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit - 1] + "…"
