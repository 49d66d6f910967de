"""`kubeproof check`: all histories of a spec within a bound."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.kernel.errors import InputError

if TYPE_CHECKING:
    from model.kernel.engines.check import Limits, Report

HELP = "search all histories of a spec within a bound: safety, liveness, coverage"
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of check."""
    parser.add_argument("spec", nargs="?", metavar="SPEC", help="as --list shows it, or FILE.py")
    parser.add_argument("--list", action="store_true", help="list all specs with their scopes")
    parser.add_argument("--scope", default="", metavar="pods=4,nodes=3,…",
                        help="sizes and constants; the name of a scope may stand first")
    parser.add_argument("--engine", choices=("auto", "interpreter", "native", "numpy", "numba"),
                        default="auto", help="auto: the interpreter, then native code (default)")
    parser.add_argument("--symmetry", action=argparse.BooleanOptionalAction, default=False,
                        help="search states up to exchange of symmetric members")
    parser.add_argument("--max-states", type=int, metavar="N")
    parser.add_argument("--max-seconds", type=float, metavar="S")
    parser.add_argument("--max-memory", metavar="SIZE", help="bytes, or 512M, 4G (default 4G)")
    parser.add_argument("--mutant", default="", metavar="NAME", help="with this seeded mistake in")
    parser.add_argument("--no-liveness", dest="liveness", action="store_false",
                        help="leave out the leads-to rules")
    parser.add_argument("--draw", metavar="FILE",
                        help="draw the counterexample (.svg, .png or .dot)")
    parser.add_argument("--trace", metavar="FILE", help="save the counterexample as a trace")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON; - is standard "
                        "output")


def run(options: argparse.Namespace) -> int:
    """Check and report. 0: all holds; 1: a rule is violated; 3: out of bounds before a verdict."""
    if options.list:
        return _list(options.json)
    if options.spec is None:
        raise InputError("no spec was named", where="kubeproof check",
                         fix="kubeproof check --list shows them")
    from model.kernel.engines.check import check
    from model.kernel.spec.find import find_spec
    from model.kernel.spec.scope import read_scope

    path, module = find_spec(options.spec)
    scope = read_scope(module, options.scope)
    with _progress(options.json == "-") as show:
        report = check(module, scope, engine=options.engine, symmetry=options.symmetry,
                       limits=_limits(options), liveness=options.liveness, mutant=options.mutant,
                       progress=show)
    if options.json != "-":
        _print(report)
    if options.draw is not None:
        _draw(report, options.draw)
    if options.trace is not None:
        _save(path, report, options.trace)
    _write_json(options.json, report.to_json())
    return {"holds": 0, "violated": 1, "incomplete": 3}[report.verdict]


def _limits(options: argparse.Namespace) -> Limits:
    from model.kernel.engines.check import Limits

    limits = Limits()
    if options.max_states is not None:
        limits = limits._replace(states=_positive(options.max_states, "--max-states"))
    if options.max_seconds is not None:
        limits = limits._replace(seconds=_positive(options.max_seconds, "--max-seconds"))
    if options.max_memory is not None:
        limits = limits._replace(memory_bytes=_bytes(options.max_memory))
    return limits


def _positive(value: Any, flag: str) -> Any:
    if value <= 0:
        raise InputError(f"{value} is not above zero", where=flag)
    return value


def _bytes(text: str) -> int:
    number, unit = text.lower().removesuffix("b"), 1
    if number and number[-1] in _UNITS:
        number, unit = number[:-1], _UNITS[number[-1]]
    if not number.isdigit() or int(number) == 0:
        raise InputError(f"{text!r} is no size", where="--max-memory", fix="512M or 4G")
    return int(number) * unit


