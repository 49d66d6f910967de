"""The world is a value: forked by assignment, hashed incrementally, compared by content.

Derived parts (what is ready) are kept up to date by the system and take no part in comparison.
"""

from __future__ import annotations

from typing import Any

from model.kernel.component import Step
from model.kernel.fault import Budget
from model.kernel.values import FrozenMap

Channel = tuple[str, str]
Timer = tuple[int, str]

UP, CRASHED, CRASHED_WITH_MACHINE, DOWN = range(4)
IDLE = "idle:"


class Slot:
    """One component's share of a world. Immutable; `replace` by building a new one.

    `inbox`: channel (source, lane) -> queued bodies, oldest first. `timers`: (due on the
    component's clock, key), sorted. `status`: UP, CRASHED (restart is offered), or DOWN with its
    machine. Derived: `waiting` channels that can be delivered, own `steps`, `due` (how many timers
    may fire now) and `ready`, the number of actions this slot offers.
    """

    __slots__ = ("_hash", "due", "inbox", "local", "ready", "skew", "status", "steps", "timers",
                 "waiting")

    def __init__(self, local: Any, inbox: FrozenMap[Channel, tuple[Any, ...]],
                 timers: tuple[Timer, ...], status: int, skew: int,
                 waiting: tuple[Channel, ...], steps: tuple[Step, ...], due: int) -> None:
        self.local = local
        self.inbox = inbox
        self.timers = timers
        self.status = status
        self.skew = skew
        self.waiting = waiting
        self.steps = steps
        self.due = due
        self._hash: int | None = None
        if status == UP:
            self.ready = len(waiting) + due + len(steps)
        else:
            self.ready = 0 if status == DOWN else 1

    def __hash__(self) -> int:
        digest = self._hash
        if digest is None:
            digest = self._hash = hash((self.local, self.inbox, self.timers, self.status,
                                        self.skew))
        return digest

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Slot) or hash(self) != hash(other):
            return False
        return (self.local == other.local and self.inbox == other.inbox
                and self.timers == other.timers and self.status == other.status
                and self.skew == other.skew)

    def __reduce__(self) -> tuple[Any, ...]:
        return Slot, (self.local, self.inbox, self.timers, self.status, self.skew, self.waiting,
                      self.steps, self.due)


def slot_with(slot: Slot, **changes: Any) -> Slot:
    """A copy of `slot` with some of its parts changed."""
    return Slot(slot.local, changes.get("inbox", slot.inbox), changes.get("timers", slot.timers),
                changes.get("status", slot.status), changes.get("skew", slot.skew),
                changes.get("waiting", slot.waiting), slot.steps, changes.get("due", slot.due))


class World:
    """Everything that can change. `world["etcd"]` is the local state of a component.

    `now`: milliseconds of the logical clock. `slots`: one a component, in the system's order.
    `budget`: faults left by kind. `isolated`: hosts cut off from the others. `script`: position in
    each session of the scenario's script. Derived: `ready`, the indices of slots that offer
    something, and `total`, how many actions they offer.
    """

    __slots__ = ("_hash", "budget", "isolated", "names", "now", "ready", "script", "slots", "total")

    def __init__(self, now: int, slots: tuple[Slot, ...], budget: Budget,
                 isolated: tuple[str, ...], script: tuple[int, ...], names: dict[str, int],
                 ready: tuple[int, ...], total: int) -> None:
        self.now = now
        self.slots = slots
        self.budget = budget
        self.isolated = isolated
        self.script = script
        self.names = names
        self.ready = ready
        self.total = total
        self._hash: int | None = None

    def __getitem__(self, name: str) -> Any:
        return self.slots[self.names[name]].local

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def status(self, name: str) -> int:
        """UP, CRASHED, CRASHED_WITH_MACHINE or DOWN."""
        return self.slots[self.names[name]].status

    def quiet(self) -> bool:
        """Nothing is ready and only periodic upkeep will ever become so by itself."""
        return self.total == 0 and all(
            key.startswith(IDLE) for slot in self.slots if slot.status == UP
            for _, key in slot.timers)

    def __hash__(self) -> int:
        digest = self._hash
        if digest is None:
            digest = self._hash = hash((self.now, tuple(map(hash, self.slots)), self.budget,
                                        self.isolated, self.script))
        return digest

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, World) or hash(self) != hash(other):
            return False
        return (self.now == other.now and self.slots == other.slots
                and self.budget == other.budget and self.isolated == other.isolated
                and self.script == other.script)

    def __reduce__(self) -> tuple[Any, ...]:
        return World, (self.now, self.slots, self.budget, self.isolated, self.script, self.names,
                       self.ready, self.total)
