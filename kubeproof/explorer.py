"""Random histories of one scenario: swarm, check, converge, shrink. The engine of `explore`.

Every history starts at one of a few checkpoints along a fairly served run of the whole script, so
that a hundred steps reach the middle and the end of a story and not only its start. The actions up
to the checkpoint belong to the history: what is saved replays from the start of the scenario.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from model.api.scenario import Scenario
from model.kernel.action import Action
from model.kernel.discover import exporting
from model.kernel.driver import FairDriver, RandomDriver, converge, run
from model.kernel.fault import KINDS
from model.kernel.property import Checker, Property, Violation
from model.kernel.system import System, Transition
from model.kernel.world import World
from reference_impl.cluster import build, start

CHECKPOINTS = 12
FAIR_STEPS_MAX = 20_000
CONVERGE_EVERY = 20
CONVERGE_STEPS_MAX = 30_000
BATCH = 20
FULL_SCAN_EVERY = 50


class Plan(NamedTuple):
    """What to explore: how many histories of how many steps from which first seed, and how long.

    `seconds` 0 means no limit. `keep_going` collects several distinct failures. `checks` off
    walks bare. `converge_every`: each so many histories the goals are checked (0: never).
    """

    histories: int = 1_000
    steps: int = 100
    seed: int = 0
    seconds: float = 0
    keep_going: bool = False
    checks: bool = True
    converge_every: int = CONVERGE_EVERY


class Failure(NamedTuple):
    """A history that broke a property, as found: not yet shrunk."""

    violation: Violation
    seed: int
    number: int
    actions: tuple[Action, ...]


@dataclass
class Tally:
    """What an exploration did so far. `steps` counts those of random histories; the steps of
    convergence stand apart. `writes` are revisions of the store."""

    histories: int = 0
    steps: int = 0
    converge_steps: int = 0
    writes: int = 0
    clock_steps: int = 0
    seconds: float = 0.0
    covered: set[str] = field(default_factory=set)
    offered: set[str] = field(default_factory=set)
    witnessed: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what another exploration did."""
        self.histories += other.histories
        self.steps += other.steps
        self.converge_steps += other.converge_steps
        self.writes += other.writes
        self.clock_steps += other.clock_steps
        self.covered |= other.covered
        self.offered |= other.offered
        self.witnessed |= other.witnessed
        known = {failure.violation.property for failure in self.failures}
        self.failures.extend(f for f in other.failures if f.violation.property not in known)


def all_properties() -> tuple[Property, ...]:
    """Every property that discovery finds, sorted by component; imports them."""
    found = exporting("properties", "PROPERTIES")
    return tuple(prop for path in sorted(found) for prop in found[path])


@lru_cache(maxsize=65_536)
def kind_of(action: Action) -> str:
    """What counts as one action for coverage: the family of the actor, the verb, and for messages
    whom they come from and on which kind of connection."""
    family = action.actor.split("/")[0] if action.actor.startswith(("kube", "client")) else (
        action.actor)
    if action.verb == "deliver":
        source, lane = (str(arg).split("/")[0] for arg in action.args)
        return f"{family} receives from {source} on {lane}"
    if action.verb == "timer":
        return f"{family} timer {str(action.args[0]).split('/')[0]}"
    return f"{family} {action.verb}"


class Explorer:
    """One scenario made ready: its system, its checkpoints, its checker.

    `fair_steps` bounds the fairly served run on which the checkpoints lie.
    """

    def __init__(self, scenario: Scenario, properties: Iterable[Property] | None = None,
                 fair_steps: int = FAIR_STEPS_MAX) -> None:
        self.scenario = scenario
        self.system = build(scenario)
        self.properties = tuple(all_properties() if properties is None else properties)
        self.first = start(self.system, scenario)
        self.checker = Checker(self.system, self.properties)
        self.fair_steps = fair_steps
        self.checkpoints = _checkpoints(self.system, self.first, fair_steps)

    def fair_failure(self) -> Failure | None:
        """What is wrong at the start, or along the fairly served run that the checkpoints lie on:
        the random histories begin on it and do not check it again."""
        wrong = self.checker.full(self.first)
        if wrong:
            return Failure(wrong[0], 0, 0, ())
        outcome = run(self.system, FairDriver(), self.first, steps=self.fair_steps,
                      checker=self.checker)
        if outcome.violations:
            return Failure(outcome.violations[0], 0, 0, outcome.actions)
        return None

    def explore(self, plan: Plan, progress: Callable[[Tally], None] | None = None) -> Tally:
        """Histories `plan.seed` … one after the other. Stops as the plan says; an interrupt
        (KeyboardInterrupt) ends the exploration and keeps what was found."""
        tally = Tally()
        began = time.monotonic()
        enabled = gc.isenabled()
        gc.disable()  # worlds are acyclic: reference counting frees them, the collector only scans
        try:
            for number in range(plan.histories):
                self._history(plan, plan.seed + number, tally)
                tally.seconds = time.monotonic() - began
                if progress is not None:
                    progress(tally)
                if tally.failures and not plan.keep_going:
                    break
                if plan.seconds and tally.seconds >= plan.seconds:
                    break
        finally:
            tally.seconds = time.monotonic() - began
            tally.witnessed |= self.checker.seen
            if enabled:
                gc.enable()
        return tally

    def _history(self, plan: Plan, seed: int, tally: Tally) -> None:
        """One random history: swarm options from its seed, safety, and now and then the goals."""
        swarm = random.Random(seed)
        at = swarm.randrange(len(self.checkpoints))
        prefix, world = self.checkpoints[at]
        kept = tuple((kind, left if swarm.random() < 0.7 else 0) for kind, left in world.budget)
        world = self.system.rebuilt(world, list(world.slots), budget=kept)
        driver = RandomDriver(swarm.getrandbits(32), fault_rate=swarm.choice((0, 4, 12, 32)),
                              input_rate=swarm.choice((4, 16, 48)))
        seen = _Watch(tally) if seed % 8 == 0 else None
        outcome = run(self.system, driver, world, steps=plan.steps,
                      checker=self.checker if plan.checks else None,
                      full_every=FULL_SCAN_EVERY if plan.checks and seed % 10 == 0 else 0,
                      watch=(seen,) if seen else ())
        tally.histories += 1
        tally.steps += len(outcome.actions)
        tally.covered.update(map(kind_of, outcome.actions))
        tally.clock_steps += sum(1 for action in outcome.actions if action.actor == "clock")
        tally.writes += _revision(outcome.world) - _revision(world)
        actions = (*prefix, *outcome.actions)
        violations = outcome.violations
        if (plan.checks and not violations and plan.converge_every
                and seed % plan.converge_every == plan.converge_every - 1):
            calm = converge(self.system, outcome.world, self.checker, steps=CONVERGE_STEPS_MAX)
            tally.converge_steps += len(calm.actions)
            violations = calm.violations
            if violations and not _is_goal(self.checker, violations[0]):
                actions = (*actions, *calm.actions)
        known = {failure.violation.property for failure in tally.failures}
        for violation in violations[:1]:
            if violation.property not in known:
                tally.failures.append(Failure(violation, seed, tally.histories, actions))


