"""A queue between what is received and what is known: in the end the store holds what is there.

Objects come and go at the server. The stream tells of it, unless it breaks: then what happened is
missed, and a list tells of every object whether it is there. What is received waits in a queue, of
which the last change of each object counts; it is applied one object at a time.

Not modelled: versions of an object (there or not is all that a queue can get wrong), and the order
of changes in the queue but for the last of each object. The server's side is there when `server`
is 1. Source: client-go, tools/cache/delta_fifo.go; kubernetes issues 83810, 115658.
"""

from __future__ import annotations

from typing import Literal

from model.kernel.spec.language import (
    Index,
    Map,
    Spec,
    action,
    constant,
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

Queued = Literal["nothing", "there", "gone"]


class Item(Index, symmetric=True, short="i"):
    """The name of an object."""


class Observer(Spec):
    """A server, a stream, a queue, a store."""

    server = constant(1)
    scopes = {"ci": {"Item": 2}, "proof": {"Item": 2}}

    exists: Map[Item, bool] = each(False)
    untold: Map[Item, bool] = each(False)
    broken: bool = False
    calm: bool = False

    queued: Map[Item, Queued] = each("nothing")
    store: Map[Item, bool] = each(False)

    @action
    def change(self, i: Item) -> None:
        """An object is made or deleted."""
        limit(self.server == 1)
        require(not self.calm)
        self.exists[i] = not self.exists[i]
        self.untold[i] = True

    @action(fair="weak")
    def tell(self, i: Item, there: bool) -> None:
        """The stream tells of an object."""
        limit(self.untold[i] and not self.broken and there == self.exists[i])
        if self.server == 1:
            self.untold[i] = False
        self.queued[i] = "there" if there else "gone"

    @action
    def lose(self) -> None:
        """The stream breaks, and cannot be resumed where it broke."""
        limit(self.server == 1)
        require(not self.calm and not self.broken)
        self.broken = True
        for i in Item:
            self.untold[i] = True

    @action(fair="weak")
    def list_one(self, i: Item, there: bool) -> None:
        """A list tells of an object. One that is not listed is gone, if it was known: applied
        already, or still in the queue."""
        limit(self.broken and self.untold[i] and there == self.exists[i])
        if self.server == 1:
            self.untold[i] = False
        if there:
            self.queued[i] = "there"
        elif self.store[i] or self.queued[i] != "nothing":
            self.queued[i] = "gone"

    @action(fair="weak")
    def listed(self) -> None:
        """The list was told: the stream goes on behind it."""
        require(self.broken and all(not self.untold[i] for i in Item))
        self.broken = False

    @action(fair="weak")
    def apply(self, i: Item) -> None:
        """What is queued about an object is applied."""
        require(self.queued[i] != "nothing")
        self.store[i] = self.queued[i] == "there"
        self.queued[i] = "nothing"

    @action
    def crash(self) -> None:
        """The process dies and knows nothing."""
        require(not self.calm)
        if self.server == 1:
            self.broken = True
        for i in Item:
            self.queued[i] = "nothing"
            self.store[i] = False
            if self.server == 1:
                self.untold[i] = True

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nothing changes by itself."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def a_quiet_store_holds_what_is_there(self) -> bool:
        return all(implies(not self.untold[i] and self.queued[i] == "nothing",
                           self.store[i] == self.exists[i]) for i in Item)

    @lemma
    def what_is_queued_last_is_so(self) -> bool:
        return all(implies(not self.untold[i] and self.queued[i] != "nothing",
                           (self.queued[i] == "there") == self.exists[i]) for i in Item)

    @leads_to
    def the_store_becomes_right(self) -> tuple[bool, bool]:
        return self.calm, self.calm and all(self.store[i] == self.exists[i] for i in Item)

    @witness
    def a_list_is_told_while_something_is_queued(self) -> bool:
        return self.broken and any(self.queued[i] == "there" and not self.exists[i]
                                   for i in Item)

    @mutant(replaces="list_one", breaks="a_quiet_store_holds_what_is_there")
    def list_one_against_the_store_alone(self, i: Item, there: bool) -> None:
        """What is only queued is not known."""
        require(self.broken and self.untold[i] and there == self.exists[i])
        self.untold[i] = False
        if there:
            self.queued[i] = "there"
        elif self.store[i]:
            self.queued[i] = "gone"

    @mutant(replaces="list_one", breaks="a_quiet_store_holds_what_is_there")
    def list_one_as_a_resync(self, i: Item, there: bool) -> None:
        """A listed object whose deletion is queued is taken for the old one."""
        require(self.broken and self.untold[i] and there == self.exists[i])
        self.untold[i] = False
        if there and self.queued[i] != "gone":
            self.queued[i] = "there"
        elif not there and (self.store[i] or self.queued[i] != "nothing"):
            self.queued[i] = "gone"


SPEC = Observer
