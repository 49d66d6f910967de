"""Explicit-state search side by side with Spin, in one run: `make bench`.

CPU seconds of child processes. Spin is built by gcc -O2 -fno-tree-slp-vectorize (the vectoriser of
some compilers miscompiles its sums of comparisons) and the faster of two hand-written models
counts; its gcc time is left out of every ratio. Ours is the benchmark spec, in machine code, in
NumPy and by numba with an empty cache, search alone and as a whole process from a cold start.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from promela_models import Model, counting, plain  # a sibling, found by the path above

pytestmark = pytest.mark.bench

SCOPE, STATES, TRANSITIONS = (5, 3, 2, 3), 3_040_928, 35_293_344
RUN = """
import json, sys
from model.benchmark import Benchmark
from model.kernel.engines.packed import search
from model.kernel.spec.ir import Scope
pods, nodes, capacity, ceiling, engine, symmetry = json.loads(sys.argv[1])
scope = Scope({"Pod": pods, "Node": nodes}, {"capacity": capacity, "ceiling": ceiling, "bug": 0})
found = search(Benchmark.module(), scope, engine=engine, symmetry=symmetry)
print(json.dumps([found.states, found.transitions, found.cpu_seconds_search,
                  found.cpu_seconds_compile, found.bytes_per_state]))
"""


class Row(NamedTuple):
    """One engine at one scope, in CPU seconds; `memory_mb` is the peak of the process."""

    engine: str
    states: int
    transitions: int
    search: float
    whole: float
    memory_mb: float

    def line(self, spin: float) -> str:
        """The row, with its ratios to Spin's states per CPU second where the scope is Spin's."""
        ratios = "" if self.states != STATES else (
            f" {spin / self.search:8.1f} {spin / self.whole:8.1f}")
        return (f"{self.engine:34} {self.states:12,} {self.transitions:14,} {self.search:8.2f} "
                f"{self.whole:8.2f} {self.memory_mb:8.0f}{ratios}")


def child(command: list[str], folder: Path) -> tuple[str, float, float]:
    """Output, CPU seconds and peak memory in MB of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = "import resource, subprocess, sys\n" \
        "done = subprocess.run(sys.argv[1:], check=True, capture_output=True, text=True)\n" \
        "print(done.stdout)\nprint(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder),
                   "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-S", "-c", report, *command], check=True,
                          capture_output=True, text=True, cwd=folder, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    text, peak = done.stdout.rstrip().rsplit("\n", 1)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return text, cpu, int(peak) / 1024


def spin(text: str, folder: Path) -> Row:
    """Spin's own search of a hand-written model."""
    folder.mkdir()
    (folder / "cluster.pml").write_text(text)
    subprocess.run(["spin", "-a", "cluster.pml"], check=True, cwd=folder, capture_output=True)
    subprocess.run(["gcc", "-O2", "-fno-tree-slp-vectorize", "-DSAFETY", "-o", "pan", "pan.c"],
                   check=True, cwd=folder, capture_output=True)
    out, cpu, peak = child(["./pan", "-m4000000", "-w24"], folder)
    states = re.search(r"(\d+) states, stored", out)
    transitions = re.search(r"(\d+) transitions", out)
    assert states is not None
    assert transitions is not None
    return Row(f"Spin, {folder.name} model", int(states[1]), int(transitions[1]) - 1, cpu, cpu,
               peak)


def ours(scope: tuple[int, int, int, int], engine: str, folder: Path, *,
         symmetry: bool = False) -> Row:
    """A whole process of ours, from a cold start."""
    job = json.dumps([*scope, engine, symmetry])
    out, cpu, peak = child([sys.executable, "-c", RUN, job], folder)
    states, transitions, seconds, _, _ = json.loads(out)
    name = f"{engine} {','.join(map(str, scope))}{' symmetry' if symmetry else ''}"
    return Row(name, states, transitions, seconds, cpu, peak)


def test_search_beside_spin(tmp_path: Path) -> None:
    """At least 15 times Spin in machine code, 5 times as a whole cold process, 3 times in NumPy."""
    if shutil.which("spin") is None or shutil.which("gcc") is None:
        pytest.skip("the system parts spin and gcc are absent")
    model = Model(*SCOPE)
    peers = [spin(plain(model), tmp_path / "plain"), spin(counting(model), tmp_path / "counting")]
    best = min(each.search for each in peers)
    rows = [*peers]
    for engine in ("native", "numpy", "numba"):
        (tmp_path / engine).mkdir()
        rows.append(ours(SCOPE, engine, tmp_path / engine))
    native, numpy = rows[2], rows[3]
    rows.append(ours((6, 3, 2, 3), "native", tmp_path))
    rows.append(ours((6, 3, 3, 4), "native", tmp_path))
    rows.append(ours((7, 4, 3, 5), "native", tmp_path, symmetry=True))
    print(f"\n{'engine and scope':34} {'states':>12} {'transitions':>14} {'search':>8} {'whole':>8}"
          f" {'MB':>8} {'x Spin':>8} {'whole':>8}")
    print("\n".join(each.line(best) for each in rows))
    assert {(each.states, each.transitions) for each in rows[:5]} == {(STATES, TRANSITIONS)}
    assert rows[6][1:3] == (75_955_320, 1_082_828_520)
    assert rows[7].states == 434_388
    assert best / native.search >= 15
    assert best / native.whole >= 5
    assert best / numpy.search >= 3
    assert rows[6].memory_mb < 4_096
