"""What each kind of fault can hit in a world, and what it does there.

`TARGETS[kind](system, world)` yields the arguments that are possible now; `EFFECTS[kind](system,
world, args)` is the world after the fault. Both are total on what they were given: the system
calls an effect only with arguments that the targets yielded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from model.kernel.action import Scalar
from model.kernel.component import CUT
from model.kernel.fault import SKEWS_MS
from model.kernel.world import (
    CRASHED,
    CRASHED_WITH_MACHINE,
    DOWN,
    UP,
    Channel,
    Slot,
    World,
    slot_with,
)

if TYPE_CHECKING:
    from model.kernel.system import System

Args = tuple[Scalar, ...]


def _pay(world: World, kind: str) -> tuple[tuple[str, int], ...]:
    return tuple((name, left - (name == kind)) for name, left in world.budget)


def _connections(system: System, world: World) -> Iterator[tuple[str, str, str]]:
    """(client, server, lane) for every connection that was ever opened."""
    for server, slot in zip(system.components, world.slots, strict=True):
        for client, lane in slot.inbox:
            if server.name in system.components[system.names[client]].servers:
                yield client, server.name, lane


def _queue(system: System, world: World, at: str, channel: Channel) -> tuple[Any, ...]:
    found: tuple[Any, ...] = world.slots[system.names[at]].inbox.get(channel, ())
    return found


def _requests_to_lose(system: System, world: World) -> Iterator[Args]:
    for client, server, lane in _connections(system, world):
        queue = _queue(system, world, server, (client, lane))
        if queue and queue[-1] != CUT and world.status(client) == UP:
            yield client, server, lane


def _replies_to_lose(system: System, world: World) -> Iterator[Args]:
    for client, server, lane in _connections(system, world):
        queue = _queue(system, world, client, (server, lane))
        if queue and queue != (CUT,):
            yield client, server, lane


def _streams_to_cut(system: System, world: World) -> Iterator[Args]:
    for server, slot in zip(system.components, world.slots, strict=True):
        name = server.name
        for (client, lane), queue in slot.inbox.items() if slot.status == UP else ():
            at = system.names[client]
            other = world.slots[at]
            if (not queue and other.status == UP and name in system.components[at].servers
                    and not other.inbox.get((name, lane))):
                yield client, name, lane


def _components_up(system: System, world: World) -> Iterator[Args]:
    allowed = system.faults.components
    for component, slot in zip(system.components, world.slots, strict=True):
        if slot.status == UP and (not allowed or component.name.startswith(allowed)):
            yield (component.name,)


def _members_up(system: System, world: World) -> Iterator[Args]:
    return (args for args in _components_up(system, world)
            if system.components[system.names[str(args[0])]].peers)


def _between_peers(system: System, world: World, least: int, loose: bool) -> Iterator[Args]:
    """(receiver, sender, lane) with at least that many messages under way between peers."""
    for component, slot in zip(system.components, world.slots, strict=True):
        for (source, lane), queue in slot.inbox.items() if component.peers else ():
            if (len(queue) >= least and source in component.peers
                    and (not loose or lane in component.loose_lanes)):
                yield component.name, source, lane


def _messages_to_drop(system: System, world: World) -> Iterator[Args]:
    return _between_peers(system, world, 1, False)


def _messages_to_duplicate(system: System, world: World) -> Iterator[Args]:
    return _between_peers(system, world, 1, True)


def _messages_to_reorder(system: System, world: World) -> Iterator[Args]:
    return _between_peers(system, world, 2, True)


def _machines(system: System) -> tuple[str, ...]:
    allowed = system.faults.hosts
    return tuple(host for host in system.hosts if not allowed or host.startswith(allowed))


def _hosts_up(system: System, world: World) -> Iterator[Args]:
    down = {component.host for component, slot in zip(system.components, world.slots, strict=True)
            if slot.status == DOWN}
    return ((host,) for host in _machines(system) if host not in down)


def _hosts_down(system: System, world: World) -> Iterator[Args]:
    down = {component.host for component, slot in zip(system.components, world.slots, strict=True)
            if slot.status == DOWN}
    return ((host,) for host in system.hosts if host in down)


def _hosts_joined(system: System, world: World) -> Iterator[Args]:
    return ((host,) for host in _machines(system) if host not in world.isolated)


def _hosts_isolated(system: System, world: World) -> Iterator[Args]:
    return ((host,) for host in world.isolated)


def _skews(system: System, world: World) -> Iterator[Args]:
    return ((host, skew) for host in _machines(system) for skew in SKEWS_MS)


TARGETS: dict[str, Callable[[System, World], Iterator[Args]]] = {
    "lose_request": _requests_to_lose, "lose_reply": _replies_to_lose, "cut": _streams_to_cut,
    "crash": _components_up, "crash_machine": _hosts_up, "isolate": _hosts_joined,
    "skew": _skews, "recover": _hosts_down, "rejoin": _hosts_isolated,
    "drop": _messages_to_drop, "duplicate": _messages_to_duplicate,
    "reorder": _messages_to_reorder, "lose_unsynced": _members_up,
}


def _put(system: System, world: World, slots: list[Slot], at: str, channel: Channel,
         queue: tuple[Any, ...]) -> None:
    index = system.names[at]
    slot = slots[index]
    waiting = system.with_channel(world, index, slot.waiting, channel, bool(queue)) \
        if slot.status == UP else ()
    slots[index] = slot_with(slot, inbox=slot.inbox.set(channel, queue), waiting=waiting)


def _lose_request(system: System, world: World, args: Args) -> World:
    client, server, lane = map(str, args)
    slots = list(world.slots)
    queue = _queue(system, world, server, (client, lane))
    _put(system, world, slots, server, (client, lane), queue[:-1])
    _put(system, world, slots, client, (server, lane), (CUT,))
    return system.rebuilt(world, slots, budget=_pay(world, "lose_request"))


def _break(system: System, world: World, slots: list[Slot], client: str, server: str,
           lane: str) -> None:
    queue = _queue(system, world, server, (client, lane))
    _put(system, world, slots, server, (client, lane), (*queue, CUT))
    _put(system, world, slots, client, (server, lane), (CUT,))


def _lose_reply(system: System, world: World, args: Args) -> World:
    client, server, lane = map(str, args)
    slots = list(world.slots)
    _break(system, world, slots, client, server, lane)
    return system.rebuilt(world, slots, budget=_pay(world, "lose_reply"))


def _cut(system: System, world: World, args: Args) -> World:
    client, server, lane = map(str, args)
    slots = list(world.slots)
    _break(system, world, slots, client, server, lane)
    return system.rebuilt(world, slots, budget=_pay(world, "cut"))


def _stopped(system: System, world: World, slots: list[Slot], name: str, status: int) -> None:
    """Stop a component: its inbox and timers are lost, its partners' connections break."""
    index = system.names[name]
    slot = slots[index]
    peers = system.components[index].peers
    for source, lane in slot.inbox:
        if source in peers:
            continue  # what is under way to them arrives or is lost, there is nothing to break
        partner = slots[system.names[source]]
        queue = partner.inbox.get((name, lane))
        if partner.status == UP and queue is not None and (not queue or queue[-1] != CUT):
            _put(system, world, slots, source, (name, lane), (*queue, CUT))
    emptied = type(slot.inbox)((channel, ()) for channel in slot.inbox)
    slots[index] = slot_with(slot, inbox=emptied, timers=(), status=status, waiting=(), due=0)


