"""Namespaces: one that is gone is empty, one that is ending goes.

The server admits content while the namespace is active; what was admitted may be stored later. The
controller waits, sweeps one collection after the other, and lets the namespace go only when a whole
sweep found nothing. What it deletes may stay for a while (grace periods, finalizers).

The server side is there when `server` is 1; the refinement of the implementation sets it to 0 and
checks in which order the controller does what.

Not modelled: which object is where in a collection, the status (it is written between the sweep and
the release and decides nothing), and how long things stay. Source: Kubernetes documentation,
"Namespaces walkthrough"; kubernetes issues 36891 (content admitted before the end and stored after
the sweep), 93790.
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
    witness,
)

Phase = Literal["active", "ending", "gone"]
Stage = Literal["absent", "admitted", "stored", "leaving"]
Doing = Literal["nothing", "sweeping", "releasing"]
Wait = Annotated[int, Between(0, "hold_off")]


class Namespace(Index, symmetric=True, short="n"):
    """A namespace."""


class Thing(Index, symmetric=True, short="o"):
    """An object in a namespace."""


class NamespaceEnd(Spec):
    """Content, phases, and a controller that sweeps."""

    collections = constant(2, short="c")
    hold_off = constant(1)
    failures = constant(1)
    server = constant(1)
    scopes = {"ci": {"Namespace": 1, "Thing": 2, "collections": 2},
              "proof": {"Namespace": 2, "Thing": 2, "collections": 2}}

    phase: Map[Namespace, Phase] = each("active")
    stage: Map[Thing, Stage] = each("absent")
    place: Map[Thing, Namespace | None] = each(None)
    collection: Map[Thing, Annotated[int, Between(0, "collections - 1")]] = each(0)
    failed: Annotated[int, Between(0, "failures")] = 0

    doing: Map[Namespace, Doing] = each("nothing")
    next: Map[Namespace, Annotated[int, Between(0, "collections")]] = each(0)
    found: Map[Namespace, bool] = each(False)

    @define
    def empty(self, n: Namespace) -> bool:
        return all(self.place[o] != n for o in Thing)

    @action
    def admit(self, o: Thing, n: Namespace, c: Annotated[int, Between(0, "collections - 1")]
              ) -> None:
        """A creation passes admission while the namespace is active."""
        limit(self.server == 1)
        require(self.stage[o] == "absent" and self.phase[n] == "active")
        self.stage[o] = "admitted"
        self.place[o] = n
        self.collection[o] = c

    @action(fair="weak")
    def store(self, o: Thing) -> None:
        require(self.stage[o] == "admitted")
        self.stage[o] = "stored"

    @action
    def remove(self, o: Thing) -> None:
        """Somebody else deletes it."""
        require(self.stage[o] == "stored")
        self.stage[o] = "absent"
        self.place[o] = None

    @action(fair="weak")
    def leave(self, o: Thing) -> None:
        """What was deleted is gone: its grace period is over, its finalizers are off."""
        require(self.stage[o] == "leaving")
        self.stage[o] = "absent"
        self.place[o] = None

    @action
    def end(self, n: Namespace) -> None:
        """A user deletes the namespace."""
        limit(self.server == 1)
        require(self.phase[n] == "active")
        self.phase[n] = "ending"

    @action(fair="weak")
    def begin(self, n: Namespace, waited: Wait) -> None:
        """A sweep begins, so long after the deletion that what was admitted before is stored."""
        require(self.doing[n] == "nothing" and waited >= self.hold_off)
        limit(self.phase[n] == "ending")
        limit(all(self.stage[o] != "admitted" for o in Thing if self.place[o] == n))
        self.doing[n] = "sweeping"
        self.next[n] = 0
        self.found[n] = False

    @action(fair="weak")
    def look(self, n: Namespace, something: bool) -> None:
        """One collection is deleted; was anything in it, and did it stay?"""
        require(self.doing[n] == "sweeping" and self.next[n] < self.collections)
        limit(implies(any(self.place[o] == n and self.collection[o] == self.next[n]
                          for o in Thing), something))
        limit(implies(something, any(self.place[o] == n and self.collection[o] == self.next[n]
                                     for o in Thing)))
        self.found[n] = self.found[n] or something
        self.next[n] += 1
        for o in Thing:
            if (self.place[o] == n and self.collection[o] == self.next[n]
                    and self.stage[o] == "stored"):
                self.stage[o] = "leaving"

    @action(fair="weak")
    def judge(self, n: Namespace) -> None:
        """After the last collection: let it go, or look again later."""
        require(self.doing[n] == "sweeping" and self.next[n] == self.collections)
        self.doing[n] = "nothing" if self.found[n] else "releasing"
        self.next[n] = 0
        self.found[n] = False

    @action(fair="weak")
    def release(self, n: Namespace) -> None:
        """The finalizer goes, and with it the namespace."""
        require(self.doing[n] == "releasing")
        self.doing[n] = "nothing"
        if self.server == 1:
            self.phase[n] = "gone"

    @action
    def give_up(self, n: Namespace) -> None:
        """A request of the sweep failed: nothing of it counts."""
        require(self.doing[n] != "nothing")
        limit(self.failed < self.failures)
        self.doing[n] = "nothing"
        self.next[n] = 0
        self.found[n] = False
        if self.server == 1:
            self.failed += 1

    @invariant
    def a_namespace_that_is_gone_is_empty(self) -> bool:
        return all(implies(self.phase[n] == "gone", self.empty(n)) for n in Namespace)

    @lemma
    def only_an_ending_namespace_is_swept(self) -> bool:
        return all(implies(self.doing[n] != "nothing", self.phase[n] == "ending")
                   for n in Namespace)

    @lemma
    def nothing_is_under_way_while_a_namespace_is_swept(self) -> bool:
        return all(implies(self.place[o] == n and self.doing[n] != "nothing",
                           self.stage[o] != "admitted") for o in Thing for n in Namespace)

    @lemma
    def what_was_swept_and_found_empty_is_empty(self) -> bool:
        return all(implies(self.place[o] == n and self.doing[n] == "sweeping"
                           and not self.found[n], self.collection[o] >= self.next[n])
                   and implies(self.place[o] == n, self.doing[n] != "releasing")
                   for o in Thing for n in Namespace)

    @lemma
    def an_object_has_a_place_while_it_exists(self) -> bool:
        return all((self.stage[o] == "absent") == (self.place[o] is None) for o in Thing)

    @leads_to
    def an_ending_namespace_goes(self, n: Namespace) -> tuple[bool, bool]:
        return self.phase[n] == "ending", self.phase[n] == "gone"

    @witness
    def a_namespace_went_after_it_had_to_wait_for_its_content(self) -> bool:
        return any(self.phase[n] == "ending" and self.doing[n] == "nothing"
                   and any(self.stage[o] == "leaving" for o in Thing) for n in Namespace)

    @mutant(replaces="begin", breaks="nothing_is_under_way_while_a_namespace_is_swept")
    def begin_at_once(self, n: Namespace, waited: Wait) -> None:
        require(self.doing[n] == "nothing" and self.phase[n] == "ending" and waited == 0)
        self.doing[n] = "sweeping"
        self.next[n] = 0
        self.found[n] = False

    @mutant(replaces="judge", breaks="a_namespace_that_is_gone_is_empty")
    def judge_one_sweep_to_be_enough(self, n: Namespace) -> None:
        require(self.doing[n] == "sweeping" and self.next[n] == self.collections)
        self.doing[n] = "releasing"
        self.next[n] = 0
        self.found[n] = False


SPEC = NamespaceEnd
