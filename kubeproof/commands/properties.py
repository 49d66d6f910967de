"""`kubeproof properties`: every property, its sentence, what it reads, which mutants it catches."""

from __future__ import annotations

import argparse
from typing import Any

from kubeproof.options import add_json, write_json
from model.kernel.errors import InputError

HELP = "list the properties, or explain one"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of properties."""
    parser.add_argument("name", nargs="?", help="explain this property")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the list, or one property in full."""
    rows = catalogue()
    if options.name:
        rows = [row for row in rows if row["name"] == options.name]
        if not rows:
            raise InputError(f"there is no property {options.name!r}",
                             fix="kubeproof properties lists them")
    write_json(options.json, rows)
    if options.json == "-":
        return 0
    place = ""
    for row in rows:
        if row["component"] != place:
            place = row["component"]
            print(f"\n{place}")
        print(f"  {row['kind']:9} {row['sentence']}")
        if options.name:
            print(f"    why      {row['why']}\n    reads    {', '.join(row['reads'])}\n"
                  f"    catches  {', '.join(row['catches']) or 'no mutant of its own'}")
    return 0


def catalogue() -> list[dict[str, Any]]:
    """All properties as plain values, sorted by component."""
    from kubeproof.mutation import all_mutants
    from model.kernel.discover import exporting
    catches: dict[str, list[str]] = {}
    for mutant in all_mutants():
        catches.setdefault(mutant.caught_by, []).append(mutant.name)
    return [{"component": path, "name": prop.name, "kind": prop.kind, "sentence": prop.sentence,
             "why": prop.why, "within_ms": prop.within_ms,
             "reads": [f"{part.component}.{part.path}".rstrip(".") for part in prop.reads],
             "catches": catches.get(prop.name, [])}
            for path, found in sorted(exporting("properties", "PROPERTIES").items())
            for prop in found]
