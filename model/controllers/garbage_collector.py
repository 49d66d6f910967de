"""Garbage collection: what some owner holds stays, what none does goes, owners get what they chose.

Things name owners. A user may delete an owner in three ways: at once (its things are collected
later), in the foreground (it waits for them), or leaving orphans (they lose the reference and
stay). The collector reads a thing, asks for its owners, and deletes it in the state in which it was
read: the server refuses when it has changed since. Before it lets an owner go that leaves orphans,
it lists one collection after the other and takes the owner off everything that it found.

Not modelled: references under wrong coordinates (an owner is uid and coordinates together, so it is
another owner that is never there), owners that are things themselves (each layer is such a pair),
circles of owners that wait for each other, and which dependents block a waiting owner (all do).
The server's side is there when `server` is 1; the refinement of the implementation sets it to 0.
Source: Kubernetes documentation, "Garbage Collection"; kubernetes issues 26120, 65200, 114603.
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

OwnerState = Literal["live", "orphaning", "waiting", "gone"]
ThingState = Literal["absent", "live", "collected"]
Hand = Literal["nothing", "read", "deleting"]
Amount = Annotated[int, Between(0, "collections")]
HOLDING = ("live", "orphaning")


class Owner(Index, symmetric=True, short="o"):
    """An object by uid and coordinates."""


class Thing(Index, symmetric=True, short="t"):
    """An object that names owners."""


class Collection(Spec):
    """Owners, things, and what the collector knows of them."""

    collections = constant(2, short="c")
    server = constant(1)
    scopes = {"ci": {"Owner": 2, "Thing": 1, "collections": 1},
              "proof": {"Owner": 2, "Thing": 2, "collections": 2},
              "live": {"Owner": 1, "Thing": 1, "collections": 1}}

    owner: Map[Owner, OwnerState] = each("live")
    thing: Map[Thing, ThingState] = each("absent")
    kind: Map[Thing, Annotated[int, Between(0, "collections - 1")]] = each(0)
    names: Map[tuple[Thing, Owner], bool] = each(False)
    promised: Map[tuple[Thing, Owner], bool] = each(False)
    moved: Map[Thing, bool] = each(False)
    calm: bool = False

    lost: Map[Owner, bool] = each(False)
    hand: Map[Thing, Hand] = each("nothing")
    holds: Map[tuple[Thing, Owner], bool] = each(False)
    yields: Map[tuple[Thing, Owner], bool] = each(False)
    learning: Map[Owner, bool] = each(False)
    unlisted: Map[Owner, Amount] = each(0)
    found: Map[tuple[Thing, Owner], bool] = each(False)

    @define
    def loose(self, t: Thing, o: Owner) -> bool:
        return self.lost[o] or self.yields[t, o]

    @define
    def known_whole(self, t: Thing) -> bool:
        return self.moved[t] or all(self.holds[t, o] == self.names[t, o] for o in Owner)

    @define
    def weighed(self, t: Thing) -> bool:
        return all(self.holds[t, o] == self.names[t, o]
                   and implies(self.holds[t, o] and self.owner[o] not in HOLDING, self.loose(t, o))
                   for o in Owner)

    # ---- users --------------------------------------------------------------------------------

    @action
    def create(self, t: Thing, o: Owner, k: Annotated[int, Between(0, "collections - 1")]) -> None:
        """A thing appears that names one owner, in one of the collections."""
        require(not self.calm and self.thing[t] == "absent")
        self.thing[t] = "live"
        self.kind[t] = k
        self.names[t, o] = True

    @action
    def refer(self, t: Thing, o: Owner, wish: bool) -> None:
        """Somebody changes which owners a thing names."""
        require(not self.calm and self.thing[t] == "live" and self.names[t, o] != wish)
        self.names[t, o] = wish
        self.promised[t, o] = False
        self.moved[t] = True

    @action
    def end(self, o: Owner, how: OwnerState) -> None:
        """An owner is deleted: at once, in the foreground, or leaving orphans."""
        require(not self.calm and self.owner[o] == "live" and how != "live")
        self.owner[o] = how
        for t in Thing:
            self.promised[t, o] = (how == "orphaning" and self.names[t, o]
                                   and self.thing[t] == "live")

    # ---- the collector looks at a thing -------------------------------------------------------

    @action(fair="weak")
    def read(self, t: Thing) -> None:
        """It is read from the server, to be judged by what it names now."""
        require(self.hand[t] == "nothing")
        limit(self.thing[t] == "live")
        self.hand[t] = "read"
        if self.server == 1:
            self.moved[t] = False
        for o in Owner:
            self.holds[t, o] = False
            self.yields[t, o] = False

    @action(fair="weak")
    def remember(self, t: Thing, o: Owner) -> None:
        """The copy in hand names this owner."""
        require(self.hand[t] == "read" and not self.holds[t, o])
        limit(self.names[t, o] and not self.moved[t])
        self.holds[t, o] = True

    @action(fair="weak")
    def miss(self, o: Owner) -> None:
        """The server was asked for an owner, and it is not there: so it stays."""
        require(not self.lost[o])
        limit(self.owner[o] == "gone")
        self.lost[o] = True

    @action(fair="weak")
    def see_waiting(self, t: Thing, o: Owner) -> None:
        """An owner of the copy in hand is seen to wait for its things."""
        require(self.hand[t] == "read" and self.holds[t, o] and not self.yields[t, o])
        limit(self.owner[o] == "waiting")
        self.yields[t, o] = True

    @action(fair="strong")
    def delete(self, t: Thing) -> None:
        """Nobody holds the copy in hand: ask for its deletion."""
        require(self.hand[t] == "read")
        require(any(self.holds[t, o] for o in Owner))
        require(all(implies(self.holds[t, o], self.loose(t, o)) for o in Owner))
        limit(self.known_whole(t))
        self.hand[t] = "deleting"

    @action(fair="weak")
    def collect(self, t: Thing) -> None:
        """The server deletes it, in the state that was judged and in no other."""
        require(self.hand[t] == "deleting")
        limit(self.server == 1 and not self.moved[t])
        self.hand[t] = "nothing"
        self.thing[t] = "collected"
        for o in Owner:
            self.names[t, o] = False
            self.promised[t, o] = False
            self.holds[t, o] = False
            self.yields[t, o] = False

    @action(fair="weak")
    def drop(self, t: Thing) -> None:
        """The thing is put away: kept, changed meanwhile, or of unknown outcome. References to
        owners that do not hold it go where another owner does."""
        require(self.hand[t] != "nothing")
        limit(self.moved[t] or (self.hand[t] == "read" and self.weighed(t)
                                and any(self.holds[t, o] and self.owner[o] in HOLDING
                                        for o in Owner)))
        self.hand[t] = "nothing"
        for o in Owner:
            self.holds[t, o] = False
            self.yields[t, o] = False
            if self.server == 1 and not self.moved[t] and self.holds[t, o] and self.loose(t, o):
                self.names[t, o] = False
                self.promised[t, o] = False

    # ---- owners that wait, owners that leave orphans ------------------------------------------

    @action(fair="weak")
    def let_go(self, o: Owner) -> None:
        """A waiting owner goes when nothing that blocks it is left."""
        require(self.owner[o] == "waiting")
        require(all(not self.names[t, o] for t in Thing))
        self.owner[o] = "gone"

    @action(fair="weak")
    def begin(self, o: Owner, number: Amount) -> None:
        """An owner that leaves orphans: first all collections are listed."""
        require(not self.learning[o])
        limit(self.owner[o] == "orphaning" and number == self.collections)
        self.learning[o] = True
        self.unlisted[o] = number

    @action(fair="weak")
    def find(self, t: Thing, o: Owner) -> None:
        """A list shows a thing that names the owner."""
        require(self.learning[o] and self.unlisted[o] > 0 and not self.found[t, o])
        limit(self.names[t, o] and self.kind[t] == self.unlisted[o] - 1)
        self.found[t, o] = True

    @action(fair="weak")
    def listed(self, o: Owner) -> None:
        """A list is done: what is in that collection and names the owner was found."""
        require(self.learning[o] and self.unlisted[o] > 0)
        limit(all(implies(self.names[t, o] and self.kind[t] == self.unlisted[o] - 1,
                          self.found[t, o]) for t in Thing))
        self.unlisted[o] -= 1

    @action(fair="weak")
    def release(self, t: Thing, o: Owner) -> None:
        """The owner is taken off a thing."""
        require(self.learning[o] and self.unlisted[o] == 0 and self.found[t, o])
        self.found[t, o] = False
        if self.server == 1:
            self.names[t, o] = False
            self.promised[t, o] = False
            self.moved[t] = True

    @action(fair="weak")
    def finish(self, o: Owner) -> None:
        """Everything that was found is released: the owner goes."""
        require(self.learning[o] and self.unlisted[o] == 0)
        require(all(not self.found[t, o] for t in Thing))
        self.learning[o] = False
        if self.server == 1:
            self.owner[o] = "gone"

    @action
    def give_up(self, o: Owner) -> None:
        """A request failed: what was learnt counts for nothing."""
        require(not self.calm and self.learning[o])
        self.learning[o] = False
        self.unlisted[o] = 0
        for t in Thing:
            self.found[t, o] = False

    @action
    def crash(self) -> None:
        """The process dies and forgets."""
        require(not self.calm)
        for o in Owner:
            self.lost[o] = False
            self.learning[o] = False
            self.unlisted[o] = 0
        for t in Thing:
            self.hand[t] = "nothing"
            for o in Owner:
                self.holds[t, o] = False
                self.yields[t, o] = False
                self.found[t, o] = False

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nothing changes by itself."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    # ---- what holds ---------------------------------------------------------------------------

    @step_rule
    def only_what_nobody_holds_is_collected(self, after: Collection) -> bool:
        return all(implies(self.thing[t] == "live" and after.thing[t] == "collected",
                           any(self.names[t, o] for o in Owner)
                           and all(implies(self.names[t, o], self.owner[o] not in HOLDING)
                                   for o in Owner)) for t in Thing)

    @invariant
    def an_owner_that_leaves_orphans_goes_after_it_was_taken_off(self) -> bool:
        return all(implies(self.owner[o] == "gone", not self.promised[t, o])
                   for t in Thing for o in Owner)

    @lemma
    def an_owner_that_is_missed_is_gone(self) -> bool:
        return all(implies(self.lost[o], self.owner[o] == "gone")
                   and all(implies(self.yields[t, o], self.owner[o] in ("waiting", "gone"))
                           for t in Thing) for o in Owner)

    @lemma
    def a_copy_in_hand_is_what_is_there_unless_it_moved(self) -> bool:
        return all(implies(self.hand[t] == "read" and not self.moved[t] and self.holds[t, o],
                           self.names[t, o])
                   and implies(self.hand[t] == "nothing", not self.holds[t, o])
                   and implies(self.yields[t, o], self.holds[t, o])
                   and implies(self.hand[t] == "deleting" and not self.moved[t],
                               self.holds[t, o] == self.names[t, o]
                               and implies(self.holds[t, o], self.loose(t, o)))
                   for t in Thing for o in Owner)

    @lemma
    def what_is_deleted_named_an_owner(self) -> bool:
        return all(implies(self.hand[t] == "deleting" and not self.moved[t],
                           any(self.names[t, o] for o in Owner)) for t in Thing)

    @lemma
    def only_what_is_there_is_in_hand(self) -> bool:
        return all(implies(self.hand[t] != "nothing", self.thing[t] == "live")
                   and all(implies(self.names[t, o], self.thing[t] == "live") for o in Owner)
                   for t in Thing)

    @lemma
    def what_was_promised_and_is_listed_was_found(self) -> bool:
        return all(implies(self.promised[t, o],
                           self.owner[o] == "orphaning" and self.names[t, o])
                   and implies(self.promised[t, o] and self.learning[o]
                               and self.kind[t] >= self.unlisted[o], self.found[t, o])
                   for t in Thing for o in Owner) if self.server == 1 else True

    @lemma
    def only_an_orphaning_owner_is_learnt_about(self) -> bool:
        return all(implies(self.learning[o], self.owner[o] == "orphaning")
                   and implies(not self.learning[o], self.unlisted[o] == 0
                               and all(not self.found[t, o] for t in Thing)) for o in Owner)

    @leads_to
    def what_nobody_holds_goes(self, t: Thing) -> tuple[bool, bool]:
        return (self.calm and any(self.names[t, o] for o in Owner)
                and all(implies(self.names[t, o], self.owner[o] == "gone") for o in Owner),
                self.thing[t] == "collected")

    @leads_to
    def an_owner_that_is_deleted_goes(self, o: Owner) -> tuple[bool, bool]:
        return self.calm and self.owner[o] != "live", self.owner[o] == "gone"

    @witness
    def a_thing_is_collected_while_another_owner_lives(self) -> bool:
        return (any(self.thing[t] == "collected" for t in Thing)
                and any(self.owner[o] == "live" for o in Owner))

    @witness
    def an_orphan_stays(self) -> bool:
        return any(self.owner[o] == "gone" and not self.calm for o in Owner) and any(
            self.thing[t] == "live" and all(not self.names[t, o] for o in Owner) for t in Thing)

    @mutant(replaces="collect", breaks="only_what_nobody_holds_is_collected")
    def collect_in_any_state(self, t: Thing) -> None:
        """The deletion names the uid alone."""
        require(self.hand[t] == "deleting")
        self.hand[t] = "nothing"
        self.thing[t] = "collected"
        for o in Owner:
            self.names[t, o] = False
            self.promised[t, o] = False
            self.holds[t, o] = False
            self.yields[t, o] = False

    @mutant(replaces="begin", breaks="an_owner_that_leaves_orphans_goes_after_it_was_taken_off")
    def begin_with_what_is_known(self, o: Owner, number: Amount) -> None:
        """Only what the caches show of the dependents counts: here nothing yet."""
        require(not self.learning[o] and self.owner[o] == "orphaning" and number == 0)
        self.learning[o] = True


SPEC = Collection
