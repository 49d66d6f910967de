"""Our etcd against a real etcd server: the same requests, the same replies and the same events.

Random sequences of reads, writes, transactions, leases and compactions, with watches opened along
the way; everything that a reply carries is compared, revisions included. A few hundred requests
run in CI, ten thousand nightly.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import etcd_gateway
import pytest
from etcd_gateway import RealEtcd, WatchStream

from model.api.storage import (
    FROM_KEY,
    Compact,
    Compare,
    Delete,
    Event,
    Failure,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    LeaseTimeToLive,
    Put,
    Range,
    Txn,
    Watch,
    prefix_end,
)
from model.kernel.component import Io, Message
from model.kernel.mutant import Mutant
from properties.etcd.member import MUTANTS
from reference_impl.etcd.member import Etcd, Member

pytestmark = pytest.mark.skipif(etcd_gateway.BINARY is None,
                                reason="no etcd server is installed (Debian: etcd-server)")

KEYS = ("/a", "/a/1", "/a/2", "/a/3", "/b", "/b/1", "/c\u00e9", "/d")
# The server serves watches that start in the past every 100 ms. A compaction before that would end
# them or not, by chance; ours have caught up by then.
CATCH_UP_S = 0.4
PREFIXES = ("/a", "/a/", "/b", "/")


class Ours:
    """Our component, fed by hand. `events` collects what each watch was sent."""

    def __init__(self) -> None:
        self.etcd = Etcd()
        self.local: Member = self.etcd.init(Io())
        self.streams: dict[str, list[Any]] = {}

    def call(self, request: Any, lane: str = "work") -> Any:
        io = Io()
        self.local = self.etcd.receive(self.local, Message("test", lane, request), io)
        self._sort(io)
        while steps := self.etcd.steps(self.local):
            io2 = Io()
            self.local = self.etcd.step(self.local, *steps[0], io2)
            self._sort(io2)
        return next((body for _, to, body in io.replies if to == lane), None)

    def _sort(self, io: Io) -> None:
        for _, lane, body in io.replies:
            if lane != "work":
                self.streams.setdefault(lane, []).append(body)

    def events(self, lane: str) -> list[Event]:
        return [event for reply in self.streams[lane] for event in reply.events]

    def end(self, lane: str) -> tuple[bool, int]:
        last = self.streams[lane][-1]
        return last.cancelled, last.compact_revision


class Requests:
    """Draws requests that often hit something: known revisions, known leases, few keys."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.values = 0

    def span(self) -> tuple[str, str]:
        choice = self.random.random()
        if choice < 0.6:
            return self.random.choice(KEYS), ""
        if choice < 0.85:
            prefix = self.random.choice(PREFIXES)
            return prefix, prefix_end(prefix)
        if choice < 0.93:
            return self.random.choice(KEYS), FROM_KEY
        return self.random.choice(KEYS), self.random.choice(KEYS)

    def lease(self) -> int:
        return self.random.choice((0, 0, 0, 1, 2, 3, 4))

    def put(self) -> Put:
        self.values += 1
        key = "" if self.random.random() < 0.01 else self.random.choice(KEYS)
        return Put(key, f"v{self.values}", self.lease(), self.random.random() < 0.5)

    def delete(self) -> Delete:
        return Delete(*self.span(), self.random.random() < 0.5)

    def range(self, revision: int) -> Range:
        at = self.random.choice((0, 0, revision, revision + 1, self.random.randint(1, revision)))
        limit = self.random.choice((0, 0, 1, 2))
        return Range(*self.span(), at, limit, self.random.random() < 0.1,
                     self.random.random() < 0.1)

    def compare(self, local: Member) -> Compare:
        key = self.random.choice(KEYS)
        kv = local.kv.get(key)
        target = self.random.choice(("version", "create", "mod", "value", "lease"))
        if target == "value":
            operand: Any = kv.value if kv and self.random.random() < 0.6 else "v1"
            return Compare(key, "value", self.random.choice(("=", "!=")), operand)
        known = {"version": kv.version, "create": kv.create_revision, "mod": kv.mod_revision,
                 "lease": kv.lease} if kv else {}
        operand = max(0, known.get(target, 0) + self.random.choice((0, 0, 0, -1, 1)))
        relation = self.random.choice(("=", "=", "!=", "<", ">"))
        return Compare(key, target, relation, operand)  # type: ignore[arg-type]  # drawn from the literals

    def txn(self, local: Member) -> Txn:
        compares = tuple(self.compare(local) for _ in range(self.random.choice((0, 1, 1, 2))))
        return Txn(compares, self.branch(local.revision), self.branch(local.revision))

    def branch(self, revision: int) -> tuple[Any, ...]:
        count = self.random.choice((0, 1, 1, 2, 3))
        return tuple(self.random.choice((self.put, self.put, self.delete,
                                         lambda: self.range(revision)))()
                     for _ in range(count))

    def watch(self, revision: int) -> Watch:
        start = self.random.choice((0, revision, revision + 2, self.random.randint(1, revision)))
        key, range_end = self.span()
        while range_end and range_end != FROM_KEY and key >= range_end:
            key, range_end = self.span()
        filters = self.random.choice(((), (), (), ("PUT",), ("DELETE",)))
        return Watch(key, range_end, start, self.random.random() < 0.5, False, filters)

    def any(self, local: Member) -> Any:
        revision = local.revision
        choice = self.random.random()
        if choice < 0.30:
            return self.put()
        if choice < 0.42:
            return self.delete()
        if choice < 0.62:
            return self.range(revision)
        if choice < 0.85:
            return self.txn(local)
        if choice < 0.90:
            return LeaseGrant(self.random.randint(1000, 2000), self.random.randint(1, 4))
        if choice < 0.93:
            return LeaseRevoke(self.random.randint(1, 4))
        if choice < 0.95:
            return LeaseKeepAlive(self.random.randint(1, 4))
        if choice < 0.98:
            return LeaseTimeToLive(self.random.randint(1, 4))
        return Compact(self.random.randint(max(1, revision - 20), revision + 1))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEtcd]:
    running = RealEtcd(tmp_path_factory.mktemp("etcd"))
    yield running
    running.close()


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[RealEtcd]:
    running = RealEtcd(tmp_path)
    yield running
    running.close()


