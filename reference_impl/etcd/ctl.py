"""`etcdctl`: an operator's client of etcd, present where a scenario's setting `etcdctl` is "yes".

Each connection carries one request at a time, or one watch. A watch that breaks is asked for again
from the revision after the last one that was seen, as etcd's own client library does; one that is
told that its next revision is compacted has ended. What a watch was sent is kept, to be judged.

Not modelled: reading output, authentication, several endpoints. Commands are words:
`put KEY VALUE [LEASE]`, `del KEY`, `del KEY END`, `watch KEY END REVISION`, `progress CONNECTION`,
`compact REVISION`, `compact seen` (at the newest revision that any reply told),
`lease grant ID SECONDS`, `lease revoke ID`, `lease keep-alive ID`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api import storage
from model.api.scenario import Scenario
from model.api.storage import Event, Watch, WatchReply
from model.kernel.action import Scalar
from model.kernel.component import CUT, NO_STEPS, Component, Io, Message, Step
from model.kernel.values import EMPTY, FrozenMap


class Connection(NamedTuple):
    """One lane. `watch` is its open watch, as it would be asked for again.

    `next_revision` is what the watch has not seen yet (0 until it is acknowledged), `events` what
    it has, `noticed` the highest revision that a notice named. `ended`: told that it came too
    late; `broken`: to be asked for again; `busy`: a reply is awaited.
    """

    busy: bool = False
    watch: Watch | None = None
    first_revision: int = 0
    next_revision: int = 0
    events: tuple[Event, ...] = ()
    noticed: int = 0
    late_events: int = 0
    ended: bool = False
    broken: bool = False


_IDLE = Connection()


class Ctl(NamedTuple):
    """The local state: connections by lane, and the highest revision that any reply carried."""

    connections: FrozenMap[str, Connection] = EMPTY
    revision: int = 0


class EtcdCtl(Component[Ctl]):
    """See the head of this file."""

    name = "etcdctl"
    servers: tuple[str, ...] = ("etcd",)

    def init(self, io: Io) -> Ctl:
        return Ctl()

    def accepts(self, local: Ctl, verb: str, args: tuple[Scalar, ...]) -> bool:
        if verb != "run" or len(args) != 2:
            return False
        connection = local.connections.get(str(args[0]), _IDLE)
        free = not connection.busy and connection.watch is None
        return free and parsed(str(args[1]), local.revision) is not None

    def steps(self, local: Ctl) -> tuple[Step, ...]:
        broken = [lane for lane, each in local.connections.items() if each.broken]
        return tuple([("resume", (lane,)) for lane in broken]) if broken else NO_STEPS

    def step(self, local: Ctl, verb: str, args: tuple[Scalar, ...], io: Io) -> Ctl:
        lane = str(args[0])
        connection = local.connections.get(lane, _IDLE)
        if verb == "resume":
            assert connection.watch is not None, "only watches are resumed"
            again = connection.watch._replace(start_revision=connection.next_revision)
            io.request("etcd", lane, again)
            return _with(local, lane, connection._replace(broken=False))
        request = parsed(str(args[1]), local.revision)
        assert request is not None, "accepts asks for a command"
        io.request("etcd", lane, request)
        if type(request) is Watch:
            fresh = Connection(watch=request, first_revision=request.start_revision,
                               next_revision=request.start_revision)
            return _with(local, lane, fresh)
        return _with(local, lane, Connection(busy=True))

    def receive(self, local: Ctl, message: Message, io: Io) -> Ctl:
        lane, body = message.lane, message.body
        connection = local.connections.get(lane, _IDLE)
        if body == CUT:
            if connection.watch is None:
                return _with(local, lane, connection._replace(busy=False))
            return _with(local, lane, connection._replace(broken=not connection.ended))
        after = local._replace(revision=max(local.revision, body.revision))
        if type(body) is not WatchReply or connection.watch is None:
            return _with(after, lane, connection._replace(busy=False))
        return _with(after, lane, watched(connection, body))

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        if verb == "resume":
            return f"asks again for its watch on {args[0]}"
        return f"{args[1]} (on {args[0]})"


def watched(connection: Connection, reply: WatchReply) -> Connection:
    """The connection after one more message of its watch."""
    if reply.cancelled:
        return connection._replace(ended=True)
    if reply.created:
        start = connection.next_revision or reply.revision + 1
        return connection._replace(first_revision=connection.first_revision or start,
                                   next_revision=start)
    if not reply.events:
        return connection._replace(noticed=max(connection.noticed, reply.revision))
    late = sum(event.kv.mod_revision <= connection.noticed for event in reply.events)
    return connection._replace(events=connection.events + reply.events,
                               next_revision=reply.events[-1].kv.mod_revision + 1,
                               late_events=connection.late_events + late)


def parsed(command: str, seen: int) -> storage.Request | None:
    """The request that a command asks for, None when it is none. `seen`: the newest revision."""
    words = command.split()
    match words:
        case ["put", key, value]:
            return storage.Put(key, value)
        case ["put", key, value, lease] if lease.isdigit():
            return storage.Put(key, value, int(lease))
        case ["del", key]:
            return storage.Delete(key)
        case ["del", key, end]:
            return storage.Delete(key, end)
        case ["watch", key, end, revision] if revision.isdigit():
            return Watch(key, end, int(revision), previous=True)
        case ["progress", lane]:
            return storage.ProgressRequest(lane)
        case ["compact", "seen"]:
            return storage.Compact(seen)
        case ["compact", revision] if revision.isdigit():
            return storage.Compact(int(revision))
        case ["lease", "grant", name, seconds] if name.isdigit() and seconds.isdigit():
            return storage.LeaseGrant(int(seconds), int(name))
        case ["lease", "revoke", name] if name.isdigit():
            return storage.LeaseRevoke(int(name))
        case ["lease", "keep-alive", name] if name.isdigit():
            return storage.LeaseKeepAlive(int(name))
    return None


def _with(local: Ctl, lane: str, connection: Connection) -> Ctl:
    return local._replace(connections=local.connections.set(lane, connection))


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The client, where the scenario asks for it."""
    return (EtcdCtl(),) if scenario.setting("etcdctl", "no") == "yes" else ()
