"""`kubeproof mutants`: seeded historical bugs, and whether the properties find them."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from kubeproof.options import add_json, positive, write_json
from model.kernel.errors import InputError

HELP = "hunt the seeded bugs: which were found, after how many histories, by which property"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of mutants."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all)")
    parser.add_argument("--list", action="store_true", help="list them and stop")
    parser.add_argument("--histories", type=positive, default=2_000, metavar="N",
                        help="give up after so many (default 2000)")
    parser.add_argument("--steps", type=positive, default=150, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, metavar="DIR",
                        help="save the minimal trace of each in this folder")
    parser.add_argument("--all-properties", action="store_true",
                        help="check everything, not just the property that must catch it")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Hunt: 0 when all were found, 1 when one survived."""
    from kubeproof.mutation import all_mutants, corpus_file, hunt
    from traces.history import save
    chosen = [m for m in all_mutants() if not options.names or m.name in options.names]
    unknown = set(options.names) - {m.name for m in chosen}
    if unknown:
        raise InputError(f"there is no mutant {', '.join(sorted(unknown))}",
                         fix="kubeproof mutants --list")
    quiet = options.json == "-"
    rows: list[dict[str, Any]] = []
    for mutant in chosen:
        row: dict[str, Any] = {"mutant": mutant.name, "bug": mutant.bug,
                               "caught_by": mutant.caught_by}
        if not options.list:
            began = time.monotonic()
            result = hunt(mutant, histories=options.histories, steps=options.steps,
                          seed=options.seed, only=not options.all_properties)
            row |= {"found": result.found, "property": result.property,
                    "histories": result.histories, "shrunk_actions": result.length,
                    "seconds": round(time.monotonic() - began, 1)}
            if options.save and result.history is not None:
                save(result.history, corpus_file(options.save, mutant))
        rows.append(row)
        if not quiet:
            print(_line(row), flush=True)
    write_json(options.json, rows)
    return 0 if all(row.get("found", True) for row in rows) else 1


def _line(row: dict[str, Any]) -> str:
    if "found" not in row:
        return f"{row['mutant']:48} caught by {row['caught_by']}   ({row['bug']})"
    if not row["found"]:
        return f"SURVIVED {row['mutant']:44} after {row['histories']} histories"
    return (f"found    {row['mutant']:44} {row['histories']:5} histories "
            f"{row['shrunk_actions']:4} actions  {row['property']}")