def comparable(reply: Any) -> Any:
    """A reply without what a real clock decides, and without the revision of an error."""
    if isinstance(reply, Failure):
        return reply._replace(revision=0)
    if hasattr(reply, "granted_ttl_s") and reply.granted_ttl_s:
        return reply._replace(ttl_s=0)
    return reply


def historical_bug() -> Any:
    """Servers before 3.4.34 and 3.5.16 lose the tombstones of the compacted revision (etcd#18089).

    Against such a server our store runs with that bug seeded; everything must then agree.
    """
    known = etcd_gateway.version()
    if known >= (3, 5, 16) or (3, 4, 34) <= known < (3, 5):
        return nullcontext()
    bug: Mutant = next(each for each in MUTANTS if each.name == "watch-delete-lost-at-compact-rev")
    return bug.installed()


def campaign(server: RealEtcd, seed: int, count: int) -> int:
    """Send `count` requests to both; gives the number of events that were compared."""
    ours, requests = Ours(), Requests(seed)
    streams: dict[str, WatchStream] = {}
    opened = 0.0
    try:
        for number in range(count):
            if number % 10 == 5 and len(streams) < 40:
                lane = f"watch-{number}"
                request = requests.watch(ours.local.revision)
                streams[lane] = server.watch(request)
                ours.call(request, lane)
                opened = time.monotonic()
            request = requests.any(ours.local)
            if type(request) is Compact:
                time.sleep(max(0.0, opened + CATCH_UP_S - time.monotonic()))
            mine, theirs = ours.call(request), server.call(request)
            assert comparable(mine) == comparable(theirs), f"request {number}: {request}"
        return sum(compared(ours, lane, stream) for lane, stream in streams.items())
    finally:
        for stream in streams.values():
            stream.close()


def compared(ours: Ours, lane: str, stream: WatchStream) -> int:
    """Compare what one watch was sent; the number of its events."""
    expected = ours.events(lane)
    cancelled, compact_revision = ours.end(lane)
    stream.wait(len(expected), cancelled)
    assert stream.events == expected, lane
    assert (stream.cancelled, stream.compact_revision) == (cancelled, compact_revision), lane
    return len(expected)


def test_random_requests_get_the_same_replies_and_events(fresh_server: RealEtcd) -> None:
    """Revisions, transactions, leases, compactions and watches, a few hundred requests."""
    with historical_bug():
        events = campaign(fresh_server, seed=1, count=400)
    assert events > 200


@pytest.mark.nightly
def test_ten_thousand_random_requests(tmp_path: Path) -> None:
    """Twenty-five servers, four hundred requests each, from other seeds."""
    with historical_bug():
        for seed in range(2, 27):
            folder = tmp_path / str(seed)
            folder.mkdir()
            running = RealEtcd(folder)
            try:
                campaign(running, seed, 400)
            finally:
                running.close()


def test_a_lease_gets_its_minimal_time_and_takes_its_keys_along(server: RealEtcd) -> None:
    """A lease of one second is granted two; soon after that its key is gone, under one revision."""
    ours = Ours()
    granted = LeaseGrant(1, 99)
    assert server.call(granted).ttl_s == ours.call(granted).ttl_s == 2  # type: ignore[union-attr]  # a lease reply
    server.call(Put("/leased", "x", 99))
    ours.call(Put("/leased", "x", 99))
    assert server.call(Range("/leased")).total == 1  # type: ignore[union-attr]  # a range reply
    deadline = time.monotonic() + 10
    while server.call(Range("/leased")).total and time.monotonic() < deadline:  # type: ignore[union-attr]  # a range reply
        time.sleep(0.1)
    ours.local = ours.etcd.timer(ours.local, "idle:leases", Io(2000))
    assert server.call(Range("/leased")).total == ours.call(Range("/leased")).total == 0  # type: ignore[union-attr]  # a range reply
