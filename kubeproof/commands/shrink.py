"""`kubeproof shrink`: a smaller trace that breaks the same property."""

from __future__ import annotations

import argparse
from pathlib import Path

from kubeproof.options import add_json, positive, properties_of, write_json

HELP = "make a trace smaller: fewer faults, fewer actions, smaller arguments, a smaller scenario"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of shrink."""
    parser.add_argument("trace", type=Path)
    parser.add_argument("--to", type=Path, metavar="FILE",
                        help="where the result goes (default: minimal.trace beside it)")
    parser.add_argument("--replays", type=positive, default=3_000, metavar="N",
                        help="how many replays it may take (default 3000)")
    parser.add_argument("--property", action="append", metavar="NAME|FILE.py",
                        help="where the property of the trace is defined, if it is your own")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Shrink: 1 and a smaller trace while it fails, 0 when it does not fail."""
    from kubeproof.commands.replay import trace_file
    from kubeproof.failures import provenance, smaller_scenarios
    from kubeproof.mutation import installed
    from kubeproof.options import made_ready
    from traces.history import load, save
    from traces.shrink import shrink
    source = trace_file(options.trace)
    history = load(source)
    with installed(history.mutant):
        properties = properties_of(history.scenario, history.property, options.property)
        found = shrink(history, made_ready, properties, smaller=smaller_scenarios,
                       replays_max=options.replays)
    if found is None:
        print(f"{source}: does not fail, nothing to shrink")
        write_json(options.json, {"still_fails": False})
        return 0
    target = options.to or source.with_name("minimal.trace")
    save(found.history._replace(provenance=provenance()), target)
    print(f"{len(history.actions)} actions -> {len(found.history.actions)} "
          f"in {found.replays} replays\nkubeproof replay {target}")
    write_json(options.json, {"still_fails": True, "before": len(history.actions),
                              "after": len(found.history.actions), "replays": found.replays,
                              "trace": str(target)})
    return 1
