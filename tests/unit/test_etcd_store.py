"""The etcd member's rules one by one; agreement with a real server is in tests/conformance."""

from __future__ import annotations

import pickle
import random
from typing import Any

from model.api.storage import (
    COMPACTED,
    FUTURE_REVISION,
    CancelWatch,
    Compact,
    Compare,
    Delete,
    Event,
    Failure,
    KeyValue,
    LeaseGrant,
    LeaseKeepAlive,
    ProgressRequest,
    Put,
    Range,
    Snapshot,
    Txn,
    Watch,
    prefix_end,
)
from model.kernel.component import CUT, Io, Message
from reference_impl.etcd import store as mvcc
from reference_impl.etcd.log import EventLog
from reference_impl.etcd.member import Etcd, Member
from reference_impl.etcd.store import Store


class Bench:
    """A member fed by hand."""

    def __init__(self) -> None:
        self.etcd = Etcd()
        self.local: Member = self.etcd.init(Io())
        self.now = 0

    def __call__(self, request: Any, lane: str = "work") -> list[Any]:
        io = Io(self.now)
        self.local = self.etcd.receive(self.local, Message("apiserver", lane, request), io)
        return [(to, body) for _, to, body in io.replies]

    def ask(self, request: Any) -> Any:
        """The answer on the lane that asked."""
        return next(body for lane, body in self(request) if lane == "work")

    def step(self, verb: str, *args: str) -> list[Any]:
        io = Io(self.now)
        self.local = self.etcd.step(self.local, verb, args, io)
        return [(to, body) for _, to, body in io.replies]


def test_only_writes_take_revisions_and_a_transaction_takes_one() -> None:
    """The first write has revision 2; a deletion of nothing has none."""
    bench = Bench()
    assert bench.ask(Put("/a", 1)).revision == 2
    assert bench.ask(Delete("/b")).revision == 2
    both = bench.ask(Txn((), (Put("/b", 1), Delete("/a"), Range("/", "0"))))
    assert both.revision == 3
    assert [kv.key for kv in both.replies[2].kvs] == ["/b"]
    assert bench.ask(Txn((), (Range("/b"),))).revision == 3
    assert bench.local.kv["/b"] == KeyValue("/b", 1, 3, 3, 1)


def test_a_failed_compare_takes_the_other_branch() -> None:
    """The way an API server writes: only if the key is as it was read."""
    bench = Bench()
    bench.ask(Put("/a", 1))
    guard = (Compare("/a", "mod", "=", 2),)
    assert bench.ask(Txn(guard, (Put("/a", 2),), (Range("/a"),))).succeeded
    late = bench.ask(Txn(guard, (Put("/a", 3),), (Range("/a"),)))
    assert not late.succeeded
    assert late.replies[0].kvs[0].value == 2


def test_old_revisions_read_as_they_were_until_they_are_compacted() -> None:
    """Whatever is written later."""
    store, seen = Store(), {}
    draw = random.Random(5)
    for _ in range(200):
        key = draw.choice(("/a", "/b", "/c"))
        request: Any = Put(key, draw.random()) if draw.random() < 0.6 else Delete(key)
        store, _ = (mvcc.put if type(request) is Put else mvcc.delete)(store, request)  # type: ignore[operator]  # each to its own
        seen[store.revision] = tuple(store.kv.values())
    store, _ = mvcc.compact(store, Compact(50))
    for revision, kvs in seen.items():
        reply = mvcc.read(store, Range("/", "0", revision))
        if 0 < revision < 50:
            assert reply == Failure(store.revision, COMPACTED)
        else:
            assert reply.kvs == kvs  # type: ignore[union-attr]  # a range reply
    ahead = mvcc.read(store, Range("/", "0", store.revision + 1))
    assert ahead == Failure(store.revision, FUTURE_REVISION)


def test_a_watch_gets_the_past_in_steps_of_its_own_and_then_the_present() -> None:
    """It lags until it has caught up; a notice waits for that."""
    bench = Bench()
    for value in range(3):
        bench(Put("/a", value))
    assert bench(Watch("/a", start_revision=3), "w")[0][1].created
    assert bench(Put("/a", 3))[0][0] == "work"
    assert [lane for lane, _ in bench(ProgressRequest("w"))] == ["work"]
    assert bench.etcd.steps(bench.local) == (("sync-watch", ("apiserver", "w")),)
    events, notice = bench.step("sync-watch", "apiserver", "w")
    assert [event.kv.mod_revision for event in events[1].events] == [3, 4, 5]
    assert notice[1].revision == 5
    assert not notice[1].events
    assert [lane for lane, _ in bench(Put("/a", 4))] == ["work", "w"]


