"""Raft turn by turn: elections, conflicts, commitment, reads, snapshots, members; users and roles.

The cases of the figures of the Raft paper are built by hand: members exchange messages in a post
that the test controls.
"""

from __future__ import annotations

from typing import Any

from model.api import storage
from model.api.scenario import Scenario
from model.kernel.component import CUT, Io, Message
from reference_impl.etcd import auth, cluster
from reference_impl.etcd.apply import performed
from reference_impl.etcd.ctl import EtcdCtl
from reference_impl.etcd.raft import (
    Append,
    Ask,
    Config,
    Disk,
    Entry,
    Log,
    Raft,
    Turn,
    fresh,
    restarted,
    voters_of,
)
from reference_impl.etcd.store import Store

THREE = ("a", "b", "c")


class Post:
    """Members by name and the messages between them, in order; every disk is written at once."""

    def __init__(self, names: tuple[str, ...] = THREE) -> None:
        self.members = {name: fresh(name, names) for name in names}
        self.away: set[str] = set()
        self.letters: list[tuple[str, str, Any]] = []
        self.reads: list[tuple[str, tuple[int, int], int]] = []

    def turn(self, name: str, act: str, *args: Any) -> None:
        raft = self.members[name]
        turn = Turn(raft, "state", raft.commit)
        getattr(turn, act)(*args)
        self._take(name, turn)
        if not self.members[name].synced:
            self.turn(name, "sync")

    def _take(self, name: str, turn: Turn) -> None:
        self.members[name] = turn.done()
        self.reads += turn.confirmed
        self.letters += [(name, to, body) for to, body in turn.sent]

    def deliver(self) -> None:
        while self.letters:
            source, to, body = self.letters.pop(0)
            if not {source, to} & self.away:
                self.turn(to, "receive", source, body)

    def elect(self, name: str) -> None:
        self.turn(name, "campaign")
        self.deliver()

    def __getitem__(self, name: str) -> Raft:
        return self.members[name]


def test_one_of_three_is_elected_and_commits() -> None:
    """Its first entry is empty; a command follows and is known everywhere."""
    post = Post()
    post.elect("a")
    assert (post["a"].role, post["a"].term, post["b"].leader) == ("leader", 1, "a")
    post.turn("a", "propose", "x")
    post.deliver()
    assert [raft.commit for raft in post.members.values()] == [2, 2, 2]
    assert post["c"].log.entries == (Entry(1), Entry(1, "x"))


def test_a_vote_is_promised_before_it_leaves() -> None:
    """The answer waits for the disk; a power failure before forgets both."""
    raft = fresh("b", THREE)
    turn = Turn(raft)
    turn.receive("a", Ask(1, 0, 0, False))
    asked = turn.done()
    assert (asked.vote, turn.sent, len(asked.held)) == ("a", [], 1)
    assert restarted(asked, True, 0).vote == ""
    assert restarted(asked, False, 0).vote == "a"
    turn = Turn(asked)
    turn.sync()
    turn.done()
    assert [body.granted for _, body in turn.sent] == [True]


def test_no_second_vote_in_a_term_and_none_for_a_shorter_log() -> None:
    """Neither to another candidate, nor to one that lacks entries."""
    raft = Raft("b", Disk(1, "a"), 1, "a")._replace(log=Log(THREE))
    for ask in (Ask(1, 0, 0, False), Ask(1, 9, 1, False)):
        turn = Turn(raft)
        turn.receive("c", ask)
        turn.sync()
        turn.done()
        assert not turn.sent[0][1].granted
    longer = fresh("b", THREE)._replace(log=Log(THREE, entries=(Entry(1), Entry(1))), term=1)
    turn = Turn(longer)
    turn.receive("c", Ask(2, 1, 1, False))
    turn.sync()
    turn.done()
    assert not turn.sent[0][1].granted


def test_a_member_that_returns_disturbs_nobody() -> None:
    """Pre-vote: whoever hears of a leader does not wish for another, and the term stays."""
    post = Post()
    post.elect("a")
    turn = Turn(post["b"], loyal=True)
    turn.receive("c", Ask(9, 5, 5, True))
    assert turn.done().term == 1
    assert not turn.sent[0][1].granted


def test_a_log_that_differs_is_replaced() -> None:
    """Entries of a leader that was cut off give way to those of its successor."""
    post = Post()
    post.elect("a")
    post.away = {"a"}
    post.turn("a", "propose", "lost")
    post.letters.clear()
    post.elect("b")
    post.turn("b", "propose", "kept")
    post.deliver()
    post.away = set()
    post.turn("b", "heartbeat")
    post.deliver()
    assert post["a"].log.entries == post["b"].log.entries
    assert post["a"].log.at(3).command == "kept"
    assert post["a"].commit == 3


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    """Raft, figure 8: only together with one of the leader's own term."""
    log = Log(THREE, entries=(Entry(1), Entry(2, "old")))
    leader = fresh("a", THREE)._replace(term=4, vote="a", log=log, disk=Disk(4, "a", log), commit=1,
                                        role="candidate", granted=("a", "b"))
    turn = Turn(leader)
    turn.sync()
    turn.receive("b", _appended(4, 2))
    assert turn.commit == 1
    turn.sync()
    turn.receive("b", _appended(4, 3))
    assert turn.commit == 3


def _appended(term: int, match: int) -> Any:
    from reference_impl.etcd.raft import Appended
    return Appended(term, True, match, 0)