def _crash(system: System, world: World, args: Args) -> World:
    slots = list(world.slots)
    _stopped(system, world, slots, str(args[0]), CRASHED)
    return system.rebuilt(world, slots, budget=_pay(world, "crash"))


def _lose_unsynced(system: System, world: World, args: Args) -> World:
    """A power failure: the member may start again at once, from what was durable."""
    slots = list(world.slots)
    _stopped(system, world, slots, str(args[0]), CRASHED_WITH_MACHINE)
    return system.rebuilt(world, slots, budget=_pay(world, "lose_unsynced"))


def _requeued(system: System, world: World, args: Args, kind: str,
              change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> World:
    receiver, source, lane = map(str, args)
    slots = list(world.slots)
    queue = _queue(system, world, receiver, (source, lane))
    _put(system, world, slots, receiver, (source, lane), change(queue))
    return system.rebuilt(world, slots, budget=_pay(world, kind))


def _drop(system: System, world: World, args: Args) -> World:
    return _requeued(system, world, args, "drop", lambda queue: queue[1:])


def _duplicate(system: System, world: World, args: Args) -> World:
    """The oldest message comes again, behind what is under way now."""
    return _requeued(system, world, args, "duplicate", lambda queue: (*queue, queue[0]))


def _reorder(system: System, world: World, args: Args) -> World:
    """All that is under way overtakes the oldest message."""
    return _requeued(system, world, args, "reorder", lambda queue: (*queue[1:], queue[0]))


def _crash_machine(system: System, world: World, args: Args) -> World:
    slots = list(world.slots)
    for component in system.components:
        if component.host == args[0]:
            _stopped(system, world, slots, component.name, DOWN)
    return system.rebuilt(world, slots, budget=_pay(world, "crash_machine"))


def _recover(system: System, world: World, args: Args) -> World:
    slots = [slot_with(slot, status=CRASHED_WITH_MACHINE)
             if component.host == args[0] and slot.status == DOWN else slot
             for component, slot in zip(system.components, world.slots, strict=True)]
    return system.rebuilt(world, slots)


def _with_isolated(system: System, world: World, isolated: tuple[str, ...], paid: str) -> World:
    joined = system.rebuilt(world, list(world.slots), isolated=isolated)
    slots = [slot_with(slot, waiting=system.deliverable(joined, index, slot.inbox))
             if slot.status == UP else slot for index, slot in enumerate(world.slots)]
    return system.rebuilt(joined, slots, budget=_pay(world, paid))


def _isolate(system: System, world: World, args: Args) -> World:
    return _with_isolated(system, world, tuple(sorted((*world.isolated, str(args[0])))), "isolate")


def _rejoin(system: System, world: World, args: Args) -> World:
    return _with_isolated(system, world,
                          tuple(host for host in world.isolated if host != args[0]), "")


def _skew(system: System, world: World, args: Args) -> World:
    slots = [slot_with(slot, skew=int(args[1])) if component.host == args[0] else slot
             for component, slot in zip(system.components, world.slots, strict=True)]
    paid = system.rebuilt(world, slots, budget=_pay(world, "skew"))
    return system.at_time(paid, world.now)


EFFECTS: dict[str, Callable[[System, World, Args], World]] = {
    "lose_request": _lose_request, "lose_reply": _lose_reply, "cut": _cut, "crash": _crash,
    "crash_machine": _crash_machine, "isolate": _isolate, "skew": _skew, "recover": _recover,
    "rejoin": _rejoin, "drop": _drop, "duplicate": _duplicate, "reorder": _reorder,
    "lose_unsynced": _lose_unsynced,
}
