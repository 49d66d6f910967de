"""Drives a system for clients from outside: their requests are inputs, their answers are read off
the transitions.

Everything runs in one thread. Ready work is done at once, components in turn, unless the speed is
`step`. The clock takes readings from the wall, which are inputs like every other; so a run is a
list of actions, that is recorded while it happens and checked step by step.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from model.kernel.action import Action
from model.kernel.component import CUT, Message
from model.kernel.driver import crashed
from model.kernel.property import Checker, Violation, describe
from model.kernel.system import ADVANCE, System, Transition
from model.kernel.world import World
from reference_impl.apiserver.access.authentication import OUTSIDE
from traces.record import Recorder

Sink = Callable[[Any], None]
Speed = Literal["real", "max", "step"]
STORE = "etcd"
STEPS_MAX = 200_000
WAIT_MS = 60_000
FOLLOW_EVERY = 200  # fewer than the changes that the watch cache remembers
KEPT = 500
VIOLATIONS_KEPT = 100
PROPERTY_FAILED = "no_property_fails_on_what_clients_do"


class Entry(NamedTuple):
    """One step as the timeline shows it."""

    number: int
    now: int
    actor: str
    text: str


class Engine:
    """A running system, checked and recorded as it goes.

    `checker` sees every transition; what it finds is in `violations` and goes to `report`. `record`
    gets every action. `after` is called whenever ready work has been done. `abroad` hears what a
    store outside the world is asked; its replies come in by `take`.
    """

    def __init__(self, system: System, *, wall: Callable[[], float] = time.monotonic,
                 speed: Speed = "real", checker: Checker | None = None,
                 record: Recorder | None = None,
                 report: Callable[[Violation], None] | None = None,
                 abroad: Callable[[Message], None] | None = None) -> None:
        self.system = system
        self.wall = wall
        self.speed = speed
        self.checker = checker
        self.record = record
        self.report = report
        self.abroad = abroad
        self.world: World = system.init()
        self.sinks: dict[str, Sink] = {}
        self.after: list[Callable[[World], None]] = []
        self.steps = 0
        self.violations: list[Violation] = []
        self.violated: Counter[str] = Counter()
        self._recent: deque[tuple[int, int, Action]] = deque(maxlen=KEPT)
        self._waiting: dict[str, int] = {}
        self._free: list[str] = []
        self._made = 0
        self._turn = -1
        # What the world's clock is ahead of the wall's; `max` lets it grow.
        self._ahead_ms = self.world.now - wall() * 1000
        if checker is not None:
            self._found(checker.full(self.world))
        self.pump()

    # -- connections ------------------------------------------------------------------------------

    def open(self, sink: Sink) -> str:
        """A connection that no other client uses. `sink` hears what comes back; None: it broke."""
        if self._free:
            lane = self._free.pop()
        else:
            self._made += 1
            lane = f"c{self._made}"
        self.sinks[lane] = sink
        return lane

    def close(self, lane: str) -> None:
        """The client has its answer, or has gone."""
        if self.sinks.pop(lane, None) is None:
            return
        if self._waiting.pop(lane, None) is not None:
            self.act(Action(OUTSIDE, "close", (lane,)))
            self.pump()
        self._free.append(lane)

    def ask(self, lane: str, text: str) -> None:
        """Send a request on a connection, and do all work that is ready."""
        self.follow_wall()
        self._waiting[lane] = self.world.now
        self.act(Action(OUTSIDE, "request", (lane, text)))
        self.pump()
        if self.speed == "max" and self.abroad is None:
            self._hurry()

    def take(self, action: Action) -> None:
        """Take an input, and do all work that is ready."""
        self.follow_wall()
        self.act(action)
        self.pump()

    # -- time -------------------------------------------------------------------------------------

    def follow_wall(self) -> None:
        """Bring the clock up to the wall, except where it moves by command."""
        if self.speed == "step":
            return
        now = int(self.wall() * 1000 + self._ahead_ms)
        if now > self.world.now:
            self.act(Action("clock", "advance", (now,)))

    def _hurry(self) -> None:
        """Jump from timer to timer while a request waits for one; the clock stays ahead."""
        while self._impatient():
            before = self.world
            self.act(ADVANCE)
            if self.world is before:
                return
            self.pump()
        self._ahead_ms = max(self._ahead_ms, self.world.now - self.wall() * 1000)

    def _impatient(self) -> bool:
        return any(self.world.now - since < WAIT_MS for since in self._waiting.values())

    def next_timer_s(self) -> float:
        """Seconds until the next timer, at most one."""
        dues = [slot.timers[0][0] for slot in self.world.slots if slot.timers]
        if not dues or self.speed == "step":
            return 1.0
        now = self.wall() * 1000 + self._ahead_ms
        return min(1.0, max(0.005, (min(dues) - now) / 1000))

    def tick(self) -> None:
        """Let the clock catch up, and do what became ready."""
        self.follow_wall()
        self.pump()

    # -- steps ------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Do ready work until there is none; nothing where steps are taken by command."""
        if self.speed != "step":
            for number in range(1, STEPS_MAX):
                if not self.step():
                    break
                if number % FOLLOW_EVERY == 0:
                    self.settled()
        self.settled()

    def settled(self) -> None:
        """Tell those who follow the world."""
        for follow in self.after:
            follow(self.world)

    def step(self) -> bool:
        """Take one ready step. Components take turns, so that none starves."""
        world = self.world
        if not world.ready:
            return False
        index = next((at for at in world.ready if at > self._turn), world.ready[0])
        self._turn = index
        before = sum(world.slots[at].ready for at in world.ready if at < index)
        self.act(self.system.pick(world, before))
        return True

    def command(self, count: int, *, clock: bool = True) -> int:
        """Take up to `count` steps by command; when nothing is ready, the clock (if it may) jumps
        to the next timer and that is the last of them. How many were taken."""
        before = self.steps
        while self.steps - before < count:
            if not self.step():
                if clock:
                    self.act(ADVANCE)
                break
        self.settled()
        return self.steps - before

    def act(self, action: Action) -> None:
        """Take one action, if it is possible, and pass on what it brought to a client."""
        try:
            step = self.system.transition(self.world, action)
        except Exception as fault:
            self._crashed(action, fault)
            return
        if step is None:
            return
        self._took(step)
        message = step.message
        if message is None:
            return
        if action.actor == STORE and self.abroad is not None:
            self.abroad(message)
        elif action.actor == OUTSIDE:
            self._waiting.pop(message.lane, None)
            sink = self.sinks.get(message.lane)
            if sink is not None:
                sink(None if message.body == CUT else message.body)

    def _took(self, step: Transition) -> None:
        self.world = step.after
        self._noted(step.action)
        if self.checker is not None:
            try:
                found = self.checker.check(step)
            except Exception as fault:
                # Clients must not suffer from a property that did not expect what they do.
                traceback.print_exception(fault, file=sys.stderr)
                found = [Violation(PROPERTY_FAILED, f"after {step.action}: {fault!r}")]
            if found:
                self._found(found)

    def _noted(self, action: Action) -> None:
        self.steps += 1
        self._recent.append((self.steps, self.world.now, action))
        if self.record is not None:
            self.record.add(action)

    def _found(self, violations: list[Violation]) -> None:
        for violation in violations:
            self.violated[violation.property] += 1
            if len(self.violations) < VIOLATIONS_KEPT:
                self.violations.append(violation)
            if self.report is not None and self.violated[violation.property] == 1:
                self.report(violation)

    def _crashed(self, action: Action, fault: Exception) -> None:
        """A component failed on what it received: say so, and start it anew. Its clients see their
        connections break, as they would when a process dies."""
        traceback.print_exception(fault, file=sys.stderr)
        self._noted(action)
        self._found([crashed(action, fault)])
        for next_action in (Action("fault", "crash", (action.actor,)),
                            Action(action.actor, "restart")):
            step = self.system.transition(self.world, next_action)
            if step is None:
                raise AssertionError(f"{action.actor} cannot be restarted after {action}")
            self._took(step)

    # -- what happened ----------------------------------------------------------------------------

    def timeline(self, since: int) -> list[Entry]:
        """The last steps after step number `since`, in words."""
        return [Entry(number, now, action.actor, describe(self.system, action))
                for number, now, action in self._recent if number > since]

    def stop(self, provenance: str = "") -> None:
        """End the run: the recording is sealed."""
        if self.record is not None:
            self.record.close(provenance)
            self.record = None
