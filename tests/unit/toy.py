"""A toy system for tests of the kernel: counters at a server, clients that raise and watch them."""

from __future__ import annotations

from typing import Any, NamedTuple

from model.kernel.component import CUT, NO_STEPS, Cause, Component, Io, Message, Step
from model.kernel.fault import FaultPlan
from model.kernel.property import Part, always, each, leads_to, sometimes, step_rule
from model.kernel.system import Action, System
from model.kernel.values import EMPTY, FrozenMap


class ServerState(NamedTuple):
    counters: FrozenMap[str, int] = EMPTY
    watchers: FrozenMap[tuple[str, str], int] = EMPTY


class Server(Component[ServerState]):
    name = "server"
    servers = ()

    def init(self, io: Io) -> ServerState:
        return ServerState()

    def receive(self, local: ServerState, message: Message, io: Io) -> ServerState:
        channel = (message.source, message.lane)
        local = local._replace(watchers=local.watchers.drop(channel))
        if message.body == CUT:
            return local
        verb, key = message.body
        if verb == "watch":
            io.reply(*channel, ("value", local.counters.get(key, 0)))
            return local._replace(watchers=local.watchers.set(channel, 1))
        value = local.counters.get(key, 0) + 1
        io.reply(*channel, ("ok", value))
        for client, lane in local.watchers:
            io.reply(client, lane, ("value", value))
        return local._replace(counters=local.counters.set(key, value))

    def restart(self, local: ServerState, cause: Cause, io: Io) -> ServerState:
        return local._replace(watchers=EMPTY)


class ClientState(NamedTuple):
    wanted: int = 0
    done: int = 0
    busy: bool = False
    watching: bool = False
    seen: int = 0


class Client(Component[ClientState]):
    servers = ("server",)

    def __init__(self, name: str, key: str, host: str) -> None:
        self.name = name
        self.key = key
        self.host = host

    def init(self, io: Io) -> ClientState:
        io.after(1_000, "idle:tick")
        return ClientState()

    def steps(self, local: ClientState) -> tuple[Step, ...]:
        raising: tuple[Step, ...] = ((("raise", ()),) if local.done < local.wanted
                                     and not local.busy else NO_STEPS)
        return raising if local.watching else (*raising, ("watch", ()))

    def accepts(self, local: ClientState, verb: str, args: tuple[Any, ...]) -> bool:
        return verb == "want" and len(args) == 1 and isinstance(args[0], int) and args[0] > 0

    def step(self, local: ClientState, verb: str, args: tuple[Any, ...], io: Io) -> ClientState:
        if verb == "want":
            return local._replace(wanted=local.wanted + args[0])
        if verb == "watch":
            io.request("server", "watch", ("watch", self.key))
            return local._replace(watching=True)
        io.request("server", "work", ("raise", self.key))
        return local._replace(busy=True)

    def receive(self, local: ClientState, message: Message, io: Io) -> ClientState:
        if message.lane == "watch":
            if message.body == CUT:
                return local._replace(watching=False)
            return local._replace(seen=message.body[1])
        if message.body == CUT:
            return local._replace(busy=False)
        return local._replace(busy=False, done=local.done + 1)

    def timer(self, local: ClientState, key: str, io: Io) -> ClientState:
        io.after(1_000, "idle:tick")
        return local


def toy(clients: int = 2, wanted: int = 2, faults: FaultPlan | None = None) -> System:
    components = (Server(), *(Client(f"client/{n}", "k", f"host-{n}") for n in range(clients)))
    script = tuple(tuple(Action(f"client/{n}", "want", (1,)) for _ in range(wanted))
                   for n in range(clients))
    return System(components, script, faults or FaultPlan())


COUNTERS = Part("server", "counters")


@always(reads=(COUNTERS, Part("client/*", "wanted")), why="work is paid for")
def the_counter_never_exceeds_what_was_wanted(world: Any) -> str | None:
    wanted = sum(world[name].wanted for name in world.names if name.startswith("client/"))
    found = world["server"].counters.get("k", 0)
    return f"{found} of {wanted}" if found > wanted else None


@each(of=COUNTERS, why="counters count")
def a_counter_is_positive(world: Any, key: str, old: int | None, new: int | None) -> str | None:
    return f"{key} is {new}" if new is not None and new <= 0 else None


@step_rule(reads=(COUNTERS,), why="counters count one by one")
def a_counter_rises_by_one(before: Any, action: Action, after: Any) -> str | None:
    rise = after["server"].counters.get("k", 0) - before["server"].counters.get("k", 0)
    return None if rise == 1 else f"rose by {rise}"


@sometimes(reads=(COUNTERS,), why="the example counts at all")
def the_counter_reaches_two(world: Any) -> bool:
    return bool(world["server"].counters.get("k", 0) >= 2)


@leads_to(within_ms=5_000, reads=(Part("client/*", "done"),), why="what is wanted gets done")
def every_wish_is_done(world: Any) -> str | None:
    late = [name for name in world.names if name.startswith("client/")
            and world[name].done < world[name].wanted]
    return f"{', '.join(late)} still waits" if late else None


PROPERTIES = (the_counter_never_exceeds_what_was_wanted, a_counter_is_positive,
              a_counter_rises_by_one, the_counter_reaches_two, every_wish_is_done)
