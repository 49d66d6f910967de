"""Deployment: from one template to the next, never too many pods, never too few, by its own doing.

A deployment has ReplicaSets, of which at most one is `fresh`: it has the present template. The
controller knows sizes and available pods from a cache (`seen`, `counted`, `felt`) that lags behind
the server (`size`, `ready`, `alive`), and the server accepts a new size only over the one that was
seen. In a rolling update the fresh one grows while the sum stays within wish and surge, and others
shrink while enough available pods remain. Recreation waits until nothing of the others is left.
After a change of the wish, and while paused, sizes are leveled: up to wish and surge, down to the
wish.

The server side is there when `server` is 1; the refinement of the implementation sets it to 0 and
checks the controller's own decisions on what it knows.

Not modelled: revisions, history and conditions (none of them changes a size), and a deployment that
is seen late: an older wish obeys the same bounds. Pods are counted by ReplicaSet; which of them go
is the ReplicaSet's choice, which spares available ones. Leveling is checked on the implementation
only; a search would add nothing but its freedom.
Source: Kubernetes documentation, "Deployments" (strategy, proportional scaling).
"""

from __future__ import annotations

from typing import Annotated

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

Size = Annotated[int, Between(0, "ceiling + 1")]
Few = Annotated[int, Between(0, 1)]


class Set(Index, symmetric=True, short="s"):
    """A ReplicaSet of the deployment."""


