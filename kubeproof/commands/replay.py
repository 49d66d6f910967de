"""`kubeproof replay`: take the actions of a trace again, step by step."""

from __future__ import annotations

import argparse
from pathlib import Path

from kubeproof.options import add_json, properties_of, write_json

HELP = "replay a trace, to any step; the exit status says whether it still fails"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of replay."""
    parser.add_argument("trace", type=Path, help="a trace file, or the folder of a failure")
    parser.add_argument("--step", type=int, metavar="N",
                        help="stop after N actions; show what the last one changed")
    parser.add_argument("--all", action="store_true", help="print every step of a long history")
    parser.add_argument("--fixed", action="store_true",
                        help="leave out the seeded bug that the trace names")
    parser.add_argument("--property", action="append", metavar="NAME|FILE.py",
                        help="where the property of the trace is defined, if it is your own")
    add_json(parser)


def trace_file(path: Path) -> Path:
    """The file that a path means: itself, or the smallest trace in a folder."""
    if path.is_dir():
        small = path / "minimal.trace"
        return small if small.exists() else path / "history.trace"
    return path


def run(options: argparse.Namespace) -> int:
    """Replay and report: 1 while it still fails, 0 when it does not."""
    from kubeproof.mutation import installed
    from traces.history import load
    history = load(trace_file(options.trace))
    with installed("" if options.fixed else history.mutant):
        return _replay(options, history)


def _replay(options: argparse.Namespace, history: object) -> int:
    from kubeproof.options import made_ready
    from traces.explain import line, story, verdict
    from traces.history import History
    from traces.replay import changes, replay, transitions
    assert isinstance(history, History)
    system, start = made_ready(history.scenario)
    properties = properties_of(history.scenario, history.property, options.property)
    actions = history.actions if options.step is None else history.actions[:options.step]
    seen = replay(system, start, actions, properties,
                  goal=history.property if options.step is None else "")
    if options.json != "-":
        print(story(system, start, seen.taken, limit=10**9 if options.all else 60))
        if options.step is not None:
            last = list(transitions(system, start, seen.taken))[-1:]
            for step in last:
                print(f"\nstep {len(seen.taken)}: {line(system, step, start.now).strip()}")
                print("\n".join(f"  {each}" for each in changes(step.before, step.after)))
        if not history.finished:
            print("note: the recording is unfinished")
        if seen.skipped:
            print(f"note: {seen.skipped} actions are not possible any more and were skipped")
        if seen.violation is not None:
            print("\n" + verdict(history._replace(property=seen.violation.property,
                                                  message=seen.violation.message)))
        else:
            print("\nnothing is violated")
    write_json(options.json, {
        "trace": str(options.trace), "property": history.property, "actions": len(seen.taken),
        "skipped": seen.skipped, "finished": history.finished,
        "still_fails": seen.violation is not None, "step": seen.step,
        "message": seen.violation.message if seen.violation else ""})
    return 1 if seen.violation is not None else 0
