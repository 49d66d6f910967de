"""Service: a load balancer for each Service that wants one, none for any other, none leaked.

The controller acts on caches (`asks`, `tagged`, `up`) that lag behind the server (`wants`,
`marked`, `node`). It puts a finalizer on the Service before it makes a balancer and takes it off
after the balancer is gone; the server accepts both only over the version that was cached when the
sync began (`basis`). Each write and each call to the cloud is a step of its own; answers may be
lost, and the controller may crash between any two steps.

Not modelled: addresses and ports (a balancer has them all), the status of the Service (written in
a step of its own that changes nothing here), several Services and one that comes back under its
name (its balancer is named after the uid, so it is another one). The server's and the cloud's side
is there when `server` is 1. Source: Kubernetes 1.32, cloud-provider/controllers/service; KEP-980.
"""

from __future__ import annotations

from typing import Literal

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
    lemma,
    limit,
    mutant,
    require,
    witness,
)

At = Literal["idle", "marking", "ensuring", "releasing", "unmarking"]


class Service(Index, symmetric=True, short="s"):
    """A Service, by uid."""


class Node(Index, symmetric=True, short="n"):
    """A machine that balancers may send to."""


class Balancing(Spec):
    """Services that want balancers, a cloud that has them, nodes that come and go."""

    server = constant(1)
    scopes = {"ci": {"Service": 1, "Node": 2}, "proof": {"Service": 1, "Node": 2}}

    wants: Map[Service, bool] = each(False)
    marked: Map[Service, bool] = each(False)
    current: Map[Service, bool] = each(True)
    basis: Map[Service, bool] = each(False)
    node: Map[Node, bool] = each(False)
    balancer: Map[Service, bool] = each(False)
    backend: Map[tuple[Service, Node], bool] = each(False)
    due: Map[Service, bool] = each(False)
    calm: bool = False

    asks: Map[Service, bool] = each(False)
    tagged: Map[Service, bool] = each(False)
    up: Map[Node, bool] = each(False)
    at: Map[Service, At] = each("idle")
    sent: Map[tuple[Service, Node], bool] = each(False)
    sure: Map[Service, bool] = each(False)
    applied: Map[tuple[Service, Node], bool] = each(False)

    @define
    def fits(self, s: Service) -> bool:
        return self.sure[s] and all(self.applied[s, n] == self.up[n] for n in Node)

    @define
    def right(self, s: Service) -> bool:
        return self.balancer[s] == self.wants[s] and all(
            self.backend[s, n] == self.node[n] for n in Node if self.wants[s])

    @define
    def settled(self, s: Service) -> bool:
        return (not self.due[s] and self.at[s] == "idle" and self.current[s]
                and all(self.up[n] == self.node[n] for n in Node))

    @action
    def declare(self, s: Service, wish: bool) -> None:
        """A user makes the Service one with a balancer, or one without (or deletes it)."""
        require(not self.calm and wish != self.wants[s])
        self.wants[s] = wish
        self.current[s] = False
        self.basis[s] = False

    @action
    def change(self, n: Node, there: bool) -> None:
        """A node joins or leaves."""
        require(not self.calm and there != self.node[n])
        self.node[n] = there

    @action(fair="weak")
    def notice(self, s: Service, wish: bool, mark: bool) -> None:
        """The cache shows the Service as it is now."""
        require(not self.current[s] or self.server == 0)
        limit(wish == self.wants[s] and mark == self.marked[s])
        self.asks[s] = wish
        self.tagged[s] = mark
        if self.server == 1:
            self.current[s] = True
            self.due[s] = True

    @action(fair="weak")
    def observe(self, n: Node, there: bool) -> None:
        """The cache shows that a node joined or left; every Service with a balancer is due."""
        require(there != self.up[n])
        limit(there == self.node[n])
        self.up[n] = there
        for s in Service:
            if self.server == 1 and self.asks[s]:
                self.due[s] = True

    @action(fair="weak")
    def rest(self, s: Service) -> None:
        """Nothing is to be done; without a balancer nothing is remembered of one."""
        require(self.at[s] == "idle" and (self.due[s] or self.server == 0))
        require(not self.tagged[s] or self.asks[s])
        require(not self.asks[s] or (self.tagged[s] and self.fits(s)))
        self.due[s] = False
        if not self.asks[s]:
            self.sure[s] = False
            for n in Node:
                self.applied[s, n] = False

    @action(fair="weak")
    def mark(self, s: Service) -> None:
        """Ask for the finalizer, before anything is made."""
        require(self.at[s] == "idle" and (self.due[s] or self.server == 0))
        require(self.asks[s] and not self.tagged[s])
        self.at[s] = "marking"
        self.due[s] = False
        if self.server == 1:
            self.basis[s] = self.current[s]

    @action(fair="weak")
    def marks(self, s: Service, goes: bool) -> None:
        """The server answers: the finalizer is there, if the Service did not change."""
        require(self.at[s] == "marking")
        limit(goes == self.basis[s])
        self.at[s] = "idle"
        if self.server == 1:
            self.due[s] = True
            if goes:
                self.marked[s] = True
                self.current[s] = False

    @action(fair="weak")
    def ensure(self, s: Service) -> None:
        """Ask the cloud for a balancer to the nodes that the cache shows now. What was applied is
        forgotten: the answer may be lost."""
        require(self.at[s] == "idle" and (self.due[s] or self.server == 0))
        require(self.asks[s] and (self.tagged[s] or self.server == 0))
        limit(not self.fits(s))
        self.at[s] = "ensuring"
        self.due[s] = False
        self.sure[s] = False
        for n in Node:
            self.sent[s, n] = self.up[n]
            self.applied[s, n] = False

    @action(fair="weak")
    def ensures(self, s: Service, told: bool) -> None:
        """The cloud does it; the controller remembers what it sent, if it is told."""
        require(self.at[s] == "ensuring")
        limit(told or not self.calm)
        self.at[s] = "idle"
        if told:
            self.sure[s] = True
        if self.server == 1:
            self.balancer[s] = True
            if not told:
                self.due[s] = True
        for n in Node:
            if told:
                self.applied[s, n] = self.sent[s, n]
            if self.server == 1:
                self.backend[s, n] = self.sent[s, n]
            self.sent[s, n] = False

    @action(fair="weak")
    def release(self, s: Service) -> None:
        """Ask the cloud to remove the balancer of a Service that has the finalizer only."""
        require(self.at[s] == "idle" and (self.due[s] or self.server == 0))
        require(self.tagged[s] and not self.asks[s])
        self.at[s] = "releasing"
        self.due[s] = False
        self.sure[s] = False
        if self.server == 1:
            self.basis[s] = self.current[s]
        for n in Node:
            self.applied[s, n] = False

    @action(fair="weak")
    def releases(self, s: Service, told: bool) -> None:
        """The cloud does it."""
        require(self.at[s] == "releasing")
        limit(told or not self.calm)
        self.at[s] = "unmarking" if told else "idle"
        if self.server == 1:
            self.balancer[s] = False
            if not told:
                self.due[s] = True
            for n in Node:
                self.backend[s, n] = False

    @action(fair="weak")
    def unmark(self, s: Service, goes: bool) -> None:
        """The server takes the finalizer off, if the Service did not change."""
        require(self.at[s] == "unmarking")
        limit(goes == self.basis[s])
        self.at[s] = "idle"
        if self.server == 1:
            if goes:
                self.marked[s] = False
                self.current[s] = False
            else:
                self.due[s] = True

    @action
    def crash(self) -> None:
        """The process dies; what it remembered is gone, and every Service is looked at again."""
        require(not self.calm)
        for s in Service:
            self.asks[s] = self.wants[s]
            self.tagged[s] = self.marked[s]
            self.at[s] = "idle"
            self.sure[s] = False
            if self.server == 1:
                self.current[s] = True
                self.due[s] = True
            for n in Node:
                self.sent[s, n] = False
                self.applied[s, n] = False
        for n in Node:
            self.up[n] = self.node[n]

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nothing changes by itself, and no answer is lost."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def a_balancer_belongs_to_a_service_with_the_finalizer(self) -> bool:
        return all(implies(self.balancer[s], self.marked[s]) for s in Service)

    @invariant
    def a_settled_service_is_right(self) -> bool:
        return all(implies(self.settled(s), self.right(s)) for s in Service)

    @lemma
    def the_cache_shows_what_is_there_while_it_is_current(self) -> bool:
        return all(implies(self.current[s], self.asks[s] == self.wants[s]
                           and self.tagged[s] == self.marked[s]) for s in Service)

    @lemma
    def a_finalizer_that_is_only_remembered_belongs_to_a_service_that_asks_for_nothing(
            self) -> bool:
        return all(implies((self.tagged[s] and self.asks[s]) or self.at[s] == "ensuring",
                           self.marked[s]) for s in Service)

    @lemma
    def what_goes_to_the_server_over_the_present_version_is_still_meant(self) -> bool:
        return all(implies(self.basis[s] and self.at[s] in ("marking", "releasing", "unmarking"),
                           self.current[s] and self.asks[s] == (self.at[s] == "marking"))
                   for s in Service)

    @lemma
    def the_finalizer_goes_after_the_balancer(self) -> bool:
        return all(implies(self.at[s] == "unmarking", not self.balancer[s]) for s in Service)

    @lemma
    def what_is_remembered_is_what_the_cloud_has(self) -> bool:
        return all(implies(self.sure[s], self.at[s] in ("idle", "marking") and self.balancer[s]
                           and all(self.applied[s, n] == self.backend[s, n] for n in Node))
                   for s in Service)

    @lemma
    def nothing_is_due_only_where_nothing_is_to_be_done(self) -> bool:
        return all(implies(self.at[s] == "idle" and not self.due[s] and self.current[s],
                           self.tagged[s] == self.asks[s] and implies(self.asks[s], self.fits(s)))
                   for s in Service)

    @lemma
    def what_was_sent_is_what_the_cache_shows_or_the_service_is_due(self) -> bool:
        return all(implies(self.at[s] == "ensuring" and not self.due[s] and self.current[s],
                           self.asks[s] and self.tagged[s]
                           and all(self.sent[s, n] == self.up[n] for n in Node))
                   for s in Service)

    @leads_to
    def balancers_become_what_services_want(self, s: Service) -> tuple[bool, bool]:
        return self.calm, self.calm and self.right(s)

    @witness
    def a_balancer_sends_to_every_node(self) -> bool:
        return any(self.balancer[s] and all(self.backend[s, n] for n in Node) for s in Service)

    @mutant(replaces="ensure", breaks="a_settled_service_is_right")
    def what_was_applied_is_remembered_while_asking(self, s: Service) -> None:
        require(self.at[s] == "idle" and self.due[s] and self.asks[s] and self.tagged[s])
        require(not self.fits(s))
        self.at[s] = "ensuring"
        self.due[s] = False
        for n in Node:
            self.sent[s, n] = self.up[n]

    @mutant(replaces="ensures", breaks="a_settled_service_is_right")
    def what_is_remembered_is_not_what_was_sent(self, s: Service, told: bool) -> None:
        require(self.at[s] == "ensuring")
        self.at[s] = "idle"
        self.sure[s] = True
        self.balancer[s] = True
        for n in Node:
            self.applied[s, n] = self.up[n]
            self.backend[s, n] = self.sent[s, n]
            self.sent[s, n] = False

    @mutant(replaces="ensure", breaks="a_balancer_belongs_to_a_service_with_the_finalizer")
    def a_balancer_is_made_before_the_finalizer(self, s: Service) -> None:
        require(self.at[s] == "idle" and self.due[s] and self.asks[s])
        self.at[s] = "ensuring"
        self.due[s] = False
        for n in Node:
            self.sent[s, n] = self.up[n]

    @mutant(replaces="release", breaks="a_settled_service_is_right")
    def services_without_a_record_are_skipped(self, s: Service) -> None:
        require(self.at[s] == "idle" and self.due[s] and self.tagged[s] and not self.asks[s])
        self.due[s] = False
        if self.sure[s]:
            self.at[s] = "releasing"
            self.sure[s] = False


SPEC = Balancing
