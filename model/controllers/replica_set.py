"""ReplicaSet: a pod counts as available once it has been ready long enough, and is counted then.

A pod that is ready for `minReadySeconds` becomes available without anything happening to it, so
nobody tells the controller: as long as some pod is ready and not yet available, a look must be due.

How many pods a ReplicaSet has follows the rule of the replication controller, whose spec
(`model.controllers.replication`) is refined by both controllers. Not modelled here: that, and how
long it takes (a pod settles at some time).
Source: Kubernetes documentation, "Deployments" (minReadySeconds); kubernetes/kubernetes#108266.
"""

from __future__ import annotations

from typing import Annotated, Literal

from model.kernel.spec.language import (
    Between,
    Index,
    Map,
    Spec,
    action,
    count,
    define,
    each,
    invariant,
    leads_to,
    limit,
    mutant,
    require,
    step_rule,
    witness,
)

Stage = Literal["absent", "waiting", "ready", "settled"]
Number = Annotated[int, Between(0, "len(Pod)")]
READY = ("ready", "settled")


class Pod(Index, symmetric=True, short="p"):
    """A pod of the ReplicaSet."""


class Availability(Spec):
    """Pods that become ready, and a status that counts those that stayed so."""

    scopes = {"ci": {"Pod": 3}, "proof": {"Pod": 3}}

    stage: Map[Pod, Stage] = each("absent")
    told: Number = 0
    due: bool = False
    calm: bool = False

    @define
    def settled(self) -> int:
        return count(self.stage[p] == "settled" for p in Pod)

    @define
    def settling(self) -> int:
        return count(self.stage[p] == "ready" for p in Pod)

    @action
    def observe(self, p: Pod, stage: Stage) -> None:
        """A pod comes, becomes ready, is no longer ready, or goes; the controller sees it."""
        limit(not self.calm)
        require(stage != self.stage[p] and stage != "settled")
        self.stage[p] = stage
        self.due = True

    @action(fair="weak")
    def settle(self, p: Pod) -> None:
        """A pod has been ready long enough. Nothing is sent to anybody."""
        require(self.stage[p] == "ready")
        self.stage[p] = "settled"

    @action(fair="weak")
    def tell(self) -> None:
        """Count, and arm a timer for the next pod that will have settled."""
        require(self.due)
        self.told = self.settled()
        self.due = self.settling() > 0

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on pods stay as they are."""
        require(not self.calm)
        self.calm = True

    @invariant
    def who_waits_for_nothing_has_counted_all(self) -> bool:
        return self.due or (self.told == self.settled() and self.settling() == 0)

    @step_rule
    def no_pod_is_counted_before_its_time(self, after: Availability) -> bool:
        return after.told <= self.told or after.told <= self.settled()

    @leads_to
    def every_ready_pod_is_counted(self) -> tuple[bool, bool]:
        return self.calm, self.calm and self.told == count(self.stage[p] in READY for p in Pod)

    @witness
    def one_pod_is_counted_while_another_is_not_ready(self) -> bool:
        return self.told > 0 and any(self.stage[p] == "waiting" for p in Pod)

    @mutant(replaces="tell", breaks="who_waits_for_nothing_has_counted_all")
    def look_again_only_when_all_are_ready(self) -> None:
        require(self.due)
        self.told = self.settled()
        self.due = self.settling() > 0 and all(self.stage[p] != "waiting" for p in Pod)


SPEC = Availability
