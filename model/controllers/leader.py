"""Leadership by a lease: at most one candidate acts at a time, if their clocks run at one speed.

A candidate that writes itself into the record may act for a while that counts from the sending of
the write and is shorter than the lease which it promised in the record. Others wait, from the
moment at which they see the record change, for as long as its holder promised; then they may write
themselves into it, if it is still the record that they saw. Time passes for all at once.

Not modelled: clocks that run at different speeds (Kubernetes assumes bounded drift), and writes of
the job that arrive late. The server's side is there when `server` is 1. Source: client-go,
tools/leaderelection; kubernetes issues 44887, 47671, 114872.
"""

from __future__ import annotations

from typing import Annotated, Literal

from model.kernel.spec.language import (
    Between,
    Index,
    Map,
    Spec,
    action,
    constant,
    each,
    implies,
    invariant,
    leads_to,
    lemma,
    limit,
    mutant,
    require,
    witness,
)

Stage = Literal["idle", "sent", "stored"]
Time = Annotated[int, Between(0, "longest")]


class Candidate(Index, symmetric=True, short="c"):
    """Somebody who wants the job."""


class Election(Spec):
    """A record, and candidates who count down."""

    longest = constant(3)
    server = constant(1)
    scopes = {"ci": {"Candidate": 2, "longest": 3}, "proof": {"Candidate": 3, "longest": 4}}

    holder: Candidate | None = None
    promised: Time = 0
    fresh: Map[Candidate, bool] = each(False)
    calm: bool = False

    terms: Map[Candidate, Time] = each(0)
    stage: Map[Candidate, Stage] = each("idle")
    left: Map[Candidate, Time] = each(0)
    offered: Map[Candidate, Time] = each(0)
    acts: Map[Candidate, Time] = each(0)
    patience: Map[Candidate, Time] = each(0)
    mine: Map[Candidate, bool] = each(False)

    @action(fair="weak")
    def choose(self, c: Candidate, lease: Time) -> None:
        """An administrator decides how long a candidate's lease lasts, once and for all."""
        limit(self.server == 1)
        require(self.terms[c] == 0 and lease > 1)
        self.terms[c] = lease

    @action(fair="weak")
    def tick(self) -> None:
        """Time passes, for all at the same speed."""
        limit(any(self.left[c] + self.acts[c] + self.patience[c] > 0 for c in Candidate))
        # In the end answers come before time passes.
        limit(implies(self.calm, all(self.stage[c] == "idle" for c in Candidate)))
        for c in Candidate:
            self.left[c] = max(0, self.left[c] - 1)
            self.acts[c] = max(0, self.acts[c] - 1)
            self.patience[c] = max(0, self.patience[c] - 1)

    @action(fair="weak")
    def look(self, c: Candidate, lease: Time, own: bool) -> None:
        """A candidate sees a record that it has not seen; from now on it waits as long as the
        record says."""
        require(self.stage[c] == "idle" and (self.server == 0 or not self.fresh[c]))
        limit(lease == self.promised and own == (self.holder == c))
        if self.server == 1:
            self.fresh[c] = True
        self.patience[c] = lease
        self.mine[c] = own

    @action(fair="weak")
    def send(self, c: Candidate, lease: Time, deadline: Time) -> None:
        """It writes itself into the record: it holds it already, or it has waited long enough."""
        require(self.stage[c] == "idle" and (self.mine[c] or self.patience[c] == 0))
        require(deadline < lease)
        limit(self.fresh[c] and lease == self.terms[c] and deadline == lease - 1 and lease > 1)
        self.stage[c] = "sent"
        self.left[c] = deadline
        self.offered[c] = lease

    @action(fair="weak")
    def store(self, c: Candidate) -> None:
        """The server takes the write: the record is still the one that was seen."""
        require(self.stage[c] == "sent" and self.fresh[c])
        self.stage[c] = "stored"
        self.holder = c
        self.promised = self.offered[c]
        for d in Candidate:
            self.fresh[d] = d == c

    @action(fair="weak")
    def answer(self, c: Candidate, lease: Time) -> None:
        """The write has succeeded: it may act for what is left since it was sent."""
        require(self.stage[c] == "stored" or (self.server == 0 and self.stage[c] == "sent"))
        limit(lease == self.offered[c])
        self.stage[c] = "idle"
        self.acts[c] = self.left[c]
        self.left[c] = 0
        self.offered[c] = 0
        self.mine[c] = True
        self.patience[c] = lease

    @action(fair="weak")
    def refuse(self, c: Candidate) -> None:
        """The write was refused, or nobody knows: what it may do is as before."""
        require(self.stage[c] != "idle")
        limit(self.stage[c] == "sent" and not self.fresh[c])
        self.stage[c] = "idle"
        self.left[c] = 0
        self.offered[c] = 0

    @action
    def lose(self, c: Candidate) -> None:
        """A write was stored, and its answer is lost."""
        limit(self.server == 1)
        require(not self.calm and self.stage[c] == "stored")
        self.stage[c] = "idle"
        self.fresh[c] = False
        self.left[c] = 0
        self.offered[c] = 0

    @action
    def crash(self, c: Candidate) -> None:
        """It starts anew under another name, and has seen nothing."""
        require(not self.calm)
        self.stage[c] = "idle"
        self.left[c] = 0
        self.offered[c] = 0
        self.acts[c] = 0
        self.patience[c] = 0
        self.mine[c] = False
        if self.server == 1:
            self.fresh[c] = False
            # Its new name is not the one in the record.
            self.holder = None if self.holder == c else self.holder

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nothing fails."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def at_most_one_acts(self) -> bool:
        return all(implies(self.acts[c] > 0 and self.acts[d] > 0, c == d)
                   for c in Candidate for d in Candidate)

    @lemma
    def who_may_act_holds_the_record(self) -> bool:
        return all(implies(self.acts[c] > 0 or (self.stage[c] == "stored" and self.left[c] > 0),
                           self.holder == c) for c in Candidate)

    @lemma
    def others_wait_longer_than_it_acts(self) -> bool:
        return all(implies(c != d and self.fresh[d] and self.stage[d] != "stored"
                           and self.holder == c,
                           (self.patience[d] > self.acts[c] or self.acts[c] == 0)
                           and (self.stage[c] != "stored" or self.left[c] == 0
                                or self.patience[d] > self.left[c])
                           and implies(self.stage[d] == "sent", self.patience[d] == 0))
                   for c in Candidate for d in Candidate)

    @lemma
    def the_promise_is_longer_than_the_deadline(self) -> bool:
        return all(implies(self.stage[c] != "idle", self.left[c] < self.terms[c]
                           and self.terms[c] > 1
                           and self.offered[c] == self.terms[c])
                   and implies(self.stage[c] == "idle", self.offered[c] == 0)
                   and implies(self.stage[c] == "stored" and self.fresh[c], self.holder == c)
                   and implies(self.holder == c, self.promised == self.terms[c]
                               and self.terms[c] > 1)
                   and implies(self.acts[c] > 0, self.acts[c] < self.terms[c])
                   and implies(self.fresh[c] and self.mine[c], self.holder == c)
                   for c in Candidate)

    @leads_to
    def somebody_acts(self) -> tuple[bool, bool]:
        return self.calm, any(self.acts[c] > 0 for c in Candidate)

    @witness
    def the_record_changes_hands(self) -> bool:
        return any(self.mine[c] and self.holder is not None and self.holder != c
                   for c in Candidate)

    @mutant(replaces="look", breaks="at_most_one_acts")
    def look_with_own_patience(self, c: Candidate, lease: Time, own: bool) -> None:
        """It waits as long as its own lease would last."""
        require(self.stage[c] == "idle" and not self.fresh[c] and own == (self.holder == c))
        require(lease == self.promised)
        self.fresh[c] = True
        self.patience[c] = self.terms[c]
        self.mine[c] = own


SPEC = Election
