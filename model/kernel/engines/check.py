"""Check a spec: all histories within a scope, rules, coverage and liveness; one report.

The tuple search goes first (nothing to compile, small models end there); past its range the packed
search takes over. A lemma that fails first does not hide the invariant that it serves: the search
is repeated without lemmas, and only if that finds nothing is the lemma reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from model.kernel.errors import InputError
from model.kernel.spec import interpret, ir
from model.kernel.spec.ground import (
    Grounded,
    GroundState,
    ground,
    ground_guards,
    name_value,
)
from model.kernel.spec.interpret import Found, Program, search
from model.kernel.spec.render import render

if TYPE_CHECKING:
    from model.kernel.engines.liveness import Graph
    from model.kernel.engines.packed import PackedResult

Verdict = Literal["holds", "violated", "incomplete"]
EngineName = Literal["auto", "interpreter", "native", "numba", "numpy"]
ENGINES: tuple[EngineName, ...] = ("auto", "interpreter", "native", "numba", "numpy")
FIRST_TIER_STATES = 150_000  # compiling costs as much as interpreting some 400,000 states
LIVENESS_STATES_MAX = 300_000
_BYTES_PER_CELL, _BYTES_PER_STATE = 8, 330  # measured: tuple, dict entry, parent, list entry


class Limits(NamedTuple):
    """Where a check stops with a partial verdict."""

    states: int = 100_000_000
    seconds: float = 3_600.0
    memory_bytes: int = 4 << 30


class TraceStep(NamedTuple):
    """One step of a counterexample: the action with its arguments, and the state after it."""

    action: str
    arguments: tuple[Any, ...]
    state: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.action}({', '.join(map(str, self.arguments))})"


class Failure(NamedTuple):
    """What is wrong. `kind`: invariant, lemma, step rule, domain, leads-to, coverage."""

    kind: str
    name: str
    where: str


class Trace(NamedTuple):
    """A counterexample. `loop_from` is the number of steps of the stem where a liveness
    counterexample returns to its state after the stem for ever; None for a finite one."""

    initial: Mapping[str, Any]
    steps: tuple[TraceStep, ...]
    loop_from: int | None = None


@dataclass
class Coverage:
    """What the search met. `taken` counts transitions by action; `guards_never_true` tells, for
    actions never taken, which conjuncts were never true (by action); `never_reached` the values
    that no entry of a variable took; `witnesses` which witnesses some state satisfied."""

    taken: dict[str, int] = field(default_factory=dict)
    guards_never_true: dict[str, tuple[str, ...]] = field(default_factory=dict)
    never_reached: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    witnesses: dict[str, bool] = field(default_factory=dict)

    def gaps(self) -> tuple[str, ...]:
        """What makes the model vacuous: actions never taken, witnesses never met."""
        return tuple([f"the action {name} is never taken"
                      for name, count in self.taken.items() if not count]
                     + [f"no state satisfies {name}"
                        for name, seen in self.witnesses.items() if not seen])


@dataclass
class Report:
    """The outcome of a check. `orbits`: states up to symmetry, where that was on."""

    spec: str
    scope: str
    engine: str
    states: int
    transitions: int
    depth: int
    orbits: int | None
    verdict: Verdict
    seconds: float
    cpu_seconds_search: float
    cpu_seconds_compile: float
    bytes_per_state: float
    coverage: Coverage
    failure: Failure | None = None
    trace: Trace | None = None
    liveness: dict[str, str] = field(default_factory=dict)
    stopped_by: str = ""
    mutant: str = ""
    scope_values: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        trace = None if self.trace is None else {
            "initial": self.trace.initial, "loop_from": self.trace.loop_from,
            "steps": [{"action": step.action, "arguments": list(step.arguments),
                       "state": step.state} for step in self.trace.steps]}
        return {
            "spec": self.spec, "scope": self.scope, "mutant": self.mutant, "engine": self.engine,
            "states": self.states, "transitions": self.transitions, "depth": self.depth,
            "orbits": self.orbits, "seconds": round(self.seconds, 4),
            "cpu_seconds": {"search": round(self.cpu_seconds_search, 4),
                            "compile": round(self.cpu_seconds_compile, 4)},
            "bytes_per_state": round(self.bytes_per_state, 1), "verdict": self.verdict,
            "stopped_by": self.stopped_by,
            "failure": None if self.failure is None else self.failure._asdict(), "trace": trace,
            "coverage": {"taken": self.coverage.taken,
                         "guards_never_true": self.coverage.guards_never_true,
                         "never_reached": self.coverage.never_reached,
                         "witnesses": self.coverage.witnesses},
            "liveness": self.liveness}


def with_mutant(module: ir.Module, name: str) -> ir.Module:
    """The spec with a seeded mistake in. InputError when it has no mutant of that name."""
    mutant = next((each for each in module.mutants if each.name == name), None)
    if mutant is None:
        raise InputError(f"the spec {module.name} has no mutant {name!r}", fix="it has "
                         + (", ".join(each.name for each in module.mutants) or "none"))
    return replace(module, actions=tuple(
        mutant.action if each.name == mutant.replaces else each for each in module.actions))


def check(module: ir.Module, scope: ir.Scope, *, engine: EngineName = "auto",
          symmetry: bool = False, limits: Limits | None = None, liveness: bool = True,
          mutant: str = "", progress: Callable[[int, int, int], None] | None = None) -> Report:
    """Search all states of the spec in the scope and judge every rule.

    `progress` is called with states, transitions and depth. InputError where the engine that was
    asked for cannot hold the spec.
    """
    began = time.monotonic()
    if mutant:
        module = with_mutant(module, mutant)
    limits = limits or Limits()
    report = _search(module, scope, engine, symmetry, limits, progress)
    failure = report.failure
    if failure is not None and _is_lemma(module, failure):
        plain = replace(module, invariants=tuple(each for each in module.invariants
                                                 if not each.lemma))
        second = _search(plain, scope, engine, symmetry, limits, progress)
        if second.failure is not None:
            report = second
        else:
            report.failure = failure._replace(kind="lemma")
    if report.verdict == "holds":
        _judge_whole(module, scope, report, liveness)
    report.seconds, report.mutant = time.monotonic() - began, mutant
    report.scope_values = {**scope.sizes, **scope.constants}
    return report


def _is_lemma(module: ir.Module, failure: Failure) -> bool:
    return any(each.lemma and each.name == failure.name for each in module.invariants)


def _search(module: ir.Module, scope: ir.Scope, engine: EngineName, symmetry: bool,
            limits: Limits, progress: Callable[[int, int, int], None] | None) -> Report:
    if engine == "interpreter" and symmetry:
        raise InputError("the interpreter does not reduce by symmetry", where="--engine",
                         fix="take native, numba or numpy, or --no-symmetry")
    if engine in ("native", "numba", "numpy"):
        return _packed(module, scope, engine, symmetry, limits, progress)
    grounded = ground(module, scope)
    width = _BYTES_PER_STATE + _BYTES_PER_CELL * len(grounded.cells)
    affordable = max(1, min(limits.states, limits.memory_bytes // width))
    states_max = affordable if engine == "interpreter" else min(affordable, FIRST_TIER_STATES)
    found = search(grounded, states_max=states_max, seconds_max=limits.seconds,
                   progress=progress)
    if engine == "interpreter" or found.failure is not None \
            or (found.complete and not symmetry) or states_max == limits.states:
        return _interpreted(grounded, found, width)
    try:
        return _packed(module, scope, "native", symmetry, limits, progress)
    except InputError as reason:
        if symmetry:
            raise
        found = search(grounded, states_max=affordable, seconds_max=limits.seconds,
                       progress=progress)
        report = _interpreted(grounded, found, width)
        report.engine += f" ({reason.what})"
        return report


def _interpreted(grounded: Grounded, found: Found, width: int) -> Report:
    module = grounded.module
    failure, trace = (None, None) if found.failure is None else _shown_failure(
        grounded, found.failure)
    verdict: Verdict = "violated" if failure else "holds" if found.complete else "incomplete"
    actions = [each.name for each in module.actions]
    return Report(
        module.name, str(grounded.scope), "interpreter", found.states, found.transitions,
        found.depth, None, verdict, 0.0, found.cpu_seconds, 0.0, float(width),
        Coverage(dict(zip(actions, found.taken, strict=True)),
                 _guards_never_true(grounded, found, actions), _never_reached(grounded, found),
                 {each.name: at >= 0 for each, at in zip(module.witnesses, found.witnessed,
                                                         strict=True)}),
        failure, trace, stopped_by="" if found.complete or failure else "states or seconds")


def _shown_failure(grounded: Grounded, broken: interpret.Failure) -> tuple[Failure, Trace]:
    kind = "domain" if broken.kind == "fault" else broken.kind
    return (Failure(kind, broken.name, f"{grounded.module.file}:{broken.line}"),
            show_trace(grounded, broken.path, broken.states))


def show_trace(grounded: Grounded, path: tuple[int, ...],
               states: tuple[GroundState, ...]) -> Trace:
    """A path of instances as a trace; a last step without a state ends where it began."""
    steps = []
    for position, number in enumerate(path):
        instance = grounded.instances[number]
        after = states[min(position + 1, len(states) - 1)]
        steps.append(TraceStep(instance.action, grounded.show_arguments(instance),
                               grounded.show(after)))
    return Trace(grounded.show(states[0]), tuple(steps))


def _guards_never_true(grounded: Grounded, found: Found,
                       actions: list[str]) -> dict[str, tuple[str, ...]]:
    """For actions never taken: the conjuncts that no state and no arguments make true."""
    never = {name for name, count in zip(actions, found.taken, strict=True) if not count}
    result: dict[str, tuple[str, ...]] = {}
    if not never or found.failure is not None:
        return result
    program = Program(grounded)
    for action in grounded.module.actions:
        if action.name not in never:
            continue
        written = ground_guards(grounded.module, grounded.scope, action)
        dead = [render(guard) for guard, cases in zip((*action.guards, *action.limits), written,
                                                      strict=True)
                if not any(any(map(program.predicate(case), found.parents))
                           for case in cases[:64])]
        result[action.name] = tuple(dead) or tuple(render(each) for each in action.guards)
    return result


def _never_reached(grounded: Grounded, found: Found) -> dict[str, tuple[Any, ...]]:
    seen: dict[str, set[ir.Value]] = {}
    for position, cell in enumerate(grounded.cells):
        seen.setdefault(cell.variable, set()).update({state[position] for state in found.parents})
    return _unreached(grounded.module, grounded.scope, seen)


def _unreached(module: ir.Module, scope: ir.Scope,
               seen: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    result = {}
    for variable in module.variables:
        try:
            values = ir.domain(variable.type, scope)
        except ir.SpecError:
            continue
        missing = tuple(name_value(variable.type, value) for value in values
                        if value not in seen[variable.name])
        if missing:
            result[variable.name] = missing
    return result


def _packed(module: ir.Module, scope: ir.Scope, engine: Literal["native", "numba", "numpy"],
            symmetry: bool, limits: Limits,
            progress: Callable[[int, int, int], None] | None) -> Report:
    from model.kernel.engines import packed

    result = packed.search(
        module, scope, engine=engine, symmetry=symmetry, max_states=limits.states,
        max_seconds=limits.seconds, max_memory_bytes=limits.memory_bytes,
        progress=None if progress is None else
        lambda now: progress(now.states, now.transitions, now.depth))
    failure, trace = (None, None) if result.failure is None else _shown_failure(
        ground(module, scope), result.failure)
    return Report(
        module.name, str(scope), engine, result.states, result.transitions, result.depth,
        result.orbits, result.verdict, 0.0, result.cpu_seconds_search, result.cpu_seconds_compile,
        result.bytes_per_state,
        Coverage(result.actions, _dead_guards(module, scope, result),
                 _unreached(module, scope, result.reached), result.witnesses),
        failure, trace, stopped_by=result.stopped_by)


def _dead_guards(module: ir.Module, scope: ir.Scope, result: PackedResult) -> dict[
        str, tuple[str, ...]]:
    """For actions that a packed search never took: conjuncts that the first states of the tuple
    search do not make true either."""
    never = [name for name, count in result.actions.items() if not count]
    if not never or result.verdict != "holds":
        return {}
    grounded = ground(module, scope)
    found = search(grounded, states_max=FIRST_TIER_STATES // 5)
    dead = _guards_never_true(grounded, found, [each.name for each in module.actions])
    return {name: guards for name, guards in dead.items() if name in never}


# ------------------------------------------------------------------- what only a whole graph tells


def _judge_whole(module: ir.Module, scope: ir.Scope, report: Report, liveness: bool) -> None:
    """Liveness and coverage of a completed search."""
    if liveness and module.leads_tos:
        _judge_liveness(module, scope, report)
    gaps = report.coverage.gaps()
    if report.failure is None and gaps:
        report.verdict = "violated"
        report.failure = Failure("coverage", "; ".join(gaps), module.file)


def _judge_liveness(module: ir.Module, scope: ir.Scope, report: Report) -> None:
    """The leads-to rules; at the scope "live" of the spec where this one is too large for them."""
    if report.orbits is not None:
        reason = "not judged: a graph reduced by symmetry does not keep instances apart"
        report.liveness = {each.name: reason for each in module.leads_tos}
        return
    where = ""
    if report.states > LIVENESS_STATES_MAX:
        if "live" not in module.scopes:
            reason = f"not judged: more than {LIVENESS_STATES_MAX:,} states"
            report.liveness = {each.name: reason for each in module.leads_tos}
            return
        scope = module.scopes["live"]
        where = f" (at {scope})"
    from model.kernel.engines.liveness import check_leads_to

    graph = _graph(module, scope, report.states)
    if graph is None:
        report.liveness = {each.name: "not judged: the graph took too long"
                           for each in module.leads_tos}
        return
    grounded = graph.grounded
    for result in check_leads_to(graph):
        report.liveness[result.name] = ("holds" if result.holds else "violated") + where
        if result.lasso is not None and report.failure is None:
            lasso = result.lasso
            stem = show_trace(grounded, lasso.stem, lasso.stem_states)
            loop = show_trace(grounded, lasso.loop,
                              (lasso.stem_states[-1], *lasso.loop_states))
            rule = next(each for each in module.leads_tos if each.name == result.name)
            report.verdict = "violated"
            report.failure = Failure("leads-to", result.name, f"{module.file}:{rule.line}")
            report.trace = Trace(stem.initial, stem.steps + loop.steps, len(stem.steps))


def _graph(module: ir.Module, scope: ir.Scope, states: int) -> Graph | None:
    """All states and transitions; by the packed search where they are many and it can hold them."""
    from model.kernel.engines.liveness import build_graph

    if states > FIRST_TIER_STATES // 5:
        from model.kernel.engines import packed

        try:
            found = packed.graph(module, scope, states_max=LIVENESS_STATES_MAX)
        except packed.Unpackable:
            found = None
        if found is not None:
            return found
    return build_graph(ground(module, scope), states_max=LIVENESS_STATES_MAX + 1)
