"""Seeded bugs by name: installing one, and hunting each with random histories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from model.api.scenario_file import to_document
from model.kernel.discover import exporting
from model.kernel.errors import InputError
from model.kernel.fault import budget_of
from model.kernel.mutant import Mutant
from traces.history import History, load
from traces.replay import replay
from traces.shrink import shrink


def all_mutants() -> tuple[Mutant, ...]:
    """Every seeded bug, sorted by component."""
    found = exporting("properties", "MUTANTS")
    return tuple(mutant for path in sorted(found) for mutant in found[path])


@contextmanager
def installed(name: str) -> Iterator[None]:
    """The seeded bug with this name for the time of the `with`; none for "". InputError if
    unknown."""
    if not name:
        yield
        return
    mutant = next((each for each in all_mutants() if each.name == name), None)
    if mutant is None:
        raise InputError(f"there is no mutant {name!r}", fix="kubeproof mutants --list")
    with mutant.installed():
        yield


class Hunt(NamedTuple):
    """How a mutant fared: found by `property` after `histories`, the trace shrunk to `length`
    actions; `by_the_right_one` says whether the property that must catch it did."""

    mutant: Mutant
    found: bool
    property: str
    histories: int
    length: int
    history: History | None


def hunt(mutant: Mutant, *, histories: int, steps: int, seed: int = 0, shrunk: bool = True,
         only: bool = True, progress: Callable[[int], None] | None = None) -> Hunt:
    """Explore the mutant's scenario with the bug installed until a property fails.

    `only`: just the property that must catch it is checked; else all of them.
    """
    from kubeproof.explorer import Explorer, Plan, all_properties
    from kubeproof.failures import smaller_scenarios
    from kubeproof.options import load_scenario, made_ready
    scenario = load_scenario(mutant.scenario)
    scenario = replace(scenario, faults=scenario.faults._replace(budget=budget_of(mutant.faults)))
    properties = tuple(p for p in all_properties() if not only or p.name == mutant.caught_by)
    if only and not properties:
        raise InputError(f"mutant {mutant.name} names no known property: {mutant.caught_by}")
    is_goal = any(p.name == mutant.caught_by and p.kind == "leads_to" for p in properties)
    with mutant.installed():
        explorer = Explorer(scenario, properties)
        plan = Plan(histories, steps, seed, converge_every=1 if is_goal else 20)
        tally = explorer.explore(plan, (lambda t: progress(t.histories)) if progress else None)
        if not tally.failures:
            return Hunt(mutant, False, "", tally.histories, 0, None)
        failure = tally.failures[0]
        history = History(to_document(scenario), failure.actions, failure.seed,
                          failure.violation.property, failure.violation.message, mutant.name)
        if shrunk:
            smaller = shrink(history, made_ready, properties, smaller=smaller_scenarios)
            history = smaller.history if smaller is not None else history
    return Hunt(mutant, True, failure.violation.property, tally.histories, len(history.actions),
                history)


def corpus_file(folder: Path, mutant: Mutant) -> Path:
    """Where the minimal trace of a mutant lies."""
    return folder / f"{mutant.name}.trace"


def still_fails(path: Path) -> tuple[bool, bool]:
    """Whether the trace of a file fails with its seeded bug, and whether it fails without."""
    from kubeproof.explorer import all_properties
    from kubeproof.options import made_ready
    history = load(path)
    properties = tuple(p for p in all_properties() if p.name == history.property)
    verdicts = []
    for name in (history.mutant, ""):
        with installed(name):
            system, start = made_ready(history.scenario)
            seen = replay(system, start, history.actions, properties, goal=history.property)
            verdicts.append(seen.violation is not None)
    return verdicts[0], verdicts[1]
