"""Our cluster of three against a real etcd server: the same requests, the same replies.

The replicated store must answer as one: each request goes to another of our members. Users and
roles are compared call by call, with tokens of each side's own; so is what follows a restore. CI
sends two thousand requests.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import etcd_gateway
import pytest
from etcd_gateway import RealEtcd
from test_real_etcd import Ours, Requests, comparable

from model.api import storage
from model.api.scenario import Scenario
from model.api.storage import (
    Authenticate,
    AuthReply,
    Delete,
    Failure,
    LeaseTimeToLive,
    Put,
    Range,
    RoleAdd,
    RoleGrant,
    Signed,
    UserAdd,
    UserGrantRole,
)
from model.kernel.component import Io, Message
from model.kernel.mutant import Mutant
from properties.etcd.member import MUTANTS
from reference_impl.etcd import cluster
from reference_impl.etcd import store as mvcc
from reference_impl.etcd.cluster import Node
from reference_impl.etcd.member import Member

pytestmark = pytest.mark.skipif(etcd_gateway.BINARY is None,
                                reason="no etcd server is installed (Debian: etcd-server)")


V3 = {**os.environ, "ETCDCTL_API": "3"}


class OursOfThree:
    """Three members, fed by hand; messages between them arrive in order, disks are fast."""

    def __init__(self) -> None:
        scenario = Scenario("test", settings=(("etcd-members", "3"),))
        self.members: dict[str, Any] = {
            each.name: each for each in cluster.components(scenario)}
        self.locals: dict[str, Node] = {}
        self.letters: list[tuple[str, str, str, Any]] = []
        self.answers: list[Any] = []
        self.asked = 0
        for name, each in self.members.items():
            self._act(name, lambda io, each=each: each.init(io))
        first = self.members["etcd"]
        self._act("etcd", lambda io: first.timer(self.locals["etcd"], "idle:election", io))
        self._settle()

    def _act(self, name: str, act: Any) -> None:
        io = Io()
        self.locals[name] = act(io)
        for to, lane, body in io.replies:
            if to in self.members:
                self.letters.append((name, to, lane, body))
            else:
                self.answers.append(body)

    def _settle(self) -> None:
        while True:
            moved = False
            while self.letters:
                source, to, lane, body = self.letters.pop(0)
                message, moved = Message(source, lane, body), True
                self._act(to, lambda io, to=to, message=message: self.members[to].receive(
                    self.locals[to], message, io))
            for name, each in self.members.items():
                while steps := each.steps(self.locals[name]):
                    moved = True
                    self._act(name, lambda io, name=name, each=each, step=steps[0]: each.step(
                        self.locals[name], *step, io))
            if not moved:
                return

    @property
    def local(self) -> Node:
        """What is known of the store, to draw requests from."""
        return self.locals["etcd"]

    def call(self, request: Any) -> Any:
        """The reply of the next member in turn."""
        self.asked += 1
        name = list(self.members)[self.asked % 3]
        self.answers.clear()
        self._act(name, lambda io: self.members[name].receive(
            self.locals[name], Message("test", "work", request), io))
        self._settle()
        return self.answers[0]


@pytest.fixture
def server(tmp_path: Path) -> Any:
    running = RealEtcd(tmp_path)
    yield running
    running.close()


def test_a_cluster_answers_as_one_real_server(server: RealEtcd) -> None:
    """Revisions, transactions, leases and compactions, in turn at each member."""
    ours, requests = OursOfThree(), Requests(7)
    for number in range(1_600):
        request = requests.any(ours.local)  # type: ignore[arg-type]  # it has what a member has
        mine, theirs = ours.call(request), server.call(request)
        if type(request) is LeaseTimeToLive and type(mine) is not Failure:
            mine = mine._replace(ttl_s=theirs.ttl_s)  # type: ignore[union-attr]  # a lease reply
        assert comparable(mine) == comparable(theirs), f"request {number}: {request}"
    stores = [node.store for node in ours.locals.values()]
    assert stores[0] == stores[1] == stores[2]


USERS = ("root", "ada", "bob")
ROLES = ("root", "reader", "writer")
SPANS = (("/a", ""), ("/a", "/b"), ("/b", "/c"), ("/b", "/d"), ("/a", "\0"))
# No key twice: of two permissions from one key on, a real server may keep one that was replaced.
GRANTS = (("/a", ""), ("/a1", "/b"), ("/b", "/c"), ("/b1", "/d"), ("/0", "\0"))


def rule(draw: random.Random) -> Any:
    """A change of users or roles."""
    return draw.choice((
        UserAdd(draw.choice(USERS), "secret"), RoleAdd(draw.choice(ROLES[1:])),
        UserGrantRole(draw.choice(USERS), draw.choice(ROLES)),
        RoleGrant(draw.choice(ROLES[1:]), draw.choice(("read", "write", "readwrite")),
                  *draw.choice(GRANTS))))


def use(draw: random.Random) -> Any:
    """A read or a write."""
    return draw.choice((
        Range(*draw.choice(SPANS)), Put(draw.choice(("/a", "/b", "/c")), "x",
                                        previous=draw.random() < 0.3),
        Delete(*draw.choice(SPANS[:4]), previous=draw.random() < 0.3),
        storage.Txn((storage.Compare("/a", "version", ">", 0),), (Put("/b", "y"),),
                    (Range("/c"),))))


@pytest.mark.parametrize("seed", [1, 2])
def test_users_may_do_what_they_may_at_a_real_server(server: RealEtcd, seed: int) -> None:
    """Two hundred calls by root, others and nobody; each side knows its own tokens."""
    draw, ours = random.Random(seed), OursOfThree()
    known: dict[str, tuple[str, str]] = {}
    done = refused = 0

    def both(request: Any, user: str = "") -> Any:
        tokens = known.get(user, ("", ""))
        mine: Any = ours.call(Signed(tokens[0], request) if tokens[0] else request)
        theirs: Any = server.call(Signed(tokens[1], request) if tokens[1] else request)
        if type(request) is Authenticate and type(mine) is AuthReply:
            known[request.name] = (mine.token, theirs.token)
            mine, theirs = mine._replace(token=""), theirs._replace(token="")
        assert comparable(mine) == comparable(theirs), (user, request)
        return mine

    for _ in range(40):
        both(rule(draw))
    for request in (UserAdd("root", "secret"), UserGrantRole("root", "root"),
                    storage.AuthEnable(), Authenticate("root", "secret")):
        both(request)
    for _ in range(200):
        if draw.random() < 0.1:
            both(rule(draw), "root")
            known.clear()  # a token ends with the rules that it was given under
            both(Authenticate("root", "secret"))
        user = draw.choice((*USERS, ""))
        if user and user not in known:
            both(Authenticate(user, draw.choice(("secret", "secret", "wrong"))))
        reply = both(use(draw), user)
        done += type(reply) is not Failure
        refused += type(reply) is Failure
    assert min(done, refused) > 20


@pytest.mark.skipif(shutil.which("etcdctl") is None, reason="no etcdctl (Debian: etcd-client)")
def test_a_restored_server_goes_on_as_ours_does(server: RealEtcd, tmp_path: Path) -> None:
    """From a snapshot, at its revision and with its history, later writes forgotten: what release
    3.4 does is what our store does with that bug seeded (etcd#16028; ours counts on from above)."""
    ours, requests = Ours(), Requests(11)

    def same(count: int, real: RealEtcd) -> None:
        for number in range(count):
            request = requests.any(ours.local)
            mine, theirs = ours.call(request), real.call(request)
            assert comparable(mine) == comparable(theirs), f"request {number}: {request}"

    same(150, server)
    saved = ours.local.store
    tool = ("etcdctl", f"--endpoints=http://127.0.0.1:{server.port}", "snapshot")
    file, data = str(tmp_path / "saved"), tmp_path / "again"
    subprocess.run([*tool, "save", file], check=True, capture_output=True, env=V3)
    same(60, server)
    data.mkdir()
    subprocess.run([*tool, "restore", file, "--name=one", f"--data-dir={data}/data",
                    "--initial-cluster=one=http://127.0.0.1:1",
                    "--initial-advertise-peer-urls=http://127.0.0.1:1"],
                   check=True, capture_output=True, env=V3)
    bug: Mutant = next(each for each in MUTANTS if each.bug == "etcd-restore-rewinds-revision")
    with bug.installed():
        store = mvcc.restored(saved, ours.local.revision)
    assert store.revision == saved.revision
    ours.local = Member(store)
    restored = RealEtcd(data)
    try:
        same(150, restored)
    finally:
        restored.close()
