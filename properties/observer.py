"""What an observer with a queue promises, how its steps map to its spec, and seeded bugs.

Source: client-go, tools/cache; kubernetes issues 83810, 115658.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from model.api.requests import Reply, WatchEvent
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes
from model.kernel.refine import Derived, refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from model.observer import SPEC
from properties.reading import KV, objects, title
from reference_impl.lib import delta_fifo
from reference_impl.lib.delta_fifo import DeltaFifo
from reference_impl.observer import RESOURCE, State

NAME = "observer"
WHOLE = Part(NAME)


@leads_to(within_ms=600_000, reads=(KV, WHOLE), why="whoever reads the store acts on what it holds")
def the_observer_knows_what_is_there(world: World) -> str | None:
    """In the end the store holds the stored objects, and no others."""
    local: State = world[NAME]
    there = {title(obj) for obj in objects(world, RESOURCE)}
    known = set(local.store)
    if there == known:
        return None
    return (f"the observer misses {sorted(there - known)} and holds {sorted(known - there)},"
            " which is not there")


@sometimes(reads=(WHOLE,), why="an empty queue cannot get anything wrong")
def a_list_meets_a_queue_that_waits(world: World) -> bool:
    """It lists while something is queued."""
    local: State = world[NAME]
    return local.phase == "listing" and bool(local.fifo.order)


_QUEUED: Derived[str, Any] = Derived(
    lambda key, deltas: (key, "gone" if deltas[-1].type == "deleted" else "there"))
_STORE: Derived[str, Any] = Derived(lambda key, obj: (key, True))


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    return {"exists": EMPTY, "untold": EMPTY, "broken": False, "calm": False,
            "queued": _QUEUED.of(local.fifo.items), "store": _STORE.of(local.store)}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the observer is in the words of the spec."""
    if step.action.verb == "restart":
        return (Label("crash"),)
    old: State = step.before[NAME]
    if step.action.verb == "timer":
        return (Label("apply", (old.fifo.order[0],)),)
    return tuple(received(old, step.message.body)) if step.message is not None else ()


def received(old: State, body: Any) -> Iterator[Label]:
    """A list, or an event of the stream."""
    if type(body) is Reply and body.code < 400:
        listed = {title(obj) for obj in body.body.items}
        for key in sorted({*listed, *old.store, *old.fifo.items}):
            yield Label("list_one", (key, key in listed))
    elif type(body) is WatchEvent and body.type in ("ADDED", "MODIFIED", "DELETED"):
        yield Label("tell", (title(body.object), body.type != "DELETED"))


REFINEMENT = refinement(
    "lists_and_events_are_queued_as_the_spec_allows", SPEC, reads=(WHOLE,), state=state,
    labels=labels, constants={"server": 0},
    why="what a queue drops is never applied")

PROPERTIES: tuple[Property, ...] = (
    the_observer_knows_what_is_there, a_list_meets_a_queue_that_waits, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------

_REPLACE = delta_fifo.replace


def only_what_is_applied_is_known(fifo: DeltaFifo, listed: Mapping[str, Any],
                                  store: FrozenMap[str, Any]) -> dict[str, Any]:
    """What waits in the queue is not looked at."""
    return {key: store[key] for key in sorted(store) if key not in listed}


def a_listed_object_is_the_old_one(fifo: DeltaFifo, listed: Mapping[str, Any],
                                   store: FrozenMap[str, Any]) -> DeltaFifo:
    """A list is taken for a resync, which says nothing new about what is queued as deleted."""
    dropped = {key for key, deltas in fifo.items.items() if deltas[-1].type == "deleted"}
    return _REPLACE(fifo, {key: obj for key, obj in listed.items() if key not in dropped}, store)


HOME = "reference_impl.lib.delta_fifo"
MUTANTS = (
    Mutant("relist-ghost-object-in-queue", "relist-ghost-object-in-queue",
           "lists_and_events_are_queued_as_the_spec_allows",
           ((f"{HOME}:vanished", only_what_is_applied_is_known),), scenario="observer",
           faults="crash"),
    Mutant("replace-sync-after-delete-dropped", "replace-sync-after-delete-dropped",
           "lists_and_events_are_queued_as_the_spec_allows",
           ((f"{HOME}:replace", a_listed_object_is_the_old_one),), scenario="observer",
           faults="crash"),
)
