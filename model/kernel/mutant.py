"""Seeded bugs: a property that catches none is doubted.

A mutant replaces attributes of classes or modules while it is installed. Systems that are built
inside the `with` are buggy; afterwards everything is as it was.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Mutant(NamedTuple):
    """One seeded bug.

    `bug`: its id in the catalogue of historical bugs, or a sentence. `caught_by`: the property or
    refinement that must catch it. `replaces`: ("module:qualified.name", replacement) pairs, named
    where the attribute is looked up. `scenario` is where it shows; `faults` which kinds it needs.
    """

    name: str
    bug: str
    caught_by: str
    replaces: tuple[tuple[str, Any], ...]
    scenario: str = "worked-example"
    faults: str = "none"

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put the bug in for the time of the `with`."""
        undo: list[tuple[Any, str, Any]] = []
        try:
            for target, replacement in self.replaces:
                owner, attribute = _owner(target)
                # Read through __dict__ so that static and class methods come back as they were.
                undo.append((owner, attribute, vars(owner)[attribute]))
                setattr(owner, attribute, replacement)
            yield
        finally:
            for owner, attribute, original in reversed(undo):
                setattr(owner, attribute, original)


def _owner(target: str) -> tuple[Any, str]:
    module, _, path = target.partition(":")
    *parents, attribute = path.split(".")
    owner = functools.reduce(getattr, parents, importlib.import_module(module))
    return owner, attribute
