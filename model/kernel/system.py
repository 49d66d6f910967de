"""The only source of behaviour: init, enabled, accepts, apply.

Explorer, Hypothesis, replayer, shrinker and live server differ only in how they choose among the
actions that this file allows. `apply(world, action)` is not None exactly when `action` is enabled,
or is an input that `accepts` allows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple

from model.kernel.action import Action, Scalar
from model.kernel.component import Cause, Component, Io, Message
from model.kernel.fault import HEALING, FaultPlan, without_peers
from model.kernel.harm import EFFECTS, TARGETS
from model.kernel.values import EMPTY
from model.kernel.world import (
    CRASHED,
    CRASHED_WITH_MACHINE,
    DOWN,
    UP,
    Channel,
    Slot,
    Timer,
    World,
    slot_with,
)

ADVANCE = Action("clock", "advance")
NO_FAULTS = FaultPlan()
Script = tuple[tuple[Action, ...], ...]
_tuple = tuple.__new__  # three records are made in each step: without a call of Python each


class Transition(NamedTuple):
    """One step and what it did: `mover` is the slot that moved (-1: clock or fault), `message` what
    it received, `sent` what left as (to, lane, body)."""

    before: World
    action: Action
    after: World
    mover: int
    message: Message | None
    sent: tuple[tuple[str, str, Any], ...]


class System:
    """Components, a finite script of inputs, a plan of faults.

    `script` holds sessions; each offers its entries in order, when the component accepts them.
    """

    def __init__(self, components: tuple[Component[Any], ...], script: Script = (),
                 faults: FaultPlan = NO_FAULTS, start_ms: int = 0) -> None:
        self.components = components
        self.script = script
        if not any(component.peers for component in components):
            faults = without_peers(faults)
        self.faults = faults
        self.start_ms = start_ms
        self.names = {component.name: at for at, component in enumerate(components)}
        if len(self.names) != len(components):
            raise AssertionError("two components have the same name")
        self.hosts = tuple(dict.fromkeys(component.host for component in components))

    # -- the four functions -------------------------------------------------------------------

    def init(self) -> World:
        """The cold start: every component initialised, in order, nothing delivered."""
        slots = tuple(Slot(None, EMPTY, (), DOWN, 0, (), (), 0) for _ in self.components)
        world = World(self.start_ms, slots, self.faults.budget, (), (0,) * len(self.script),
                      self.names, (), 0)
        for index, component in enumerate(self.components):
            io = Io(world.now)
            local = component.init(io)
            slot = world.slots[index]
            world = self._settle(world, index, local, slot.inbox, (), UP, 0, io)
        return world

    def enabled(self, world: World) -> tuple[Action, ...]:
        """All enabled actions in canonical order: ready work, script, clock, faults."""
        return tuple(self._enabled(world))

    def accepts(self, world: World, action: Action) -> bool:
        """Whether `action` is an input from outside that may happen now.

        `("clock", "advance", (ms,))` is one: a reading of a clock on the wall, later than ours.
        """
        if action.actor == "clock":
            return _is_reading(world, action)
        index = self.names.get(action.actor)
        if index is None or world.slots[index].status != UP:
            return False
        return self.components[index].accepts(world.slots[index].local, action.verb, action.args)

    def apply(self, world: World, action: Action) -> World | None:
        """The world after `action`, or None when it is neither enabled nor accepted."""
        transition = self.transition(world, action)
        return None if transition is None else transition.after

    def transition(self, world: World, action: Action) -> Transition | None:
        """Like `apply`, and what was received and sent."""
        index = self.names.get(action.actor, -1)
        if index < 0:
            return self._from_outside(world, action)
        slot = world.slots[index]
        verb = action.verb
        io = Io(world.now + slot.skew)
        if verb == "deliver":
            return self._deliver(world, action, index, slot, io)
        if verb == "restart":
            return self._restart(world, action, index, slot, io)
        if slot.status != UP:
            return None
        component = self.components[index]
        timers = slot.timers
        if verb == "timer":
            at = _due_timer(slot, action.args)
            if at < 0:
                return None
            timers = timers[:at] + timers[at + 1:]
            local = component.timer(slot.local, slot.timers[at][1], io)
        elif (verb, action.args) in slot.steps or component.accepts(slot.local, verb, action.args):
            local = component.step(slot.local, verb, action.args, io)
        else:
            return None
        script = self._advanced_script(world, action) if self.script else world.script
        after = self._settle(world, index, local, slot.inbox, timers, UP, slot.skew, io,
                             slot, script)
        return _tuple(Transition, (world, action, after, index, None, _sent(io)))

    # -- choosing -----------------------------------------------------------------------------

    def pick(self, world: World, number: int) -> Action:
        """The `number`-th ready action (0 <= number < world.total), without building the list."""
        for index in world.ready:
            slot = world.slots[index]
            if number < slot.ready:
                return self._offer(index, slot, number)
            number -= slot.ready
        raise IndexError("fewer actions are ready")

    def inputs(self, world: World) -> tuple[Action, ...]:
        """The script's next inputs that are accepted now."""
        return tuple(session[at] for session, at in zip(self.script, world.script, strict=True)
                     if at < len(session) and self.accepts(world, session[at]))

    def clock(self, world: World) -> tuple[Action, ...]:
        """The jump to the next timer, when nothing is ready and a timer is armed."""
        if world.total == 0 and any(slot.timers for slot in world.slots if slot.status == UP):
            return (ADVANCE,)
        return ()

    def hurts(self, world: World) -> tuple[Action, ...]:
        """The faults that the budget still allows, and what heals."""
        return tuple(action for kind in self.kinds_of_harm(world)
                     for action in self.hurts_of(world, kind))

    def _enabled(self, world: World) -> Iterator[Action]:
        for index in world.ready:
            slot = world.slots[index]
            for number in range(slot.ready):
                yield self._offer(index, slot, number)
        for action in dict.fromkeys(self.inputs(world)):
            if not self._is_own_step(world, action):
                yield action
        yield from self.clock(world)
        yield from self.hurts(world)

    def _is_own_step(self, world: World, action: Action) -> bool:
        index = self.names.get(action.actor)
        return index is not None and (action.verb, action.args) in world.slots[index].steps

    def _offer(self, index: int, slot: Slot, number: int) -> Action:
        name = self.components[index].name
        if slot.status != UP:
            return Action(name, "restart")
        waiting = slot.waiting
        if number < len(waiting):
            return _tuple(Action, (name, "deliver", waiting[number]))
        number -= len(waiting)
        if number < slot.due:
            return Action(name, "timer", (slot.timers[number][1],))
        verb, args = slot.steps[number - slot.due]
        return _tuple(Action, (name, verb, args))

    # -- moves of components ------------------------------------------------------------------

    def _deliver(self, world: World, action: Action, index: int, slot: Slot,
                 io: Io) -> Transition | None:
        channel: Any = action.args
        queue = slot.inbox.get(channel)
        if not queue or slot.status != UP:
            return None
        if world.isolated and channel not in slot.waiting:
            return None
        message = _tuple(Message, (channel[0], channel[1], queue[0]))
        inbox = slot.inbox.set(channel, queue[1:])
        local = self.components[index].receive(slot.local, message, io)
        after = self._settle(world, index, local, inbox, slot.timers, UP, slot.skew, io, slot,
                             world.script, channel if len(queue) == 1 else None)
        return _tuple(Transition, (world, action, after, index, message, _sent(io)))

    def _restart(self, world: World, action: Action, index: int, slot: Slot,
                 io: Io) -> Transition | None:
        if slot.status not in (CRASHED, CRASHED_WITH_MACHINE) or action.args:
            return None
        cause: Cause = "process" if slot.status == CRASHED else "machine"
        local = self.components[index].restart(slot.local, cause, io)
        after = self._settle(world, index, local, slot.inbox, (), UP, slot.skew, io)
        return _tuple(Transition, (world, action, after, index, None, _sent(io)))

    def _settle(self, world: World, index: int, local: Any, inbox: Any, timers: tuple[Timer, ...],
                status: int, skew: int, io: Io, old: Slot | None = None,
                script: tuple[int, ...] | None = None, emptied: Channel | None = None) -> World:
        """The world after one component moved: its new slot, and its messages in their channels.

        `old` lets what did not change be kept; without it everything is derived anew.
        """
        component = self.components[index]
        if io.timers:
            timers = _rearmed(timers, io.timers)
        for to, lane, _ in io.requests:
            inbox = inbox.set((to, lane), ())
        if old is None:
            waiting = self.deliverable(world, index, inbox)
        else:
            waiting = old.waiting if emptied is None else _without(old.waiting, emptied)
            for to, lane, _ in io.requests:
                waiting = _without(waiting, (to, lane))
        steps = old.steps if old is not None and local is old.local else component.steps(local)
        clock = world.now + skew
        due = 0
        while due < len(timers) and timers[due][0] <= clock:
            due += 1
        slots = list(world.slots)
        ready, total = world.ready, world.total
        moved = Slot(local, inbox, timers, status, skew, waiting, steps, due)
        ready, total = _counted(ready, total, index, slots[index], moved)
        slots[index] = moved
        if io.requests or io.replies:
            ready, total = self._post(world, component, slots, ready, total, io)
        return World(world.now, tuple(slots), world.budget, world.isolated,
                     world.script if script is None else script, self.names, ready, total)

    def _post(self, world: World, sender: Component[Any], slots: list[Slot],
              ready: tuple[int, ...], total: int, io: Io) -> tuple[tuple[int, ...], int]:
        """Put what was sent into the receivers' channels."""
        name = sender.name
        own = slots[self.names[name]].inbox
        for to, lane, body in io.requests:
            if to not in sender.servers:
                raise AssertionError(f"{name} does not talk to {to}")
            at = self.names[to]
            ready, total = self._push(world, slots, ready, total, at, (name, lane), body)
        for to, lane, body in io.replies:
            if to in sender.peers:
                at = self.names[to]
                if slots[at].status == UP and self._linked(world, sender.host, at):
                    ready, total = self._push(world, slots, ready, total, at, (name, lane), body)
                continue
            # A connection on which a CUT or a newer request waits carries nothing any more.
            if own.get((to, lane)) == ():
                at = self.names[to]
                if slots[at].status == UP:
                    ready, total = self._push(world, slots, ready, total, at, (name, lane), body)
        return ready, total

    def _push(self, world: World, slots: list[Slot], ready: tuple[int, ...], total: int, at: int,
              channel: Channel, body: Any) -> tuple[tuple[int, ...], int]:
        slot = slots[at]
        queue = slot.inbox.get(channel, ())
        waiting = slot.waiting
        if not queue and (not world.isolated or self._reachable(world, channel[0], at)):
            place = bisect_left(waiting, channel)
            waiting = (*waiting[:place], channel, *waiting[place:])
        grown = Slot(slot.local, slot.inbox.set(channel, (*queue, body)), slot.timers, slot.status,
                     slot.skew, waiting, slot.steps, slot.due)
        slots[at] = grown
        return _counted(ready, total, at, slot, grown)

    def _reachable(self, world: World, source: str, at: int) -> bool:
        return self._linked(world, self.components[self.names[source]].host, at)

    def _linked(self, world: World, there: str, at: int) -> bool:
        here = self.components[at].host
        return here == there or not (here in world.isolated or there in world.isolated)

    def with_channel(self, world: World, at: int, waiting: tuple[Channel, ...], channel: Channel,
                     filled: bool) -> tuple[Channel, ...]:
        """`waiting` of slot `at` after one of its channels was filled or emptied."""
        waiting = _without(waiting, channel)
        if filled and (not world.isolated or self._reachable(world, channel[0], at)):
            place = bisect_left(waiting, channel)
            waiting = (*waiting[:place], channel, *waiting[place:])
        return waiting

    def deliverable(self, world: World, at: int, inbox: Any) -> tuple[Channel, ...]:
        return tuple(channel for channel, queue in inbox.items() if queue
                     and (not world.isolated or self._reachable(world, channel[0], at)))

    def _advanced_script(self, world: World, action: Action) -> tuple[int, ...]:
        for number, (session, at) in enumerate(zip(self.script, world.script, strict=True)):
            if at < len(session) and session[at] == action:
                return (*world.script[:number], at + 1, *world.script[number + 1:])
        return world.script

    # -- clock and faults ---------------------------------------------------------------------

    def _from_outside(self, world: World, action: Action) -> Transition | None:
        after: World | None = None
        if action.actor == "clock":
            if action == ADVANCE:
                after = self._advance(world)
            elif _is_reading(world, action):
                after = self.at_time(world, int(action.args[0]))
        elif action.actor == "fault" and action.args in self.targets_of(world, action.verb):
            after = EFFECTS[action.verb](self, world, action.args)
        return None if after is None else Transition(world, action, after, -1, None, ())

    def _advance(self, world: World) -> World | None:
        if not self.clock(world):
            return None
        due = min(slot.timers[0][0] - slot.skew for slot in world.slots
                  if slot.timers and slot.status == UP)
        return self.at_time(world, max(due, world.now))

    def at_time(self, world: World, now: int) -> World:
        """The world with its clock set to `now` (not before the world's own)."""
        slots: list[Slot] | None = None
        for index, slot in enumerate(world.slots):
            if slot.timers and slot.timers[0][0] <= now + slot.skew:
                due = sum(1 for timer in slot.timers if timer[0] <= now + slot.skew)
                if due != slot.due:
                    slots = list(world.slots) if slots is None else slots
                    slots[index] = slot_with(slot, due=due)
        if slots is None:
            return World(now, world.slots, world.budget, world.isolated, world.script, self.names,
                         world.ready, world.total)
        return self.rebuilt(world, slots, now=now)

    def rebuilt(self, world: World, slots: list[Slot], **changes: Any) -> World:
        """A world whose readiness is counted anew: for rare moves that touch many slots."""
        ready = tuple(index for index, slot in enumerate(slots) if slot.ready)
        return World(changes.get("now", world.now), tuple(slots),
                     changes.get("budget", world.budget), changes.get("isolated", world.isolated),
                     world.script, self.names, ready, sum(slots[index].ready for index in ready))

    def hurts_of(self, world: World, kind: str) -> tuple[Action, ...]:
        """The faults of one kind that the budget still allows, or the healings of that kind."""
        return tuple(Action("fault", kind, args) for args in self.targets_of(world, kind))

    def targets_of(self, world: World, kind: str) -> tuple[tuple[Scalar, ...], ...]:
        """What `hurts_of` that kind can hit."""
        if kind not in HEALING and dict(world.budget).get(kind, 0) <= 0:
            return ()
        return tuple(TARGETS[kind](self, world))

    def kinds_of_harm(self, world: World) -> tuple[str, ...]:
        """The kinds of fault with some budget left, and the kinds of healing."""
        return (*(kind for kind, left in world.budget if left > 0), *HEALING)

    def spent(self, world: World) -> World:
        """The same world with no fault left to spend."""
        return self.rebuilt(world, list(world.slots), budget=())