def test_a_read_waits_for_a_majority_that_still_follows() -> None:
    """A leader that was cut off confirms nothing; one that leads does, at what is committed."""
    post = Post()
    post.elect("a")
    post.away = {"b", "c"}
    post.turn("a", "read", "a", (1, 1))
    post.deliver()
    assert post.reads == []
    post.away = set()
    post.turn("a", "read", "b", (1, 2))
    post.deliver()
    assert [read[:2] for read in post.reads] == [("a", (1, 1)), ("b", (1, 2))]
    assert {read[2] for read in post.reads} == {1}


def test_a_new_leader_reads_only_after_an_entry_of_its_own_term() -> None:
    """Before, it does not know whether what it has is committed, and to its clients it may be."""
    post = Post()
    post.elect("a")
    post.turn("a", "propose", "acknowledged")
    post.letters = [letter for letter in post.letters if letter[1] == "b"]
    post.deliver()
    post.away = {"a"}
    assert post["a"].commit == 2
    post.turn("b", "campaign")
    while post["b"].role != "leader":
        source, to, body = post.letters.pop(0)
        if not {source, to} & post.away:
            post.turn(to, "receive", source, body)
    post.turn("b", "read", "b", (1, 1))
    assert post.reads == []
    post.deliver()
    assert post.reads == [("b", (1, 1), 3)]


def test_a_follower_that_lags_far_behind_gets_a_snapshot() -> None:
    """And goes on from there; an old one that comes late changes nothing."""
    post = Post()
    post.elect("a")
    post.away = {"c"}
    for number in range(4):
        post.turn("a", "propose", number)
        post.deliver()
    post.turn("a", "forget", 4)
    post.away = set()
    post.turn("a", "heartbeat")
    post.deliver()
    post.turn("a", "heartbeat")
    post.deliver()
    assert (post["c"].log.base, post["c"].log.last, post["c"].commit) == (5, 5, 5)
    post.turn("a", "propose", "after")
    post.deliver()
    assert post["c"].log.at(6).command == "after"


def test_members_change_one_at_a_time() -> None:
    """A second change waits for the first; the removed one is told and rests."""
    post = Post()
    post.members["d"] = fresh("d", THREE)
    post.elect("a")
    post.turn("a", "propose", Config((*THREE, "d")))
    assert not Turn(post["a"]).propose(Config(("a",)))
    post.deliver()
    assert voters_of(post["d"].log) == (*THREE, "d")
    post.away = {"c"}
    post.turn("a", "propose", Config(("a", "b", "d")))
    post.deliver()
    post.away = set()
    post.elect("c")
    assert post["c"].removed
    assert post["a"].role == "leader"


def test_entries_that_a_follower_has_are_not_taken_away_by_an_old_message() -> None:
    """A message that was overtaken ends before what its successor brought."""
    raft = fresh("b", THREE)
    for entries in ((Entry(1), Entry(1, "x")), (Entry(1),)):
        turn = Turn(raft)
        turn.receive("a", Append(1, 0, 0, entries, 0, 0))
        turn.sync()
        raft = turn.done()
    assert raft.log.last == 2


# -- members -------------------------------------------------------------------------------------


def test_a_request_without_a_leader_is_cut_in_the_end() -> None:
    """Its outcome is unknown."""
    scenario = Scenario("test", settings=(("etcd-members", "3"),))
    first = cluster.components(scenario)[0]
    local = first.receive(first.init(Io()), Message("client", "lane", storage.Put("/a", 1)), Io())
    io = Io(7000)
    local = first.timer(local, "overdue", io)
    assert io.replies == [("client", "lane", CUT)]
    assert not local.waiting


def test_users_may_do_what_their_roles_allow() -> None:
    """Joined ranges count; changes of the rules need root; an old token is refused."""
    store = Store()
    for request in (
            storage.UserAdd("root", "secret"), storage.UserGrantRole("root", "root"),
            storage.UserAdd("ada", "pass"), storage.RoleAdd("reader"),
            storage.RoleGrant("reader", "read", "/a", "/c"),
            storage.RoleGrant("reader", "readwrite", "/c", "/d"),
            storage.UserGrantRole("ada", "reader"), storage.AuthEnable()):
        store, reply = performed(store, request)
        assert type(reply) is storage.AuthReply, reply
    _, told = performed(store, storage.Authenticate("ada", "pass"))
    name, revision = auth.user_of(told.token)
    rules = auth.granted(store.auth)

    def verdict(request: Any, user: str = name, at: int = revision) -> str:
        return auth.refused(store.auth, rules, user, at, request)

    assert verdict(storage.Range("/a", "/d")) == ""
    assert verdict(storage.Range("/a", "/e")) == storage.PERMISSION_DENIED
    assert verdict(storage.Put("/c", 1, previous=True)) == ""
    assert verdict(storage.Put("/b", 1)) == storage.PERMISSION_DENIED
    assert verdict(storage.RoleAdd("x")) == storage.PERMISSION_DENIED
    assert verdict(storage.RoleAdd("x"), "root") == ""
    assert verdict(storage.Range("/a"), "") == storage.USER_EMPTY
    assert verdict(storage.Range("/a"), name, revision - 1) == storage.AUTH_OLD_REVISION
    _, wrong = performed(store, storage.Authenticate("ada", "word"))
    assert wrong.error == storage.AUTH_FAILED


def test_a_single_member_is_not_asked_for_what_only_a_cluster_serves() -> None:
    """Commands about members, users and roles, and endpoints that are not there, are no input."""
    for command in ("user add ada pass", "member add etcd/4", "auth enable"):
        one, three = EtcdCtl(), EtcdCtl(("etcd", "etcd/2", "etcd/3"))
        assert not one.accepts(one.init(Io()), "run", ("admin", command))
        assert three.accepts(three.init(Io()), "run", ("admin", command))
        assert not three.accepts(three.init(Io()), "run", ("admin@4", command))
