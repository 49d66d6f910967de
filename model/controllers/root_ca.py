"""The cluster's certificate in every namespace: in the end it is there, and as it was published.

A namespace's copy is missing, wrong, or right; users remove and change copies. The controller looks
at what its caches show of an active namespace and writes what is missing or wrong, one request at a
time; the server takes a creation only where nothing is, a change only of what was seen.

Not modelled: what the certificate says. The server's side is there when `server` is 1. Source:
Kubernetes 1.32, pkg/controller/certificates/rootcacertpublisher.
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

Copy = Literal["none", "wrong", "right"]


class Namespace(Index, symmetric=True, short="n"):
    """A namespace."""


class RootCa(Spec):
    """Namespaces, their copies, and a controller with caches that lag."""

    server = constant(1)
    scopes = {"ci": {"Namespace": 2}, "proof": {"Namespace": 2}}

    active: Map[Namespace, bool] = each(False)
    copy: Map[Namespace, Copy] = each("none")
    current: Map[Namespace, bool] = each(True)
    calm: bool = False

    seen: Map[Namespace, bool] = each(False)
    known: Map[Namespace, Copy] = each("none")
    asked: Map[Namespace, bool] = each(False)
    fresh: Map[Namespace, bool] = each(False)

    @action
    def change(self, n: Namespace, to: bool) -> None:
        """A namespace appears, or begins to end and takes its copy along."""
        require(not self.calm and self.active[n] != to)
        self.active[n] = to
        if not to:
            self.copy[n] = "none"
            self.current[n] = False
            self.fresh[n] = False

    @action
    def meddle(self, n: Namespace, to: Copy) -> None:
        """Somebody removes the copy, or changes it."""
        require(not self.calm and self.active[n] and self.copy[n] != to and to != "right")
        self.copy[n] = to
        self.current[n] = False
        self.fresh[n] = False

    @action(fair="weak")
    def see(self, n: Namespace, there: bool) -> None:
        """The cache shows the namespace, or that it ends."""
        require(self.seen[n] != there)
        limit(self.active[n] == there)
        self.seen[n] = there

    @action(fair="weak")
    def see_copy(self, n: Namespace, copy: Copy) -> None:
        """The cache shows the copy as it is now."""
        require(self.known[n] != copy or (self.server == 1 and not self.current[n]))
        limit(self.copy[n] == copy)
        self.known[n] = copy
        if self.server == 1:
            self.current[n] = True

    @action(fair="strong")
    def ask(self, n: Namespace) -> None:
        """Write what is missing or wrong; nothing else is in flight."""
        require(self.seen[n] and self.known[n] != "right")
        require(not any(self.asked[m] for m in Namespace))
        self.asked[n] = True
        if self.server == 1:
            self.fresh[n] = self.current[n]

    @action(fair="strong")
    def answer(self, n: Namespace) -> None:
        """The server decides; the answer comes, or is lost."""
        require(self.asked[n])
        self.asked[n] = False
        if self.server == 1 and self.active[n] and self.fresh[n]:
            self.copy[n] = "right"
            self.current[n] = False
            self.fresh[n] = False

    @action
    def crash(self) -> None:
        """The controller starts anew; what it asked may still be carried out, by `answer`."""
        limit(not self.calm and not any(self.asked[n] for n in Namespace))
        for n in Namespace:
            self.seen[n] = False
            self.known[n] = "none"
            self.asked[n] = False
            if self.server == 1:
                self.current[n] = False

    @action(fair="weak")
    def calm_down(self) -> None:
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def one_request_is_in_flight_at_most(self) -> bool:
        return count(self.asked[n] for n in Namespace) <= 1

    @invariant
    def only_what_was_not_right_when_seen_is_written(self) -> bool:
        return all(implies(self.fresh[n], self.copy[n] != "right") for n in Namespace)

    @lemma
    def a_current_cache_shows_the_copy(self) -> bool:
        return all(implies(self.current[n], self.known[n] == self.copy[n]) for n in Namespace)

    @leads_to
    def an_active_namespace_gets_its_copy(self, n: Namespace) -> tuple[bool, bool]:
        return self.calm and self.active[n], self.copy[n] == "right"

    @witness
    def a_wrong_copy_is_about_to_be_put_right(self) -> bool:
        return any(self.asked[n] and self.copy[n] == "wrong" for n in Namespace)

    @mutant(replaces="ask", breaks="an_active_namespace_gets_its_copy")
    def ask_only_where_nothing_is(self, n: Namespace) -> None:
        require(self.seen[n] and self.known[n] == "none")
        require(not any(self.asked[m] for m in Namespace))
        self.asked[n] = True
        self.fresh[n] = self.current[n]


SPEC = RootCa
