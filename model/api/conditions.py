"""Conditions of a status: find, set, drop, by type.

Source: Kubernetes API conventions, "Typical status properties": a list keyed by type, whose
lastTransitionTime changes only when the status changes.
"""

from __future__ import annotations

from model.api.metadata import Condition

Conditions = tuple[Condition, ...]


def find(conditions: Conditions | None, type_: str) -> Condition | None:
    """The condition of a type, None when it is absent."""
    for condition in conditions or ():
        if condition.type == type_:
            return condition
    return None


def is_true(conditions: Conditions | None, type_: str) -> bool:
    """Whether the condition of a type is there and True."""
    found = find(conditions, type_)
    return found is not None and found.status == "True"


def set_condition(conditions: Conditions | None, new: Condition) -> Conditions:
    """The conditions with `new` in the place of the one of its type, else at the end.

    Where the status stays the same, the old lastTransitionTime is kept.
    """
    result = list(conditions or ())
    for index, old in enumerate(result):
        if old.type == new.type:
            if old.status == new.status:
                new = new._replace(last_transition_time=old.last_transition_time)
            result[index] = new
            return tuple(result)
    return (*result, new)


def drop_condition(conditions: Conditions | None, type_: str) -> Conditions:
    """The conditions without the one of a type."""
    return tuple(each for each in conditions or () if each.type != type_)
