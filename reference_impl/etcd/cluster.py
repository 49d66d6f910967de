"""A cluster of etcd members: each replicates the log by Raft and applies it to a store of its own.

Chosen by the setting `etcd-members` (3 or 5). The first member keeps the name `etcd` and runs
where the API server runs, which talks to it alone, as in kubeadm's stacked topology; the others
are `etcd/2` … on machines of their own. `etcd-spares` more start empty, to be added.

Writes, changes of members, users and roles go through the log. A linearizable read asks the leader
up to where all is committed, and is answered when the member has applied that much; a serializable
one is answered at once. Leases are granted and revoked through the log, their time runs at the
leader, who renews one only after a majority has confirmed that it still leads. Watches are served
by each member from its store. A request that is not done after a while is cut: outcome unknown.

One step writes (`sync`: the disk has it), one applies (`apply`: one entry); between them anything
may crash. A store and the number of the entry it stands at are one durable write, so an entry is
applied once. Sources: see `raft.py`; etcd.io/docs, "etcd API guarantees", "Failure modes".

Not modelled: restoring a cluster from a backup (the restore of `member.py` has its rules), answers
that say which member leads, limits on the size of requests. Timers are those of etcd's flags
(`etcd-heartbeat-interval-ms`, `etcd-election-timeout-ms`); the random part of an election time is
a function of member and term.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from model.api import storage
from model.api.scenario import Scenario
from model.api.storage import AuthReply, Failure, LeaseReply
from model.kernel.action import Scalar
from model.kernel.component import CUT, Cause, Component, Io, Message, Step
from model.kernel.errors import InputError
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.etcd import auth
from reference_impl.etcd import store as mvcc
from reference_impl.etcd.apply import performed, writes
from reference_impl.etcd.auth import Granted
from reference_impl.etcd.log import EventLog
from reference_impl.etcd.member import _HANDLERS, PROGRESS_EVERY_MS, Etcd, Lane, Member
from reference_impl.etcd.raft import Config, Install, Raft, Turn, fresh, restarted, voters_of
from reference_impl.etcd.store import Lease, Store

Number = tuple[int, int]
RAFT = "raft"
FORWARD = "forward"
SIZES = ("1", "3", "5")
HEARTBEAT_MS = 100
ELECTION_MS = 1000
REQUEST_MS = 5000  # and two election timeouts, as etcd waits for a request
SNAPSHOT_EVERY = 32
KEPT_ENTRIES = 16
LEASE_RETRY_MS = 500  # how long after an attempt to end a lease the next one follows

_ELECTION, _HEARTBEAT, _QUORUM = "idle:election", "idle:heartbeat", "idle:quorum"
_LEASES, _OVERDUE = "idle:leases", "overdue"
_LOCAL = (storage.Watch, storage.CancelWatch, storage.ProgressRequest, storage.Snapshot)


class Command(NamedTuple):
    """What an entry of the log asks for; `origin` answers the client that waits for `number`.

    A leader's own command, the end of a lease, has no origin. `user` and `rules` (the revision of
    its token) are those of the client, `lane` is its connection.
    """

    origin: str
    number: Number
    body: Any
    lane: Lane = ("", "")
    user: str = ""
    rules: int = 0
    kind: str = "Command"


class Propose(NamedTuple):
    """A member asks the leader to put a command into the log."""

    command: Command
    kind: str = "Propose"


class ReadAsk(NamedTuple):
    """A member asks the leader up to where all is committed."""

    number: Number
    kind: str = "ReadAsk"


class ReadAnswer(NamedTuple):
    """Up to `place`; confirmed by a majority after the question came."""

    number: Number
    place: int
    kind: str = "ReadAnswer"


class LeaseAsk(NamedTuple):
    """A member passes on a client's question about the time of a lease."""

    number: Number
    body: Any
    kind: str = "LeaseAsk"


class LeaseAnswer(NamedTuple):
    """The leader's answer to it."""

    number: Number
    reply: Any
    kind: str = "LeaseAnswer"


