"""Costs of etcd's judges and of its cluster, in one run, as a table: `make bench`.

Linearizability of 10,000 operations by 8 clients whose calls always overlap, with and without a
stale read, on one key and on eight; steps of a cluster of 1, 3 and 5 members under random faults,
checked. CPU seconds of this process; the bounds are those of the design, far above what is seen.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
from test_histories import made_history, with_a_stale_read

from model.kernel.driver import RandomDriver, run
from model.kernel.fault import FaultPlan, budget_of
from model.kernel.property import Checker
from model.kernel.system import System
from properties.etcd import member, raft, watch
from properties.histories import apart, carried_out, keys_of, linearization
from reference_impl.cluster import build
from reference_impl.scenarios import named

pytestmark = pytest.mark.bench

OPERATIONS = 10_000
CLIENTS = 8
SECONDS_MAX = 10.0


@pytest.mark.parametrize("keys", [1, 8])
def test_linearizability_of_ten_thousand_operations(keys: int) -> None:
    """In both verdicts."""
    history = made_history(random.Random(2), OPERATIONS, CLIENTS, keys, lost=0.001)
    for name, judged, verdict in (("explained", history, True),
                                  ("stale read", with_a_stale_read(history), False)):
        began = time.process_time()
        found = [linearization(group, (), carried_out) for group in apart(judged, keys_of)]
        took = time.process_time() - began
        print(f"\n{OPERATIONS} operations, {CLIENTS} clients, {keys} keys, {name}: {took:.2f} s")
        assert all(found) == verdict
        assert took < SECONDS_MAX


@pytest.mark.parametrize("members", ["1", "3", "5"])
def test_steps_of_a_cluster(members: str) -> None:
    """Random histories, every promise of etcd checked."""
    shipped = named("etcd-reads")
    settings = tuple((key, members if key == "etcd-members" else value)
                     for key, value in shipped.settings)
    scenario = replace(shipped, settings=settings,
                       faults=FaultPlan(budget_of("all"), ("etcd",), ("control-plane",)))
    system: System = build(scenario)
    checker = Checker(system, member.PROPERTIES + watch.PROPERTIES + raft.PROPERTIES)
    began, steps = time.process_time(), 0
    for seed in range(100):
        outcome = run(system, RandomDriver(seed), system.init(), steps=300, checker=checker)
        assert not outcome.violations
        steps += len(outcome.actions)
    speed = steps / (time.process_time() - began)
    print(f"\n{members} members: {speed:,.0f} checked steps/s")
    assert speed > 2_000
