"""Disruption budgets: evictions alone never take the healthy pods below what must be available.

An eviction is granted by taking one from the number that the budget allows and noting its pod; only
then is the pod deleted. The controller counts the pods that its cache shows ready and that are not
noted, and allows what is above the need; its write is taken only over the version that it saw, so
that no grant is overwritten. A note goes when its pod is seen to go, or when the deletion that it
stands for will not come any more (in the implementation: after two minutes).

Pods may also fail or be deleted without being asked for; each such loss may cost one healthy pod
more than the budget, and none beyond that. The need is a constant (a change of it is a loss as
well), and a name is not used again while its old pod is noted.

Not modelled: where the need comes from (the controllers' wishes), pods that are evicted without a
grant because they are not ready, and evictions of pods that the controller has never seen: their
note is taken for done, in Kubernetes too. The server's side is there when `server` is 1. Source:
Kubernetes documentation, "Disruptions"; Kubernetes 1.32, pkg/controller/disruption and
pkg/registry/core/pod/storage/eviction.go.
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
    count,
    define,
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

State = Literal["absent", "unready", "ready", "leaving"]
Stage = Literal["idle", "counting", "writing"]
Amount = Annotated[int, Between(0, "len(Pod)")]
THERE = ("unready", "ready")


class Pod(Index, symmetric=True, short="p"):
    """A pod that the budget selects."""


class Budget(Spec):
    """Pods, grants, and a controller that counts."""

    need = constant(1)
    failures = constant(1)
    server = constant(1)
    scopes = {"ci": {"Pod": 2, "need": 1, "failures": 1},
              "proof": {"Pod": 3, "need": 1, "failures": 1},
              "live": {"Pod": 2, "need": 1, "failures": 1}}

    pod: Map[Pod, State] = each("absent")
    granted: Map[Pod, bool] = each(False)
    going: Map[Pod, bool] = each(False)
    allowed: Amount = 0
    moved: bool = False
    fresh: bool = False
    failed: Annotated[int, Between(0, "failures")] = 0
    unseen: Map[Pod, bool] = each(False)
    calm: bool = False

    seen: Map[Pod, State] = each("absent")
    noted: Map[Pod, bool] = each(False)
    due: bool = True
    stage: Stage = "idle"
    kept: Map[Pod, bool] = each(False)
    amount: Amount = 0

    @define
    def healthy(self) -> int:
        return count(self.pod[p] == "ready" and not self.granted[p] for p in Pod)

    @define
    def counted(self) -> int:
        return count(self.seen[p] == "ready" and not self.kept[p] for p in Pod)

    # ---- pods and evictions -------------------------------------------------------------------

    @action
    def fail(self, p: Pod, how: State) -> None:
        """A pod fails, or somebody deletes it without asking for an eviction."""
        require(not self.calm and self.pod[p] == "ready" and how in ("unready", "leaving"))
        limit(self.failed < self.failures)
        self.pod[p] = how
        self.failed += 1
        self.unseen[p] = True

    @action
    def appear(self, p: Pod) -> None:
        """A pod is made in place of one that went."""
        require(not self.calm and self.pod[p] == "absent" and self.seen[p] == "absent")
        require(not (self.granted[p] or self.going[p] or self.noted[p] or self.kept[p]))
        self.pod[p] = "unready"

    @action
    def become_ready(self, p: Pod) -> None:
        require(not self.calm and self.pod[p] == "unready")
        self.pod[p] = "ready"

    @action
    def grant(self, p: Pod) -> None:
        """An eviction is granted."""
        require(not self.calm and self.pod[p] == "ready" and self.allowed > 0)
        require(not self.granted[p])
        limit(self.seen[p] in THERE and self.stage != "counting")
        self.allowed -= 1
        self.granted[p] = True
        self.going[p] = True
        self.moved = True
        self.fresh = False

    @action(fair="weak")
    def take(self, p: Pod) -> None:
        """The granted deletion happens, if there is still something to delete."""
        require(self.going[p])
        self.going[p] = False
        if self.pod[p] in THERE:
            self.pod[p] = "leaving"

    @action
    def abandon(self, p: Pod) -> None:
        """The server died in between: the deletion will not come."""
        require(not self.calm and self.going[p])
        self.going[p] = False

    @action(fair="weak")
    def vanish(self, p: Pod) -> None:
        require(self.pod[p] == "leaving")
        self.pod[p] = "absent"

    # ---- the controller -----------------------------------------------------------------------

    @action(fair="strong")
    def observe(self, p: Pod, state: State) -> None:
        """The cache shows another state of a pod."""
        require(self.seen[p] != state)
        # Counting is one step of the implementation.
        limit(self.pod[p] == state and self.stage != "counting")
        self.seen[p] = state
        self.unseen[p] = False
        if self.server == 1:
            self.due = True

    @action(fair="strong")
    def read_note(self, p: Pod, note: bool) -> None:
        """The cache shows another note of the budget."""
        require(self.noted[p] != note)
        limit(self.moved and self.granted[p] == note and self.stage != "counting")
        self.noted[p] = note

    @action(fair="strong")
    def catch_up(self) -> None:
        """The cache shows the budget as it is now."""
        limit(self.moved and all(self.noted[p] == self.granted[p] for p in Pod)
              and self.stage != "counting")
        self.moved = False
        self.due = True

    @action(fair="weak")
    def begin(self) -> None:
        """The worker counts, from its caches alone. Notes of pods that are seen to go are done."""
        require(self.stage == "idle" and (self.due or self.server == 0))
        self.stage = "counting"
        if self.server == 1:
            self.due = False
        for p in Pod:
            self.kept[p] = self.noted[p] and self.seen[p] in THERE

    @action(fair="weak")
    def expire(self, p: Pod) -> None:
        """A note whose deletion will not come any more is given up."""
        require(self.stage == "counting" and self.kept[p])
        limit(not self.going[p] and self.pod[p] in THERE)
        self.kept[p] = False

    @action(fair="weak")
    def go(self, need: Amount) -> None:
        """What is above the need is to be allowed."""
        require(self.stage == "counting")
        limit(need == self.need)
        # Where a pod that is being deleted was noted, the note is kept until that is seen.
        limit(all(implies(self.kept[p], self.going[p] or self.pod[p] not in THERE) for p in Pod))
        self.stage = "writing"
        self.amount = max(0, self.counted() - need)
        if self.server == 1:
            self.fresh = not self.moved

    @action(fair="weak")
    def write(self) -> None:
        """The server takes the count, over the version that was seen."""
        limit(self.server == 1 and self.fresh)
        require(self.stage == "writing")
        self.stage = "idle"
        self.fresh = False
        self.moved = self.moved or self.allowed != self.amount or any(
            self.granted[p] != self.kept[p] for p in Pod)
        self.allowed = self.amount
        self.amount = 0
        for p in Pod:
            self.granted[p] = self.kept[p]
            self.kept[p] = False

    @action(fair="weak")
    def put_away(self) -> None:
        """The write was answered, refused or lost, or there was nothing to write."""
        limit(not self.fresh)
        require(self.stage == "writing")
        self.stage = "idle"
        self.amount = 0
        if self.server == 1:
            self.due = True
        for p in Pod:
            self.kept[p] = False

    @action
    def crash(self) -> None:
        """The process dies and lists everything anew."""
        require(not self.calm)
        self.stage = "idle"
        self.amount = 0
        self.moved = False
        self.fresh = False
        if self.server == 1:
            self.due = True
        for p in Pod:
            self.seen[p] = self.pod[p] if self.server == 1 else "absent"
            self.unseen[p] = False
            self.noted[p] = self.granted[p]
            self.kept[p] = False

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nothing changes by itself."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    # ---- what holds ---------------------------------------------------------------------------

    @invariant
    def evictions_alone_never_break_the_budget(self) -> bool:
        return implies(self.allowed > 0,
                       self.healthy() - self.allowed + self.failed >= self.need)

    @lemma
    def what_is_about_to_be_allowed_is_there(self) -> bool:
        return implies(self.stage == "writing" and self.fresh and self.amount > 0,
                       count(self.pod[p] == "ready" and not self.kept[p] for p in Pod)
                       - self.amount + self.failed >= self.need)

    @lemma
    def what_is_seen_ready_and_is_not_was_granted_or_failed(self) -> bool:
        return count(self.unseen[p] for p in Pod) <= self.failed and all(
            implies(self.seen[p] == "ready" and self.pod[p] != "ready",
                    self.unseen[p] or (self.granted[p] and self.pod[p] not in THERE))
            and implies(self.granted[p] and self.seen[p] not in THERE, self.pod[p] not in THERE)
            and implies(self.going[p], self.granted[p] or self.pod[p] not in THERE)
            for p in Pod)

    @lemma
    def what_is_counted_follows_what_was_noted(self) -> bool:
        return all(implies(self.kept[p], self.stage != "idle")
                   and implies(self.stage == "counting" and self.kept[p], self.noted[p])
                   and implies(self.stage == "counting" and self.noted[p] and not self.kept[p]
                               and self.seen[p] in THERE, not self.going[p]
                               and (self.pod[p] in THERE or self.unseen[p]))
                   and implies(self.stage == "writing" and self.fresh and self.kept[p],
                               self.granted[p])
                   and implies(self.stage == "writing" and self.fresh and self.granted[p]
                               and not self.kept[p], self.seen[p] not in THERE or (
                                   not self.going[p]
                                   and (self.pod[p] in THERE or self.unseen[p])))
                   for p in Pod)

    @lemma
    def the_cache_shows_the_notes_while_nothing_moved(self) -> bool:
        return implies(not self.moved, all(self.noted[p] == self.granted[p] for p in Pod))

    @leads_to
    def the_budget_tells_what_is_healthy(self) -> tuple[bool, bool]:
        return self.calm, self.calm and self.allowed == max(0, self.healthy() - self.need)

    @witness
    def an_eviction_was_granted_and_taken(self) -> bool:
        return any(self.granted[p] and self.pod[p] == "leaving" for p in Pod)

    @mutant(replaces="write", breaks="evictions_alone_never_break_the_budget")
    def write_over_whatever_is_there(self) -> None:
        """Grants that were given meanwhile are overwritten."""
        require(self.stage == "writing")
        self.stage = "idle"
        self.moved = True
        self.allowed = self.amount
        self.amount = 0
        for p in Pod:
            self.granted[p] = self.kept[p]
            self.kept[p] = False


SPEC = Budget