class Waiting(NamedTuple):
    """A request under way. `lane` is the client's, or (peer, FORWARD) with the peer's number.

    `read`: the name of its question to the leader; `place`: its answer, -1 before it came.
    `sent`: a leader was known and has been asked.
    """

    lane: Lane
    body: Any
    stage: Literal["propose", "read", "lease"]
    until_ms: int
    user: str = ""
    rules: int = 0
    theirs: Number = (0, 0)
    read: Number = (0, 0)
    place: int = -1
    sent: bool = False


class Applied(NamedTuple):
    """The newest entry that was applied: what it was, and whether a client here waits for it."""

    command: Any
    waits: bool


class Node(NamedTuple):
    """The local state. Durable: `raft.disk`, the store of `member`, `applied`, `incarnation`.

    `granted` is worked out from the store's rules. `deadlines`: a leader's clocks of leases.
    """

    raft: Raft
    member: Member = Member()
    applied: int = 0
    incarnation: int = 1
    made: int = 0
    waiting: FrozenMap[Number, Waiting] = EMPTY
    deadlines: FrozenMap[int, int] = EMPTY
    granted: Granted = EMPTY
    newest: Applied | None = None
    heard_ms: int = 0

    @property
    def store(self) -> Store:
        """The applied state."""
        return self.member.store

    @property
    def watchers(self) -> Any:
        """The watches that this member serves."""
        return self.member.watchers

    @property
    def unsynced(self) -> tuple[Lane, ...]:
        """Those that lag behind its store."""
        return self.member.unsynced

    @property
    def kv(self) -> FrozenMap[str, storage.KeyValue]:
        """Key -> KeyValue."""
        return self.member.store.kv

    @property
    def log(self) -> EventLog:
        """The events from the compacted revision on."""
        return self.member.store.log

    @property
    def revision(self) -> int:
        """The revision of the newest write that was applied."""
        return self.member.store.revision

    @property
    def leases(self) -> FrozenMap[int, Lease]:
        """The leases that have not ended."""
        return self.member.store.leases


class Clock(NamedTuple):
    """How long a cluster's members wait, and how much of the log they keep."""

    heartbeat_ms: int = HEARTBEAT_MS
    election_ms: int = ELECTION_MS
    snapshot_every: int = SNAPSHOT_EVERY
    kept_entries: int = KEPT_ENTRIES
    progress_every_ms: int = PROGRESS_EVERY_MS


