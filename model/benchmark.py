"""The common benchmark: one small cluster on which search engines are compared.

Pods are created, bound, started, deleted and evicted on a few nodes that crash and recover; a
controller acts on a cached count of live pods. Not modelled: the API server, time, images, unequal
pods and nodes. That is sound for its purpose, which is counting: every engine, and every peer
(Spin, TLC), must find the same states. Nothing is concluded from it about Kubernetes.
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
    invariant,
    leads_to,
    lemma,
    mutant,
    require,
    step_rule,
    witness,
)

Phase = Literal["absent", "pending", "bound", "running", "terminating"]
Wish = Annotated[int, Between(0, "ceiling")]


class Pod(Index, symmetric=True, short="r"):
    """A slot for a pod."""


class Node(Index, symmetric=True, short="n"):
    """A machine."""


class Benchmark(Spec):
    """A cluster that counts its pods from a cache and packs them on nodes that may fail."""

    capacity = constant(2, short="c", least=0)
    ceiling = constant(3, short="k", least=0)
    bug = constant(0)
    scopes = {"ci": {"Pod": 4, "Node": 2}}

    phase: Map[Pod, Phase] = each("absent")
    node: Map[Pod, Node | None] = each(None)
    up: Map[Node, bool] = each(True)
    desired: Wish = 0
    cached: Wish = 0

    @define
    def live(self) -> int:
        return count(self.phase[p] in ("pending", "bound", "running") for p in Pod)

    @define
    def occupied(self, n: Node) -> int:
        return count(self.node[p] == n for p in Pod)

    @define
    def claimed(self, n: Node) -> int:
        return count(self.node[p] == n and self.phase[p] != "terminating" for p in Pod)

    @define
    def placed(self, p: Pod) -> bool:
        return self.phase[p] in ("bound", "running")

    @action
    def set_desired(self, wish: Wish) -> None:
        require(wish != self.desired)
        self.desired = wish

    @action(fair="weak")
    def refresh(self) -> None:
        require(self.cached != self.live())
        self.cached = self.live()

    @action(fair="weak")
    def create(self, p: Pod) -> None:
        require(self.cached < self.desired and self.phase[p] == "absent")
        self.phase[p] = "pending"
        if self.bug != 1:
            self.cached += 1

    @action(fair="weak")
    def delete(self, p: Pod) -> None:
        require(self.cached > self.desired)
        require(self.phase[p] == "pending" or self.placed(p))
        self.phase[p] = "absent" if self.phase[p] == "pending" else "terminating"
        self.cached -= 1

    @action(fair="strong")
    def bind(self, p: Pod, n: Node) -> None:
        require(self.phase[p] == "pending" and self.up[n])
        require((self.claimed(n) if self.bug == 2 else self.occupied(n)) < self.capacity)
        self.phase[p] = "bound"
        self.node[p] = n

    @action(fair="weak")
    def start(self, p: Pod, n: Node) -> None:
        require(self.phase[p] == "bound" and self.node[p] == n and self.up[n])
        self.phase[p] = "running"

    @action(fair="weak")
    def finish(self, p: Pod) -> None:
        require(self.phase[p] == "terminating")
        self.phase[p] = "absent"
        self.node[p] = None

    @action(fair="weak")
    def evict(self, p: Pod, n: Node) -> None:
        require(self.placed(p) and self.node[p] == n and not self.up[n])
        self.phase[p] = "terminating"

    @action
    def crash(self, n: Node) -> None:
        require(self.up[n])
        self.up[n] = False

    @action(fair="weak")
    def recover(self, n: Node) -> None:
        require(not self.up[n])
        self.up[n] = True
        for p in Pod:
            if self.phase[p] == "running" and self.node[p] == n:
                self.phase[p] = "bound"

    @invariant
    def no_node_holds_more_pods_than_its_capacity(self) -> bool:
        return all(self.occupied(n) <= self.capacity for n in Node)

    @invariant
    def live_pods_never_exceed_the_ceiling(self) -> bool:
        return self.live() <= self.ceiling

    @lemma
    def the_cache_counts_no_live_pod_too_few(self) -> bool:
        return self.live() <= self.cached

    @lemma
    def a_pod_has_a_node_exactly_from_binding_to_its_end(self) -> bool:
        return all((self.node[p] is None) == (self.phase[p] in ("absent", "pending")) for p in Pod)

    @step_rule
    def a_pod_changes_its_node_only_when_it_is_bound_or_gone(self, after: Benchmark) -> bool:
        return all(
            self.node[p] == after.node[p] or self.node[p] is None or after.node[p] is None
            for p in Pod
        )

    @leads_to
    def a_terminating_pod_goes(self, p: Pod) -> tuple[bool, bool]:
        return self.phase[p] == "terminating", self.phase[p] == "absent"

    @witness
    def some_node_is_full_and_down(self) -> bool:
        return any(self.occupied(n) == self.capacity and not self.up[n] for n in Node)

    @mutant(replaces="create", breaks="live_pods_never_exceed_the_ceiling")
    def create_does_not_count(self, p: Pod) -> None:
        require(self.cached < self.desired and self.phase[p] == "absent")
        self.phase[p] = "pending"

    @mutant(replaces="bind", breaks="no_node_holds_more_pods_than_its_capacity")
    def bind_overlooks_terminating_pods(self, p: Pod, n: Node) -> None:
        require(self.phase[p] == "pending" and self.up[n] and self.claimed(n) < self.capacity)
        self.phase[p] = "bound"
        self.node[p] = n


SPEC = Benchmark
