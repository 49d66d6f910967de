"""Costs of the world, in one run, as a table: `make bench`.

Random walks bare, checked, and through Hypothesis' bytes; writes/s; whole stories/s; breadth-first
edges/s; bytes per kept world; each at 2 nodes with 10 pods and at 50 nodes with 1,000 pods. CPU
seconds of this process. The table is the result; the test asserts ratios only.
"""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from dataclasses import replace
from typing import NamedTuple

import pytest

from kubeproof.explorer import all_properties
from model.api.scenario import Scenario, kubectl, node_shape
from model.kernel.driver import BytesDriver, FairDriver, RandomDriver, run
from model.kernel.property import Checker
from model.kernel.search import Limits, search
from model.kernel.system import System
from model.kernel.world import World
from reference_impl.cluster import build

pytestmark = pytest.mark.bench

MANIFEST = """apiVersion: v1
kind: ReplicationController
metadata: {{name: web-{number}}}
spec:
  replicas: {replicas}
  selector: {{app: web-{number}}}
  template:
    metadata: {{labels: {{app: web-{number}}}}}
    spec:
      containers:
      - name: web
        image: web:1
        resources: {{requests: {{cpu: 50m, memory: 50Mi}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web-{number}}}
spec:
  selector: {{app: web-{number}}}
  ports: [{{port: 80}}]
"""


class Row(NamedTuple):
    """One size: steps per CPU second bare, checked and through bytes; writes, stories and edges
    per CPU second; bytes a kept world; share of clock steps."""

    size: str
    bare: float
    checked: float
    drawn: float
    writes: float
    stories: float
    edges: float
    world_bytes: float
    clock_share: float


def scenario(nodes: int, groups: int, replicas: int) -> Scenario:
    """`groups` controllers with `replicas` pods each, and a Service for each; then scaling."""
    files = tuple((f"web-{n}.yaml", MANIFEST.format(number=n, replicas=replicas))
                  for n in range(groups))
    return Scenario(name="bench", nodes=tuple(node_shape(n + 1) for n in range(nodes)), files=files,
                    script=(kubectl(*(f"create -f {name}" for name, _ in files)),),
                    start="settled")


def busy(base: Scenario, groups: int, replicas: int) -> Scenario:
    """The same cluster with a script that scales and deletes, to keep it moving."""
    lines = [f"scale rc web-{n % groups} --replicas={replicas + (n // groups + 1) % 3}"
             for n in range(6 * groups)]
    return replace(base, script=(kubectl(*lines),))


def walk(system: System, world: World, steps: int, *, checked: bool = False,
         data: bytes | None = None) -> tuple[float, int, float]:
    """CPU seconds a step, writes, and the share of clock steps of walks from `world`."""
    checker = Checker(system, all_properties()) if checked else None
    taken = writes = clocks = 0
    began = time.process_time()
    for seed in range(max(steps // 2000, 1)):
        driver = RandomDriver(seed) if data is None else BytesDriver(data[4000 * seed:][:4000])
        outcome = run(system, driver, world, steps=2000, checker=checker)
        assert not outcome.violations, outcome.violations
        taken += len(outcome.actions)
        writes += outcome.world["etcd"].revision - world["etcd"].revision
        clocks += sum(1 for action in outcome.actions if action.actor == "clock")
    return (time.process_time() - began) / taken, writes, clocks / taken


def measure(size: str, nodes: int, groups: int, replicas: int, steps: int) -> Row:
    """All figures of one size."""
    base = scenario(nodes, groups, replicas)
    first = build(base)
    began = time.process_time()
    settled = run(first, FairDriver(), first.init(), steps=400_000).world
    assert settled.quiet()
    story = time.process_time() - began
    system = build(busy(base, groups, replicas))
    world = system.rebuilt(settled, list(settled.slots), budget=())
    world.script = (0,)
    bare, writes, clock_share = walk(system, world, steps)
    checked, _, _ = walk(system, world, steps, checked=True)
    drawn, _, _ = walk(system, world, steps, data=random.Random(1).randbytes(4000 * 100))
    edges, kept = breadth_first(system, world)
    return Row(size, 1 / bare, 1 / checked, 1 / drawn, writes / (bare * steps), 1 / story, edges,
               kept, clock_share)


def breadth_first(system: System, world: World) -> tuple[float, float]:
    """Edges per CPU second, and bytes for each kept world."""
    after = run(system, FairDriver(), world, steps=300).world
    began = time.process_time()
    report = search(system, (), Limits(states=6_000), start=after)
    seconds = time.process_time() - began
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [after]
    for number in range(2_000):
        last = kept[number // 2]
        action = system.pick(last, number % last.total) if last.total else None
        grown = system.apply(last, action) if action is not None else None
        if grown is not None:
            kept.append(grown)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return report.edges / seconds, used / max(len(kept) - 1, 1)


def test_costs_of_the_world() -> None:
    """Prints the table; a step at 1,000 pods costs little more than one at 10."""
    gc.disable()
    rows = [measure("2 nodes, 10 pods", 2, 2, 5, 20_000),
            measure("50 nodes, 1,000 pods", 50, 50, 20, 10_000)]
    gc.enable()
    print(f"\n{'':22}{'bare/s':>10}{'checked/s':>11}{'bytes/s':>10}{'writes/s':>10}"
          f"{'stories/s':>11}{'edges/s':>10}{'B/world':>10}{'clock %':>9}")
    for row in rows:
        print(f"{row.size:22}{row.bare:10,.0f}{row.checked:11,.0f}{row.drawn:10,.0f}"
              f"{row.writes:10,.0f}{row.stories:11.3f}{row.edges:10,.0f}{row.world_bytes:10,.0f}"
              f"{100 * row.clock_share:9.1f}")
    print(f"a step at 1,000 pods costs {rows[0].bare / rows[1].bare:.2f} times one at 10 bare, "
          f"{rows[0].checked / rows[1].checked:.2f} times checked")
    assert rows[0].bare / rows[1].bare < 3
    assert rows[0].checked / rows[1].checked < 4
