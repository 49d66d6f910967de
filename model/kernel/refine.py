"""Refinement: every step of a component is a step of its spec, or changes nothing the spec sees.

`refinement(...)` makes a property of kind "refines". It maps worlds to states of the spec, and a
transition to the label (action and parameters) that the spec would have taken; the oracle of the
spec language then evaluates just that guard and the changed variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from model.kernel.property import Part, Property
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World

if TYPE_CHECKING:
    from model.kernel.spec.oracle import Oracle

K = TypeVar("K")
V = TypeVar("V")

State = Mapping[str, Any]


class Derived(Generic[K, V]):
    """A map of the spec's state, derived entry by entry from a map of the world.

    `entry(key, value)` gives the derived (key, value) or None for no entry. Asking for the map of
    a world that is a few writes from the last one asked costs those few entries; unchanged sources
    give the identical object. The last two are kept, since a transition has two sides.
    """

    def __init__(self, entry: Callable[[K, V], tuple[Any, Any] | None]) -> None:
        self._entry = entry
        self._source: FrozenMap[K, V] = EMPTY
        self._result: FrozenMap[Any, Any] = EMPTY
        self._earlier: tuple[FrozenMap[K, V], FrozenMap[Any, Any]] = (EMPTY, EMPTY)

    def of(self, source: FrozenMap[K, V]) -> FrozenMap[Any, Any]:
        """The derived map of `source`."""
        if source is self._source:
            return self._result
        if source is self._earlier[0]:
            return self._earlier[1]
        result = self._result
        fresh = []
        for key, old, new in self._source.diff(source):
            before = None if old is None else self._entry(key, old)
            after = None if new is None else self._entry(key, new)
            if before == after:
                continue
            if before is not None and (after is None or after[0] != before[0]):
                result = result.drop(before[0])
            if after is not None:
                fresh.append(after)
        # All drops come first: between two distant worlds a derived key may move to another key.
        for entry in fresh:
            result = result.set(*entry)
        self._source, self._result = source, result
        return result


def refinement(name: str, spec: type, *, reads: Iterable[Part], state: Callable[[World], State],
               labels: Callable[[Transition], Any], why: str,
               constants: Mapping[str, int] | None = None,
               narrow: Callable[[Transition, State, State], tuple[State, State]] | None = None,
               ) -> Property:
    """The property that each step which changes `reads` is a step of `spec` or a stutter.

    `state(world)` gives every variable of the spec (maps as the identical object while nothing
    changed: see `Derived`). `labels(transition)` gives the labels taken, in order: () for a
    stutter; a list of such tuples when one of several must fit (a lost reply, a hidden choice).
    `constants` replace defaults of the spec. `narrow(transition, before, after)` may leave entries
    out that a step neither reads nor changes. The spec is parsed at the first check.
    """
    oracles: list[Oracle] = []

    def check(step: Transition) -> str | None:
        if not oracles:
            from model.kernel.spec.oracle import Oracle  # parsed on use: start-up counts
            oracles.append(Oracle(spec.module(), dict(constants or {})))  # type: ignore[attr-defined]  # every Spec has it
        before, after = state(step.before), state(step.after)
        if narrow is not None:
            before, after = narrow(step, before, after)
        proposed = labels(step)
        wrong: str | None = None
        for choice in proposed if isinstance(proposed, list) else [proposed]:
            wrong = oracles[0].check(before, choice, after)
            if wrong is None:
                return None
        return wrong

    return Property(name, "refines", check, tuple(reads), why)
