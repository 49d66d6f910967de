"""The rule of the scheduler: a pod is bound at most once, where there is room for it.

A pod stands for one uid. The scheduler's cache (`taken`) holds the pods that it saw on a node and
those that it assumed to be there; it decides by the cache alone, and only once the cache covers
what the store says (`synced`). A binding is under way (`flight`) from the assumption until its
outcome is known; it may be stored at any time in between, or not at all.

Not modelled: which of several nodes is best and every rule but room (an independent checker looks
at each binding of the implementation); the order of the queue and back-offs (they only delay; the
goal asks for fairness towards each pod); preemption (it deletes pods, which anybody may do);
requests and watch events one by one (a step may happen any time later, which is what delay means).
Room has one dimension here; the refinement maps processor to it.

Nothing is promised about bindings by anybody else, nor about one that outlives a restart of the
scheduler that sent it, nor about nodes that shrink below what is on them: the oracle knows these
as `place`, `restart`, `join` and `resize`, a search does not take the harmful ones (`limit`). The
goal is checked with two pods: among three, placements by others without end can keep the cache
from ever being complete, since pods are adopted one at a time here and in one list in Kubernetes.
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
    define,
    each,
    invariant,
    leads_to,
    lemma,
    limit,
    mutant,
    require,
    step_rule,
    witness,
)

Fate = Literal["absent", "pending", "bound"]
Amount = Annotated[int, Between(0, "capacity")]


class Pod(Index, symmetric=True, short="p"):
    """A pod, by uid."""


class Node(Index, symmetric=True, short="n"):
    """A node, by name."""


class Scheduler(Spec):
    """The scheduler gives each pod one node that has room, by a cache that covers the store."""

    capacity = constant(2, short="c")
    scopes = {"ci": {"Pod": 2, "Node": 2, "capacity": 1}, "proof": {"Pod": 2, "Node": 2}}

    fate: Map[Pod, Fate] = each("absent")
    node: Map[Pod, Node | None] = each(None)
    size: Map[Pod, Amount] = each(0)
    up: Map[Node, bool] = each(False)
    room: Map[Node, Amount] = each(0)
    synced: bool = False
    known: Map[Node, bool] = each(False)
    seen: Map[Node, Amount] = each(0)
    queued: Map[Pod, bool] = each(False)
    taken: Map[Pod, Node | None] = each(None)
    flight: Map[Pod, bool] = each(False)

    @define
    def counted(self, n: Node) -> int:
        return sum(self.size[p] for p in Pod if self.taken[p] == n)

    @define
    def stored(self, n: Node) -> int:
        return sum(self.size[p] for p in Pod if self.node[p] == n)

    @define
    def living(self, n: Node) -> int:
        return sum(self.size[p] for p in Pod if self.taken[p] == n and self.fate[p] != "absent")

    @define
    def fits(self, p: Pod, n: Node) -> bool:
        return self.known[n] and self.counted(n) + self.size[p] <= self.seen[n]

    @action
    def create(self, p: Pod, s: Amount) -> None:
        require(self.fate[p] == "absent" and self.taken[p] is None)
        require(not self.flight[p] and not self.queued[p])
        limit(s > 0)
        self.fate[p] = "pending"
        self.size[p] = s

    @action
    def place(self, p: Pod, n: Node) -> None:
        require(self.fate[p] == "pending")
        limit(not self.synced and self.stored(n) + self.size[p] <= self.room[n])
        limit(self.counted(n) + self.size[p] <= self.room[n] and self.up[n])
        limit(self.taken[p] is None and not self.queued[p])
        self.fate[p] = "bound"
        self.node[p] = n

    @action
    def delete(self, p: Pod) -> None:
        require(self.fate[p] != "absent")
        self.fate[p] = "absent"
        self.node[p] = None

    @action
    def join(self, n: Node, r: Amount) -> None:
        require(not self.up[n])
        limit(self.counted(n) <= r and self.stored(n) <= r and self.seen[n] <= r)
        self.up[n] = True
        self.room[n] = r

    @action
    def resize(self, n: Node, r: Amount) -> None:
        require(self.up[n] and r != self.room[n])
        limit(self.counted(n) <= r and self.stored(n) <= r and self.seen[n] <= r)
        self.room[n] = r

    @action
    def leave(self, n: Node) -> None:
        require(self.up[n])
        self.up[n] = False
        self.room[n] = 0

    @action(fair="weak")
    def see_node(self, n: Node, k: bool, r: Amount) -> None:
        limit(k == self.up[n] and r == self.room[n])
        limit(self.known[n] != k or self.seen[n] != r)
        self.known[n] = k
        self.seen[n] = r

    @action(fair="weak")
    def see_pod(self, p: Pod) -> None:
        require(not self.queued[p] and self.taken[p] is None and not self.flight[p])
        limit(self.fate[p] == "pending")
        self.queued[p] = True

    @action(fair="weak")
    def adopt(self, p: Pod, n: Node) -> None:
        require(self.taken[p] != n and (self.node[p] == n or self.fate[p] == "absent"))
        limit(self.node[p] == n)
        self.taken[p] = n
        self.queued[p] = False

    @action(fair="strong")
    def sync(self) -> None:
        require(not self.synced)
        require(all(self.taken[p] == n for p in Pod for n in Node if self.node[p] == n))
        self.synced = True

    @action(fair="strong")
    def assume(self, p: Pod, n: Node) -> None:
        require(self.synced and self.queued[p])
        require(self.taken[p] is None and not self.flight[p])
        require(self.fits(p, n))
        self.queued[p] = False
        self.taken[p] = n
        self.flight[p] = True

    @action(fair="strong")
    def commit(self, p: Pod, n: Node) -> None:
        require(self.flight[p] and self.taken[p] == n and self.fate[p] == "pending")
        self.fate[p] = "bound"
        self.node[p] = n

    @action(fair="weak")
    def settle(self, p: Pod) -> None:
        require(self.flight[p] and self.fate[p] != "pending")
        self.flight[p] = False

    @action
    def forget(self, p: Pod, n: Node) -> None:
        require(self.flight[p] and self.taken[p] == n and self.node[p] != n)
        self.flight[p] = False
        self.taken[p] = None

    @action(fair="weak")
    def release(self, p: Pod) -> None:
        require(self.fate[p] == "absent" and self.taken[p] is not None)
        self.taken[p] = None

    @action(fair="weak")
    def drop(self, p: Pod) -> None:
        require(self.queued[p])
        limit(self.fate[p] != "pending")
        self.queued[p] = False

    @action
    def restart(self) -> None:
        limit(self.synced and all(not self.flight[p] for p in Pod))
        self.synced = False
        for p in Pod:
            self.queued[p] = False
            self.taken[p] = None
            self.flight[p] = False
        for n in Node:
            self.known[n] = False
            self.seen[n] = 0

    @invariant
    def no_node_is_over_committed(self) -> bool:
        return all(not self.up[n] or self.stored(n) <= self.room[n] for n in Node)

    @invariant
    def the_cache_covers_what_is_stored(self) -> bool:
        return not self.synced or all(
            self.taken[p] == n for p in Pod for n in Node if self.node[p] == n)

    @lemma
    def pods_that_live_never_over_commit_the_cache(self) -> bool:
        return all(not self.up[n] or self.living(n) <= self.room[n] for n in Node)

    @lemma
    def a_node_has_at_least_the_room_that_the_scheduler_saw(self) -> bool:
        return all(not self.up[n] or self.seen[n] <= self.room[n] for n in Node)

    @lemma
    def what_is_gone_or_not_known_has_no_room(self) -> bool:
        return all((self.up[n] or self.room[n] == 0) and (self.known[n] or self.seen[n] == 0)
                   for n in Node)

    @lemma
    def nothing_is_under_way_before_the_cache_is_complete(self) -> bool:
        return all(self.synced or not self.flight[p] for p in Pod)

    @lemma
    def before_the_cache_is_complete_it_holds_what_is_stored(self) -> bool:
        return self.synced or all(
            self.node[p] == n or self.fate[p] == "absent"
            for p in Pod for n in Node if self.taken[p] == n)

    @lemma
    def a_pod_has_a_node_exactly_when_it_is_bound(self) -> bool:
        return all((self.node[p] is not None) == (self.fate[p] == "bound") for p in Pod)

    @lemma
    def a_pod_that_waits_takes_no_room(self) -> bool:
        return all(not self.queued[p] or (self.taken[p] is None and not self.flight[p])
                   for p in Pod)

    @step_rule
    def a_pod_is_bound_at_most_once(self, after: Scheduler) -> bool:
        return all(self.node[p] == after.node[p] or self.node[p] is None or after.node[p] is None
                   for p in Pod)

    @step_rule
    def room_is_taken_on_known_nodes_only(self, after: Scheduler) -> bool:
        return all(self.known[n] or self.taken[p] == n or not after.flight[p] or self.flight[p]
                   for p in Pod for n in Node if after.taken[p] == n)

    @leads_to
    def a_pod_that_fits_is_bound(self, p: Pod) -> tuple[bool, bool]:
        return (self.fate[p] == "pending",
                self.fate[p] != "pending" or all(not self.fits(p, n) for n in Node))

    @witness
    def a_node_is_full_and_a_pod_waits(self) -> bool:
        return (any(self.stored(n) == self.room[n] and self.up[n] for n in Node)
                and any(self.queued[p] for p in Pod))

    @mutant(replaces="settle", breaks="the_cache_covers_what_is_stored")
    def the_assumption_expires_before_the_binding_ends(self, p: Pod) -> None:
        require(self.flight[p])
        self.flight[p] = False
        self.taken[p] = None

    @mutant(replaces="assume", breaks="no_node_is_over_committed")
    def assumed_pods_are_not_counted(self, p: Pod, n: Node) -> None:
        require(self.synced and self.queued[p])
        require(self.taken[p] is None and not self.flight[p])
        require(self.known[n] and self.stored(n) + self.size[p] <= self.seen[n])
        self.queued[p] = False
        self.taken[p] = n
        self.flight[p] = True

    @mutant(replaces="sync", breaks="the_cache_covers_what_is_stored")
    def decisions_begin_with_an_incomplete_cache(self) -> None:
        require(not self.synced)
        self.synced = True

    @mutant(replaces="forget", breaks="a_pod_that_fits_is_bound")
    def room_is_not_given_back(self, p: Pod, n: Node) -> None:
        require(self.flight[p] and self.taken[p] == n and self.node[p] != n)
        self.flight[p] = False


SPEC = Scheduler
