"""Property kinds, and the checker that evaluates only what a step can have changed.

A property is a function with a name that is a sentence. It declares which parts of the world it
reads and is skipped while they are the identical objects; a property of single entries of a map is
handed just the entries that changed. `Checker.full` evaluates everything on a whole world: it is
the oracle of the deltas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from model.kernel.action import Action
from model.kernel.system import System, Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World


class Part(NamedTuple):
    """What a property reads: the attribute `path` of the local state of `component`.

    A component that ends in `/*` means all of that family ("kubelet/*"), which may be empty. An
    empty path is the whole local state. A property that reads a component which a system does not
    have says nothing about that system, and is left out.
    """

    component: str
    path: str = ""


class Violation(NamedTuple):
    """A property that does not hold: its name, and what is wrong with names and numbers."""

    property: str
    message: str


class Property(NamedTuple):
    """One property; `kind`: always, each, step, refines, sometimes or leads_to; `why` it matters.

    For `each`, `of` is the map whose entries are checked and `prefix` what their keys start with.
    For `leads_to`, `within_ms` bounds the logical time between the end of faults and the goal.
    """

    name: str
    kind: str
    check: Callable[..., Any]
    reads: tuple[Part, ...]
    why: str
    of: Part | None = None
    prefix: str = ""
    within_ms: int = 0

    @property
    def sentence(self) -> str:
        """The name as a sentence."""
        return self.name.replace("_", " ")


Check = Callable[..., Any]


def always(*, reads: Iterable[Part], why: str) -> Callable[[Check], Property]:
    """An invariant: `f(world) -> str | None`."""
    return lambda f: Property(f.__name__, "always", f, tuple(reads), why)


def each(*, of: Part, why: str, prefix: str = "",
         reads: Iterable[Part] = ()) -> Callable[[Check], Property]:
    """An invariant of single entries: `f(world, key, old, new) -> str | None`.

    `old` is None for a new entry and in a full scan, `new` is None for one that went. When one of
    `reads` changed, every entry is checked again.
    """
    return lambda f: Property(f.__name__, "each", f, (of, *reads), why, of, prefix)


def step_rule(*, reads: Iterable[Part], why: str) -> Callable[[Check], Property]:
    """A rule for single steps: `f(before, action, after) -> str | None`."""
    return lambda f: Property(f.__name__, "step", f, tuple(reads), why)


def sometimes(*, reads: Iterable[Part], why: str) -> Callable[[Check], Property]:
    """A witness against vacuity: `f(world) -> bool` must hold in some reachable world."""
    return lambda f: Property(f.__name__, "sometimes", f, tuple(reads), why)


def leads_to(*, within_ms: int, reads: Iterable[Part], why: str) -> Callable[[Check], Property]:
    """A goal: `f(world) -> str | None` names what is pending; None within the bound, and stays."""
    return lambda f: Property(f.__name__, "leads_to", f, tuple(reads), why, within_ms=within_ms)


class _Jobs(NamedTuple):
    """What to evaluate when parts of one slot changed: `read` gives the parts of a local state;
    for each part, properties of its changed entries, and properties to evaluate once."""

    read: Callable[[Any], tuple[Any, ...]]
    parts: tuple[tuple[tuple[Property, ...], tuple[Property, ...]], ...]


class Checker:
    """Evaluates properties along the transitions of one system.

    `seen` collects the names of the `sometimes` properties that have held. `check` returns the
    violations of one transition; most transitions cost a few attribute comparisons.
    """

    def __init__(self, system: System, properties: Iterable[Property]) -> None:
        self.system = system
        self.properties = tuple(
            prop for prop in properties if all(
                part.component.endswith("/*") or part.component in system.names
                for part in prop.reads))
        self.goals = tuple(p for p in self.properties if p.kind == "leads_to")
        self.seen: set[str] = set()
        self._jobs = self._registered()

    def slots_of(self, part: Part) -> tuple[int, ...]:
        """The slots that a part reads."""
        if part.component.endswith("/*"):
            family = part.component[:-1]
            return tuple(at for name, at in self.system.names.items() if name.startswith(family))
        at = self.system.names.get(part.component)
        return () if at is None else (at,)

    def _registered(self) -> tuple[_Jobs | None, ...]:
        """For each slot its jobs, in the order in which properties first name its parts."""
        tables: list[dict[str, tuple[list[Property], list[Property]]]] = [
            {} for _ in self.system.components]
        for prop in self.properties:
            for part in () if prop.kind == "leads_to" else prop.reads:
                for at in self.slots_of(part):
                    entries, whole = tables[at].setdefault(part.path, ([], []))
                    listed = entries if part == prop.of else whole
                    if prop not in listed:
                        listed.append(prop)
        return tuple(_Jobs(_reader(tuple(table)), tuple(
            (tuple(entries), tuple(whole)) for entries, whole in table.values()))
            if table else None for table in tables)

    def check(self, step: Transition) -> list[Violation]:
        """The violations that this transition brings to light."""
        mover = step.mover
        found: list[Violation] = []
        if mover < 0:
            return found
        old = step.before.slots[mover].local
        new = step.after.slots[mover].local
        jobs = self._jobs[mover]
        if old is new or jobs is None:
            return found
        done: set[str] = set()
        read, parts = jobs
        for before, after, (entries, whole) in zip(read(old), read(new), parts, strict=True):
            if before is after:
                continue
            if entries:
                self._check_entries(step, entries, before, after, found)
            for prop in whole:
                if prop.name not in done:
                    done.add(prop.name)
                    self._check_whole(step, prop, found)
        return found

    def _check_entries(self, step: Transition, props: tuple[Property, ...], before: Any, after: Any,
                       found: list[Violation]) -> None:
        changes = (before if before is not None else EMPTY).diff(
            after if after is not None else EMPTY)
        for key, old, new in changes:
            for prop in props:
                if not prop.prefix or key.startswith(prop.prefix):
                    text = prop.check(step.after, key, old, new)
                    if text is not None:
                        found.append(Violation(prop.name, text))

    def _check_whole(self, step: Transition, prop: Property, found: list[Violation]) -> None:
        if prop.kind == "always":
            text = prop.check(step.after)
        elif prop.kind == "step":
            text = prop.check(step.before, step.action, step.after)
        elif prop.kind == "refines":
            text = prop.check(step)
        elif prop.kind == "each":
            found.extend(self._scan(step.after, prop))
            return
        else:
            if prop.name not in self.seen and prop.check(step.after):
                self.seen.add(prop.name)
            return
        if text is not None:
            found.append(Violation(prop.name, text))

    def _scan(self, world: World, prop: Property) -> list[Violation]:
        assert prop.of is not None
        read = attrgetter(prop.of.path) if prop.of.path else _itself
        found = []
        for at in self.slots_of(prop.of):
            entries: FrozenMap[Any, Any] | None = read(world.slots[at].local)
            for key, value in () if entries is None else entries.items():
                if not prop.prefix or key.startswith(prop.prefix):
                    text = prop.check(world, key, None, value)
                    if text is not None:
                        found.append(Violation(prop.name, text))
        return found

    def full(self, world: World) -> list[Violation]:
        """Every invariant evaluated on the whole world: the oracle of the deltas."""
        found: list[Violation] = []
        for prop in self.properties:
            if prop.kind == "always":
                text = prop.check(world)
                if text is not None:
                    found.append(Violation(prop.name, text))
            elif prop.kind == "each":
                found.extend(self._scan(world, prop))
            elif prop.kind == "sometimes" and prop.name not in self.seen and prop.check(world):
                self.seen.add(prop.name)
        return found

    def pending(self, world: World) -> list[Violation]:
        """The goals that are not reached in this world, with what is pending."""
        found = []
        for goal in self.goals:
            text = goal.check(world)
            if text is not None:
                found.append(Violation(goal.name, text))
        return found


def _reader(paths: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Reads all `paths` of a local state at once; an empty path is the state itself."""
    names = tuple(path for path in paths if path)
    many = attrgetter(*names) if len(names) > 1 else None
    one = attrgetter(*names) if len(names) == 1 else None
    if many is not None and len(names) == len(paths):
        return many
    at = paths.index("") if "" in paths else None

    def read(local: Any) -> tuple[Any, ...]:
        found = many(local) if many else (one(local),) if one else ()
        return found if at is None else (*found[:at], local, *found[at:])
    return read


def _itself(local: Any) -> Any:
    return local


def describe(system: System, action: Action) -> str:
    """One line for traces and diagrams, in the words of the component."""
    at = system.names.get(action.actor)
    if at is None:
        return " ".join((action.actor, action.verb, *map(str, action.args)))
    if action.verb == "deliver":
        return f"{action.actor} receives from {action.args[0]} on {action.args[1]}"
    if action.verb in ("timer", "restart"):
        return " ".join((action.actor, action.verb, *map(str, action.args)))
    text = system.components[at].describe(action.verb, action.args)
    return text if text.startswith(action.actor) else f"{action.actor} {text}"
