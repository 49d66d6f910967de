"""Endpoint slices: each pod of a Service stands in one slice, no slice is over-full.

The worker looks at the pods and slices that its cache shows, but only when the cache shows all that
the worker itself wrote and was told to be done; it drafts which pod stands where, leaves in place
what is in place, and writes the slices that differ, one after the other. The server takes a write
only over the version that was cached. Others may empty a slice.

Not modelled: the difference between a slice that is empty and none, ports and conditions (slices
of other ports do not touch these; the implementation is compared with recorded answers), mirrored
Endpoints (they take the place of pods), several Services, and lost answers: a pod may then stand in
two slices until the next look, which takes it out of one. The server's side is there when `server`
is 1. Source: Kubernetes 1.32, staging/src/k8s.io/endpointslice; kubernetes issues 92928, 99345,
100042.
"""

from __future__ import annotations

from typing import Literal

from model.kernel.spec.language import (
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

Stage = Literal["idle", "planning", "writing"]


class Piece(Index, symmetric=True, short="k"):
    """The name of a slice."""


class Pod(Index, symmetric=True, short="p"):
    """A pod that the Service selects."""


class Slices(Spec):
    """Pods that come and go, slices that follow."""

    capacity = constant(1)
    server = constant(1)
    scopes = {"ci": {"Piece": 2, "Pod": 2, "capacity": 1},
              "proof": {"Piece": 2, "Pod": 2, "capacity": 1},
              "live": {"Piece": 2, "Pod": 1, "capacity": 1}}

    truth: Map[Pod, bool] = each(False)
    holds: Map[tuple[Piece, Pod], bool] = each(False)
    current: Map[Piece, bool] = each(True)
    calm: bool = False

    seen: Map[Pod, bool] = each(False)
    cached: Map[tuple[Piece, Pod], bool] = each(False)
    owed: Map[Piece, bool] = each(False)
    due: bool = False
    stage: Stage = "idle"
    draft: Map[tuple[Piece, Pod], bool] = each(False)
    todo: Map[Piece, bool] = each(False)

    @define
    def differs(self, k: Piece) -> bool:
        return any(self.draft[k, p] != self.cached[k, p] for p in Pod)

    @define
    def right(self) -> bool:
        return all(self.truth[p] == any(self.holds[k, p] for k in Piece) for p in Pod)

    @action
    def change(self, p: Pod, wish: bool) -> None:
        """A pod gets or loses its address."""
        require(not self.calm and wish != self.truth[p])
        self.truth[p] = wish

    @action(fair="weak")
    def observe(self, p: Pod, wish: bool) -> None:
        """The cache shows a pod, or that it is gone."""
        require(wish != self.seen[p])
        limit(wish == self.truth[p])
        self.seen[p] = wish
        if self.server == 1:
            self.due = True

    @action(fair="weak")
    def show(self, k: Piece, p: Pod, wish: bool) -> None:
        """The cache shows whether a slice lists a pod."""
        require(self.cached[k, p] != wish)
        limit(self.holds[k, p] == wish and not self.current[k])
        self.cached[k, p] = wish

    @action(fair="weak")
    def catch_up(self, k: Piece) -> None:
        """The cache shows a slice as it is now; that makes the Service due."""
        require(self.server == 0 or not self.current[k])
        limit(all(self.cached[k, p] == self.holds[k, p] for p in Pod))
        self.owed[k] = False
        if self.server == 1:
            self.current[k] = True
            self.due = True

    @action(fair="weak")
    def begin(self) -> None:
        """The worker looks, if its cache shows what it wrote."""
        require(self.stage == "idle" and (self.due or self.server == 0))
        require(all(not self.owed[k] for k in Piece))
        self.stage = "planning"
        self.due = False

    @action(fair="weak")
    def place(self, p: Pod, k: Piece) -> None:
        """A pod gets a slice with room: the one that it stands in, if it stands in one."""
        require(self.stage == "planning" and self.seen[p])
        require(all(not self.draft[j, p] for j in Piece))
        require(count(self.draft[k, q] for q in Pod) < self.capacity)
        require(self.cached[k, p] or all(not self.cached[j, p] for j in Piece))
        # The plan is made in one step; what it leaves room for is there.
        limit(self.cached[k, p] or count(self.cached[k, q] and self.seen[q] and not self.draft[k, q]
                                         for q in Pod)
              + count(self.draft[k, q] for q in Pod) < self.capacity)
        self.draft[k, p] = True

    @action(fair="weak")
    def plan(self, k: Piece) -> None:
        """A slice is to be written."""
        require(self.stage == "planning" and not self.todo[k])
        limit(all(self.seen[p] == any(self.draft[j, p] for j in Piece) for p in Pod))
        limit(self.differs(k))
        self.todo[k] = True

    @action(fair="weak")
    def go(self) -> None:
        """Every pod has its slice, every slice that differs is to be written."""
        require(self.stage == "planning")
        require(all(self.seen[p] == any(self.draft[k, p] for k in Piece) for p in Pod))
        require(all(implies(self.differs(k), self.todo[k]) for k in Piece))
        self.stage = "writing"
        if self.server == 0:
            for k in Piece:
                for p in Pod:
                    self.draft[k, p] = False

    @action(fair="weak")
    def write(self, k: Piece, name: Piece) -> None:
        """The server takes a slice, says so, and gives a name to a new one."""
        require(self.stage == "writing" and self.todo[k])
        limit(self.current[k] and name == k)
        self.todo[k] = False
        self.owed[name] = True
        if self.server == 1:
            self.current[k] = False
            for p in Pod:
                self.holds[k, p] = self.draft[k, p]

    @action(fair="weak")
    def finish(self) -> None:
        """Everything is written."""
        require(self.stage == "writing" and all(not self.todo[k] for k in Piece))
        self.stage = "idle"
        for k in Piece:
            for p in Pod:
                self.draft[k, p] = False

    @action(fair="weak")
    def give_up(self) -> None:
        """A write was refused, or the plan no longer fits: look again."""
        limit(any(self.todo[k] and not self.current[k] for k in Piece) or self.stage == "planning")
        limit(implies(self.stage == "planning", self.due))
        require(self.stage != "idle")
        self.stage = "idle"
        if self.server == 1:
            self.due = True
        for k in Piece:
            self.todo[k] = False
            for p in Pod:
                self.draft[k, p] = False

    @action
    def meddle(self, k: Piece) -> None:
        """Somebody else empties a slice."""
        require(not self.calm and any(self.holds[k, p] for p in Pod))
        self.current[k] = False
        for p in Pod:
            self.holds[k, p] = False

    @action
    def crash(self) -> None:
        """The process dies and lists everything anew."""
        require(not self.calm)
        self.stage = "idle"
        if self.server == 1:
            self.due = True
        for p in Pod:
            self.seen[p] = self.truth[p]
        for k in Piece:
            self.current[k] = True
            self.owed[k] = False
            self.todo[k] = False
            for p in Pod:
                self.cached[k, p] = self.holds[k, p]
                self.draft[k, p] = False

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nothing changes by itself."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def no_pod_stands_in_two_slices(self) -> bool:
        return all(implies(self.holds[j, p] and self.holds[k, p], j == k)
                   for j in Piece for k in Piece for p in Pod)

    @invariant
    def no_slice_is_over_full(self) -> bool:
        return all(count(self.holds[k, p] for p in Pod) <= self.capacity for k in Piece)

    @lemma
    def a_pod_has_one_claim(self) -> bool:
        return all(implies((self.holds[j, p] or self.cached[j, p] or self.draft[j, p])
                           and (self.holds[k, p] or self.cached[k, p] or self.draft[k, p]), j == k)
                   for j in Piece for k in Piece for p in Pod)

    @lemma
    def the_cache_shows_what_is_there_while_it_is_current(self) -> bool:
        return all(implies(self.current[k], self.cached[k, p] == self.holds[k, p])
                   and implies(not self.owed[k] and self.holds[k, p], self.cached[k, p])
                   for k in Piece for p in Pod)

    @lemma
    def an_owed_slice_is_not_current(self) -> bool:
        return all(implies(self.owed[k], not self.current[k])
                   and implies(self.stage == "planning", not self.owed[k])
                   and implies(self.stage == "idle", not self.todo[k]
                               and all(not self.draft[k, p] for p in Pod)) for k in Piece)

    @lemma
    def no_draft_is_over_full(self) -> bool:
        return all(count(self.draft[k, p] for p in Pod) <= self.capacity for k in Piece)

    @leads_to
    def the_slices_become_right(self) -> tuple[bool, bool]:
        return self.calm, self.calm and self.right()

    @witness
    def two_slices_are_needed(self) -> bool:
        return all(any(self.holds[k, p] for p in Pod) for k in Piece)

    @mutant(replaces="begin", breaks="no_pod_stands_in_two_slices")
    def begin_before_the_own_writes_are_seen(self) -> None:
        require(self.stage == "idle" and self.due)
        self.stage = "planning"
        self.due = False


SPEC = Slices