class Rollout(Spec):
    """One deployment, its ReplicaSets, and a cache of them that lags."""

    ceiling = constant(1, short="w", least=0)
    server = constant(1)
    scopes = {"ci": {"Set": 2}, "proof": {"Set": 2}}

    wish: Size = 0
    surge: Few = 1
    slack: Few = 0
    recreates: bool = False
    levels: bool = False
    fresh: Set | None = None
    calm: bool = False
    shaken: bool = False

    size: Map[Set, Size] = each(0)
    ready: Map[Set, Size] = each(0)
    alive: Map[Set, bool] = each(False)

    seen: Map[Set, Size] = each(0)
    counted: Map[Set, Size] = each(0)
    felt: Map[Set, bool] = each(False)

    @define
    def total(self) -> int:
        return sum(self.seen[s] for s in Set)

    @define
    def kept(self) -> int:
        return sum(min(self.seen[s], self.counted[s]) for s in Set)

    @define
    def lacking(self) -> int:
        return sum(self.seen[s] - min(self.seen[s], self.counted[s]) for s in Set
                   if self.fresh is not None and self.fresh == s)

    @define
    def stored(self) -> int:
        return sum(self.size[s] for s in Set)

    @define
    def available(self) -> int:
        return sum(min(self.size[s], self.ready[s]) for s in Set)

    @action
    def declare(self, wish: Size, surge: Few, slack: Few, recreates: bool, levels: bool) -> None:
        """The deployment wishes another number of pods, or another way there."""
        limit(not self.calm and wish <= self.ceiling and surge + slack == 1 and not levels)
        self.wish = wish
        self.surge = surge
        self.slack = slack
        self.recreates = recreates
        self.levels = levels

    @action
    def turn(self, s: Set) -> None:
        """The deployment's template is that of this ReplicaSet."""
        limit(not self.calm)
        require(self.fresh is None or self.fresh != s)
        self.fresh = s

    @action
    def turn_away(self) -> None:
        """The deployment's template is that of none of them."""
        limit(not self.calm)
        require(self.fresh is not None)
        self.fresh = None

    @action(fair="weak")
    def look(self, s: Set, size: Size, available: Size, runs: bool) -> None:
        """The cache shows a ReplicaSet and its pods as they are now."""
        limit(size == self.size[s] and available == self.ready[s] and runs == self.alive[s])
        self.seen[s] = size
        self.counted[s] = available
        self.felt[s] = runs

    @action
    def lag(self, s: Set, size: Size) -> None:
        """A sync begins from a cache that has not seen the last one's writes."""
        limit(not self.calm and self.server == 1)
        require(size != self.seen[s])
        self.seen[s] = size

    @action(fair="weak")
    def grow(self, s: Set, to: Size) -> None:
        """A ReplicaSet is given a larger size."""
        require(to > self.seen[s] and self.total() - self.seen[s] + to <= self.wish + self.surge)
        require(self.levels or (self.fresh is not None and self.fresh == s and to <= self.wish))
        require(self.levels or not self.recreates
                or all(t == s or (self.seen[t] == 0 and not self.felt[t]) for t in Set))
        if self.server == 0 or self.size[s] == self.seen[s]:
            self.seen[s] = to
        if self.server == 1 and self.size[s] == self.seen[s]:
            self.size[s] = to
            if any(t != s and (self.seen[t] < self.size[t] or (self.alive[t] and not self.felt[t]))
                   for t in Set):
                self.shaken = True

    @action(fair="weak")
    def shrink(self, s: Set, to: Size) -> None:
        """A ReplicaSet is given a smaller size."""
        require(to < self.seen[s])
        require(not self.levels or self.total() - self.seen[s] + to >= self.wish)
        require(self.levels or self.fresh is None or self.fresh != s or to == self.wish)
        require(self.levels or self.recreates or (self.fresh is not None and self.fresh == s)
                or self.total() - self.seen[s] + to >= self.wish - self.slack + self.lacking())
        require(self.levels or self.recreates or (self.fresh is not None and self.fresh == s)
                or self.kept() - min(self.seen[s], self.counted[s]) + min(to, self.counted[s])
                >= min(self.kept(), self.wish - self.slack))
        if self.server == 0 or self.size[s] == self.seen[s]:
            self.seen[s] = to
        if self.server == 1 and self.size[s] == self.seen[s]:
            self.size[s] = to

    @action(fair="weak")
    def start(self, s: Set) -> None:
        """The first pod of a ReplicaSet comes to be."""
        require(self.server == 1 and self.size[s] > 0 and not self.alive[s])
        self.alive[s] = True

    @action(fair="weak")
    def become_available(self, s: Set) -> None:
        """A pod becomes available."""
        require(self.alive[s] and self.ready[s] < self.size[s])
        self.ready[s] += 1

    @action
    def fail(self, s: Set) -> None:
        """A pod is no longer available."""
        limit(not self.calm)
        require(self.ready[s] > 0)
        self.ready[s] -= 1

    @action(fair="weak")
    def thin_out(self, s: Set) -> None:
        """The ReplicaSet gives up the pods that are too many."""
        require(self.ready[s] > self.size[s])
        self.ready[s] = self.size[s]

    @action(fair="weak")
    def end(self, s: Set) -> None:
        """The last pod of a ReplicaSet has ended."""
        require(self.alive[s] and self.size[s] == 0 and self.ready[s] == 0)
        self.alive[s] = False

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on the deployment stays as it is, and no pod fails."""
        limit(self.server == 1 and self.fresh is not None)
        require(not self.calm)
        self.calm = True

    @invariant
    def sizes_exceed_wish_and_surge_only_by_what_was_not_seen(self) -> bool:
        return self.shaken or self.stored() <= self.ceiling + 1

    @lemma
    def the_search_declares_within_its_bounds(self) -> bool:
        return self.wish <= self.ceiling and self.surge + self.slack == 1 and not self.levels

    @step_rule
    def a_new_size_leaves_enough_available(self, after: Rollout) -> bool:
        return (self.recreates or after.stored() >= self.stored()
                or any(self.counted[s] != self.ready[s] or self.seen[s] != self.size[s]
                       for s in Set)
                or after.available() >= min(self.available(), self.wish - self.slack))

    @step_rule
    def recreated_pods_never_overlap_but_for_what_was_not_seen(self, after: Rollout) -> bool:
        return (not self.recreates or after.shaken
                or all(after.size[s] <= self.size[s]
                       or all(t == s or not self.alive[t] for t in Set) for s in Set))

    @leads_to
    def a_rollout_ends_with_all_pods_new_and_available(self) -> tuple[bool, bool]:
        return self.calm, self.calm and all(
            self.size[s] == self.wish and self.ready[s] == self.wish
            if self.fresh is not None and self.fresh == s
            else self.size[s] == 0 and not self.alive[s] for s in Set)

    @witness
    def a_rollout_is_under_way(self) -> bool:
        return self.fresh is not None and any(
            self.fresh != s and self.ready[s] > 0 for s in Set) and any(
            self.fresh == s and self.size[s] > 0 for s in Set)

    @witness
    def a_rollout_is_complete(self) -> bool:
        return self.fresh is not None and self.wish > 0 and any(
            self.fresh == s and self.ready[s] == self.wish for s in Set) and all(
            self.fresh == s or not self.alive[s] for s in Set)

    @mutant(replaces="shrink", breaks="a_new_size_leaves_enough_available")
    def shrink_by_sizes_alone(self, s: Set, to: Size) -> None:
        require(to < self.seen[s] and self.total() - self.seen[s] + to >= self.wish - self.slack)
        if self.size[s] == self.seen[s]:
            self.seen[s] = to
            self.size[s] = to

    @mutant(replaces="grow", breaks="recreated_pods_never_overlap_but_for_what_was_not_seen")
    def grow_when_the_others_are_scaled_to_nothing(self, s: Set, to: Size) -> None:
        require(to > self.seen[s] and self.total() - self.seen[s] + to <= self.wish + self.surge)
        require(self.fresh is not None and self.fresh == s and to <= self.wish)
        require(not self.recreates or all(t == s or self.seen[t] == 0 for t in Set))
        if self.size[s] == self.seen[s]:
            self.seen[s] = to
            self.size[s] = to
            if any(t != s and (self.seen[t] < self.size[t] or (self.alive[t] and not self.felt[t]))
                   for t in Set):
                self.shaken = True


SPEC = Rollout