def _is_reading(world: World, action: Action) -> bool:
    """Whether an action is a reading of a clock on the wall that is ahead of the world's."""
    args = action.args
    return (action.verb == "advance" and len(args) == 1 and type(args[0]) is int
            and args[0] > world.now)


def _due_timer(slot: Slot, args: tuple[Scalar, ...]) -> int:
    for at in range(slot.due):
        if (slot.timers[at][1],) == args:
            return at
    return -1


def _sent(io: Io) -> tuple[tuple[str, str, Any], ...]:
    return (*io.requests, *io.replies) if io.requests or io.replies else ()


def _rearmed(timers: tuple[Timer, ...], changes: list[tuple[str, int | None]]) -> tuple[Timer, ...]:
    armed = {key: due for due, key in timers}
    for key, due in changes:
        if due is None:
            armed.pop(key, None)
        else:
            armed[key] = due
    return tuple(sorted((due, key) for key, due in armed.items()))


def _without(waiting: tuple[Channel, ...], channel: Channel) -> tuple[Channel, ...]:
    place = bisect_left(waiting, channel)
    if place < len(waiting) and waiting[place] == channel:
        return waiting[:place] + waiting[place + 1:]
    return waiting


def _counted(ready: tuple[int, ...], total: int, index: int, old: Slot,
             new: Slot) -> tuple[tuple[int, ...], int]:
    if (old.ready > 0) != (new.ready > 0):
        place = bisect_left(ready, index)
        if new.ready:
            ready = (*ready[:place], index, *ready[place:])
        else:
            ready = ready[:place] + ready[place + 1:]
    return ready, total + new.ready - old.ready
