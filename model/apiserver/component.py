"""The API server's writes: no lost update, deletion waits for finalizers, each place given once.

A request in flight has read an object at some version (`base`) and stands on that until its
transaction is carried out; others may write in between. That a first attempt may stand on a lagging
cache needs no state of its own: it is a request that read earlier. A *place* is a cluster address
or a node port. A request first puts its hand on a place, then marks it as used, then stores the
object that holds it; it may die between any two of these, and a repair loop frees what nobody has.

Not modelled: what the objects say (validation and defaults are tables of facts, tested as such),
reads and watches (`model/list_watch.py` has them), quotas (their controller's spec), who may ask,
and the order in which an object's places are taken (they are independent). Creations with a
generated name are creations. Sources: Kubernetes API conventions ("Concurrency Control and
Consistency"), Kubernetes documentation ("Finalizers", "Service": choosing your own IP address).
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

Revision = Annotated[int, Between(0, "newest")]


class Object(Index, symmetric=True, short="o"):
    """A key under which an object may be stored."""


class Place(Index, symmetric=True, short="a"):
    """A cluster address or a node port."""


class Request(Index, symmetric=True, short="r"):
    """A write in flight."""


class Registry(Spec):
    """Stored objects, writes in flight, places."""

    newest = constant(4, short="n")
    server = constant(1)
    scopes = {"ci": {"Object": 2, "Place": 1, "Request": 2, "newest": 3},
              "proof": {"Object": 2, "Place": 1, "Request": 2, "newest": 3}}

    revision: Revision = 0
    version: Map[Object, Revision] = each(0)
    held: Map[Object, bool] = each(False)
    leaving: Map[Object, bool] = each(False)
    holds: Map[tuple[Object, Place], bool] = each(False)
    used: Map[Place, bool] = each(False)
    hand: Map[tuple[Request, Place], bool] = each(False)

    about: Map[Request, Object | None] = each(None)
    base: Map[Request, Revision] = each(0)
    lost: bool = False
    mine: Map[tuple[Request, Place], bool] = each(False)

    @define
    def stored(self, o: Object) -> bool:
        return self.version[o] > 0

    @define
    def standing_on(self, o: Object, seen: Revision) -> bool:
        return any(self.about[r] == o and self.base[r] == seen for r in Request)

    @define
    def in_hand(self, a: Place) -> bool:
        return any(self.hand[r, a] for r in Request)

    @define
    def has_holder(self, a: Place) -> bool:
        return any(self.holds[o, a] for o in Object)

    # A request reads, and stands on what it read.

    @action
    def read(self, r: Request, o: Object) -> None:
        require(self.about[r] is None)
        self.about[r] = o
        self.base[r] = self.version[o]

    @action(fair="weak")
    def end(self, r: Request) -> None:
        """The request is answered, gives up, or dies with its server."""
        require(self.about[r] is not None)
        self.about[r] = None
        self.base[r] = 0

    # What its transaction does to the object.

    @action
    def create(self, o: Object, at: Revision, keeps: bool) -> None:
        """`at`: the revision of the store after the transaction."""
        require(self.version[o] == 0 and at > 0)
        limit(at == self.revision + 1 and self.standing_on(o, 0))
        if self.server == 1:
            self.revision = at
        self.version[o] = at
        self.held[o] = keeps
        self.leaving[o] = False

    @action
    def replace(self, o: Object, seen: Revision, at: Revision, keeps: bool, goes: bool,
                waits: bool) -> None:
        """`keeps`: finalizers are left. `goes`: it is being deleted; then it must wait for them or
        for its grace period (`waits`), or it would have been removed. It stays so for ever."""
        require(self.stored(o) and seen == self.version[o] and at > seen)
        require(implies(self.leaving[o], goes))
        require(implies(goes, keeps or waits))
        limit(at == self.revision + 1 and self.standing_on(o, seen))
        if self.server == 1:
            self.revision = at
        self.version[o] = at
        self.held[o] = keeps
        self.leaving[o] = goes
        self.lost = self.lost or seen != self.version[o]

    @action
    def remove(self, o: Object, seen: Revision, drops: bool) -> None:
        """`drops`: the write that removes the object is an update that takes the last finalizer
        away; any other write removes only what no finalizer holds."""
        require(self.stored(o) and seen == self.version[o])
        require(not self.held[o] or (drops and self.leaving[o]))
        require(not any(self.holds[o, a] for a in Place))
        limit(self.standing_on(o, seen) and not drops)
        self.version[o] = 0
        self.held[o] = False
        self.leaving[o] = False
        self.lost = self.lost or seen != self.version[o]

    # Places.

    @action
    def reach(self, r: Request, a: Place) -> None:
        """The request is about to take a place, or to free one of an object that it removes."""
        require(not self.hand[r, a])
        limit(not self.used[a] or any(self.holds[o, a] and self.about[r] == o for o in Object))
        self.hand[r, a] = True

    @action
    def take(self, r: Request, a: Place) -> None:
        require(self.hand[r, a] and not self.used[a])
        self.used[a] = True
        if self.server == 1:
            self.mine[r, a] = True

    @action
    def attach(self, o: Object, a: Place) -> None:
        """A stored object now has the place. In the search a request is trusted to have it."""
        require(self.stored(o) and (self.server == 1 or self.used[a]))
        require(self.server == 1 or not any(self.holds[p, a] for p in Object if p != o))
        limit(any(self.mine[r, a] and self.about[r] == o for r in Request))
        self.holds[o, a] = True
        if self.server == 1:
            for r in Request:
                self.mine[r, a] = self.mine[r, a] and self.about[r] != o

    @action
    def detach(self, r: Request, o: Object, a: Place) -> None:
        """An object gives the place up, or is about to be removed, by the write of a request."""
        require(self.holds[o, a])
        limit(self.hand[r, a] and self.about[r] == o)
        self.holds[o, a] = False
        if self.server == 1:
            self.mine[r, a] = True

    @action
    def give_back(self, r: Request, a: Place) -> None:
        """A request frees a place: one that it took in vain, or that its object had."""
        require(self.hand[r, a] and self.used[a])
        require(self.server == 1 or not self.has_holder(a))
        limit(self.mine[r, a])
        self.used[a] = False
        if self.server == 1:
            self.mine[r, a] = False

    @action
    def let_go(self, r: Request, a: Place) -> None:
        """The request has done with the place, or died: what it took and did not free leaks."""
        require(self.hand[r, a])
        self.hand[r, a] = False
        if self.server == 1:
            self.mine[r, a] = False

    @action(fair="weak")
    def repair(self, a: Place) -> None:
        """The repair loop frees what nobody has and nobody is about to have."""
        require(self.used[a] and not self.has_holder(a) and not self.in_hand(a))
        self.used[a] = False

    @invariant
    def no_write_was_lost(self) -> bool:
        return not self.lost

    @invariant
    def no_two_objects_have_one_place(self) -> bool:
        return all(implies(self.holds[o, a] and self.holds[p, a], o == p)
                   for o in Object for p in Object for a in Place)

    @invariant
    def what_an_object_has_is_marked_as_used(self) -> bool:
        return all(implies(self.holds[o, a], self.used[a] and self.stored(o))
                   for o in Object for a in Place)

    @lemma
    def a_place_is_with_one_request_or_with_one_object(self) -> bool:
        return all(implies(self.mine[r, a], self.hand[r, a] and self.used[a]
                           and not self.has_holder(a)) for r in Request for a in Place) and all(
            implies(self.mine[r, a] and self.mine[q, a], r == q)
            for r in Request for q in Request for a in Place)

    @invariant
    def versions_are_past_revisions(self) -> bool:
        return all(self.version[o] <= self.revision for o in Object) and all(
            self.base[r] <= self.revision for r in Request)

    @invariant
    def only_stored_objects_are_held_or_leaving(self) -> bool:
        return all(implies(self.held[o] or self.leaving[o], self.stored(o)) for o in Object)

    @step_rule
    def an_object_goes_only_when_nothing_holds_it(self, after: Registry) -> bool:
        return all(implies(self.stored(o) and after.version[o] == 0, not self.held[o])
                   for o in Object)

    @step_rule
    def deletion_is_never_undone(self, after: Registry) -> bool:
        return all(implies(self.leaving[o] and after.version[o] > 0, after.leaving[o])
                   for o in Object)

    @leads_to
    def a_leaked_place_is_freed(self, a: Place) -> tuple[bool, bool]:
        return (self.used[a] and not self.has_holder(a) and not self.in_hand(a),
                not self.used[a] or self.has_holder(a) or self.in_hand(a))

    @witness
    def a_held_object_is_leaving_and_another_has_a_place(self) -> bool:
        return any(self.leaving[o] and self.held[o] for o in Object) and any(
            self.has_holder(a) for a in Place)

    @mutant(replaces="replace", breaks="no_write_was_lost")
    def replace_whatever_is_there(self, o: Object, seen: Revision, at: Revision, keeps: bool,
                                  goes: bool, waits: bool) -> None:
        require(self.stored(o))
        require(implies(self.leaving[o], goes) and implies(goes, keeps or waits))
        limit(at == self.revision + 1 and self.standing_on(o, seen))
        self.revision = at
        self.version[o] = at
        self.held[o] = keeps
        self.leaving[o] = goes
        self.lost = self.lost or seen != self.version[o]

    @mutant(replaces="remove", breaks="an_object_goes_only_when_nothing_holds_it")
    def remove_in_spite_of_finalizers(self, o: Object, seen: Revision, drops: bool) -> None:
        require(self.stored(o))
        require(not any(self.holds[o, a] for a in Place))
        limit(self.standing_on(o, seen) and not drops)
        self.version[o] = 0
        self.held[o] = False
        self.leaving[o] = False

    @mutant(replaces="give_back", breaks="what_an_object_has_is_marked_as_used")
    def give_back_what_the_object_has_kept(self, r: Request, a: Place) -> None:
        require(self.hand[r, a] and self.used[a])
        self.used[a] = False

    @mutant(replaces="repair", breaks="what_an_object_has_is_marked_as_used")
    def repair_what_is_in_hand(self, a: Place) -> None:
        require(self.used[a] and not self.has_holder(a))
        self.used[a] = False

    @mutant(replaces="take", breaks="no_two_objects_have_one_place")
    def take_what_is_used(self, r: Request, a: Place) -> None:
        require(self.hand[r, a])
        self.used[a] = True
        self.mine[r, a] = True


SPEC = Registry
