"""`kubeproof explore`: random histories with faults, checked at every step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubeproof.options import (
    add_json,
    add_scenario,
    chosen_properties,
    positive,
    scenario_of,
    write_json,
)

HELP = "explore random histories with faults; failures are shrunk, saved and drawn"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of explore."""
    add_scenario(parser)
    add_json(parser)
    parser.add_argument("--histories", type=positive, default=1_000, metavar="N")
    parser.add_argument("--steps", type=positive, default=100, metavar="N",
                        help="steps of a history (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seconds", type=float, default=0, help="stop after so long")
    parser.add_argument("--jobs", type=positive, default=1, help="processes (default 1)")
    parser.add_argument("--keep-going", action="store_true",
                        help="collect several distinct failures")
    parser.add_argument("--property", action="append", metavar="NAME|FILE.py",
                        help="check only this; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR",
                        help="where traces and pictures go (default out)")
    parser.add_argument("--bare", action="store_true", help="walk without checking")


def run(options: argparse.Namespace) -> int:
    """Explore and report. 0: nothing wrong found; 1: a property is violated."""
    from kubeproof.explorer import Explorer, Plan, Tally, explore_parallel
    scenario = scenario_of(options)
    properties = chosen_properties(options.property)
    plan = Plan(options.histories, options.steps, options.seed, options.seconds,
                options.keep_going, not options.bare)
    quiet = options.json == "-"
    explorer = Explorer(scenario, properties)
    _say(quiet, f"{scenario.name}: {len(explorer.system.components)} components, "
         f"{len(properties)} properties, {len(explorer.checkpoints)} starting points")
    interrupted = False
    tally = Tally()
    fair = None if options.bare else explorer.fair_failure()
    if fair is not None and not options.keep_going:
        plan = plan._replace(histories=0)
    with _progress(plan.histories, quiet) as show:
        def watch(so_far: Tally) -> None:
            nonlocal tally
            tally = so_far
            show(so_far)
        try:
            if options.jobs > 1 and not _from_files(options.property):
                names = tuple(p.name for p in properties) if options.property else ()
                tally = explore_parallel(scenario, names, plan, options.jobs, watch)
            else:
                tally = explorer.explore(plan, watch)
        except KeyboardInterrupt:
            interrupted = True
    if fair is not None:
        tally.add(Tally(failures=[fair]))
    found = _keep(explorer, tally, options.out, quiet)
    _summary(explorer, tally, found, quiet)
    if not options.bare:
        _healthy(explorer, options.out, quiet)
    write_json(options.json, _document(explorer, tally, found, interrupted))
    if interrupted:
        _say(quiet, f"interrupted; continue with --seed {plan.seed + tally.histories}")
        return 130
    return 1 if tally.failures else 0


def _from_files(wanted: list[str] | None) -> bool:
    return any(name.endswith(".py") for name in wanted or ())


