"""Random histories of etcd with operators at work: its properties hold, each seeded bug is caught.

Only etcd and its operator's client run here, so that hundreds of histories fit into a second.
"""

from __future__ import annotations

import pytest

from model.kernel.driver import RandomDriver
from model.kernel.fault import FaultPlan, budget_of
from model.kernel.mutant import Mutant
from model.kernel.property import Checker, Violation
from model.kernel.system import System
from properties.etcd import member, watch
from properties.histories import Watched, broken_guarantees
from reference_impl.etcd.ctl import EtcdCtl
from reference_impl.etcd.member import Etcd
from reference_impl.scenarios import named

SCENARIO = named("etcd")
PROPERTIES = member.PROPERTIES + watch.PROPERTIES
STEPS = 120


def system(faults: str) -> System:
    plan = FaultPlan(budget_of(faults), ("etcd",), ())
    return System((Etcd(), EtcdCtl()), SCENARIO.script, plan)


def histories(count: int, faults: str, seen: set[str]) -> list[Violation]:
    """Walk; the violations of the first bad step."""
    for seed in range(count):
        under_test = system(faults)
        checker, driver = Checker(under_test, PROPERTIES), RandomDriver(seed, fault_rate=20)
        world = under_test.init()
        for _ in range(STEPS):
            action = driver.pick(under_test, world)
            if action is None:
                break
            step = under_test.transition(world, action)
            assert step is not None
            found = checker.check(step)
            if found:
                return found
            world = step.after
        assert not checker.full(world)
        seen |= checker.seen
    return []


@pytest.mark.parametrize("faults", ["none", "all"])
def test_etcd_keeps_its_promises(faults: str) -> None:
    """With and without faults; and both witnesses were met."""
    seen: set[str] = set()
    assert histories(150, faults, seen) == []
    assert seen == {"a_watched_store_overwrites_a_key", "a_watch_lags_behind_the_store"}


@pytest.mark.parametrize("mutant", member.MUTANTS + watch.MUTANTS, ids=lambda mutant: mutant.name)
def test_each_seeded_bug_is_caught(mutant: Mutant) -> None:
    """By the property that it names."""
    with mutant.installed():
        found = histories(400, mutant.faults, set())
    assert mutant.caught_by in [each.property for each in found]


def test_recorded_watches_keep_every_guarantee() -> None:
    """What the clients saw, judged guarantee by guarantee against all that happened."""
    judged = 0
    for seed in range(150):
        under_test = system("all")
        driver = RandomDriver(seed, fault_rate=20)
        world, happened = under_test.init(), []
        replies: dict[str, list[object]] = {}
        for _ in range(STEPS):
            action = driver.pick(under_test, world)
            if action is None or action.verb == "restore":
                break
            step = under_test.transition(world, action)
            assert step is not None
            if step.message is not None and action.actor == "etcdctl":
                replies.setdefault(step.message.lane, []).append(step.message.body)
            if step.after["etcd"].revision > world["etcd"].revision:
                happened.extend(step.after["etcd"].log.since(step.after["etcd"].revision))
            world = step.after
        for lane, connection in world["etcdctl"].connections.items():
            if connection.watch is not None:
                told = tuple(body for body in replies.get(lane, ())
                             if getattr(body, "kind", "") == "WatchReply")
                watched = Watched(connection.watch, told)  # type: ignore[arg-type]  # filtered
                assert broken_guarantees(watched, happened) == []
                judged += len(watched.events)
    assert judged > 100
