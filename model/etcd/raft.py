"""Raft: terms, votes, logs, commitment. One leader a term, and what is committed is never lost.

The log of a member is always the beginning of what some leader had as its log, so it is told by
the term of its last entry (`branch`) and its `length`: the first `length` places of the `ledger` of
that term. A ledger is the log of a term's leader, which only grows. `acked` is how much of it a
member has promised to keep, `done` how much of it is committed.

Only what is durable counts here: a promise is made in the step in which the disk has it, so a power
failure before is no step, and one afterwards changes nothing. What the messages say stays true
when they are lost, repeated or late, so there are none: a member takes part in a term (`rise`),
votes and accepts at any time. Terms and places begin at 1 and 0; term 0 has no leader.

Not modelled: pre-vote and time (they decide whether something happens, never what may), snapshots
(a member that is sent one accepts all up to its place), reads (judged on what clients see), the
entries' contents (a place and a term name an entry), changes of members (judged by
properties). Sources: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm",
figures 2, 3 and 8; Lamport, "Paxos Made Simple", for what may still be chosen (`may_be_committed`).
"""

from __future__ import annotations

from typing import Annotated

from model.kernel.spec.language import (
    Between,
    Index,
    Map,
    Numbered,
    Spec,
    action,
    count,
    define,
    each,
    implies,
    invariant,
    leads_to,
    lemma,
    mutant,
    require,
    step_rule,
    witness,
)

TermNumber = Annotated[int, Between(0, "len(Term) - 1")]
Size = Annotated[int, Between(0, "len(Place)")]


class Member(Index, symmetric=True, short="m"):
    """A member of the cluster."""


class Term(Numbered, short="t"):
    """A term; in 0 nobody has been elected yet."""


class Place(Numbered, short="p"):
    """A place of the log."""


