"""Node: a node that reports in time is never drained; a dead one always is, unless all are silent.

Silence is what the controller sees (`silent`: no heartbeat changed for a whole grace period), not
what clocks say; `ripe` is an eviction whose toleration has run out. How long both take is left
open, so what holds here holds for any timing. The controller acts on caches (`down`, `tainted`,
`holds`, `hot`) that lag behind the server (`lost`, `hard`, `on`).

Not modelled: the taints with effect NoSchedule (they follow the conditions in one step), pods'
Ready=False, the turns in which nodes are tainted, partial outages, and pods of nodes that are
deleted: each is a rule of its own that changes nothing here. Tolerations are: whether a pod is
`hot` on a tainted node is the pod's own affair. The server's side is there when `server` is 1.
Source: Kubernetes 1.32, pkg/controller/nodelifecycle and tainteviction.
"""

from __future__ import annotations

from model.kernel.spec.language import (
    Index,
    Map,
    Spec,
    action,
    constant,
    define,
    each,
    implies,
    invariant,
    leads_to,
    limit,
    mutant,
    require,
    step_rule,
    witness,
)


class Node(Index, symmetric=True, short="n"):
    """A machine with a kubelet."""


class Pod(Index, symmetric=True, short="p"):
    """A pod that is bound to a node."""


