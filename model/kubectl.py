"""The rule of the client: a command that deletes ends when what it deleted has ended.

A thing stands for one object by its uid; a name may be borne by one thing after another. Not
modelled: requests and their answers (a client asks as often as it likes), commands that only read
or create (they wait for nothing), tables (a pure function with an oracle of its own in
properties/kubectl.py), and time: a client may give up at any moment, as a timeout makes it do. That
is sound for the rule here, which orders the end of things and what is told of it.
"""

from __future__ import annotations

from typing import Literal

from model.kernel.spec.language import (
    Index,
    Map,
    Spec,
    action,
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

Life = Literal["unborn", "there", "gone"]


class Thing(Index, symmetric=True, short="t"):
    """An object of the cluster, by uid."""


class Kubectl(Spec):
    """A delete waits for the uid that it deleted, whatever bears the name by then."""

    scopes = {"ci": {"Thing": 2}, "proof": {"Thing": 2}}

    life: Map[Thing, Life] = each("unborn")
    waits: Map[Thing, bool] = each(False)
    told: Map[Thing, bool] = each(False)
    busy: bool = False

    @action
    def be_born(self, t: Thing) -> None:
        require(self.life[t] == "unborn")
        self.life[t] = "there"

    @action
    def vanish(self, t: Thing) -> None:
        require(self.life[t] == "there")
        self.life[t] = "gone"

    @action(fair="weak")
    def go_as_asked(self, t: Thing) -> None:
        require(self.life[t] == "there" and self.waits[t])
        self.life[t] = "gone"

    @action
    def begin(self) -> None:
        require(not self.busy)
        self.busy = True
        for t in Thing:
            self.told[t] = False

    @action
    def delete(self, t: Thing) -> None:
        require(self.busy and not self.waits[t] and not self.told[t])
        require(self.life[t] != "unborn")
        self.waits[t] = True

    @action(fair="weak")
    def see_it_gone(self, t: Thing) -> None:
        require(self.waits[t] and self.life[t] == "gone")
        self.waits[t] = False
        self.told[t] = True

    @action
    def give_up(self, t: Thing) -> None:
        require(self.waits[t])
        self.waits[t] = False

    @action(fair="weak")
    def finish(self) -> None:
        require(self.busy and not any(self.waits[t] for t in Thing))
        self.busy = False

    @action
    def break_off(self) -> None:
        require(self.busy)
        self.busy = False
        for t in Thing:
            self.waits[t] = False

    @invariant
    def what_is_told_to_be_gone_is_gone(self) -> bool:
        return all(implies(self.told[t], self.life[t] == "gone") for t in Thing)

    @invariant
    def nothing_waits_without_a_command(self) -> bool:
        return all(implies(self.waits[t], self.busy) for t in Thing)

    @lemma
    def only_what_was_there_is_waited_for(self) -> bool:
        return all(implies(self.waits[t], self.life[t] != "unborn") for t in Thing)

    @step_rule
    def what_is_gone_stays_gone(self, after: Kubectl) -> bool:
        return all(implies(self.life[t] == "gone", after.life[t] == "gone") for t in Thing)

    @leads_to
    def every_wait_ends(self, t: Thing) -> tuple[bool, bool]:
        return self.waits[t], not self.waits[t]

    @witness
    def two_things_have_been_seen_to_go(self) -> bool:
        return any(any(self.told[t] and self.told[o] and t != o for o in Thing) for t in Thing)

    @mutant(replaces="see_it_gone", breaks="what_is_told_to_be_gone_is_gone")
    def the_first_look_is_believed(self, t: Thing) -> None:
        require(self.waits[t])
        self.waits[t] = False
        self.told[t] = True

    @mutant(replaces="see_it_gone", breaks="every_wait_ends")
    def the_name_must_be_free(self, t: Thing) -> None:
        require(self.waits[t] and not any(self.life[o] == "there" for o in Thing))
        self.waits[t] = False
        self.told[t] = True


SPEC = Kubectl
