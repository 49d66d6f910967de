"""How far the server agrees with recordings of a real Kubernetes, by area, and a floor below it.

    python tests/conformance/agreement.py [--quick] [--raise] [--jobs N] [AREA ...]

Plays the recordings of ../shared (see its README) against `kubeproof serve` of this checkout and
compares what agrees with `agreement-floor.yaml`. An area that is below its floor is played once
more. Exit status: 0 at the floor or above it (also when there are no recordings: it says so), 1
below, 2 bad input. `--raise` lifts the floor to what was measured, less a margin for steps that
hang on timing; it never lowers it. `--quick` plays a part of some areas, with floors of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT.parent / "shared" / "recordings"
FOLDER = RECORDINGS / "kubernetes-1.32"
FLOOR = Path(__file__).with_name("agreement-floor.yaml")
MARGIN_PERCENT = 1.0
PATIENCE_S = 5
LONG = ("06_watch_events", "12_watch_410_gone")
"""Recordings of a minute and more: the quick round leaves them out."""
QUICK = {"api": 1, "api_validation": 1, "api_random": 8, "scheduler": 6, "scheduler_random": 4}
"""Areas of the quick round, and how many recordings of each one stands for."""
NEEDS_KUBECTL = "kubectl"
HEAD = """\
# Per cent of the recorded steps that agree at least, by area. `make agreement` fails below and
# `python tests/conformance/agreement.py --raise` lifts a floor; none is ever lowered.
"""


def main() -> int:
    """Play, print, compare."""
    options = _arguments()
    if not FOLDER.is_dir():
        print(f"agreement: no recordings at {FOLDER.relative_to(ROOT.parent)}; nothing compared")
        return 0
    kubectl = shutil.which("kubectl")
    areas = options.areas or list(QUICK if options.quick else
                                  (path.name for path in sorted(FOLDER.iterdir())))
    floors = yaml.safe_load(FLOOR.read_text(encoding="utf-8"))
    which = "quick" if options.quick else "all"
    measured: dict[str, float] = {}
    for area in areas:
        if not (FOLDER / area).is_dir():
            print(f"agreement: there is no area {area!r}", file=sys.stderr)
            return 2
        if area.startswith(NEEDS_KUBECTL) and kubectl is None:
            print(f"{area:20} not played: there is no kubectl")
            continue
        found = _played(area, options, kubectl)
        if found is not None and found < floors.get(which, {}).get(area, 0.0):
            # Some steps hang on timing; a loss that is real shows twice.
            found = max(found, _played(area, options, kubectl) or 0.0)
        if found is None:
            return 2
        measured[area] = found
    return _compared(measured, floors, which, options.lift)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("areas", nargs="*", metavar="AREA")
    parser.add_argument("--quick", action="store_true", help="a part of some areas, three minutes")
    parser.add_argument("--raise", dest="lift", action="store_true",
                        help="lift the floors to what was measured")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    return parser.parse_args()


def _files(area: str, quick: bool) -> list[str]:
    """The recordings of an area; of the quick round every so many."""
    files = sorted((FOLDER / area).glob("*.json"))
    if quick:
        files = [path for path in files if path.stem not in LONG][::QUICK.get(area, 1)]
    return [str(path) for path in files]


def _played(area: str, options: argparse.Namespace, kubectl: str | None) -> float | None:
    """The per cent of an area's steps that agree; None when they could not be played."""
    server = (f"{shlex.quote(sys.executable)} -m kubeproof.cli serve --port {{port}} "
              "--components {components} --token-auth-file {tokens}")
    with tempfile.TemporaryDirectory() as folder:
        verdicts = Path(folder) / "verdicts.json"
        command = [sys.executable, str(RECORDINGS / "play"), "--start", server, "--fake-kubelet",
                   "--reuse", "--jobs", str(options.jobs), "--timeout", str(PATIENCE_S),
                   "--json", str(verdicts), *(("--kubectl", kubectl) if kubectl else ()),
                   *_files(area, options.quick)]
        done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
        if not verdicts.exists():
            print(done.stderr, file=sys.stderr)
            return None
        steps: list[dict[str, Any]] = json.loads(verdicts.read_text(encoding="utf-8"))
    agreed = sum(1 for step in steps if step["agreed"])
    percent = 100 * agreed / max(1, len(steps))
    print(f"{area:20} {agreed:5} of {len(steps):5} steps agree  {percent:6.2f} %", flush=True)
    return percent


def _compared(measured: dict[str, float], floors: dict[str, dict[str, float]], which: str,
              lift: bool) -> int:
    known = floors.setdefault(which, {})
    below = [area for area, percent in measured.items() if percent < known.get(area, 0.0)]
    for area in below:
        print(f"{area} is below its floor of {known[area]} %", file=sys.stderr)
    if lift:
        for area, percent in measured.items():
            known[area] = max(known.get(area, 0.0), _rounded(percent - MARGIN_PERCENT))
        FLOOR.write_text(HEAD + yaml.safe_dump(
            {key: dict(sorted(value.items())) for key, value in sorted(floors.items())}),
            encoding="utf-8")
    return 1 if below else 0


def _rounded(percent: float) -> float:
    return max(0.0, math.floor(percent * 10) / 10)


if __name__ == "__main__":
    sys.exit(main())
