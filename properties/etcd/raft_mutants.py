"""Seeded bugs of an etcd cluster: those of Raft's textbook, and those that etcd has had.

Each is a method of the member, or of a turn of Raft, as somebody might write it, or once did.
"""

from __future__ import annotations

from typing import Any

from model.api import storage
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.values import EMPTY
from properties.etcd.raft import (
    a_committed_entry_is_on_the_disks_of_a_majority,
    a_leader_has_every_committed_entry,
    a_lease_lives_as_long_as_its_client_was_told,
    a_linearizable_read_shows_all_that_was_known_before_it,
    a_vote_is_kept_for_its_term,
    members_that_applied_the_same_have_the_same_store,
)
from properties.etcd.raft_refinement import REFINEMENT
from properties.etcd.watch import what_a_client_has_watched_is_what_happened
from reference_impl.etcd import cluster, raft
from reference_impl.etcd.apply import performed
from reference_impl.etcd.cluster import ClusterMember, Command, Node, Propose
from reference_impl.etcd.member import Member
from reference_impl.etcd.raft import Ask, Install, Raft, Turn, voters_of
from reference_impl.etcd.store import Store

_RAFT = "reference_impl.etcd.raft"
_CLUSTER = "reference_impl.etcd.cluster"

_restarted, _done, _asked = raft.restarted, Turn.done, Turn._asked
_performed, _timers, _installed = (ClusterMember._performed, ClusterMember._timers,
                                   ClusterMember._installed)


# -- Raft's textbook -----------------------------------------------------------------------------


def _vote_forgotten(member: Raft, lost: bool, applied: int) -> Raft:
    """The vote was kept in memory alone."""
    return _restarted(member, lost, applied)._replace(vote="")


def _promised_before_it_is_durable(self: Turn) -> Raft:
    """Votes and acknowledgements leave before the disk has what they promise."""
    member = _done(self)
    self.sent += member.held
    return member._replace(held=())


def _votes_for_shorter_logs(self: Turn, source: str, ask: Ask) -> None:
    """A candidate's log is not compared with the own one."""
    _asked(self, source, ask._replace(last=max(ask.last, self.log.last),
                                      last_term=max(ask.last_term, self.log.last_term)))


