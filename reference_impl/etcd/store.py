"""The multi-version store: pure functions from a store and a request to a store and a reply.

Rules: etcd.io/docs, "API reference" and "KV API guarantees", and what a real etcd server answers
(tests/conformance/test_real_etcd.py). A transaction that writes has one new revision, whatever
number of keys it touches; one that writes nothing has none. A deletion is a write. Compaction at a
revision forgets what was overwritten before it; reads there and at later revisions still work.

Old revisions are not stored key by key: the log keeps with each event what it replaced, and a read
at an old revision undoes the newer events. A write thus costs nothing for a read that may never
come.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from model.api.storage import (
    COMPACTED,
    DUPLICATE_KEY,
    EMPTY_KEY,
    FROM_KEY,
    FUTURE_REVISION,
    LEASE_NOT_FOUND,
    OPERATIONS_MAX,
    TOO_MANY_OPERATIONS,
    Compact,
    CompactReply,
    Compare,
    Delete,
    DeleteReply,
    Event,
    Failure,
    KeyValue,
    Operation,
    Put,
    PutReply,
    Range,
    RangeReply,
    Txn,
    TxnReply,
)
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.etcd.auth import NO_AUTH, Auth
from reference_impl.etcd.log import NO_EVENTS, EventLog

_Answer = RangeReply | PutReply | DeleteReply


class Lease(NamedTuple):
    """A lease of `ttl_s` seconds that ends at `deadline_ms` unless it is renewed."""

    ttl_s: int
    deadline_ms: int
    keys: tuple[str, ...] = ()


class Store(NamedTuple):
    """What is durable. `kv` holds the present, `log` what happened from `compacted` on.

    The log holds exactly the events with a revision of at least `compacted`.
    """

    kv: FrozenMap[str, KeyValue] = EMPTY
    revision: int = 1
    compacted: int = -1
    log: EventLog = NO_EVENTS
    leases: FrozenMap[int, Lease] = EMPTY
    leases_made: int = 0
    auth: Auth = NO_AUTH


def put(store: Store, request: Put) -> tuple[Store, PutReply | Failure]:
    """Write one key under a revision of its own."""
    if not request.key:
        return store, Failure(store.revision, EMPTY_KEY)
    if request.lease and request.lease not in store.leases:
        return store, Failure(store.revision, LEASE_NOT_FOUND)
    writer = Writer(store)
    reply = writer.put(request)
    return writer.committed(), reply


def delete(store: Store, request: Delete) -> tuple[Store, DeleteReply | Failure]:
    """Delete a key or a range; without any such key nothing changes."""
    if not request.key:
        return store, Failure(store.revision, EMPTY_KEY)
    writer = Writer(store)
    reply = writer.delete(request)
    return writer.committed(), reply


def read(store: Store, request: Range) -> RangeReply | Failure:
    """Read a key or a range, now or at an old revision."""
    error = _unreadable(store, request)
    if error:
        return Failure(store.revision, error)
    return _read(store, store.kv, store.revision, (), request)


def transact(store: Store, request: Txn) -> tuple[Store, TxnReply | Failure]:
    """One branch of a transaction, in order, under at most one new revision."""
    error = malformed(request)
    if error:
        return store, Failure(store.revision, error)
    kv = store.kv
    succeeded = True
    for compare in request.compares:
        if not holds(kv.get(compare.key), compare):
            succeeded = False
            break
    branch = request.success if succeeded else request.failure
    error = _refused(store, branch)
    if error:
        return store, Failure(store.revision, error)
    writer = Writer(store)
    replies = tuple([writer.perform(operation) for operation in branch])
    return writer.committed(), TxnReply(writer.revision_now, succeeded, replies)


def compact(store: Store, request: Compact) -> tuple[Store, CompactReply | Failure]:
    """Forget what only reads before `revision` could need."""
    revision = request.revision
    if revision <= store.compacted:
        return store, Failure(store.revision, COMPACTED)
    if revision > store.revision:
        return store, Failure(store.revision, FUTURE_REVISION)
    shorter = store._replace(compacted=revision, log=kept_after_compaction(store.log, revision))
    return shorter, CompactReply(store.revision)


def kept_after_compaction(log: EventLog, revision: int) -> EventLog:
    """What stays: a watch may still start at `revision` itself, so its events stay, tombstones too.

    etcd before 3.5.16 and 3.4.34 dropped the tombstones of just that revision (etcd#18089).
    """
    return log.kept_from(revision)


def recovered(store: Store) -> Store:
    """The store after a crash, from what is on disk.

    The revision is that of the newest record, or of the compaction: where a compaction removed the
    newest records, only its own marker still remembers the number (etcd#17780).
    """
    newest = max((kv.mod_revision for kv in store.kv.values()), default=1)
    logged = store.log.last_revision or 1
    return store._replace(revision=max(1, newest, logged, store.compacted))


def restored(saved: Store, revision_max: int) -> Store:
    """The store of a backup, in place of one that has handed out revisions up to `revision_max`.

    It counts on from above that, and all before is marked as compacted, so that a client that
    resumes a watch is told to list again (etcd#16028; `etcdutl snapshot restore --bump-revision
    --mark-compacted`). Two above, since a watch from the compacted revision itself is served.
    """
    revision = max(revision_max, saved.revision) + 2
    return saved._replace(revision=revision, compacted=revision, log=NO_EVENTS)


def matches(key: str, start: str, range_end: str) -> bool:
    """Whether `key` is in the range of a request."""
    if not range_end:
        return key == start
    return key >= start and (range_end == FROM_KEY or key < range_end)


def holds(kv: KeyValue | None, compare: Compare) -> bool:
    """Whether the condition holds of the key as it stands."""
    target = compare.target
    if target == "mod":
        found = kv.mod_revision if kv else 0
    elif target == "version":
        found = kv.version if kv else 0
    elif target == "create":
        found = kv.create_revision if kv else 0
    elif target == "lease":
        found = kv.lease if kv else 0
    elif kv is None:
        return False
    else:
        return bool(kv.value == compare.operand) == (compare.relation == "=")
    relation = compare.relation
    if relation == "=":
        return bool(found == compare.operand)
    if relation == "!=":
        return bool(found != compare.operand)
    return bool(found < compare.operand if relation == "<" else found > compare.operand)


def malformed(request: Txn) -> str:
    """What is wrong with a transaction whatever the store holds; "" when nothing is."""
    success, failure = request.success, request.failure
    compares = request.compares
    if (len(compares) > OPERATIONS_MAX or len(success) > OPERATIONS_MAX
            or len(failure) > OPERATIONS_MAX):
        return TOO_MANY_OPERATIONS
    for items in (compares, success, failure):
        for item in items:
            if not item[0]:  # the key, whatever the operation
                return EMPTY_KEY
    if len(success) > 1 and _writes_twice(success):
        return DUPLICATE_KEY
    if len(failure) > 1 and _writes_twice(failure):
        return DUPLICATE_KEY
    return ""


def _writes_twice(branch: tuple[Operation, ...]) -> bool:
    """Whether a key is put twice, or put and deleted: the order would not be visible.

    As in etcd, deletions that are open to the end (FROM_KEY) are overlooked here; those writes
    then happen in their order, under one revision.
    """
    deletes = [operation for operation in branch
               if type(operation) is Delete and operation.range_end != FROM_KEY]
    puts: dict[str, None] = {}
    for operation in branch:
        if type(operation) is Put:
            key = operation.key
            if key in puts or any(matches(key, each.key, each.range_end) for each in deletes):
                return True
            puts[key] = None
    return False


def _refused(store: Store, branch: tuple[Operation, ...]) -> str:
    """What makes the branch impossible on this store, before anything of it is done."""
    error = ""
    for operation in branch:
        if type(operation) is Put:
            if operation.lease and operation.lease not in store.leases:
                return LEASE_NOT_FOUND  # leases are looked at before revisions
        elif type(operation) is Range and not error:
            error = _unreadable(store, operation)
    return error


def _unreadable(store: Store, request: Range) -> str:
    if not request.key:
        return EMPTY_KEY
    if request.revision > store.revision:
        return FUTURE_REVISION
    if 0 < request.revision < store.compacted:
        return COMPACTED
    return ""


def _keys_in(kv: FrozenMap[str, KeyValue], start: str, range_end: str) -> tuple[str, ...]:
    keys = kv.keys()
    first = bisect_left(keys, start)
    if range_end == FROM_KEY:
        return keys[first:]
    return keys[first:bisect_left(keys, range_end, first)]


def _read(store: Store, kv: FrozenMap[str, KeyValue], revision_now: int,
          pending: tuple[Event, ...], request: Range) -> RangeReply:
    """Read from the present `kv`, `pending` being events that the log does not hold yet."""
    start, range_end = request.key, request.range_end
    if 0 < request.revision < revision_now:
        found = _read_old(store, kv, pending, request)
    elif not range_end:
        one = kv.get(start)
        found = () if one is None else (one,)
    else:
        found = tuple([kv[key] for key in _keys_in(kv, start, range_end)])
    total = len(found)
    if request.count_only:
        return RangeReply(revision_now, (), total)
    more = 0 < request.limit < total
    if more:
        found = found[:request.limit]
    if request.keys_only:
        found = tuple([each._replace(value=None) for each in found])
    return RangeReply(revision_now, found, total, more)


def _read_old(store: Store, kv: FrozenMap[str, KeyValue], pending: tuple[Event, ...],
              request: Range) -> tuple[KeyValue, ...]:
    start, range_end = request.key, request.range_end
    if range_end:
        found = {key: kv[key] for key in _keys_in(kv, start, range_end)}
    else:
        found = {start: kv[start]} if start in kv else {}
    for event in reversed((*store.log.since(request.revision + 1), *pending)):
        key = event.kv.key
        if matches(key, start, range_end):
            if event.previous is None:
                del found[key]
            else:
                found[key] = event.previous
    return tuple([found[key] for key in sorted(found)])


class Writer:
    """A transaction under way: collects changes and makes them a new store in the end."""

    __slots__ = ("events", "kv", "leases", "revision", "store")

    def __init__(self, store: Store) -> None:
        self.store = store
        self.kv = store.kv
        self.leases = store.leases
        self.revision = store.revision + 1
        self.events: list[Event] = []

    @property
    def revision_now(self) -> int:
        """The revision that a reply given now carries."""
        return self.revision if self.events else self.store.revision

    def perform(self, operation: Operation) -> _Answer:
        """One operation of a transaction."""
        kind = type(operation)
        if kind is Put:
            return self.put(operation)  # type: ignore[arg-type]  # kind says so
        if kind is Delete:
            return self.delete(operation)  # type: ignore[arg-type]  # kind says so
        return _read(self.store, self.kv, self.revision_now, tuple(self.events),
                     operation)  # type: ignore[arg-type]  # the third of three

    def put(self, request: Put) -> PutReply:
        """Write a key."""
        key, value, lease, wants_previous, _ = request
        revision = self.revision
        old = self.kv.get(key)
        if old is None:
            new = KeyValue(key, value, revision, revision, 1, lease)
        else:
            new = KeyValue(key, value, old.create_revision, revision, old.version + 1, lease)
        if lease or (old is not None and old.lease):
            self._attach(key, 0 if old is None else old.lease, lease)
        self.kv = self.kv.set(key, new)
        self.events.append(Event("PUT", new, old))
        return PutReply(revision, old if wants_previous else None)

    def delete(self, request: Delete) -> DeleteReply:
        """Delete a key or a range, in the order of the keys."""
        if request.range_end:
            keys = _keys_in(self.kv, request.key, request.range_end)
        else:
            keys = (request.key,) if request.key in self.kv else ()
        gone = tuple([self._drop(key) for key in keys])
        return DeleteReply(self.revision_now, len(gone), gone if request.previous else ())

    def drop_lease(self, lease_id: int) -> None:
        """End a lease; its keys go with it, under one revision."""
        for key in self.leases[lease_id].keys:
            self._drop(key)
        self.leases = self.leases.drop(lease_id)

    def committed(self) -> Store:
        """The store after the transaction; the same when nothing was written."""
        store = self.store
        if self.events:
            return Store(self.kv, self.revision, store.compacted,
                         store.log.appended(tuple(self.events)), self.leases, store.leases_made,
                         store.auth)
        return store if self.leases is store.leases else store._replace(leases=self.leases)

    def _drop(self, key: str) -> KeyValue:
        old = self.kv[key]
        if old.lease:
            self._attach(key, old.lease, 0)
        self.kv = self.kv.drop(key)
        self.events.append(Event("DELETE", KeyValue(key, None, 0, self.revision, 0), old))
        return old

    def _attach(self, key: str, old: int, new: int) -> None:
        if old == new:
            return
        if old and old in self.leases:
            lease = self.leases[old]
            self.leases = self.leases.set(
                old, lease._replace(keys=tuple(each for each in lease.keys if each != key)))
        if new:
            lease = self.leases[new]
            self.leases = self.leases.set(
                new, lease._replace(keys=tuple(sorted((*lease.keys, key)))))
