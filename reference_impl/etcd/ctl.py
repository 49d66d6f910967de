"""`etcdctl`: an operator's client of etcd, present where a scenario's setting `etcdctl` is "yes".

Each connection carries one request at a time, or one watch. A watch that breaks is asked for again
from the revision after the last one that was seen, as etcd's own client library does; one that is
told that its next revision is compacted has ended. What a watch was sent is kept, to be judged.

A connection whose name ends with `@N` leads to the N-th member of a cluster, any other to the
first. One that begins with `USER:` shows the token that USER was given by `login USER PASSWORD`.

Not modelled: reading output, changing the endpoint when one does not answer. Commands are words:
`put KEY VALUE [LEASE]`, `del KEY`, `del KEY END`, `watch KEY END REVISION`, `progress CONNECTION`,
`get KEY`, `get KEY serializable`, `swap KEY OLD NEW` (a transaction: write NEW where OLD stands),
`put-and-read KEY VALUE OTHER REVISION` (one transaction that reads OTHER at a revision),
`compact REVISION`, `compact seen` (at the newest revision that any reply told),
`lease grant ID SECONDS`, `lease revoke ID`, `lease keep-alive ID`, `member add NAME`,
`member remove NAME`, `user add USER PASSWORD`, `user grant-role USER ROLE`, `role add ROLE`,
`role grant ROLE read|write|readwrite KEY [END]`, `auth enable`, `login USER PASSWORD`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api import storage
from model.api.scenario import Scenario
from model.api.storage import Event, Watch, WatchReply
from model.kernel.action import Scalar
from model.kernel.component import CUT, NO_STEPS, Component, Io, Message, Step
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.etcd import cluster


class Connection(NamedTuple):
    """One lane. `watch` is its open watch, as it would be asked for again.

    `next_revision` is what the watch has not seen yet (0 until it is acknowledged), `events` what
    it has, `noticed` the highest revision that a notice named. `ended`: told that it came too
    late; `broken`: to be asked for again; `busy`: a reply is awaited. `asked` is the request under
    way since `asked_ms`, when the client had been told of revision `known`; after the reply,
    `told` is the revision that this carried.
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
    asked: storage.Request | None = None
    asked_ms: int = 0
    known: int = 0
    told: int = 0


_IDLE = Connection()


class Ctl(NamedTuple):
    """The local state: connections by lane, and the highest revision that any reply carried.

    `promised`: until when a lease lives for sure, by the client's clock; -1: somebody has asked for
    its end. `tokens`: user -> token.
    """

    connections: FrozenMap[str, Connection] = EMPTY
    revision: int = 0
    promised: FrozenMap[int, int] = EMPTY
    tokens: FrozenMap[str, str] = EMPTY


