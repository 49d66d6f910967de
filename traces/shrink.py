"""Shrink: a smaller history that breaks the same property.

"Smaller" is, in this order: fewer faults, fewer entries of the scenario's script, fewer actions,
smaller arguments, a smaller scenario. Actions that are not possible after a deletion are skipped,
so a shorter list of actions always replays; what is returned was replayed.

Method: delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
Input", IEEE TSE 2002) over the actions, after the tail behind the failure is cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from model.kernel.action import Action
from model.kernel.property import Property
from model.kernel.system import System
from model.kernel.world import World
from traces.history import History
from traces.replay import Replayed, replay

Build = Callable[[Mapping[str, Any]], tuple[System, World]]
Smaller = Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]]


class Shrunk(NamedTuple):
    """The smaller history, and how many replays it took."""

    history: History
    replays: int


class _Shrinker:
    def __init__(self, history: History, build: Build, properties: Iterable[Property],
                 replays_max: int) -> None:
        self.scenario = history.scenario
        self.property = history.property
        self.build = build
        self.properties = tuple(each for each in properties if each.name == history.property)
        self.is_goal = any(each.kind == "leads_to" for each in self.properties)
        self.left = replays_max
        self.system, self.start = build(history.scenario)
        self.best: Replayed | None = None

    def attempt(self, actions: Sequence[Action]) -> bool:
        """Whether `actions` still break the property; if so, keep what was taken."""
        if self.left <= 0:
            return False
        self.left -= 1
        seen = replay(self.system, self.start, actions, self.properties,
                      goal=self.property if self.is_goal else "")
        if seen.violation is None or seen.violation.property != self.property:
            return False
        self.best = seen
        return True

    @property
    def actions(self) -> tuple[Action, ...]:
        return self.best.taken if self.best is not None else ()

    def without_each(self, chosen: Callable[[Action], bool]) -> None:
        """Try to do without each chosen action, from the last on."""
        at = len(self.actions) - 1
        while at >= 0:
            actions = self.actions
            if at < len(actions) and chosen(actions[at]):
                self.attempt(actions[:at] + actions[at + 1:])
            at = min(at, len(self.actions)) - 1

    def without_chunks(self) -> None:
        """Delta debugging: drop ever smaller runs of actions until none can go."""
        size = max(len(self.actions) // 2, 1)
        while self.left > 0:
            at, progress = 0, False
            while at < len(self.actions):
                actions = self.actions
                if self.attempt(actions[:at] + actions[at + size:]):
                    progress = True
                else:
                    at += size
            if size == 1 and not progress:
                return
            size = size if progress and size == 1 else max(size // 2, 1)

    def smaller_arguments(self) -> None:
        """Lower integer arguments towards zero."""
        for at, action in enumerate(self.actions):
            for place, value in enumerate(action.args):
                for candidate in _lower(value):
                    actions = self.actions
                    if at >= len(actions) or actions[at].args != action.args:
                        break
                    args = (*action.args[:place], candidate, *action.args[place + 1:])
                    if self.attempt((*actions[:at], action._replace(args=args),
                                     *actions[at + 1:])):
                        break

    def smaller_scenario(self, smaller: Smaller) -> None:
        """Take the first smaller scenario in which the same actions still fail, repeatedly."""
        progress = True
        while progress and self.left > 0:
            progress = False
            for scenario in smaller(self.scenario):
                kept = self.system, self.start
                self.system, self.start = self.build(scenario)
                if self.attempt(self.actions):
                    self.scenario, progress = scenario, True
                    break
                self.system, self.start = kept


def _lower(value: Any) -> Iterable[int]:
    if isinstance(value, int) and value not in (0, 1):
        yield 0
        yield value // 2 if value > 0 else -(-value // 2)


def shrink(history: History, build: Build, properties: Iterable[Property], *,
           smaller: Smaller | None = None, replays_max: int = 3_000) -> Shrunk | None:
    """A smaller history with the same violated property; None when `history` does not fail.

    `build` makes system and start from a scenario document; `smaller` yields simpler scenarios.
    The result replays: it is the list of actions that were taken, in its own scenario.
    """
    work = _Shrinker(history, build, properties, replays_max)
    if not work.attempt(history.actions):
        return None
    work.without_each(lambda action: action.actor == "fault")
    work.without_chunks()
    if smaller is not None:
        work.smaller_scenario(smaller)
        work.without_chunks()
    work.smaller_arguments()
    best = work.best
    assert best is not None
    assert best.violation is not None
    found = history._replace(scenario=work.scenario, actions=best.taken,
                             message=best.violation.message)
    return Shrunk(found, replays_max - work.left)