def _say(quiet: bool, text: str) -> None:
    print(text, file=sys.stderr if quiet else sys.stdout, flush=True)


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """A progress bar on a terminal, a line now and then elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    console = Console(stderr=quiet)
    if not console.is_terminal:
        last = [0.0]

        def line(tally: Any) -> None:
            if tally.seconds - last[0] >= 2 or tally.histories == total:
                last[0] = tally.seconds
                _say(quiet, _state(tally))
        yield line
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total, state="")
        yield lambda tally: bar.update(task, completed=tally.histories, state=_state(tally))


def _state(tally: Any) -> str:
    rate = tally.steps / tally.seconds if tally.seconds else 0
    return (f"{tally.histories} histories, {tally.steps} steps, {rate:,.0f} steps/s, "
            f"{len(tally.covered)} kinds of action, {len(tally.failures)} violations")


def _history(explorer: Any, failure: Any) -> Any:
    from model.api.scenario_file import to_document
    from traces.history import History
    return History(to_document(explorer.scenario), failure.actions, failure.seed,
                   failure.violation.property, failure.violation.message)


def _keep(explorer: Any, tally: Any, out: Path, quiet: bool) -> list[tuple[Any, Any]]:
    from kubeproof.failures import keep
    found = []
    for failure in tally.failures:
        _say(quiet, f"shrinking {failure.violation.property} "
             f"({len(failure.actions)} actions) …")
        kept = keep(_history(explorer, failure), explorer.properties, out)
        found.append((failure, kept))
    return found


def _summary(explorer: Any, tally: Any, found: list[tuple[Any, Any]], quiet: bool) -> None:
    rate = tally.steps / tally.seconds if tally.seconds else 0
    writes = tally.writes / tally.seconds if tally.seconds else 0
    total = tally.covered | tally.offered
    lines = [
        "",
        f"histories  {tally.histories:,}   steps {tally.steps:,}   seconds {tally.seconds:.1f}",
        f"speed      {rate:,.0f} steps/s   {writes:,.0f} writes/s   "
        f"(and {tally.converge_steps:,} steps of convergence)",
        f"coverage   {len(tally.covered)} of {len(total)} kinds of action",
    ]
    missing = sorted(total - tally.covered)
    if missing:
        lines.append(f"           never taken: {', '.join(missing[:6])}"
                     + (f" and {len(missing) - 6} more" if len(missing) > 6 else ""))
    witnesses = [p.name for p in explorer.properties if p.kind == "sometimes"]
    unseen = [name for name in witnesses if name not in tally.witnessed]
    lines.append(f"witnesses  {len(witnesses) - len(unseen)} of {len(witnesses)}"
                 + (f"; not seen: {', '.join(unseen[:6])}" if unseen else ""))
    for failure, kept in found:
        short = kept.shrunk.history if kept.shrunk else None
        lines += ["", f"VIOLATED   {failure.violation.property.replace('_', ' ')}",
                  f"           {(short or failure.violation).message}",
                  f"           seed {failure.seed}, {len(failure.actions)} actions"
                  + (f", shrunk to {len(short.actions)}" if short else ", not shrunk"),
                  f"           {kept.command}"]
        lines += [f"           note: {remark}" for remark in kept.remarks]
    if not found:
        lines.append(f"violations 0 of {len(explorer.properties)} properties (none found, "
                     "which is no proof)")
    _say(quiet, "\n".join(lines))


def _healthy(explorer: Any, out: Path, quiet: bool) -> None:
    """The pictures of one healthy history: the story, fairly served."""
    from kubeproof.failures import pictures, provenance
    from model.api.scenario_file import to_document
    from traces.history import History, save
    prefix, _ = explorer.checkpoints[-1]
    healthy = History(to_document(explorer.scenario), prefix, provenance=provenance())
    folder = out / "healthy"
    save(healthy, folder / "history.trace")
    for remark in pictures(healthy, folder):
        _say(quiet, f"note: {remark}")
    _say(quiet, f"pictures of a healthy history: {folder}")


def _document(explorer: Any, tally: Any, found: list[tuple[Any, Any]],
              interrupted: bool) -> dict[str, Any]:
    """The result as JSON values; the schema is in docs/reference/json.md."""
    seconds = tally.seconds or 1e-9
    return {
        "scenario": explorer.scenario.name, "histories": tally.histories, "steps": tally.steps,
        "converge_steps": tally.converge_steps, "clock_steps": tally.clock_steps,
        "writes": tally.writes, "seconds": round(tally.seconds, 3),
        "steps_per_second": round(tally.steps / seconds),
        "writes_per_second": round(tally.writes / seconds),
        "actions_covered": len(tally.covered),
        "actions_total": len(tally.covered | tally.offered),
        "witnesses_seen": sorted(tally.witnessed), "interrupted": interrupted,
        "violations": [
            {"property": failure.violation.property,
             "message": (kept.shrunk.history if kept.shrunk else failure.violation).message,
             "seed": failure.seed, "actions": len(failure.actions),
             "shrunk_actions": len(kept.shrunk.history.actions) if kept.shrunk else None,
             "trace": kept.command.rsplit(" ", 1)[1], "replay": kept.command}
            for failure, kept in found]}
