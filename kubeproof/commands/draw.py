"""`kubeproof draw`: pictures of a trace."""

from __future__ import annotations

import argparse
from pathlib import Path

from model.kernel.errors import InputError

HELP = "draw a trace: space-time diagram, the cluster at a step, or the graph of states"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of draw."""
    parser.add_argument("trace", type=Path)
    parser.add_argument("--what", choices=("history", "cluster", "states"),
                        default="history", help="the space-time diagram, the cluster at a step, "
                        "or the states along the history with their alternatives")
    parser.add_argument("--step", type=int, metavar="N", help="the cluster after N actions")
    parser.add_argument("--to", type=Path, metavar="FILE",
                        help="a .svg, .png or .dot file (default: beside the trace)")
    parser.add_argument("--limit", type=int, default=120, help="draw the last N steps")


def run(options: argparse.Namespace) -> int:
    """Draw; 0 when a picture was written."""
    from kubeproof.commands.replay import trace_file
    from kubeproof.mutation import installed
    from kubeproof.options import made_ready
    from traces import draw
    from traces.history import load
    from traces.replay import replay
    source = trace_file(options.trace)
    history = load(source)
    if options.step is not None and not 0 <= options.step <= len(history.actions):
        raise InputError(f"there is no step {options.step}", where="--step",
                         fix=f"0 to {len(history.actions)}")
    target = options.to or source.with_suffix(".svg")
    with installed(history.mutant):
        system, start = made_ready(history.scenario)
        actions = history.actions[:options.step]
        title = history.property.replace("_", " ")
        if options.what == "history":
            text = draw.space_time(system, start, actions, title, options.limit)
        elif options.what == "states":
            text = draw.state_graph(system, start, actions, title)
        else:
            world = replay(system, start, actions).world
            text = draw.cluster(world, title, history.message)
    drawn = draw.render(text, target)
    if drawn.remark:
        print(f"note: {drawn.remark}")
    print(drawn.path)
    return 0