class _Watch:
    """Samples what is offered, for the total of coverage."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._count = 0

    def __call__(self, step: Transition) -> None:
        self._count += 1
        if self._count % 25 == 0:
            world = step.after
            self._tally.offered.update(_offered(world))


def _offered(world: World) -> Iterable[str]:
    names = list(world.names)
    for index in world.ready:
        slot = world.slots[index]
        name = names[index]
        for channel in slot.waiting:
            yield kind_of(Action(name, "deliver", channel))
        for _, key in slot.timers[:slot.due]:
            yield kind_of(Action(name, "timer", (key,)))
        for verb, args in slot.steps:
            yield kind_of(Action(name, verb, args))
    yield from (f"fault {kind}" for kind in KINDS if dict(world.budget).get(kind))


def _is_goal(checker: Checker, violation: Violation) -> bool:
    return any(goal.name == violation.property for goal in checker.goals)


def _revision(world: World) -> int:
    return int(world["etcd"].revision)


def _checkpoints(system: System, first: World,
                 fair_steps: int) -> list[tuple[tuple[Action, ...], World]]:
    """Evenly spaced points of a fairly served run of the whole script, the start among them."""
    trail: list[tuple[Action, World]] = []
    run(system, FairDriver(), first, steps=fair_steps,
        watch=(lambda step: trail.append((step.action, step.after)),))
    actions = tuple(action for action, _ in trail)
    points: list[tuple[tuple[Action, ...], World]] = [((), first)]
    for part in range(1, CHECKPOINTS):
        at = len(trail) * part // CHECKPOINTS
        if at:
            points.append((actions[:at], trail[at - 1][1]))
    return points


# -- several processes -----------------------------------------------------------------------------

_worker: dict[str, Any] = {}


def _prepare(scenario: Scenario, names: tuple[str, ...]) -> None:
    chosen = tuple(p for p in all_properties() if not names or p.name in names)
    _worker["explorer"] = Explorer(scenario, chosen)


def _batch(plan: Plan) -> Tally:
    explorer: Explorer = _worker["explorer"]
    return explorer.explore(plan)


def explore_parallel(scenario: Scenario, names: tuple[str, ...], plan: Plan, jobs: int,
                     progress: Callable[[Tally], None] | None = None) -> Tally:
    """The same exploration in `jobs` processes, a range of seeds at a time.

    Results are merged in the order of the seeds, so that the first failure does not depend on
    which process was faster.
    """
    total, began = Tally(), time.monotonic()
    batches = [replace_plan(plan, first) for first in range(0, plan.histories, BATCH)]
    finished: dict[int, Tally] = {}
    merged = 0
    with ProcessPoolExecutor(jobs, initializer=_prepare, initargs=(scenario, names)) as pool:
        running: dict[Future[Tally], int] = {}
        position = 0
        while running or position < len(batches):
            while position < len(batches) and len(running) < 2 * jobs:
                running[pool.submit(_batch, batches[position])] = position
                position += 1
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                finished[running.pop(future)] = future.result()
            while merged in finished:
                total.add(finished.pop(merged))
                merged += 1
            total.seconds = time.monotonic() - began
            if progress is not None:
                progress(total)
            if (total.failures and not plan.keep_going) or (
                    plan.seconds and total.seconds >= plan.seconds):
                pool.shutdown(cancel_futures=True)
                break
    return total


def replace_plan(plan: Plan, first: int) -> Plan:
    """The part of `plan` that one batch does."""
    return plan._replace(seed=plan.seed + first, histories=min(BATCH, plan.histories - first),
                         seconds=0)


def with_faults(scenario: Scenario, budget: Sequence[tuple[str, int]]) -> Scenario:
    """The scenario with another budget of faults."""
    return replace(scenario, faults=scenario.faults._replace(budget=tuple(budget)))
