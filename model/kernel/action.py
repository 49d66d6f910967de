"""An action: who moves, how, with which scalars. What a driver chooses and a trace stores."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from model.kernel.errors import InputError

Scalar = str | int


class Action(NamedTuple):
    """One atomic step of a system.

    `actor` is a component's name, or `clock`, or `fault`; `verb` one of the actor's verbs
    (`deliver`, `timer`, `restart` for every component, else its own); `args` are scalars, so that
    an action is a line of text.
    """

    actor: str
    verb: str
    args: tuple[Scalar, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.actor, self.verb, *map(str, self.args)))


def to_json(action: Action) -> str:
    """The action as one line of JSON: a list of actor, verb and arguments."""
    return json.dumps([action.actor, action.verb, *action.args], ensure_ascii=False)


def from_json(value: Any, where: str = "") -> Action:
    """The action that `to_json` wrote, from the decoded value. InputError when it is none."""
    if not isinstance(value, list) or len(value) < 2:
        raise InputError("an action is a list of actor, verb and arguments", where=where,
                         fix='for example ["clock", "advance"]')
    actor, verb, *args = value
    if not isinstance(actor, str) or not isinstance(verb, str):
        raise InputError("actor and verb of an action are strings", where=where)
    for arg in args:
        if isinstance(arg, bool) or not isinstance(arg, (str, int)):
            raise InputError(f"argument {arg!r} of an action is no string or integer", where=where)
    return Action(actor, verb, tuple(args))