class EtcdCtl(Component[Ctl]):
    """See the head of this file."""

    name = "etcdctl"

    def __init__(self, members: tuple[str, ...] = ("etcd",)) -> None:
        self.servers = members
        if len(members) > 1:
            self.host = "operator"  # a machine of its own, so that members are cut off from it

    def init(self, io: Io) -> Ctl:
        return Ctl()

    def accepts(self, local: Ctl, verb: str, args: tuple[Scalar, ...]) -> bool:
        if verb != "run" or len(args) != 2:
            return False
        connection = local.connections.get(str(args[0]), _IDLE)
        free = not connection.busy and connection.watch is None
        command = str(args[1])
        known = parsed(command, local.revision) is not None and (
            len(self.servers) > 1 or _of_the_cluster(command.split()) is None)
        return free and known and self._endpoint(str(args[0])) in self.servers

    def _endpoint(self, lane: str) -> str:
        _, _, number = lane.partition("@")
        return f"etcd/{number}" if number not in ("", "1") else "etcd"

    def steps(self, local: Ctl) -> tuple[Step, ...]:
        broken = [lane for lane, each in local.connections.items() if each.broken]
        return tuple([("resume", (lane,)) for lane in broken]) if broken else NO_STEPS

    def step(self, local: Ctl, verb: str, args: tuple[Scalar, ...], io: Io) -> Ctl:
        lane = str(args[0])
        connection = local.connections.get(lane, _IDLE)
        if verb == "resume":
            assert connection.watch is not None, "only watches are resumed"
            again = connection.watch._replace(start_revision=connection.next_revision)
            io.request(self._endpoint(lane), lane, again)
            return _with(local, lane, connection._replace(broken=False))
        request = parsed(str(args[1]), local.revision)
        assert request is not None, "accepts asks for a command"
        token = local.tokens.get(lane.partition(":")[0])
        io.request(self._endpoint(lane), lane,
                   storage.Signed(token, request) if token and ":" in lane else request)
        if type(request) is storage.LeaseRevoke:
            local = local._replace(promised=local.promised.set(request.id, -1))
        if type(request) is Watch:
            fresh = Connection(watch=request, first_revision=request.start_revision,
                               next_revision=request.start_revision)
            return _with(local, lane, fresh)
        return _with(local, lane, Connection(busy=True, asked=request, asked_ms=io.now,
                                             known=local.revision))

    def receive(self, local: Ctl, message: Message, io: Io) -> Ctl:
        lane, body = message.lane, message.body
        connection = local.connections.get(lane, _IDLE)
        if body == CUT:
            if connection.watch is None:
                return _with(local, lane, connection._replace(busy=False))
            return _with(local, lane, connection._replace(broken=not connection.ended))
        after = local._replace(revision=max(local.revision, body.revision))
        if type(body) is not WatchReply or connection.watch is None:
            after = learned(after, connection, body)
            return _with(after, lane, connection._replace(busy=False, told=body.revision))
        return _with(after, lane, watched(connection, body))

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        if verb == "resume":
            return f"asks again for its watch on {args[0]}"
        return f"{args[1]} (on {args[0]})"


def learned(local: Ctl, connection: Connection, reply: Any) -> Ctl:
    """What the client keeps of a reply: a token, or until when a lease lives."""
    asked = connection.asked
    if type(asked) is storage.Authenticate and type(reply) is storage.AuthReply:
        return local._replace(tokens=local.tokens.set(asked.name, reply.token))
    if (type(asked) in (storage.LeaseGrant, storage.LeaseKeepAlive)
            and type(reply) is storage.LeaseReply and reply.ttl_s):
        until = connection.asked_ms + reply.ttl_s * 1000
        known = local.promised.get(reply.id, 0)
        if known >= 0:
            return local._replace(promised=local.promised.set(reply.id, max(known, until)))
    return local


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
        case ["get", key]:
            return storage.Range(key)
        case ["get", key, "serializable"]:
            return storage.Range(key, serializable=True)
        case ["swap", key, old, new]:
            return storage.Txn((storage.Compare(key, "value", "=", old),), (storage.Put(key, new),),
                               (storage.Range(key),))
        case ["put-and-read", key, value, other, revision] if revision.isdigit():
            return storage.Txn((), (storage.Put(key, value),
                                    storage.Range(other, "", int(revision))))
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
    return _of_the_cluster(words)


def _of_the_cluster(words: list[str]) -> storage.Request | None:
    """A command about members, users and roles: only a cluster serves it."""
    match words:
        case ["member", "add", name]:
            return storage.MemberChange(name)
        case ["member", "remove", name]:
            return storage.MemberChange(name, add=False)
        case ["auth", "enable"]:
            return storage.AuthEnable()
        case ["user", "add", name, password]:
            return storage.UserAdd(name, password)
        case ["user", "grant-role", name, role]:
            return storage.UserGrantRole(name, role)
        case ["role", "add", name]:
            return storage.RoleAdd(name)
        case ["role", "grant", name, ("read" | "write" | "readwrite") as access, key, *end] if (
                len(end) < 2):
            return storage.RoleGrant(name, access, key, *end)
        case ["login", name, password]:
            return storage.Authenticate(name, password)
    return None


def _with(local: Ctl, lane: str, connection: Connection) -> Ctl:
    return local._replace(connections=local.connections.set(lane, connection))


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The client, where the scenario asks for it."""
    if scenario.setting("etcdctl", "no") != "yes":
        return ()
    return (EtcdCtl(cluster.names(scenario)),)