class Raft(Spec):
    """Members, their promises, and the ledgers of those that led."""

    scopes = {"ci": {"Member": 3, "Term": 3, "Place": 2},
              "proof": {"Member": 3, "Term": 3, "Place": 2},
              "live": {"Member": 3, "Term": 2, "Place": 1}}

    term: Map[Member, TermNumber] = each(0)
    vote: Map[tuple[Member, Term], Member | None] = each(None)
    led: Map[tuple[Term, Member], bool] = each(False)
    ledger: Map[tuple[Term, Place], TermNumber] = each(0)
    size: Map[Term, Size] = each(0)
    branch: Map[Member, TermNumber] = each(0)
    length: Map[Member, Size] = each(0)
    acked: Map[tuple[Member, Term], Size] = each(0)
    done: Map[Term, Size] = each(0)

    @define
    def begun(self, t: Term) -> bool:
        return any(self.led[t, m] for m in Member)

    @define
    def agrees(self, m: Member, t: Term, k: int) -> bool:
        """Whether the first k places of a member's log are those of a ledger, as far as it goes."""
        return all(implies(p < k and p < self.length[m],
                           self.ledger[self.branch[m], p] == self.ledger[t, p]) for p in Place)

    @define
    def has(self, m: Member, t: Term, k: int) -> bool:
        """Whether a member's log holds the first k places of a ledger."""
        return k <= self.length[m] and self.agrees(m, t, k)

    @define
    def may_be_committed(self, t: Term, p: Place) -> bool:
        """Whether the leader of a term has committed a place, or may yet: its entry there is its
        own, and a majority has promised it or is free to."""
        return t > 0 and self.ledger[t, p] == t and 2 * count(
            self.acked[m, t] > p or self.term[m] <= t for m in Member) > len(Member)

    @action(fair="weak")
    def rise(self, m: Member, t: Term) -> None:
        """A member takes part in a later term: it stands for election, or has heard of it."""
        require(self.term[m] < t)
        self.term[m] = t

    @action
    def give_vote(self, m: Member, t: Term, c: Member) -> None:
        """For a candidate whose log is at least as new; for one that has moved on it is lost."""
        require(t > 0 and self.term[m] == t and self.vote[m, t] is None)
        require(self.term[c] > t or (
            self.term[c] == t and (self.branch[c] > self.branch[m] or (
                self.branch[c] == self.branch[m] and self.length[c] >= self.length[m]))))
        self.vote[m, t] = c

    @action
    def lead(self, c: Member, t: Term) -> None:
        """A majority has voted for it: its log is the beginning of the term's ledger."""
        require(t > 0 and self.term[c] == t and not self.led[t, c])
        require(2 * count(self.vote[m, t] == c for m in Member) > len(Member))
        self.led[t, c] = True
        self.size[t] = self.length[c]
        for p in Place:
            self.ledger[t, p] = self.ledger[self.branch[c], p] if p < self.length[c] else 0

    @action
    def extend(self, c: Member, t: Term, p: Place) -> None:
        """The leader puts a command into its log."""
        require(self.led[t, c] and self.term[c] == t and p == self.size[t])
        self.ledger[t, p] = t
        self.size[t] = p + 1

    @action(fair="weak")
    def accept(self, m: Member, t: Term, p: Place) -> None:
        """A member takes the ledger of its term up to a place, and promises to keep it. What it
        has beyond stays, unless it differs before."""
        require(self.term[m] == t and self.begun(t) and p < self.size[t])
        if not self.has(m, t, p + 1):
            self.branch[m] = self.ledger[t, p]
            self.length[m] = p + 1
        self.acked[m, t] = max(self.acked[m, t], p + 1)

    @action
    def commit(self, c: Member, t: Term, p: Place) -> None:
        """A majority has promised all up to a place, whose entry is of the leader's own term."""
        require(self.led[t, c] and self.done[t] <= p and self.ledger[t, p] == t)
        require(2 * count(self.acked[m, t] > p for m in Member) > len(Member))
        self.done[t] = p + 1

    # -- the promises ---------------------------------------------------------------------------

    @invariant
    def no_two_members_lead_in_one_term(self) -> bool:
        return all(implies(self.led[t, m] and self.led[t, c], m == c)
                   for t in Term for m in Member for c in Member)

    @invariant
    def a_later_leader_has_all_that_is_committed(self) -> bool:
        return all(implies(s < t and self.begun(t) and p < self.done[s],
                           self.ledger[t, p] == self.ledger[s, p])
                   for s in Term for t in Term for p in Place)

    @invariant
    def what_is_committed_is_on_a_majority_of_disks(self) -> bool:
        return all(implies(self.done[t] > 0,
                           2 * count(self.acked[m, t] >= self.done[t] for m in Member)
                           > len(Member)) for t in Term)

    @invariant
    def what_a_member_promised_and_may_be_committed_stays(self) -> bool:
        return all(implies(self.acked[m, t] > p and self.may_be_committed(t, p),
                           self.has(m, t, p + 1))
                   for m in Member for t in Term for p in Place)

    @invariant
    def the_same_place_and_term_is_the_same_beginning(self) -> bool:
        """Log matching: an entry's term tells all before it."""
        return all(implies(self.ledger[t, p] == s and s > 0 and q <= p,
                           self.ledger[s, q] == self.ledger[t, q])
                   for s in Term for t in Term for p in Place for q in Place)

    # -- what the induction needs beside them ------------------------------------------------------

    @lemma
    def a_vote_is_of_a_term_that_was_reached(self) -> bool:
        return all(implies(self.vote[m, t] is not None, self.term[m] >= t)
                   and implies(self.vote[m, t] == c, self.term[c] >= t)
                   for m in Member for t in Term for c in Member)

    @lemma
    def a_leader_has_the_votes_of_a_majority(self) -> bool:
        return all(implies(self.led[t, c], self.term[c] >= t and t > 0
                           and 2 * count(self.vote[m, t] == c for m in Member) > len(Member))
                   for t in Term for c in Member)

    @lemma
    def a_ledger_is_written_without_a_gap_and_by_its_own_leader(self) -> bool:
        return all((self.ledger[t, p] > 0) == (p < self.size[t]) and self.ledger[t, p] <= t
                   and implies(not self.begun(t), self.size[t] == 0)
                   and all(implies(self.ledger[t, p] == s and s > 0, self.begun(s)) for s in Term)
                   for t in Term for p in Place)

    @lemma
    def the_terms_in_a_ledger_do_not_fall(self) -> bool:
        return all(implies(q < p and self.ledger[t, p] > 0,
                           self.ledger[t, q] <= self.ledger[t, p])
                   for t in Term for p in Place for q in Place)

    @lemma
    def a_log_ends_with_an_entry_of_its_branch(self) -> bool:
        return all((self.branch[m] == 0) == (self.length[m] == 0)
                   and self.branch[m] <= self.term[m]
                   and self.length[m] <= self.size[self.branch[m]]
                   and implies(p + 1 == self.length[m],
                               self.ledger[self.branch[m], p] == self.branch[m])
                   for m in Member for p in Place)

    @lemma
    def a_promise_is_made_in_a_term_that_has_begun(self) -> bool:
        return all(implies(self.acked[m, t] > 0, self.begun(t) and self.term[m] >= t)
                   and self.acked[m, t] <= self.size[t]
                   for m in Member for t in Term)

    @lemma
    def what_is_committed_ends_with_an_entry_of_its_leader(self) -> bool:
        return all(implies(self.done[t] == p + 1, self.ledger[t, p] == t and t > 0)
                   and self.done[t] <= self.size[t] for t in Term for p in Place)

    @lemma
    def a_later_leader_has_all_that_may_be_committed(self) -> bool:
        return all(implies(s < t and self.begun(t) and self.may_be_committed(s, p) and q <= p,
                           self.ledger[t, q] == self.ledger[s, q])
                   for s in Term for t in Term for p in Place for q in Place)

    @lemma
    def a_candidate_has_what_its_voters_promised(self) -> bool:
        """As long as the term has no leader; then a majority of them makes it one."""
        return all(implies(self.vote[m, t] == c and self.term[c] == t and not self.begun(t)
                           and s < t and self.acked[m, s] > p and self.may_be_committed(s, p),
                           self.has(c, s, p + 1))
                   for m in Member for c in Member for s in Term for t in Term for p in Place)

    # -- and beyond -------------------------------------------------------------------------------

    @step_rule
    def what_is_committed_stays(self, after: Raft) -> bool:
        return all(self.done[t] <= after.done[t] and implies(
            p < self.done[t], after.ledger[t, p] == self.ledger[t, p])
            for t in Term for p in Place)

    @leads_to
    def what_a_leader_has_written_reaches_all_who_stay(self, m: Member, t: Term,
                                                       p: Place) -> tuple[bool, bool]:
        return (self.begun(t) and p < self.size[t],
                self.acked[m, t] > p or self.term[m] > t)

    @witness
    def an_entry_of_an_earlier_term_is_committed_with_a_later_one(self) -> bool:
        return any(self.done[t] == 2 and self.ledger[t, p] > 0 and self.ledger[t, p] < t
                   for t in Term for p in Place)

    @witness
    def a_member_replaces_what_it_had(self) -> bool:
        return any(self.acked[m, s] > 0 and self.acked[m, t] > 0 and s < t
                   and not self.has(m, s, 1) for m in Member for s in Term for t in Term)

    @mutant(replaces="give_vote", breaks="no_two_members_lead_in_one_term")
    def votes_twice(self, m: Member, t: Term, c: Member) -> None:
        """The vote was not on the disk when the member crashed."""
        require(t > 0 and self.term[m] == t and self.term[c] == t)
        require(self.branch[c] > self.branch[m] or (
            self.branch[c] == self.branch[m] and self.length[c] >= self.length[m]))
        self.vote[m, t] = c

    @mutant(replaces="give_vote", breaks="what_a_member_promised_and_may_be_committed_stays")
    def votes_for_a_shorter_log(self, m: Member, t: Term, c: Member) -> None:
        require(t > 0 and self.term[m] == t and self.vote[m, t] is None and self.term[c] == t)
        self.vote[m, t] = c

    @mutant(replaces="accept", breaks="what_a_member_promised_and_may_be_committed_stays")
    def promises_before_the_disk_has_it(self, m: Member, t: Term, p: Place) -> None:
        """The acknowledgement left, the entry was lost with the power."""
        require(self.term[m] == t and self.begun(t) and p < self.size[t])
        self.acked[m, t] = max(self.acked[m, t], p + 1)

    @mutant(replaces="commit", breaks="what_is_committed_is_on_a_majority_of_disks")
    def commits_what_it_has_sent(self, c: Member, t: Term, p: Place) -> None:
        """Without waiting for the answers."""
        require(self.led[t, c] and self.done[t] <= p and self.ledger[t, p] == t)
        self.done[t] = p + 1

    @mutant(replaces="commit", breaks="what_is_committed_ends_with_an_entry_of_its_leader")
    def commits_by_counting(self, c: Member, t: Term, p: Place) -> None:
        """Entries of earlier terms too. That such an entry is lost takes four terms (figure 8)."""
        require(self.led[t, c] and self.done[t] <= p and p < self.size[t])
        require(2 * count(self.acked[m, t] > p for m in Member) > len(Member))
        self.done[t] = p + 1


SPEC = Raft