def test_a_watch_that_comes_too_late_is_told_so() -> None:
    """The revision it wants is compacted; the reply says up to where."""
    bench = Bench()
    for value in range(4):
        bench(Put("/a", value))
    bench(Compact(4))
    bench(Watch("/a", start_revision=3), "w")
    (_, end), = bench.step("sync-watch", "apiserver", "w")
    assert (end.cancelled, end.compact_revision) == (True, 4)
    assert not bench.local.watchers


def test_a_deletion_at_the_compacted_revision_is_still_seen() -> None:
    """A watch may start there (etcd#18089)."""
    bench = Bench()
    bench(Put("/a", 1))
    bench(Delete("/a"))
    bench(Compact(3))
    bench(Watch("/a", start_revision=3), "w")
    (_, reply), = bench.step("sync-watch", "apiserver", "w")
    assert [event.type for event in reply.events] == ["DELETE"]


def test_a_broken_or_cancelled_connection_is_watched_no_more() -> None:
    """And so is one that carries a new request."""
    for last in (CUT, CancelWatch(), Range("/a")):
        bench = Bench()
        bench(Watch("/a"), "w")
        bench(last, "w")
        assert not bench.local.watchers


def test_a_lease_takes_its_keys_along_unless_it_is_kept_alive() -> None:
    """One revision for all of them; a key written again without the lease stays."""
    bench = Bench()
    assert bench.ask(LeaseGrant(1, 7)).ttl_s == 2
    bench.ask(LeaseGrant(10, 8))
    for key in ("/a", "/b", "/c"):
        bench.ask(Put(key, 1, 7))
    bench.ask(Put("/c", 2))
    bench.now = 1500
    bench.ask(LeaseKeepAlive(7))
    for bench.now, left in ((2000, ["/a", "/b", "/c"]), (3500, ["/c"])):
        bench.local = bench.etcd.timer(bench.local, "idle:leases", Io(bench.now))
        assert list(bench.local.kv) == left
    assert bench.local.revision == 6
    assert list(bench.local.leases) == [8]


def test_a_restart_keeps_the_store_and_forgets_watches() -> None:
    """The revision is found again even where compaction removed its record (etcd#17780)."""
    bench = Bench()
    bench(Put("/a", 1))
    bench(Delete("/a"))
    bench(Compact(3))
    bench(Watch("/a"), "w")
    again = bench.etcd.restart(bench.local, "process", Io())
    assert again.store == bench.local.store
    assert not again.watchers


def test_a_restored_store_counts_on_above_all_revisions_ever_given() -> None:
    """Who resumes from before the restore is told to list again (etcd#16028)."""
    bench = Bench()
    bench(Put("/a", 1))
    bench.step("snapshot")
    bench(Put("/a", 2))
    bench(Watch("/a"), "w")
    assert bench.step("restore") == [("w", CUT)]
    assert bench.local.kv["/a"].value == 1
    assert bench.local.revision > 4
    bench(Watch("/a", start_revision=4), "w")
    (_, end), = bench.step("sync-watch", "apiserver", "w")
    assert end.cancelled
    assert bench.ask(Snapshot()).snapshot == bench.local.store


def test_logs_of_equal_events_are_equal_however_they_were_made() -> None:
    """In one go or event by event, hashed before or after, pickled or not."""
    events = tuple(Event("PUT", KeyValue("/a", n, 2, n + 2, n + 1)) for n in range(100))
    whole, grown = EventLog(events), EventLog()
    hash(grown)
    for event in events:
        grown = grown.appended((event,))
    assert grown == whole
    assert hash(grown) == hash(whole)
    assert pickle.loads(pickle.dumps(whole)) == whole
    assert whole.since(60) == events[58:]
    assert whole.kept_from(60) == EventLog(events[58:])
    assert whole != EventLog(events[1:])
    assert prefix_end("/a") == "/b"
