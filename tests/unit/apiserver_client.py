"""A client for tests: sends requests one after the other, each on a lane of its own choice."""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.requests import Request
from model.api.scenario import Scenario
from model.kernel.action import Action, Scalar
from model.kernel.component import Component, Io, Message
from model.kernel.driver import FairDriver, run
from model.kernel.fault import FaultPlan
from model.kernel.system import System, Transition
from model.kernel.world import World
from reference_impl.apiserver.component import ApiServer, config_of
from reference_impl.etcd.member import Etcd


class Heard(NamedTuple):
    """What came back, as (lane, body), oldest first; `asked`: how many requests were sent."""

    messages: tuple[tuple[str, Any], ...] = ()
    asked: int = 0


class Caller(Component[Heard]):
    """Sends the requests that a test puts into `outbox` (configuration shared with the test). A
    patient caller sends the next one only when each before it was answered."""

    def __init__(self, name: str = "kubectl", patient: bool = False) -> None:
        self.name = name
        self.patient = patient
        self.outbox: list[Any] = []

    def init(self, io: Io) -> Heard:
        return Heard()

    def accepts(self, local: Heard, verb: str, args: tuple[Scalar, ...]) -> bool:
        return verb == "ask" and (not self.patient or len(local.messages) >= local.asked)

    def step(self, local: Heard, verb: str, args: tuple[Scalar, ...], io: Io) -> Heard:
        io.request("apiserver", str(args[1]), self.outbox[int(args[0])])
        return Heard(local.messages, local.asked + 1)

    def receive(self, local: Heard, message: Message, io: Io) -> Heard:
        return Heard((*local.messages, (message.lane, message.body)), local.asked)


class Cluster:
    """etcd, an API server and a caller, driven by a test."""

    def __init__(self, client: str = "kubectl", **settings: str) -> None:
        pairs = tuple(sorted((name.replace("_", "-"), value) for name, value in settings.items()))
        scenario = Scenario("test", settings=pairs)
        self.caller = Caller(client)
        self.server = ApiServer(config_of(scenario))
        faults = FaultPlan((("crash", 9),))
        self.system = System((self.server, Etcd(), self.caller), faults=faults)
        self.world: World = self.system.init()
        self.settle()

    def settle(self) -> None:
        """Serve everything fairly until nothing is ready; upkeep is left alone."""
        while self.world.total:
            self.act(self.system.pick(self.world, 0))

    def settle_without_cache(self) -> list[Transition]:
        """Serve everything but the stream that feeds the watch cache: it lags."""
        taken = []
        while True:
            held = Action("apiserver", "deliver", ("etcd", "cache"))
            ready = [action for action in self.system.enabled(self.world)
                     if action != held and action.actor not in ("clock", "fault")]
            if not ready:
                return taken
            step = self.system.transition(self.world, ready[0])
            assert step is not None, f"{ready[0]} is not enabled"
            taken.append(step)
            self.world = step.after

    def act(self, action: Action) -> None:
        """Take one action, which must be allowed."""
        after = self.system.apply(self.world, action)
        assert after is not None, f"{action} is not enabled"
        self.world = after

    def send(self, request: Any, lane: str = "work") -> None:
        """Send a request and deliver nothing."""
        self.caller.outbox.append(request)
        self.act(Action(self.caller.name, "ask", (len(self.caller.outbox) - 1, lane)))

    def ask(self, request: Request, lane: str = "work") -> Any:
        """Send a request, serve everything, and return the reply."""
        self.send(request, lane)
        self.settle()
        lanes = [body for heard, body in self.heard if heard == lane]
        return lanes[-1]

    def crash(self) -> None:
        """The server dies and is started anew."""
        self.act(Action("fault", "crash", ("apiserver",)))

    def quiesce(self) -> None:
        """Serve everything, and let time pass until only upkeep is left."""
        self.world = run(self.system, FairDriver(script=False), self.world, steps=5000).world

    @property
    def heard(self) -> tuple[tuple[str, Any], ...]:
        """Everything that came back."""
        messages: tuple[tuple[str, Any], ...] = self.world[self.caller.name].messages
        return messages

    @property
    def cache(self) -> Any:
        """The watch cache."""
        return self.world["apiserver"].cache
