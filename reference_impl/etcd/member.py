"""The component `etcd`: one member that is the whole cluster.

Each request is one step: it is applied, made durable and answered at once, so that a crash falls
either before the write or after the reply has left. Streams of watches live on the lane that
opened them. Two inputs belong to the operator: `snapshot` keeps a backup, `restore` puts the store
back to it and breaks all watches, as restarting from a restored data directory does.

Leases run on the component's own clock; after a restart each gets its full time again, as a new
leader grants it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from model.api import storage
from model.api.scenario import Scenario
from model.api.storage import (
    Failure,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseReply,
    LeaseRevoke,
    LeaseTimeToLive,
    WatchReply,
)
from model.kernel.action import Scalar
from model.kernel.component import CUT, NO_STEPS, Cause, Component, Io, Message, Step
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.etcd import store as mvcc
from reference_impl.etcd import watch
from reference_impl.etcd.log import EventLog
from reference_impl.etcd.store import Lease, Store, Writer
from reference_impl.etcd.watch import Watcher

Lane = tuple[str, str]

LEASE_TTL_S_MIN = 2  # one and a half election timeouts, rounded up
PROGRESS_EVERY_MS = 600_000
_LEASES = "idle:leases"
_PROGRESS = "idle:progress"


class Member(NamedTuple):
    """The local state. `store` and `saved` are durable, watches are not.

    `unsynced` lists the lanes of watchers that lag behind, in the order in which they came.
    """

    store: Store = Store()
    watchers: FrozenMap[Lane, Watcher] = EMPTY
    unsynced: tuple[Lane, ...] = ()
    saved: Store | None = None

    @property
    def kv(self) -> FrozenMap[str, storage.KeyValue]:
        """The present: key -> KeyValue."""
        return self.store.kv

    @property
    def log(self) -> EventLog:
        """The events from the compacted revision on."""
        return self.store.log

    @property
    def revision(self) -> int:
        """The revision of the newest write."""
        return self.store.revision

    @property
    def leases(self) -> FrozenMap[int, Lease]:
        """The leases that have not ended."""
        return self.store.leases


class Etcd(Component[Member]):
    """One etcd member. `progress_every_ms` is how often idle watches get a progress notice."""

    name = "etcd"
    servers: tuple[str, ...] = ()

    def __init__(self, progress_every_ms: int = PROGRESS_EVERY_MS) -> None:
        self.progress_every_ms = progress_every_ms

    def init(self, io: Io) -> Member:
        return Member()

    def steps(self, local: Member) -> tuple[Step, ...]:
        if not local.unsynced:
            return NO_STEPS
        return tuple([("sync-watch", lane) for lane in local.unsynced])

    def accepts(self, local: Member, verb: str, args: tuple[Scalar, ...]) -> bool:
        if args:
            return False
        return verb == "snapshot" or (verb == "restore" and local.saved is not None)

    def step(self, local: Member, verb: str, args: tuple[Scalar, ...], io: Io) -> Member:
        if verb == "sync-watch":
            source, lane = args
            return self._sync(local, (str(source), str(lane)), io)
        if verb == "snapshot":
            return local._replace(saved=local.store)
        return self._restore(local, io)

    def receive(self, local: Member, message: Message, io: Io) -> Member:
        body = message.body
        lane = (message.source, message.lane)
        if lane in local.watchers:
            local = _without_watch(local, lane)
        if body is CUT:
            return local
        return _HANDLERS[type(body)](self, local, lane, body, io)

    def timer(self, local: Member, key: str, io: Io) -> Member:
        if key == _LEASES:
            return self._expire(local, io)
        return self._notify_progress(local, io)

    def restart(self, local: Member, cause: Cause, io: Io) -> Member:
        store = mvcc.recovered(local.store)
        leases = store.leases.update([
            (name, lease._replace(deadline_ms=io.now + lease.ttl_s * 1000))
            for name, lease in store.leases.items()])
        store = store._replace(leases=leases)
        _arm_leases(store, io)
        return Member(store, saved=local.saved)

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        if verb == "sync-watch":
            return f"sends {args[0]} what it missed on {args[1]}"
        if verb == "snapshot":
            return "keeps a snapshot"
        if verb == "restore":
            return "is restored from its snapshot"
        return super().describe(verb, args)

    # -- keys -----------------------------------------------------------------------------------

    def _range(self, local: Member, lane: Lane, request: storage.Range, io: Io) -> Member:
        io.reply(*lane, mvcc.read(local.store, request))
        return local

    def _put(self, local: Member, lane: Lane, request: storage.Put, io: Io) -> Member:
        store, reply = mvcc.put(local.store, request)
        io.reply(*lane, reply)
        return self._written(local, store, io)

    def _delete(self, local: Member, lane: Lane, request: storage.Delete, io: Io) -> Member:
        store, reply = mvcc.delete(local.store, request)
        io.reply(*lane, reply)
        return self._written(local, store, io)

    def _txn(self, local: Member, lane: Lane, request: storage.Txn, io: Io) -> Member:
        store, reply = mvcc.transact(local.store, request)
        io.reply(*lane, reply)
        return self._written(local, store, io)

    def _written(self, local: Member, store: Store, io: Io) -> Member:
        """The member after a write: synced watchers are told in the same step."""
        before = local.store
        if store is before:
            return local
        if store.revision != before.revision and local.watchers:
            self._fan_out(local, store, store.log.since(store.revision), io)
        return Member(store, local.watchers, local.unsynced, local.saved)

    def _fan_out(self, local: Member, store: Store, events: tuple[storage.Event, ...],
                 io: Io) -> None:
        unsynced, watchers = local.unsynced, local.watchers
        for lane in watchers:
            watcher = watchers[lane]
            if lane not in unsynced:
                chosen = watch.wanted(watcher, events, store.compacted)
                if chosen:
                    io.reply(*lane, WatchReply(store.revision, chosen))

    def _compact(self, local: Member, lane: Lane, request: storage.Compact, io: Io) -> Member:
        store, reply = mvcc.compact(local.store, request)
        io.reply(*lane, reply)
        return local if store is local.store else local._replace(store=store)

    def _snapshot(self, local: Member, lane: Lane, request: storage.Snapshot, io: Io) -> Member:
        io.reply(*lane, storage.SnapshotReply(local.store.revision, local.store))
        return local

    def _restore(self, local: Member, io: Io) -> Member:
        assert local.saved is not None, "accepts asks for a snapshot"
        store = mvcc.restored(local.saved, local.store.revision)
        for lane in local.watchers:
            io.reply(*lane, CUT)
        _arm_leases(store, io)
        return Member(store, saved=local.saved)

    # -- watches --------------------------------------------------------------------------------

    def _watch(self, local: Member, lane: Lane, request: storage.Watch, io: Io) -> Member:
        revision = local.store.revision
        if watch.is_empty(request):
            io.reply(*lane, WatchReply(revision, created=True, cancelled=True))
            return local
        watcher, synced = watch.opened(local.store, request)
        io.reply(*lane, WatchReply(revision, created=True))
        if request.progress:
            io.after(self.progress_every_ms, _PROGRESS)
        unsynced = local.unsynced if synced else (*local.unsynced, lane)
        return local._replace(watchers=local.watchers.set(lane, watcher), unsynced=unsynced)

    def _cancel(self, local: Member, lane: Lane, request: storage.CancelWatch, io: Io) -> Member:
        io.reply(*lane, WatchReply(local.store.revision, cancelled=True))
        return local

    def _sync(self, local: Member, lane: Lane, io: Io) -> Member:
        watcher, reply, synced = watch.caught_up(local.store, local.watchers[lane])
        if reply is not None:
            io.reply(*lane, reply)
        if watcher is None:
            return _without_watch(local, lane)
        rest = tuple([each for each in local.unsynced if each != lane])
        if synced and watcher.owed:
            io.reply(*lane, WatchReply(local.store.revision))
            watcher = watcher._replace(owed=False)
        return local._replace(watchers=local.watchers.set(lane, watcher),
                              unsynced=rest if synced else (*rest, lane))

    def _progress(self, local: Member, lane: Lane, request: storage.ProgressRequest,
                  io: Io) -> Member:
        """A notice on the watch that the client names; a watch that lags gets it when it may."""
        io.reply(*lane, storage.ProgressReply(local.store.revision))
        target = (lane[0], request.lane)
        watcher = local.watchers.get(target)
        if watcher is None:
            return local
        if target in local.unsynced:
            owing = local.watchers.set(target, watcher._replace(owed=True))
            return local._replace(watchers=owing)
        io.reply(*target, WatchReply(local.store.revision))
        return local

    def _notify_progress(self, local: Member, io: Io) -> Member:
        asked = [lane for lane, watcher in local.watchers.items() if watcher.progress]
        for lane in asked:
            if lane not in local.unsynced:
                io.reply(*lane, WatchReply(local.store.revision))
        if asked:
            io.after(self.progress_every_ms, _PROGRESS)
        return local

    # -- leases ---------------------------------------------------------------------------------

    def _grant(self, local: Member, lane: Lane, request: LeaseGrant, io: Io) -> Member:
        store = local.store
        name = request.id or store.leases_made + 1
        if not request.id:
            while name in store.leases:
                name += 1
        elif name in store.leases:
            io.reply(*lane, Failure(store.revision, storage.LEASE_EXISTS))
            return local
        ttl_s = max(request.ttl_s, LEASE_TTL_S_MIN)
        leases = store.leases.set(name, Lease(ttl_s, io.now + ttl_s * 1000))
        made = store.leases_made if request.id else name
        store = store._replace(leases=leases, leases_made=made)
        _arm_leases(store, io)
        io.reply(*lane, LeaseReply(store.revision, name, ttl_s))
        return local._replace(store=store)

    def _revoke(self, local: Member, lane: Lane, request: LeaseRevoke, io: Io) -> Member:
        if request.id not in local.store.leases:
            io.reply(*lane, Failure(local.store.revision, storage.LEASE_NOT_FOUND))
            return local
        after = self._ended(local, request.id, io)
        io.reply(*lane, LeaseReply(after.store.revision, request.id))
        _arm_leases(after.store, io)
        return after

    def _keep_alive(self, local: Member, lane: Lane, request: LeaseKeepAlive, io: Io) -> Member:
        store = local.store
        lease = store.leases.get(request.id)
        if lease is None:
            io.reply(*lane, LeaseReply(store.revision, request.id))
            return local
        renewed = lease._replace(deadline_ms=io.now + lease.ttl_s * 1000)
        store = store._replace(leases=store.leases.set(request.id, renewed))
        _arm_leases(store, io)
        io.reply(*lane, LeaseReply(store.revision, request.id, lease.ttl_s))
        return local._replace(store=store)

    def _time_to_live(self, local: Member, lane: Lane, request: LeaseTimeToLive,
                      io: Io) -> Member:
        store = local.store
        lease = store.leases.get(request.id)
        if lease is None:
            io.reply(*lane, LeaseReply(store.revision, request.id, -1))
        else:
            left_s = max(0, (lease.deadline_ms - io.now) // 1000)
            io.reply(*lane, LeaseReply(store.revision, request.id, left_s, lease.ttl_s,
                                       lease.keys))
        return local

    def _expire(self, local: Member, io: Io) -> Member:
        """End one lease that is over; the timer stands until the last of them has ended."""
        due = [(lease.deadline_ms, name) for name, lease in local.store.leases.items()
               if lease.deadline_ms <= io.now]
        after = self._ended(local, min(due)[1], io) if due else local
        _arm_leases(after.store, io)
        return after

    def _ended(self, local: Member, name: int, io: Io) -> Member:
        writer = Writer(local.store)
        writer.drop_lease(name)
        return self._written(local, writer.committed(), io)


def _arm_leases(store: Store, io: Io) -> None:
    """One timer stands for all leases, at the time when the first of them ends."""
    first = min((lease.deadline_ms for lease in store.leases.values()), default=None)
    if first is None:
        io.cancel(_LEASES)
    else:
        io.after(max(0, first - io.now), _LEASES)


def _without_watch(local: Member, lane: Lane) -> Member:
    unsynced = local.unsynced
    if lane in unsynced:
        unsynced = tuple([each for each in unsynced if each != lane])
    return local._replace(watchers=local.watchers.drop(lane), unsynced=unsynced)


_Handler = Callable[[Etcd, Member, Lane, Any, Io], Member]
_HANDLERS: dict[type, _Handler] = {
    storage.Range: Etcd._range,
    storage.Put: Etcd._put,
    storage.Delete: Etcd._delete,
    storage.Txn: Etcd._txn,
    storage.Compact: Etcd._compact,
    storage.Snapshot: Etcd._snapshot,
    storage.Watch: Etcd._watch,
    storage.CancelWatch: Etcd._cancel,
    storage.ProgressRequest: Etcd._progress,
    LeaseGrant: Etcd._grant,
    LeaseRevoke: Etcd._revoke,
    LeaseKeepAlive: Etcd._keep_alive,
    LeaseTimeToLive: Etcd._time_to_live,
}


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The one member of a scenario's etcd; `cluster.py` makes several."""
    if scenario.setting("etcd-members", "1") != "1":
        return ()
    every_ms = scenario.number("etcd-progress-notify-interval-ms", PROGRESS_EVERY_MS)
    return (Etcd(every_ms),)
