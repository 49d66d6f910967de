"""Drives a system for clients from outside: their requests are inputs, their answers are read off
the transitions.

Ready work is done at once, oldest slot first in turn. The clock follows the wall. Everything runs
in one thread: an answer is complete before the next request is looked at, or it waits for a timer.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from model.kernel.action import Action
from model.kernel.component import CUT
from model.kernel.system import System, Transition
from model.kernel.world import World
from reference_impl.apiserver.access.authentication import OUTSIDE

Sink = Callable[[Any], None]
STEPS_MAX = 200_000


class Engine:
    """A running system. `sinks`: connection -> who hears what comes back on it."""

    def __init__(self, system: System, wall: Callable[[], float] = time.monotonic) -> None:
        self.system = system
        self.world: World = system.init()
        self.wall = wall
        self.sinks: dict[str, Sink] = {}
        self.free: list[str] = []
        self.made = 0
        self.started = wall()
        self.first_ms = self.world.now
        self.turn = 0
        self.pump()

    # -- connections ------------------------------------------------------------------------------

    def open(self, sink: Sink) -> str:
        """A connection that no other client uses."""
        if self.free:
            lane = self.free.pop()
        else:
            self.made += 1
            lane = f"c{self.made}"
        self.sinks[lane] = sink
        return lane

    def close(self, lane: str) -> None:
        """The client has its answer, or has gone: end what is left on the connection."""
        if self.sinks.pop(lane, None) is None:
            return
        self.act(Action(OUTSIDE, "close", (lane,)))
        self.pump()
        self.free.append(lane)

    def ask(self, lane: str, text: str) -> None:
        """Send a request on a connection, and do all work that is ready."""
        self.follow_wall()
        self.act(Action(OUTSIDE, "request", (lane, text)))
        self.pump()

    # -- time -------------------------------------------------------------------------------------

    def follow_wall(self) -> None:
        """Bring the clock up to the wall."""
        now = self.first_ms + int((self.wall() - self.started) * 1000)
        if now > self.world.now:
            self.world = self.system.at_time(self.world, now)

    def next_timer_s(self) -> float:
        """Seconds until the next timer, at most one."""
        dues = [slot.timers[0][0] for slot in self.world.slots if slot.timers]
        if not dues:
            return 1.0
        now = self.first_ms + (self.wall() - self.started) * 1000
        return min(1.0, max(0.005, (min(dues) - now) / 1000))

    def tick(self) -> None:
        """Let the clock catch up, and do what became ready."""
        self.follow_wall()
        self.pump()

    # -- steps ------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Do ready work until there is none. Components take turns, so that none starves."""
        for _ in range(STEPS_MAX):
            world = self.world
            if not world.ready:
                return
            index = next((at for at in world.ready if at > self.turn), world.ready[0])
            self.turn = index
            before = sum(world.slots[at].ready for at in world.ready if at < index)
            self.act(self.system.pick(world, before))

    def act(self, action: Action) -> None:
        """Take one action and pass on what it brought to a client."""
        try:
            step = self.system.transition(self.world, action)
        except Exception:
            step = self._crashed(action)
        if step is None:
            return
        self.world = step.after
        message = step.message
        if action.actor == OUTSIDE and message is not None:
            sink = self.sinks.get(message.lane)
            if sink is not None:
                sink(None if message.body == CUT else message.body)

    def _crashed(self, action: Action) -> Transition | None:
        """A component failed on what it received: say so, and start it anew. Its clients see their
        connections break, as they would when a process dies."""
        traceback.print_exc(file=sys.stderr)
        name = action.actor
        broken = self.system.transition(self.world, Action("fault", "crash", (name,)))
        if broken is None:
            raise AssertionError(f"{name} cannot be restarted after {action}")
        self.world = broken.after
        return self.system.transition(self.world, Action(name, "restart"))