class ClusterMember(Component[Node]):
    """One member of several. `names`: all of them; `voters`: those that begin."""

    servers: tuple[str, ...] = ()
    loose_lanes: tuple[str, ...] = (RAFT,)

    def __init__(self, rank: int, names: tuple[str, ...], voters: tuple[str, ...],
                 clock: Clock) -> None:
        self.name = names[rank]
        self.host = "control-plane" if rank == 0 else f"control-plane-{rank + 1}"
        self.peers = tuple(name for name in names if name != self.name)
        self.rank, self.size, self.voters, self.clock = rank, len(names), voters, clock
        self.server = Etcd(clock.progress_every_ms)

    # -- life -----------------------------------------------------------------------------------

    def init(self, io: Io) -> Node:
        raft = fresh(self.name, self.voters)
        if self.name in self.voters:
            io.after(self._election_ms(0), _ELECTION)
        return Node(raft)

    def restart(self, local: Node, cause: Cause, io: Io) -> Node:
        raft = restarted(local.raft, cause == "machine", local.applied)
        if self.name in voters_of(raft.log):
            io.after(self._election_ms(raft.term), _ELECTION)
        store = mvcc.recovered(local.store)
        return Node(raft, Member(store), local.applied, local.incarnation + 1,
                    granted=auth.granted(store.auth))

    def _election_ms(self, term: int) -> int:
        """Between one and two election timeouts; another member is the first in each term."""
        step = self.clock.election_ms // self.size
        return self.clock.election_ms + step * ((self.rank + term) % self.size)

    def steps(self, local: Node) -> tuple[Step, ...]:
        raft = local.raft
        found: list[Step] = []
        if local.applied < min(raft.commit, raft.disk.log.last):
            found.append(("apply", ()))
        if not raft.synced:
            found.append(("sync", ()))
        found += [("sync-watch", lane) for lane in local.unsynced]
        return tuple(found)

    def step(self, local: Node, verb: str, args: tuple[Scalar, ...], io: Io) -> Node:
        if verb == "sync-watch":
            source, lane = args
            member = self.server._sync(local.member, (str(source), str(lane)), io)
            return local._replace(member=member)
        if verb == "apply":
            return self._apply(local, io)
        turn = self._turn(local, io)
        turn.sync()
        return self._after(local, turn, io)

    def timer(self, local: Node, key: str, io: Io) -> Node:
        if key == _OVERDUE:
            return self._cut_overdue(local, io)
        if key == _LEASES:
            return self._end_leases(local, io)
        if key not in (_ELECTION, _HEARTBEAT, _QUORUM):
            return local._replace(member=self.server._notify_progress(local.member, io))
        turn = self._turn(local, io)
        if key == _HEARTBEAT:
            turn.heartbeat()
            io.after(self.clock.heartbeat_ms, _HEARTBEAT)
        elif key == _QUORUM:
            turn.count()
            io.after(self.clock.election_ms, _QUORUM)
        else:
            turn.campaign()
            io.after(self._election_ms(turn.term), _ELECTION)
        return self._after(local, turn, io)

    def receive(self, local: Node, message: Message, io: Io) -> Node:
        source, lane, body = message
        if source not in self.peers:
            local = _forgotten(local, (source, lane), io)
            return local if body == CUT else self._asked(local, (source, lane), body, io)
        if lane == FORWARD:
            return self._forwarded(local, source, body, io)
        turn = self._turn(local, io)
        turn.receive(source, body)
        return self._after(local, turn, io)

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        words = {"apply": "applies the next entry", "sync": "has written its log to the disk"}
        if verb == "sync-watch":
            return f"sends {args[0]} what it missed on {args[1]}"
        return words.get(verb) or super().describe(verb, args)

    # -- requests of clients --------------------------------------------------------------------

    def _asked(self, local: Node, lane: Lane, body: Any, io: Io) -> Node:
        user, rules = "", 0
        if type(body) is storage.Signed:
            (user, rules), body = auth.user_of(body.token), body.request
        kind = type(body)
        if kind in _LOCAL or (kind is storage.Range and body.serializable):
            return self._served(local, lane, user, rules, body, io)
        if kind is storage.MemberChange:
            error = auth.refused(local.store.auth, local.granted, user, rules, body)
            if error:
                io.reply(*lane, Failure(local.revision, error))
                return local
        read = kind is storage.Range or (kind is storage.Txn and not writes(body))
        lease = kind in (storage.LeaseKeepAlive, storage.LeaseTimeToLive)
        waiting = Waiting(lane, body, "read" if read else "lease" if lease else "propose",
                          io.now + self._request_ms(), user, rules)
        return self._begin(local, waiting, io)

    def _request_ms(self) -> int:
        return REQUEST_MS + 2 * self.clock.election_ms

    def _served(self, local: Node, lane: Lane, user: str, rules: int, body: Any, io: Io) -> Node:
        """What this member answers from its own store."""
        error = auth.refused(local.store.auth, local.granted, user, rules, body)
        if error:
            io.reply(*lane, Failure(local.revision, error))
            return local
        return local._replace(
            member=_HANDLERS[type(body)](self.server, local.member, lane, body, io))

    def _begin(self, local: Node, waiting: Waiting, io: Io) -> Node:
        number = (local.incarnation, local.made + 1)
        waiting = waiting._replace(read=self._read_name(number))
        if not local.waiting:
            io.after(waiting.until_ms - io.now, _OVERDUE)
        local = local._replace(made=local.made + 1, waiting=local.waiting.set(number, waiting))
        return self._send(local, io)

    def _read_name(self, number: Number) -> Number:
        """What the leader's answer is recognised by: no two questions have the same."""
        return number

    def _send(self, local: Node, io: Io) -> Node:
        """Ask the leader, once one is known, for what waits and has not been sent."""
        leader = local.raft.leader
        fresh_ones = [(number, each) for number, each in local.waiting.items() if not each.sent]
        if not leader or not fresh_ones:
            return local
        local = local._replace(waiting=local.waiting.update(
            [(number, each._replace(sent=True)) for number, each in fresh_ones]))
        if leader == self.name:
            turn = self._turn(local, io)
            for number, each in fresh_ones:
                if each.stage == "propose":
                    self._propose(turn, self._command(number, each))
                else:
                    turn.read(self.name, each.read)
            return self._after(local, turn, io)
        for number, each in fresh_ones:
            body: Any = LeaseAsk(number, each.body)
            if each.stage == "propose":
                body = Propose(self._command(number, each))
            elif each.stage == "read":
                body = ReadAsk(each.read)
            io.tell(leader, FORWARD, body)
        return local

    def _command(self, number: Number, waiting: Waiting) -> Command:
        return Command(self.name, number, waiting.body, waiting.lane, waiting.user,
                       waiting.rules)

    def _propose(self, turn: Turn, command: Command) -> None:
        body, voters = command.body, voters_of(turn.log)
        if type(body) is storage.MemberChange and (body.name in voters) != body.add:
            known = body.name in (self.name, *self.peers)
            if not body.add and len(voters) > 1:
                turn.propose(Config(tuple(name for name in voters if name != body.name), command))
                return
            if body.add and known:
                turn.propose(Config((*voters, body.name), command))
                return
        turn.propose(command)

    def _forwarded(self, local: Node, source: str, body: Any, io: Io) -> Node:
        """A message of another member about the request of one of its clients."""
        kind = type(body)
        if kind is ReadAnswer:
            return self._serve(_placed(local, [(body.number, body.place)]), io)
        if kind is LeaseAnswer:
            waiting = local.waiting.get(body.number)
            if waiting is not None:
                io.reply(*waiting.lane, body.reply)
            return _without(local, body.number, io)
        if local.raft.role != "leader":
            return local  # it asks again, or gives up: a leader that was is no guide
        if kind is LeaseAsk:
            return self._begin(local, Waiting((source, FORWARD), body.body, "lease",
                                              io.now + self._request_ms(), theirs=body.number), io)
        turn = self._turn(local, io)
        if kind is Propose:
            self._propose(turn, body.command)
        else:
            turn.read(source, body.number)
        return self._after(local, turn, io)

    def _serve(self, local: Node, io: Io) -> Node:
        """Answer what may be: the place that it waits for is applied."""
        for number, each in local.waiting.items():
            if 0 <= each.place <= local.applied:
                local = _without(local, number, io)
                if each.stage == "lease":
                    local = self._lease_time(local, each, io)
                    continue
                error = auth.refused(local.store.auth, local.granted, each.user, each.rules,
                                     each.body)
                reply = Failure(local.revision, error) if error else (
                    mvcc.read(local.store, each.body) if type(each.body) is storage.Range
                    else mvcc.transact(local.store, each.body)[1])
                io.reply(*each.lane, reply)
        return local

    def _cut_overdue(self, local: Node, io: Io) -> Node:
        """What waits for too long is cut; the client cannot know whether it will happen."""
        for number, each in local.waiting.items():
            if each.until_ms <= io.now:
                local = local._replace(waiting=local.waiting.drop(number))
                if each.lane[1] != FORWARD:
                    io.reply(*each.lane, CUT)
        left = min((each.until_ms for each in local.waiting.values()), default=None)
        if left is not None:
            io.after(left - io.now, _OVERDUE)
        return local

    # -- turns of Raft --------------------------------------------------------------------------

    def _turn(self, local: Node, io: Io) -> Turn:
        loyal = bool(local.raft.leader) and (
            io.now - local.heard_ms < self.clock.election_ms)
        return Turn(local.raft, local.store, local.applied, loyal)

    def _after(self, local: Node, turn: Turn, io: Io) -> Node:
        """The member after a turn: messages, timers, reads that may be answered."""
        old, raft = local.raft, turn.done()
        for name, body in turn.sent:
            io.tell(name, RAFT, body)
        local = local._replace(raft=raft)
        if turn.installed is not None:
            local = self._installed(local, turn.installed)
        local = self._timers(local, old, turn.heard, io)
        mine = [(read, place) for origin, read, place in turn.confirmed if origin == self.name]
        for origin, read, place in turn.confirmed:
            if origin != self.name:
                io.tell(origin, FORWARD, ReadAnswer(read, place))
        if mine or turn.installed is not None:
            local = self._serve(_placed(local, mine), io)
        return self._send(local, io) if raft.leader and raft.leader != old.leader else local

    def _timers(self, local: Node, old: Raft, heard: bool, io: Io) -> Node:
        raft = local.raft
        if old.role == "leader" and raft.role != "leader":
            for key in (_HEARTBEAT, _QUORUM, _LEASES):
                io.cancel(key)
            local = local._replace(deadlines=EMPTY)
        if raft.role == "leader":
            return self._promoted(local, io) if old.role != "leader" else local
        if heard or raft.leader != old.leader or old.role == "leader":
            io.after(self._election_ms(raft.term), _ELECTION)
            if heard:
                local = local._replace(heard_ms=io.now)
        if raft.removed or self.name not in voters_of(raft.log):
            io.cancel(_ELECTION)
        return local

    def _promoted(self, local: Node, io: Io) -> Node:
        """A new leader: all leases begin anew, since nobody knows when they were last renewed."""
        io.cancel(_ELECTION)
        io.after(self.clock.heartbeat_ms, _HEARTBEAT)
        io.after(self.clock.election_ms, _QUORUM)
        deadlines = FrozenMap((name, io.now + lease.ttl_s * 1000)
                              for name, lease in local.leases.items())
        return _with_deadlines(local, deadlines, io)

    # -- the applied state ----------------------------------------------------------------------

    def _apply(self, local: Node, io: Io) -> Node:
        """The next entry of the log that is committed and durable here."""
        place = local.applied + 1
        command = local.raft.log.at(place).command
        asked = command.change if type(command) is Config else command
        waiting = None
        if asked is not None and asked.origin == self.name:
            waiting = local.waiting.get(asked.number)
        old, reply = local.store, None
        store = old
        if type(command) is Config:
            reply = AuthReply(old.revision)
        elif command is not None:
            store, reply = self._performed(local, command)
        if waiting is not None:
            io.reply(*waiting.lane, reply)
            local = _without(local, asked.number, io)
        newest = None if asked is None else Applied(asked, waiting is not None)
        local = local._replace(
            member=self.server._written(local.member, store, io), applied=place, newest=newest,
            granted=local.granted if store.auth is old.auth else auth.granted(store.auth))
        if local.raft.role == "leader" and store.leases is not old.leases:
            local = _with_deadlines(local, _clocks(local, io), io)
        if place - local.raft.log.base >= self.clock.snapshot_every + self.clock.kept_entries:
            turn = self._turn(local, io)
            turn.forget(place - self.clock.kept_entries)
            local = local._replace(raft=turn.done())
        return self._serve(local, io)

    def _performed(self, local: Node, command: Command) -> tuple[Store, Any]:
        """The store after a command, and its reply: the same wherever it is applied."""
        store = local.store
        if command.origin:
            error = auth.refused(store.auth, local.granted, command.user, command.rules,
                                 command.body)
            if error:
                return store, Failure(store.revision, error)
        return performed(store, command.body)

    def _installed(self, local: Node, snapshot: Install) -> Node:
        """A leader's state in place of one's own; watches go on from where they stood."""
        store: Store = snapshot.state
        return local._replace(
            member=_moved(local.member, store), applied=snapshot.place, newest=None,
            granted=auth.granted(store.auth))

    # -- the time of leases ---------------------------------------------------------------------

    def _end_leases(self, local: Node, io: Io) -> Node:
        """Ask for the end of what is over; until that is applied, ask again now and then."""
        due = [name for name, deadline in local.deadlines.items() if deadline <= io.now]
        turn = self._turn(local, io)
        for name in due:
            turn.propose(Command("", (0, 0), storage.LeaseRevoke(name)))
        _arm_leases(local.deadlines, io)
        return self._after(local, turn, io)

    def _lease_time(self, local: Node, waiting: Waiting, io: Io) -> Node:
        """Renew a lease, or tell what is left of it: confirmed to lead, up to date."""
        body = waiting.body
        lease = local.leases.get(body.id)
        deadline = local.deadlines.get(body.id, 0)
        renew = type(body) is storage.LeaseKeepAlive
        if local.raft.role != "leader":
            return local
        if lease is None or (renew and deadline <= io.now):
            reply = LeaseReply(local.revision, body.id, 0 if renew else -1)
        elif renew:
            reply = LeaseReply(local.revision, body.id, lease.ttl_s)
            local = _with_deadlines(
                local, local.deadlines.set(body.id, io.now + lease.ttl_s * 1000), io)
        else:
            reply = LeaseReply(local.revision, body.id, max(0, (deadline - io.now) // 1000),
                               lease.ttl_s, lease.keys)
        if waiting.lane[1] == FORWARD:
            io.tell(waiting.lane[0], FORWARD, LeaseAnswer(waiting.theirs, reply))
        else:
            io.reply(*waiting.lane, reply)
        return local


def _clocks(local: Node, io: Io) -> FrozenMap[int, int]:
    """A leader's clocks after leases came or went."""
    known = local.deadlines
    return FrozenMap((name, known.get(name, io.now + lease.ttl_s * 1000))
                     for name, lease in local.leases.items())


def _with_deadlines(local: Node, deadlines: FrozenMap[int, int], io: Io) -> Node:
    _arm_leases(deadlines, io)
    return local._replace(deadlines=deadlines)


def _arm_leases(deadlines: FrozenMap[int, int], io: Io) -> None:
    first = min(deadlines.values(), default=None)
    if first is None:
        io.cancel(_LEASES)
    else:
        io.after(first - io.now if first > io.now else LEASE_RETRY_MS, _LEASES)


def _placed(local: Node, answers: list[tuple[Number, int]]) -> Node:
    """Reads learn what place they wait for; an answer to another question changes nothing."""
    waiting = local.waiting
    for read, place in answers:
        for number, each in local.waiting.items():
            if each.read == read and each.stage != "propose" and each.place < 0:
                waiting = waiting.set(number, each._replace(place=place))
    return local._replace(waiting=waiting)


def _without(local: Node, number: Number, io: Io) -> Node:
    """The member without one request under way."""
    waiting = local.waiting.drop(number)
    if not waiting:
        io.cancel(_OVERDUE)
    return local._replace(waiting=waiting)


def _forgotten(local: Node, lane: Lane, io: Io) -> Node:
    """The member without what a connection carried before."""
    for number, each in local.waiting.items():
        if each.lane == lane:
            local = _without(local, number, io)
    if lane in local.watchers:
        member = local.member
        local = local._replace(member=member._replace(
            watchers=member.watchers.drop(lane),
            unsynced=tuple([each for each in member.unsynced if each != lane])))
    return local


def _moved(member: Member, store: Store) -> Member:
    """The member on another store. A watch that had been sent everything lags from now on: what it
    wants next is what comes after its old store, not what it wanted when it was opened."""
    following = member.store.revision + 1
    watchers = member.watchers.update([
        (lane, watcher._replace(next_revision=max(watcher.next_revision, following)))
        for lane, watcher in member.watchers.items() if lane not in member.unsynced])
    return Member(store, watchers, tuple(watchers))


def size(scenario: Scenario) -> int:
    """How many members the etcd of a scenario has."""
    text = scenario.setting("etcd-members", "1")
    if text not in SIZES:
        raise InputError(f"{text!r} members", where="settings.etcd-members",
                         fix="one of " + ", ".join(SIZES))
    return int(text)


def names(scenario: Scenario) -> tuple[str, ...]:
    """The names of all members, the spare ones last."""
    count = size(scenario) + scenario.number("etcd-spares", 0)
    return ("etcd", *(f"etcd/{number}" for number in range(2, count + 1)))


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The members, where a scenario has several."""
    count = size(scenario)
    if count == 1:
        return ()
    clock = Clock(
        scenario.number("etcd-heartbeat-interval-ms", HEARTBEAT_MS),
        scenario.number("etcd-election-timeout-ms", ELECTION_MS),
        scenario.number("etcd-snapshot-count", SNAPSHOT_EVERY),
        scenario.number("etcd-snapshot-catchup-entries", KEPT_ENTRIES),
        scenario.number("etcd-progress-notify-interval-ms", PROGRESS_EVERY_MS))
    every = names(scenario)
    return tuple(ClusterMember(rank, every, every[:count], clock) for rank in range(len(every)))
