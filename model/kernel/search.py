"""Bounded search over whole systems: every history within a bound, shortest counterexample first.

The states are full worlds of the reference implementation; for millions of states of a spec use
the engines. Worlds are merged by value; a bound on states is honoured with a partial verdict.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from model.kernel.action import Action
from model.kernel.driver import crashed
from model.kernel.property import Checker, Property, Violation
from model.kernel.system import System
from model.kernel.world import World


class Limits(NamedTuple):
    """Bounds of a search: depth in actions, kept states, and a stop asked from outside."""

    depth: int = 1_000_000
    states: int = 100_000
    stop: Callable[[], bool] | None = None


class Report(NamedTuple):
    """What a search saw. `complete`: no bound cut it short. `edges` counts enabled actions taken;
    `taken` the kinds of action (actor and verb); `violation` the first, with its `trace`."""

    states: int
    edges: int
    depth: int
    complete: bool
    taken: tuple[str, ...]
    violation: Violation | None
    trace: tuple[Action, ...]


def search(system: System, properties: Iterable[Property], limits: Limits,
           order: Literal["bfs", "dfs"] = "bfs", start: World | None = None) -> Report:
    """Visit every world reachable from `start` (default: the initial one) within `limits`."""
    enabled = gc.isenabled()
    gc.disable()  # worlds are acyclic: reference counting frees them, the collector only scans
    try:
        return _search(system, Checker(system, properties), limits, order,
                       system.init() if start is None else start)
    finally:
        if enabled:
            gc.enable()


def _search(system: System, checker: Checker, limits: Limits, order: str, first: World) -> Report:
    parents: dict[World, tuple[World, Action] | None] = {first: None}
    frontier: deque[tuple[World, int]] = deque([(first, 0)])
    taken: set[str] = set()
    edges = deepest = 0
    complete = True

    def report(violation: Violation | None, trace: tuple[Action, ...]) -> Report:
        return Report(len(parents), edges, deepest, complete, tuple(sorted(taken)), violation,
                      trace)

    wrong = checker.full(first)
    if wrong:
        return report(wrong[0], ())
    while frontier:
        if limits.stop is not None and limits.stop():
            complete = False
            break
        world, depth = frontier.popleft() if order == "bfs" else frontier.pop()
        if depth >= limits.depth:
            complete = False
            continue
        for action in system.enabled(world):
            edges += 1
            taken.add(f"{action.actor} {action.verb}")
            try:
                step = system.transition(world, action)
            except AssertionError as fault:
                return report(crashed(action, fault), (*_path(parents, world), action))
            assert step is not None, f"{action} is enabled but not applied"
            violations = checker.check(step)
            if violations:
                return report(violations[0], (*_path(parents, world), action))
            if step.after not in parents:
                if len(parents) >= limits.states:
                    complete = False
                    return report(None, ())
                parents[step.after] = (world, action)
                deepest = max(deepest, depth + 1)
                frontier.append((step.after, depth + 1))
    return report(None, ())


def _path(parents: dict[World, tuple[World, Action] | None], world: World) -> tuple[Action, ...]:
    actions: list[Action] = []
    link = parents[world]
    while link is not None:
        world, action = link
        actions.append(action)
        link = parents[world]
    return tuple(reversed(actions))