def _list(target: str | None) -> int:
    """Every spec: path, scope of CI, number of rules, first sentence."""
    from model.kernel.spec.find import all_specs

    rows = []
    for path, spec in all_specs().items():
        module = spec.module()
        rows.append({"spec": path, "scopes": {name: str(scope) for name, scope
                                              in module.scopes.items()},
                     "actions": len(module.actions), "invariants": len(module.invariants),
                     "leads_to": len(module.leads_tos),
                     "mutants": [each.name for each in module.mutants], "about": module.doc})
    if target != "-":
        for row in rows:
            print(f"{row['spec']}\n    {str(row['about']).splitlines()[0]}")
            for name, scope in dict(row["scopes"]).items():  # type: ignore[call-overload]  # a dict, above
                print(f"    {name}: {scope}")
    _write_json(target, rows)
    return 0


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int, int], None] | None]:
    """A line on standard error that follows the search, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return

    def show(states: int, transitions: int, depth: int) -> None:
        sys.stderr.write(f"\r{states:>13,} states {transitions:>15,} transitions "
                         f"depth {depth:>4}")
        sys.stderr.flush()

    yield show
    sys.stderr.write("\r" + " " * 60 + "\r")


def _print(report: Report) -> None:
    """The report for people."""
    mutant = f", mutant {report.mutant}" if report.mutant else ""
    print(f"{report.spec} ({report.scope}{mutant})")
    orbits = "" if report.orbits is None else " up to symmetry"
    print(f"  {report.states:,} states{orbits}, {report.transitions:,} transitions, "
          f"depth {report.depth}")
    print(f"  {report.engine}: {report.cpu_seconds_search:.2f} s CPU searching, "
          f"{report.cpu_seconds_compile:.2f} s compiling, {report.bytes_per_state:.0f} bytes a "
          f"state; {report.seconds:.2f} s in all")
    for name, values in report.coverage.never_reached.items():
        print(f"  never reached: {name} = {', '.join(map(str, values))}")
    for name, guards in report.coverage.guards_never_true.items():
        print(f"  never taken: {name}; never true: {'; '.join(guards)}")
    for name, verdict in report.liveness.items():
        print(f"  {name}: {verdict}")
    if report.failure is None:
        print("  holds: every rule, in every reachable state of this scope"
              if report.verdict == "holds"
              else f"  incomplete: out of {report.stopped_by}; nothing wrong so far")
        return
    print(f"  VIOLATED {report.failure.kind}: {report.failure.name} ({report.failure.where})")
    _print_trace(report)


def _print_trace(report: Report) -> None:
    if report.trace is None:
        return
    previous = report.trace.initial
    for number, step in enumerate(report.trace.steps, 1):
        if report.trace.loop_from == number - 1:
            print("    and then again and again:")
        print(f"    {number:>3} {step}    {_difference(previous, step.state)}")
        previous = step.state
    if report.trace.loop_from == len(report.trace.steps):
        print("    and then nothing more has to happen")


def _difference(before: Any, after: Any) -> str:
    """What a step changed."""
    parts = []
    for name, value in after.items():
        if isinstance(value, dict):
            parts += [f"{name}[{key}] = {each}" for key, each in value.items()
                      if before[name][key] != each]
        elif before[name] != value:
            parts.append(f"{name} = {value}")
    return ", ".join(parts)


def _draw(report: Report, target: str) -> None:
    """The counterexample as a picture: a path, or stem and loop."""
    from traces import draw

    if report.trace is None:
        print("note: there is no counterexample to draw", file=sys.stderr)
        return
    shown = report.trace.initial
    steps = [("init", _state_text({}, shown))]
    for step in report.trace.steps:
        steps.append((str(step), _state_text(shown, step.state)))
        shown = step.state
    assert report.failure is not None
    title = report.failure.name.replace("_", " ")
    cut = len(steps) if report.trace.loop_from is None else report.trace.loop_from + 1
    loop = steps[cut:]
    if report.trace.loop_from is not None and not loop:
        loop = [("nothing more has to happen", "")]
    drawn = draw.render(draw.lasso(steps[:cut], loop, title), Path(target))
    if drawn.remark:
        print(f"note: {drawn.remark}", file=sys.stderr)


def _state_text(before: Any, after: Any) -> str:
    """What is new in a state, a line each; the first one whole, but maps only in short."""
    if before:
        return _difference(before, after).replace(", ", "\n") or "(the same)"
    lines = []
    for name, value in after.items():
        if isinstance(value, dict):
            values = list(dict.fromkeys(map(str, value.values())))
            lines.append(f"{name}: {', '.join(values)}")
        else:
            lines.append(f"{name} = {value}")
    return "\n".join(lines)


def _save(path: str, report: Report, target: str) -> None:
    from kubeproof.spec_traces import history_of
    from traces.history import save

    if report.trace is None:
        print("note: there is no counterexample to save", file=sys.stderr)
        return
    save(history_of(path, report), Path(target))


def _write_json(target: str | None, value: Any) -> None:
    if target == "-":
        json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
        print()
    elif target is not None:
        from kubeproof.options import write_json

        write_json(target, value)
