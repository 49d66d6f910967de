"""The components together: a controller, the API server, the scheduler, kubelets, one dead machine.

Each acts on what it has seen of the server, which is less than what is there: the controller sees
pods late and awaits what it has created; the scheduler sees pods and machines late and counts what
it has asked for; the node controller declares a machine dead and lets its pods go. The API server
takes a binding only for a pod that is there and has no machine. An answer to the scheduler may be
lost once, a machine may die once, and come back or not.

Not modelled: what each component does inside (its own spec does; here stands what it promises),
several controllers, unequal pods and machines. A pod's slot is used again only when the controller
and the scheduler have seen that it is free: a new pod has a new name, so that nobody takes it for
the old one. Sources: Kubernetes 1.32, concepts "Controllers", "Kubernetes Scheduler", "Nodes".
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
    mutant,
    require,
    step_rule,
    witness,
)

Phase = Literal["absent", "pending", "bound", "running", "ending"]
Queue = Literal["unknown", "waits", "asked", "placed"]
Wish = Annotated[int, Between(0, "ceiling")]


class Pod(Index, symmetric=True, short="p"):
    """A pod, from its creation until nobody sees it any more."""


class Node(Index, symmetric=True, short="n"):
    """A machine."""


class Cluster(Spec):
    """A wish becomes running pods, no machine is over-committed, whatever anybody sees late."""

    capacity = constant(1, short="c", least=0)
    ceiling = constant(1, short="w", least=0)
    crashes = constant(1)
    losses = constant(1)
    scopes = {"ci": {"Pod": 2, "Node": 2}, "three": {"Pod": 3, "Node": 2, "ceiling": 2,
                                                      "capacity": 2}}

    phase: Map[Pod, Phase] = each("absent")
    node: Map[Pod, Node | None] = each(None)
    up: Map[Node, bool] = each(True)
    dead: Map[Node, bool] = each(False)
    crashed: Annotated[int, Between(0, "crashes")] = 0
    lost: Annotated[int, Between(0, "losses")] = 0
    desired: Wish = 0
    calm: bool = False

    seen: Map[Pod, bool] = each(False)
    awaited: Wish = 0

    queue: Map[Pod, Queue] = each("unknown")
    slot: Map[Pod, Node | None] = each(None)
    fit: Map[Node, bool] = each(True)

    @define
    def alive(self, p: Pod) -> bool:
        return self.phase[p] in ("pending", "bound", "running")

    @define
    def live(self) -> int:
        return count(self.alive(p) for p in Pod)

    @define
    def unseen(self) -> int:
        return count(self.alive(p) and not self.seen[p] for p in Pod)

    @define
    def counted(self) -> int:
        return count(self.seen[p] for p in Pod)

    @action
    def wish(self, replicas: Wish) -> None:
        """A user scales."""
        require(not self.calm and replicas != self.desired)
        self.desired = replicas

    @action(fair="weak")
    def create(self, p: Pod) -> None:
        """The controller makes a pod that is missing, by what it sees and awaits."""
        require(self.counted() + self.awaited < self.desired)
        require(self.phase[p] == "absent" and not self.seen[p] and self.queue[p] == "unknown")
        self.phase[p] = "pending"
        self.awaited += 1

    @action(fair="weak")
    def delete(self, p: Pod) -> None:
        """The controller deletes a pod that is too much, when it awaits none."""
        require(self.awaited == 0 and self.counted() > self.desired and self.seen[p])
        self.seen[p] = False
        if self.alive(p):
            self.phase[p] = "ending"

    @action(fair="weak")
    def controller_sees(self, p: Pod) -> None:
        """The controller's cache shows a new pod, or that one goes."""
        require(self.seen[p] != self.alive(p))
        self.seen[p] = self.alive(p)
        if self.alive(p):
            self.awaited = max(0, self.awaited - 1)

    @action(fair="weak")
    def controller_gives_up_waiting(self) -> None:
        """What it awaited came and went unseen."""
        require(self.awaited > 0 and all(self.seen[p] == self.alive(p) for p in Pod))
        self.awaited = 0

    @action(fair="weak")
    def scheduler_sees(self, p: Pod) -> None:
        """The scheduler's cache shows a pod without a machine, with one, or that it is gone."""
        require((self.phase[p] == "pending" and self.queue[p] == "unknown")
                or (self.node[p] is not None and self.queue[p] != "placed")
                or (self.phase[p] == "absent" and self.queue[p] in ("waits", "placed")))
        if self.node[p] is not None:
            self.queue[p] = "placed"
            self.slot[p] = self.node[p]
        elif self.phase[p] == "pending":
            self.queue[p] = "waits"
        else:
            self.queue[p] = "unknown"
            self.slot[p] = None

    @action(fair="weak")
    def choose(self, p: Pod, n: Node) -> None:
        """The scheduler takes a machine with room by its own books, and asks for the binding."""
        require(self.queue[p] == "waits" and self.fit[n])
        require(count(self.slot[q] == n for q in Pod) < self.capacity)
        self.queue[p] = "asked"
        self.slot[p] = n

    @action(fair="weak")
    def bind(self, p: Pod, told: bool) -> None:
        """The server binds, if the pod is there without a machine; else it refuses, and the
        scheduler takes the pod off its books."""
        require(self.queue[p] == "asked")
        require(told or (self.phase[p] == "pending" and self.node[p] is None
                         and self.lost < self.losses))
        if self.phase[p] == "pending" and self.node[p] is None:
            self.phase[p] = "bound"
            self.node[p] = self.slot[p]
            if told:
                self.queue[p] = "placed"
            else:
                self.lost += 1
        elif self.node[p] is not None:
            self.queue[p] = "placed"
            self.slot[p] = self.node[p]
        else:
            self.queue[p] = "unknown"
            self.slot[p] = None

    @action(fair="weak")
    def start(self, p: Pod, n: Node) -> None:
        """The kubelet runs a pod that is bound to its machine."""
        require(self.phase[p] == "bound" and self.node[p] == n and self.up[n])
        self.phase[p] = "running"

    @action(fair="weak")
    def stop(self, p: Pod, n: Node) -> None:
        """The kubelet stops what is ending, or the machine is dead, and the pod is gone."""
        require(self.phase[p] == "ending" and self.node[p] == n and (self.up[n] or self.dead[n]))
        self.phase[p] = "absent"
        self.node[p] = None

    @action(fair="weak")
    def drop(self, p: Pod) -> None:
        """A pod that ends before it has a machine is gone."""
        require(self.phase[p] == "ending" and self.node[p] is None)
        self.phase[p] = "absent"

    @action
    def crash(self, n: Node) -> None:
        """A machine dies."""
        require(not self.calm and self.up[n] and self.crashed < self.crashes)
        self.up[n] = False
        self.crashed += 1

    @action
    def recover(self, n: Node) -> None:
        """A machine comes back; what ran there starts again."""
        require(not self.calm and not self.up[n])
        self.up[n] = True
        for p in Pod:
            if self.node[p] == n and self.phase[p] == "running":
                self.phase[p] = "bound"

    @action(fair="weak")
    def judge(self, n: Node) -> None:
        """The node controller declares a machine dead that is silent, or well again."""
        require(self.dead[n] == self.up[n])
        self.dead[n] = not self.up[n]

    @action(fair="weak")
    def evict(self, p: Pod, n: Node) -> None:
        """The node controller deletes a pod of a dead machine."""
        require(self.dead[n] and self.node[p] == n and self.alive(p))
        self.phase[p] = "ending"

    @action(fair="weak")
    def scheduler_sees_machine(self, n: Node) -> None:
        """The scheduler's cache shows that a machine is dead, or well again."""
        require(self.fit[n] == self.dead[n])
        self.fit[n] = not self.dead[n]

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nobody scales and no machine changes."""
        require(not self.calm)
        self.calm = True

    @invariant
    def no_machine_is_over_committed(self) -> bool:
        return all(count(self.node[p] == n for p in Pod) <= self.capacity for n in Node)

    @invariant
    def live_pods_never_exceed_the_highest_wish(self) -> bool:
        return self.live() <= self.ceiling

    @lemma
    def the_books_of_the_scheduler_cover_what_is_bound(self) -> bool:
        return all(self.node[p] is None or self.node[p] == self.slot[p] for p in Pod)

    @lemma
    def the_books_of_the_scheduler_are_never_over_full(self) -> bool:
        return all(count(self.slot[p] == n for p in Pod) <= self.capacity for n in Node)

    @lemma
    def what_has_a_machine_is_on_the_books(self) -> bool:
        return all((self.slot[p] is not None) == (self.queue[p] in ("asked", "placed"))
                   for p in Pod)

    @lemma
    def a_pod_with_a_machine_is_there(self) -> bool:
        return all(implies(self.node[p] is not None, self.phase[p] not in ("absent", "pending"))
                   and implies(self.phase[p] in ("bound", "running"), self.node[p] is not None)
                   for p in Pod)

    @lemma
    def a_pod_is_placed_only_after_it_was_bound(self) -> bool:
        return all(implies(self.queue[p] == "placed", self.phase[p] != "pending") for p in Pod)

    @lemma
    def a_pod_that_nobody_has_seen_is_awaited(self) -> bool:
        return self.unseen() <= self.awaited

    @lemma
    def what_is_seen_and_awaited_stays_within_the_highest_wish(self) -> bool:
        return self.counted() + self.awaited <= self.ceiling

    @step_rule
    def a_pod_gets_a_machine_once(self, after: Cluster) -> bool:
        return all(implies(self.node[p] is not None and after.node[p] is not None,
                           self.node[p] == after.node[p]) for p in Pod)

    @leads_to
    def the_wish_comes_true_on_machines_that_are_well(self) -> tuple[bool, bool]:
        """Where there is room for it."""
        room = self.capacity * count(self.up[n] for n in Node)
        return self.calm and self.desired <= room, (
            self.calm and self.live() == self.desired and all(
                implies(self.alive(p), self.phase[p] == "running"
                        and any(self.node[p] == n and self.up[n] for n in Node)) for p in Pod))

    @witness
    def a_pod_runs_after_a_machine_died_and_an_answer_was_lost(self) -> bool:
        return (self.crashed > 0 and self.lost > 0
                and any(self.phase[p] == "running" and self.node[p] == n and self.up[n]
                        for p in Pod for n in Node) and any(not self.up[n] for n in Node))

    @mutant(replaces="create", breaks="live_pods_never_exceed_the_highest_wish")
    def create_by_the_cache_alone(self, p: Pod) -> None:
        require(self.counted() < self.desired)
        require(self.phase[p] == "absent" and not self.seen[p] and self.queue[p] == "unknown")
        self.phase[p] = "pending"

    @mutant(replaces="choose", breaks="no_machine_is_over_committed")
    def choose_as_if_what_ends_were_gone(self, p: Pod, n: Node) -> None:
        require(self.queue[p] == "waits" and self.fit[n])
        require(count(self.slot[q] == n and self.phase[q] != "ending" for q in Pod)
                < self.capacity)
        self.queue[p] = "asked"
        self.slot[p] = n

    @mutant(replaces="scheduler_sees_machine",
            breaks="the_wish_comes_true_on_machines_that_are_well")
    def a_machine_that_died_stays_fit(self, n: Node) -> None:
        require(self.fit[n] == self.dead[n])
        self.fit[n] = True


SPEC = Cluster
