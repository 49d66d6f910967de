"""What a component is: a value for its local state, functions that step it, an Io for its effects.

A component never sees the world. It is handed its own local state and an `Io`, on which it can
only write; the system moves what was written. Every choice inside a component is offered as one
of several own steps, never drawn from a generator.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, TypeVar

from model.kernel.action import Scalar

L = TypeVar("L")
Step = tuple[str, tuple[Scalar, ...]]
Cause = Literal["process", "machine"]
NO_STEPS: tuple[Step, ...] = ()


class Cut(NamedTuple):
    """Stands in a channel where a connection broke.

    A client that has a request open reads it as: outcome unknown. A watcher: the stream ended.
    A server: the client of this lane has gone, forget its watch and its request in flight.
    """

    kind: str = "Cut"


CUT = Cut()


class Message(NamedTuple):
    """The head of the channel (`source`, this component, `lane`)."""

    source: str
    lane: str
    body: Any


class Io:
    """The effects of one step, collected and not performed. `now` is the component's own clock."""

    __slots__ = ("now", "replies", "requests", "timers")

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self.requests: list[tuple[str, str, Any]] = []
        self.replies: list[tuple[str, str, Any]] = []
        self.timers: list[tuple[str, int | None]] = []

    def request(self, to: str, lane: str, body: Any) -> None:
        """Ask the server `to` on the connection `lane`; at most one request leaves in a step.

        A lane carries one request at a time: ask again only after the reply or a CUT came. The
        answers, and the events of a watch, come back on the same lane.
        """
        if self.requests:
            raise AssertionError("a component may send at most one request in a step")
        self.requests.append((to, lane, body))

    def reply(self, to: str, lane: str, body: Any) -> None:
        """Answer on a lane that `to` opened, or push the next event of its stream."""
        self.replies.append((to, lane, body))

    def tell(self, to: str, lane: str, body: Any) -> None:
        """Send a message to a peer: no connection, no answer awaited, lost where nobody is up."""
        self.replies.append((to, lane, body))

    def after(self, delay_ms: int, key: str) -> None:
        """Arm (or re-arm) the timer `key`; it fires as `timer(local, key, io)`, not before then."""
        self.timers.append((key, self.now + delay_ms))

    def cancel(self, key: str) -> None:
        """Disarm the timer `key`, if armed."""
        self.timers.append((key, None))


class Component(Generic[L]):
    """A deterministic machine. Subclasses are immutable configuration; the state is `local`.

    `name` is unique in a system ("apiserver", "kubelet/node-1"). `host` is the machine it runs on:
    a crash of the machine stops all its components, a partition cuts them off from other hosts.
    Timers whose key starts with "idle:" are periodic upkeep (heartbeats, resyncs): a system in
    which only such timers are left is called quiet. `servers` names the components it sends
    requests to, `peers` those it tells messages; on `loose_lanes` these may be repeated and
    overtaken, on all lanes between peers they may be lost.
    """

    name: str
    host: str = "control-plane"
    servers: tuple[str, ...] = ("apiserver",)
    peers: tuple[str, ...] = ()
    loose_lanes: tuple[str, ...] = ()

    def init(self, io: Io) -> L:
        """The local state at a cold start; may send the first request and arm timers."""
        raise AssertionError(f"{self.name} has no init")

    def steps(self, local: L) -> tuple[Step, ...]:
        """Own moves enabled now, in canonical order; a pure function of the local state, cheap."""
        return NO_STEPS

    def step(self, local: L, verb: str, args: tuple[Scalar, ...], io: Io) -> L:
        """Take one of `steps`, or an input that `accepts` allowed."""
        raise AssertionError(f"{self.name} offers no step {verb}")

    def accepts(self, local: L, verb: str, args: tuple[Scalar, ...]) -> bool:
        """Whether an input from outside (open action) may happen now."""
        return False

    def receive(self, local: L, message: Message, io: Io) -> L:
        """Handle the head of a channel: a request, a reply, an event or CUT."""
        raise AssertionError(f"{self.name} receives nothing")

    def timer(self, local: L, key: str, io: Io) -> L:
        """The timer `key` fired."""
        raise AssertionError(f"{self.name} has no timer {key}")

    def restart(self, local: L, cause: Cause, io: Io) -> L:
        """The state after a crash: what is durable stays, the rest is as in `init`.

        All timers are gone and all connections broken. `cause` "machine": what ran on the host
        (containers) is gone too.
        """
        return self.init(io)

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        """One line for traces and diagrams."""
        return " ".join((verb, *map(str, args)))
