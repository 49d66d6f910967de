"""Derived maps between distant worlds."""

from __future__ import annotations

from model.kernel.refine import Derived
from model.kernel.values import FrozenMap


def test_a_derived_key_that_moves_to_another_key_is_kept() -> None:
    """In one world `p` has the identity x, in another `a` has it."""
    derived: Derived[str, str] = Derived(lambda key, identity: (identity, key))
    first = derived.of(FrozenMap([("p", "x")]))
    assert dict(first.items()) == {"x": "p"}
    second = derived.of(FrozenMap([("a", "x")]))
    assert dict(second.items()) == {"x": "a"}
