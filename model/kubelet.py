"""The rule of the kubelet: what may happen to the containers of a pod, and what may be told of it.

A pod stands for one uid on the machine that it is bound to; its containers are taken together: it
`runs` while any of them does. Not modelled: images and back-offs (they only delay a start), single
containers (a pod that restarts one of several runs throughout), readiness (it follows from what
runs), room on the machine (it only refuses), times. That is sound for the rules here, which order
the starts, ends and reports of whole pods. A slot of the index is used again once its pod is gone;
a pod may arrive with a past, told by a machine that has since lost its containers.
"""

from __future__ import annotations

from typing import Literal

from model.kernel.spec.language import (
    Index,
    Map,
    Spec,
    action,
    count,
    define,
    each,
    invariant,
    leads_to,
    lemma,
    mutant,
    require,
    step_rule,
    witness,
)

Point = Literal["none", "waiting", "running", "ended"]
Phase = Literal["pending", "running", "ended"]
Policy = Literal["always", "on-failure", "never"]


class Pod(Index, symmetric=True, short="p"):
    """A pod, by uid."""


class Node(Index, symmetric=True, short="n"):
    """A machine with its kubelet."""


class Kubelet(Spec):
    """A kubelet starts what is bound to its machine, and tells of an end only after it happened."""

    scopes = {"ci": {"Pod": 2, "Node": 2}, "proof": {"Pod": 2, "Node": 2}}

    holder: Map[Pod, Node | None] = each(None)
    policy: Map[Pod, Policy] = each("always")
    asked: Map[Pod, bool] = each(False)
    shown: Map[Pod, Phase] = each("pending")
    point: Map[tuple[Pod, Node], Point] = each("none")
    up: Map[Node, bool] = each(True)

    @define
    def final(self, p: Pod) -> bool:
        return self.shown[p] == "ended"

    @define
    def runs(self, p: Pod, n: Node) -> bool:
        return self.point[p, n] == "running"

    @action
    def bind(self, p: Pod, n: Node, w: Policy, f: Phase) -> None:
        require(self.holder[p] is None)
        self.holder[p] = n
        self.policy[p] = w
        self.shown[p] = f

    @action
    def ask(self, p: Pod) -> None:
        require(self.holder[p] is not None and not self.asked[p])
        self.asked[p] = True

    @action(fair="strong")
    def admit(self, p: Pod, n: Node) -> None:
        require(self.holder[p] == n and self.up[n] and self.point[p, n] == "none")
        self.point[p, n] = "ended" if self.final(p) else "waiting"

    @action
    def refuse(self, p: Pod, n: Node) -> None:
        require(self.holder[p] == n and self.up[n] and self.point[p, n] == "none")
        self.point[p, n] = "ended"

    @action(fair="weak")
    def start(self, p: Pod, n: Node) -> None:
        require(self.point[p, n] == "waiting" and not self.asked[p])
        self.point[p, n] = "running"

    @action
    def again(self, p: Pod, n: Node) -> None:
        require(self.runs(p, n) and self.policy[p] != "never" and not self.asked[p])
        self.point[p, n] = "waiting"

    @action
    def swap(self, p: Pod, n: Node) -> None:
        require(self.runs(p, n) and self.policy[p] == "never" and not self.asked[p])
        self.point[p, n] = "waiting"

    @action
    def finish(self, p: Pod, n: Node) -> None:
        require(self.runs(p, n) and self.policy[p] != "always" and not self.asked[p])
        self.point[p, n] = "ended"

    @action(fair="strong")
    def stop(self, p: Pod, n: Node) -> None:
        require(self.runs(p, n) and self.asked[p])
        self.point[p, n] = "ended"

    @action(fair="strong")
    def cancel(self, p: Pod, n: Node) -> None:
        require(self.point[p, n] == "waiting" and (self.asked[p] or self.policy[p] == "never"))
        self.point[p, n] = "ended"

    @action
    def report_running(self, p: Pod, n: Node) -> None:
        require(self.holder[p] == n and self.shown[p] == "pending" and self.point[p, n] != "none")
        self.shown[p] = "running"

    @action(fair="strong")
    def report_end(self, p: Pod, n: Node) -> None:
        require(self.holder[p] == n and self.point[p, n] == "ended" and not self.final(p))
        self.shown[p] = "ended"

    @action(fair="strong")
    def release(self, p: Pod, n: Node) -> None:
        require(self.holder[p] == n)
        require(self.point[p, n] == "none" or (self.point[p, n] == "ended" and self.asked[p]))
        self.holder[p] = None
        self.policy[p] = "always"
        self.asked[p] = False
        self.shown[p] = "pending"
        self.point[p, n] = "none"

    @action
    def crash(self, n: Node) -> None:
        require(self.up[n])
        self.up[n] = False
        for p in Pod:
            if self.holder[p] == n:
                self.point[p, n] = "none"

    @action(fair="weak")
    def recover(self, n: Node) -> None:
        require(not self.up[n])
        self.up[n] = True

    @invariant
    def a_pod_never_runs_on_two_machines(self) -> bool:
        return all(count(self.runs(p, n) for n in Node) <= 1 for p in Pod)

    @invariant
    def a_pod_that_is_told_to_have_ended_does_not_run(self) -> bool:
        return all(all(not (self.final(p) and self.runs(p, n)) for n in Node) for p in Pod)

    @lemma
    def a_machine_holds_only_what_is_bound_to_it(self) -> bool:
        return all(all(self.point[p, n] == "none" or (self.holder[p] == n and self.up[n])
                       for n in Node) for p in Pod)

    @lemma
    def a_pod_that_is_told_to_have_ended_does_not_wait(self) -> bool:
        return all(all(not (self.final(p) and self.point[p, n] == "waiting") for n in Node)
                   for p in Pod)

    @lemma
    def a_pod_without_a_machine_has_no_past(self) -> bool:
        return all(self.holder[p] is not None or (self.shown[p] == "pending" and not self.asked[p])
                   for p in Pod)

    @step_rule
    def what_is_told_never_goes_back(self, after: Kubelet) -> bool:
        return all(
            self.shown[p] == after.shown[p] or self.shown[p] == "pending"
            or (self.shown[p] == "running" and after.shown[p] == "ended")
            or after.holder[p] is None
            for p in Pod)

    @step_rule
    def what_has_ended_never_runs_again(self, after: Kubelet) -> bool:
        return all(all(self.point[p, n] != "ended" or after.point[p, n] in ("ended", "none")
                       for n in Node) for p in Pod)

    @leads_to
    def a_pod_that_was_asked_to_go_is_gone(self, p: Pod) -> tuple[bool, bool]:
        return self.asked[p], self.holder[p] is None

    @witness
    def every_machine_runs_a_pod(self) -> bool:
        return all(any(self.runs(p, n) for p in Pod) for n in Node)

    @mutant(replaces="report_end", breaks="a_pod_that_is_told_to_have_ended_does_not_run")
    def the_end_is_told_before_it_happened(self, p: Pod, n: Node) -> None:
        require(self.holder[p] == n and self.asked[p] and not self.final(p))
        require(self.point[p, n] != "none")
        self.shown[p] = "ended"

    @mutant(replaces="admit", breaks="a_pod_that_is_told_to_have_ended_does_not_run")
    def a_lost_record_means_that_nothing_ran(self, p: Pod, n: Node) -> None:
        require(self.holder[p] == n and self.up[n] and self.point[p, n] == "none")
        self.point[p, n] = "waiting"

    @mutant(replaces="release", breaks="a_pod_never_runs_on_two_machines")
    def the_object_goes_while_containers_run(self, p: Pod, n: Node) -> None:
        require(self.holder[p] == n and self.asked[p])
        self.holder[p] = None
        self.policy[p] = "always"
        self.asked[p] = False
        self.shown[p] = "pending"


SPEC = Kubelet