class Draining(Spec):
    """Nodes that fall silent and come back, taints, and pods that must leave."""

    server = constant(1)
    scopes = {"ci": {"Node": 2, "Pod": 2}, "proof": {"Node": 2, "Pod": 2},
              "live": {"Node": 2, "Pod": 1}}

    alive: Map[Node, bool] = each(True)
    lost: Map[Node, bool] = each(False)
    hard: Map[Node, bool] = each(False)
    on: Map[Pod, Node | None] = each(None)
    calm: bool = False

    silent: Map[Node, bool] = each(False)
    down: Map[Node, bool] = each(False)
    tainted: Map[Node, bool] = each(False)
    granted: Map[Node, bool] = each(False)
    holds: Map[Pod, Node | None] = each(None)
    hot: Map[Pod, bool] = each(False)
    planned: Map[Pod, bool] = each(False)
    ripe: Map[Pod, bool] = each(False)
    outage: bool = False

    @define
    def all_down(self) -> bool:
        return all(self.down[n] for n in Node)

    @action
    def die(self, n: Node) -> None:
        """A node's heartbeats stop to arrive."""
        limit(self.server == 1)
        require(not self.calm and self.alive[n])
        self.alive[n] = False

    @action
    def revive(self, n: Node) -> None:
        """They arrive again."""
        limit(self.server == 1)
        require(not self.calm and not self.alive[n])
        self.alive[n] = True

    @action
    def place(self, p: Pod, n: Node) -> None:
        """A pod is bound to a node."""
        limit(self.server == 1)
        require(not self.calm and self.on[p] is None and self.holds[p] is None)
        self.on[p] = n

    @action(fair="weak")
    def fall_silent(self, n: Node) -> None:
        """A whole grace period has passed without a heartbeat."""
        limit(self.server == 1 and not self.alive[n])
        require(not self.silent[n])
        self.silent[n] = True

    @action(fair="weak")
    def beat(self, n: Node) -> None:
        """A heartbeat changed, or the controller starts to count anew."""
        limit(self.alive[n])
        require(self.silent[n])
        self.silent[n] = False

    @action(fair="weak")
    def report(self, n: Node) -> None:
        """The kubelet sets its condition Ready again."""
        limit(self.server == 1)
        require(self.alive[n] and self.lost[n])
        self.lost[n] = False

    @action(fair="weak")
    def declare(self, n: Node) -> None:
        """Write Ready=Unknown for a silent node; the server takes it over the cached version."""
        require(self.silent[n])
        limit(not self.down[n] and not self.lost[n])
        if self.server == 1:
            self.lost[n] = True

    @action(fair="weak")
    def learn(self, n: Node, ready: bool, taint: bool) -> None:
        """The cache shows another state of a node."""
        require(self.down[n] == ready or self.tainted[n] != taint)
        limit(self.lost[n] != ready and self.hard[n] == taint)
        self.down[n] = not ready
        self.tainted[n] = taint
        if ready:
            self.granted[n] = False

    @action(fair="weak")
    def weigh(self) -> None:
        """Enter or leave the state in which no node is ready; both start all counting anew."""
        require(self.outage != self.all_down())
        self.outage = self.all_down()
        for n in Node:
            self.granted[n] = False
            if self.outage:
                self.silent[n] = False

    @action(fair="weak")
    def grant(self, n: Node) -> None:
        """It is a node's turn to be tainted NoExecute."""
        require(self.down[n] and not self.all_down() and not self.granted[n])
        limit(not self.outage)
        self.granted[n] = True

    @action(fair="weak")
    def taint(self, n: Node) -> None:
        """Write the taint NoExecute."""
        require(self.down[n] and self.granted[n] and not self.tainted[n])
        require(not self.all_down())
        limit(not self.outage and not self.hard[n] and self.lost[n])
        if self.server == 1:
            self.hard[n] = True

    @action(fair="weak")
    def clear(self, n: Node) -> None:
        """Take the taint NoExecute off a node that is ready, or off all while none is."""
        require(self.tainted[n] and (not self.down[n] or self.all_down()))
        limit(self.hard[n] and (self.outage or not self.lost[n]))
        if self.server == 1:
            self.hard[n] = False

    @action(fair="weak")
    def hold(self, p: Pod, n: Node) -> None:
        """The cache shows a pod on a node."""
        require(self.holds[p] is None)
        limit(self.on[p] == n)
        self.holds[p] = n

    @action(fair="weak")
    def drop(self, p: Pod) -> None:
        """The cache shows that a pod is gone, or is being deleted."""
        require(self.holds[p] is not None)
        limit(self.on[p] is None)
        self.holds[p] = None
        self.hot[p] = False
        self.planned[p] = False
        self.ripe[p] = False

    @action(fair="weak")
    def heat(self, p: Pod, yes: bool) -> None:
        """A taint that a pod does not tolerate for ever came or went: plan or cancel."""
        require(self.hot[p] != yes)
        limit(any(self.holds[p] == n and self.tainted[n] for n in Node) == yes)
        self.hot[p] = yes
        self.planned[p] = yes
        self.ripe[p] = False

    @action(fair="weak")
    def ripen(self, p: Pod) -> None:
        """The toleration has run out."""
        limit(self.server == 1)
        require(self.planned[p] and not self.ripe[p])
        self.ripe[p] = True

    @action(fair="weak")
    def evict(self, p: Pod) -> None:
        """Delete a pod whose toleration has run out."""
        require(self.planned[p] and self.ripe[p])
        limit(self.on[p] is not None)
        if self.server == 1:
            self.on[p] = None

    @action
    def crash(self) -> None:
        """The process dies; it lists everything and starts to count anew."""
        require(not self.calm)
        self.outage = False
        for n in Node:
            self.silent[n] = False
            self.granted[n] = False
            self.down[n] = self.lost[n]
            self.tainted[n] = self.hard[n]
        for p in Pod:
            self.holds[p] = self.on[p]
            self.hot[p] = False
            self.planned[p] = False
            self.ripe[p] = False

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nodes stay alive, or dead."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def only_hot_pods_are_planned_for_eviction(self) -> bool:
        return all(self.planned[p] == self.hot[p] and implies(self.ripe[p], self.planned[p])
                   for p in Pod)

    @step_rule
    def a_node_that_is_heard_is_not_lost(self, after: Draining) -> bool:
        return all(implies(after.lost[n] and not self.lost[n], self.silent[n]) for n in Node)

    @step_rule
    def nothing_is_tainted_while_all_nodes_are_down(self, after: Draining) -> bool:
        return all(implies(after.hard[n] and not self.hard[n], not self.all_down())
                   for n in Node)

    @step_rule
    def only_ripe_evictions_are_carried_out(self, after: Draining) -> bool:
        return all(implies(self.on[p] is not None and after.on[p] is None, self.ripe[p])
                   for p in Pod)

    @leads_to
    def a_dead_node_is_drained(self, n: Node) -> tuple[bool, bool]:
        return (self.calm and not self.alive[n] and any(self.alive[m] for m in Node),
                all(self.on[p] != n for p in Pod))

    @leads_to
    def a_live_node_is_released(self, n: Node) -> tuple[bool, bool]:
        return self.calm and self.alive[n], not self.lost[n] and not self.hard[n]

    @witness
    def a_pod_survives_a_short_silence(self) -> bool:
        return any(self.on[p] == n and self.alive[n] and self.tainted[n] and not self.lost[n]
                   for p in Pod for n in Node)

    @mutant(replaces="declare", breaks="a_node_that_is_heard_is_not_lost")
    def clocks_are_compared(self, n: Node) -> None:
        require(not self.down[n] and not self.lost[n])
        self.lost[n] = True

    @mutant(replaces="taint", breaks="nothing_is_tainted_while_all_nodes_are_down")
    def outages_do_not_count(self, n: Node) -> None:
        require(self.down[n] and not self.tainted[n] and self.lost[n] and not self.hard[n])
        self.hard[n] = True

    @mutant(replaces="heat", breaks="only_hot_pods_are_planned_for_eviction")
    def evictions_are_not_cancelled(self, p: Pod, yes: bool) -> None:
        require(self.hot[p] != yes)
        limit(any(self.holds[p] == n and self.tainted[n] for n in Node) == yes)
        self.hot[p] = yes
        if yes:
            self.planned[p] = True


SPEC = Draining
