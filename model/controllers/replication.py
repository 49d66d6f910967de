"""Replication: live pods converge to the wish and exceed it only by what staleness explains.

The controller acts on a cache (`known`, `seen`, `owner`) that lags behind the server (`stored`,
`maker`). What it has asked for and not seen is kept as expectations: `awaited` creations, `doomed`
pods. It plans only for a controller whose expectations are met. Creations go out one by one; the
answer to one may be lost, then the controller no longer waits for it, although the pod may come
(`limbo`). It may crash between any two steps and starts anew from the current state.

The server side is there when `server` is 1; the refinement of the implementation sets it to 0 and
checks the controller's own decisions.

Not modelled: readiness, the status, and which pods are victims: none of them changes how many pods
are asked for. Adoption and release are observations of pods that come and go uncounted. A cache
that goes back in time after a restart belongs to List-Watch.
Source: Kubernetes 1.32, pkg/controller/replicaset.
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
    step_rule,
    witness,
)

Stage = Literal["absent", "live", "finished", "ending"]
Wish = Annotated[int, Between(0, "ceiling")]


class Controller(Index, symmetric=True, short="r"):
    """A ReplicationController."""


class Pod(Index, symmetric=True, short="p"):
    """A pod, from its creation until nobody sees it any more."""


class Replication(Spec):
    """Pods of controllers, a lagging cache, and expectations."""

    ceiling = constant(1, short="w", least=0)
    server = constant(1)
    scopes = {"ci": {"Controller": 1, "Pod": 3}, "proof": {"Controller": 1, "Pod": 3}}

    stored: Map[Pod, Stage] = each("absent")
    maker: Map[Pod, Controller | None] = each(None)
    limbo: Map[Pod, bool] = each(False)
    shaken: bool = False
    calm: bool = False

    known: Map[Controller, Wish] = each(0)
    seen: Map[Pod, Stage] = each("absent")
    owner: Map[Pod, Controller | None] = each(None)
    awaited: Map[Controller, Wish] = each(0)
    asked: Map[Controller, Wish] = each(0)
    doomed: Map[Pod, bool] = each(False)
    synced: bool = False

    @define
    def has(self, r: Controller) -> int:
        return count(self.seen[p] == "live" and self.owner[p] == r for p in Pod)

    @define
    def spared(self, r: Controller) -> int:
        return count(self.seen[p] == "live" and self.owner[p] == r and not self.doomed[p]
                     for p in Pod)

    @define
    def condemned(self, r: Controller) -> int:
        return count(self.doomed[p] and self.owner[p] == r for p in Pod)

    @define
    def free(self, p: Pod) -> bool:
        return self.stored[p] == "absent" and self.seen[p] == "absent" and not self.limbo[p]

    @define
    def live(self, r: Controller) -> int:
        return count(self.stored[p] == "live" and self.maker[p] == r for p in Pod)

    @define
    def unseen(self, r: Controller) -> int:
        return count(self.stored[p] == "live" and self.maker[p] == r and self.seen[p] == "absent"
                     for p in Pod)

    @define
    def lost(self, r: Controller) -> int:
        return count(self.limbo[p] and self.maker[p] == r for p in Pod)

    @action
    def learn(self, r: Controller, wish: Wish) -> None:
        """The cache shows another wish."""
        limit(not self.calm)
        require(wish != self.known[r])
        self.known[r] = wish

    @action(fair="weak")
    def plan(self, r: Controller, pods: Wish) -> None:
        """Decide to create what is missing; only when nothing is outstanding."""
        require(self.synced and self.asked[r] == 0)
        require(self.awaited[r] == 0 and self.condemned(r) == 0)
        require(pods > 0 and pods <= self.known[r] - self.has(r))
        limit(pods == self.known[r] - self.has(r))
        self.awaited[r] = pods
        self.asked[r] = pods

    @action(fair="weak")
    def create(self, r: Controller, p: Pod) -> None:
        """The next pod of the plan is made and the controller is told."""
        require(self.asked[r] > 0 and self.free(p))
        self.asked[r] -= 1
        if self.server == 1:
            self.stored[p] = "live"
            self.maker[p] = r

    @action
    def refuse(self, r: Controller) -> None:
        """The server refuses; the rest of the plan is dropped and not waited for."""
        limit(not self.calm)
        require(self.asked[r] > 0)
        self.awaited[r] = max(0, self.awaited[r] - self.asked[r])
        self.asked[r] = 0

    @action
    def lose(self, r: Controller, p: Pod) -> None:
        """The answer to a creation is lost: the pod may be there, may come, or may never come."""
        limit(not self.calm and not self.shaken)
        require(self.asked[r] > 0 and self.free(p))
        self.awaited[r] = max(0, self.awaited[r] - self.asked[r])
        self.asked[r] = 0
        if self.server == 1:
            self.shaken = True
            self.limbo[p] = True
            self.maker[p] = r

    @action(fair="weak")
    def come(self, p: Pod, made: bool) -> None:
        """A creation that was given up is carried out after all, or never."""
        require(self.limbo[p])
        self.limbo[p] = False
        if made:
            self.stored[p] = "live"
        else:
            self.maker[p] = None

    @action(fair="weak")
    def doom(self, r: Controller, p: Pod) -> None:
        """Decide to delete a pod that is too much; only when no creation is outstanding."""
        require(self.synced and self.awaited[r] == 0 and self.asked[r] == 0)
        require(self.seen[p] == "live" and self.owner[p] == r and not self.doomed[p])
        require(self.spared(r) > self.known[r])
        self.doomed[p] = True

    @action
    def pardon(self, p: Pod) -> None:
        """The deletion failed, or its outcome is unknown: it is not waited for."""
        limit(not self.calm)
        require(self.doomed[p])
        self.doomed[p] = False

    @action(fair="weak")
    def end(self, p: Pod) -> None:
        """The server carries a deletion out."""
        require(self.stored[p] in ("live", "finished") and self.doomed[p])
        self.stored[p] = "ending"

    @action
    def remove(self, p: Pod) -> None:
        """A user deletes a pod."""
        limit(not self.calm)
        require(self.stored[p] == "live")
        self.stored[p] = "ending"

    @action
    def finish(self, p: Pod) -> None:
        """A pod ends by itself."""
        limit(not self.calm)
        require(self.stored[p] == "live")
        self.stored[p] = "finished"

    @action(fair="weak")
    def vanish(self, p: Pod) -> None:
        """A pod is gone: after its grace period, or when somebody clears up."""
        require(self.stored[p] in ("ending", "finished"))
        self.stored[p] = "absent"

    @action(fair="weak")
    def observe(self, r: Controller, p: Pod, stage: Stage, counted: bool) -> None:
        """The cache shows another state of a pod. `counted`: what it shows was expected, a live pod
        that is new, or one whose deletion has begun or ended."""
        require(self.seen[p] != stage)
        limit(self.maker[p] == r and self.stored[p] == stage)
        limit(counted == (stage != "finished"))
        self.seen[p] = stage
        if self.seen[p] == "absent" and stage == "live" and counted and self.awaited[r] > 0:
            self.awaited[r] -= 1
        if stage == "absent":
            self.owner[p] = None
        else:
            self.owner[p] = r
        if stage in ("ending", "absent") and counted:
            self.doomed[p] = False
        if self.server == 1 and stage == "absent" and self.stored[p] == "absent":
            self.maker[p] = None

    @action(fair="weak")
    def expire(self, r: Controller) -> None:
        """What was expected for five minutes is expected no longer."""
        require(self.awaited[r] > 0 or self.condemned(r) > 0)
        limit(self.asked[r] == 0 and not any(self.doomed[p] for p in Pod))
        limit(all(self.stored[p] == self.seen[p] for p in Pod))
        self.awaited[r] = 0
        for p in Pod:
            if self.owner[p] == r:
                self.doomed[p] = False

    @action
    def retire(self, r: Controller) -> None:
        """The controller object is gone from the cache."""
        limit(not self.calm and self.asked[r] == 0)
        limit(all(self.stored[p] == self.seen[p] for p in Pod))
        self.known[r] = 0
        self.awaited[r] = 0
        for p in Pod:
            if self.owner[p] == r:
                self.doomed[p] = False

    @action
    def crash(self) -> None:
        """The process dies; all it knew is gone. A request in flight is `lose` before."""
        limit(not self.calm and all(self.asked[r] == 0 for r in Controller))
        self.synced = False
        for r in Controller:
            self.known[r] = 0
            self.awaited[r] = 0
            self.asked[r] = 0
        for p in Pod:
            self.seen[p] = "absent"
            self.owner[p] = None
            self.doomed[p] = False

    @action(fair="weak")
    def sync(self) -> None:
        """Every cache has its first list."""
        require(not self.synced)
        limit(all(self.stored[p] == self.seen[p] for p in Pod))
        self.synced = True

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on wishes stay, and nothing fails."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def without_lost_answers_pods_never_exceed_the_highest_wish(self) -> bool:
        return implies(not self.shaken, all(self.live(r) <= self.ceiling for r in Controller))

    @invariant
    def a_lost_answer_explains_at_most_one_pod_too_many(self) -> bool:
        return all(self.live(r) <= self.ceiling + 1 for r in Controller)

    @invariant
    def what_is_asked_is_awaited_or_came_meanwhile(self) -> bool:
        return implies(not self.shaken,
                       all(self.asked[r] <= self.awaited[r] for r in Controller))

    @invariant
    def only_pods_that_are_seen_are_doomed(self) -> bool:
        return all(implies(self.doomed[p], self.seen[p] in ("live", "finished")) for p in Pod)

    @lemma
    def what_may_come_unseen_is_awaited_but_for_a_lost_answer(self) -> bool:
        return all(implies(self.synced, self.asked[r] + self.unseen(r) + self.lost(r)
                           <= self.awaited[r] + (1 if self.shaken else 0)) for r in Controller)

    @lemma
    def what_lives_or_may_come_is_wished_but_for_a_lost_answer(self) -> bool:
        return all(self.live(r) + self.asked[r] + self.lost(r)
                   <= self.ceiling + (1 if self.shaken else 0) for r in Controller)

    @lemma
    def nothing_is_asked_before_the_caches_are_filled(self) -> bool:
        return self.synced or all(self.asked[r] == 0 and self.awaited[r] == 0 for r in Controller)

    @lemma
    def one_answer_is_lost_at_most(self) -> bool:
        return count(self.limbo[p] for p in Pod) <= (1 if self.shaken else 0)

    @lemma
    def the_cache_runs_behind_and_never_ahead(self) -> bool:
        return all(implies(self.stored[p] == "live", self.seen[p] in ("absent", "live"))
                   and implies(self.limbo[p], self.stored[p] == "absent"
                               and self.seen[p] == "absent") for p in Pod)

    @lemma
    def a_pod_is_seen_as_that_of_its_maker(self) -> bool:
        return all((self.seen[p] == "absent" or self.owner[p] == self.maker[p])
                   and (self.owner[p] is None) == (self.seen[p] == "absent")
                   and implies(self.stored[p] != "absent" or self.limbo[p],
                               self.maker[p] is not None) for p in Pod)

    @step_rule
    def nobody_is_doomed_below_the_wish(self, after: Replication) -> bool:
        return all(after.spared(r) >= after.known[r] or after.spared(r) >= self.spared(r)
                   or after.has(r) < self.has(r) for r in Controller)

    @leads_to
    def pods_converge_to_the_wish(self, r: Controller) -> tuple[bool, bool]:
        return self.calm, self.calm and self.live(r) == self.known[r]

    @witness
    def a_wish_is_fulfilled_and_seen(self) -> bool:
        return any(self.known[r] > 0 and self.live(r) == self.known[r]
                   and self.has(r) == self.known[r] for r in Controller)

    @mutant(replaces="plan", breaks="without_lost_answers_pods_never_exceed_the_highest_wish")
    def plan_before_the_caches_are_filled(self, r: Controller, pods: Wish) -> None:
        require(self.awaited[r] == 0 and self.condemned(r) == 0 and self.asked[r] == 0)
        require(pods == self.known[r] - self.has(r) and pods > 0)
        self.awaited[r] = pods
        self.asked[r] = pods

    @mutant(replaces="plan", breaks="without_lost_answers_pods_never_exceed_the_highest_wish")
    def plan_without_looking_at_expectations(self, r: Controller, pods: Wish) -> None:
        require(self.synced and self.asked[r] == 0)
        require(pods == self.known[r] - self.has(r) and pods > 0)
        self.awaited[r] = pods
        self.asked[r] = pods


SPEC = Replication