def _counts_copies_of_any_term(self: Turn) -> None:
    """Whatever a majority has is taken as committed (Raft, figure 8)."""
    voters = voters_of(self.log)
    copies = [self.disk.log.last if name == self.name else self.progress[name].match
              for name in voters]
    place = sorted(copies, reverse=True)[len(voters) // 2]
    if place > self.commit and self.log.term_at(place) != self.term:
        self.commit = place
        self.story = self.story._replace(done=self.story.done.set(self.term, place))
        self.moves.append(("commit", self.term, place))
    _count_copies(self)


_count_copies = Turn._count_copies


# -- what etcd has had ---------------------------------------------------------------------------


def _reads_dropped_where_nobody_waits(self: ClusterMember, local: Node,
                                      command: Command) -> tuple[Store, Any]:
    """Members that do not answer leave out the reads of a transaction, and their errors."""
    body = command.body
    if type(body) is storage.Txn and command.origin != self.name:
        success, failure = (tuple([each for each in branch if type(each) is not storage.Range])
                            for branch in (body.success, body.failure))
        return performed(local.store, body._replace(success=success, failure=failure))
    return _performed(self, local, command)


def _one_name_for_all_reads(self: ClusterMember, number: tuple[int, int]) -> tuple[int, int]:
    return (0, 0)


def _watches_begin_anew(member: Member, store: Store) -> Member:
    """A watch goes back to the revision that it was opened at."""
    return Member(store, member.watchers, tuple(member.watchers))


def _clocks_of_a_former_leader(self: ClusterMember, local: Node, old: Raft, heard: bool,
                               io: Io) -> Node:
    """Whoever has led goes on to end the leases that it had counted."""
    deadlines = local.deadlines
    after = _timers(self, local, old, heard, io)
    if old.role == "leader" and after.deadlines is EMPTY and deadlines:
        after = after._replace(deadlines=deadlines)
        cluster._arm_leases(deadlines, io)
    return after


def _ends_leases_through_the_leader(self: ClusterMember, local: Node, io: Io) -> Node:
    """The request to end a lease is passed on like that of a client: nobody asks whose it is."""
    if local.raft.role != "leader" and local.raft.leader:
        for name, deadline in local.deadlines.items():
            if deadline <= io.now:
                io.tell(local.raft.leader, cluster.FORWARD,
                        Propose(Command("", (0, 0), storage.LeaseRevoke(name))))
        return local._replace(deadlines=EMPTY)
    return _end_leases(self, local, io)


_end_leases = ClusterMember._end_leases


def _rules_not_worked_out_anew(self: ClusterMember, local: Node, snapshot: Install) -> Node:
    """A snapshot brings the rules, the permissions worked out from the old ones stay."""
    return _installed(self, local, snapshot)._replace(granted=local.granted)


MUTANTS = (
    Mutant("raft-vote-forgotten", "a vote is kept in memory alone",
           a_vote_is_kept_for_its_term.name,
           ((f"{_CLUSTER}:restarted", _vote_forgotten),),
           scenario="etcd-elections", faults="crash"),
    Mutant("raft-promise-before-disk", "votes and acknowledgements leave before they are durable",
           a_committed_entry_is_on_the_disks_of_a_majority.name,
           ((f"{_RAFT}:Turn.done", _promised_before_it_is_durable),),
           scenario="etcd-elections"),
    Mutant("raft-vote-for-shorter-log", "a candidate's log is not compared",
           a_leader_has_every_committed_entry.name,
           ((f"{_RAFT}:Turn._asked", _votes_for_shorter_logs),), scenario="etcd-elections",
           faults="crash,drop"),
    Mutant("raft-commit-by-counting", "entries of earlier terms are committed by counting copies",
           REFINEMENT.name,
           ((f"{_RAFT}:Turn._count_copies", _counts_copies_of_any_term),
            # A leader sends its own first entry along with those before it, where there is room.
            (f"{_RAFT}:ENTRIES_MAX", 1)), scenario="etcd-elections", faults="drop,crash"),
    Mutant("txn-compacted-range-diverges", "etcd-txn-compacted-range-diverges",
           members_that_applied_the_same_have_the_same_store.name,
           ((f"{_CLUSTER}:ClusterMember._performed", _reads_dropped_where_nobody_waits),),
           scenario="etcd-members"),
    Mutant("stale-linearizable-read-after-pause", "etcd-stale-linearizable-read-after-pause",
           a_linearizable_read_shows_all_that_was_known_before_it.name,
           ((f"{_CLUSTER}:ClusterMember._read_name", _one_name_for_all_reads),),
           scenario="etcd-paused", faults="isolate"),
    Mutant("watch-goes-back-after-snapshot", "etcd-watch-goes-back-after-snapshot",
           what_a_client_has_watched_is_what_happened.name,
           ((f"{_CLUSTER}:_moved", _watches_begin_anew),), scenario="etcd-paused",
           faults="isolate"),
    Mutant("lease-revoked-by-old-leader", "etcd-lease-revoked-by-old-leader",
           a_lease_lives_as_long_as_its_client_was_told.name,
           ((f"{_CLUSTER}:ClusterMember._timers", _clocks_of_a_former_leader),
            (f"{_CLUSTER}:ClusterMember._end_leases", _ends_leases_through_the_leader)),
           scenario="etcd-leases", faults="isolate"),
    Mutant("auth-state-not-restored", "etcd-auth-state-not-restored",
           members_that_applied_the_same_have_the_same_store.name,
           ((f"{_CLUSTER}:ClusterMember._installed", _rules_not_worked_out_anew),),
           scenario="etcd-users"),
)
