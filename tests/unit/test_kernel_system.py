"""The four functions of a system agree with each other, on random and on mangled actions."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys

import pytest
from toy import PROPERTIES, toy

from model.kernel.action import Action
from model.kernel.driver import FairDriver, RandomDriver, ReplayDriver, converge, run
from model.kernel.fault import FaultPlan, budget_of
from model.kernel.property import Checker
from model.kernel.search import Limits, search
from model.kernel.system import System
from model.kernel.world import World

FAULTS = FaultPlan(budget_of("all"))


def walk(system: System, seed: int, steps: int) -> list[tuple[World, Action]]:
    """The worlds of a random walk, each with the action chosen there."""
    trail = []
    world = system.init()
    driver = RandomDriver(seed, fault_rate=40)
    for _ in range(steps):
        action = driver.pick(system, world)
        if action is None:
            break
        trail.append((world, action))
        after = system.apply(world, action)
        assert after is not None
        world = after
    return trail


def mangled(action: Action, bits: random.Random, pool: list[Action]) -> Action:
    """An action with one part exchanged for that of another, or garbled."""
    other = bits.choice(pool)
    return bits.choice((
        action._replace(actor=other.actor), action._replace(verb=other.verb),
        action._replace(args=other.args), action._replace(args=(*action.args, "x")),
        action._replace(args=action.args[:-1]), action._replace(verb="no-such-verb"), other))


@pytest.mark.parametrize("seed", range(12))
def test_apply_agrees_with_enabled_and_accepts(seed: int) -> None:
    """`apply` is not None exactly when the action is enabled or accepted."""
    system = toy(faults=FAULTS)
    bits = random.Random(seed)
    trail = walk(system, seed, 120)
    pool = [action for _, action in trail]
    for world, chosen in trail:
        enabled = system.enabled(world)
        assert chosen in enabled
        assert len(set(enabled)) == len(enabled)
        ready = [system.pick(world, number) for number in range(world.total)]
        assert list(enabled[:world.total]) == ready
        readings = tuple(Action("clock", "advance", (world.now + by,)) for by in (-1, 0, 1, 900))
        for action in (*enabled, *readings, *(mangled(chosen, bits, pool) for _ in range(6))):
            allowed = action in enabled or system.accepts(world, action)
            assert (system.apply(world, action) is not None) == allowed, action


@pytest.mark.parametrize("seed", range(8))
def test_derived_parts_are_functions_of_the_state(seed: int) -> None:
    """What is kept incrementally (ready, due, waiting) equals what is derived from scratch."""
    system = toy(faults=FAULTS)
    for world, _ in walk(system, seed, 150):
        assert world.total == sum(slot.ready for slot in world.slots)
        assert world.ready == tuple(at for at, slot in enumerate(world.slots) if slot.ready)
        for at, slot in enumerate(world.slots):
            if slot.status == 0:
                assert slot.waiting == system.deliverable(world, at, slot.inbox)
                assert slot.steps == system.components[at].steps(slot.local)
                assert slot.due == sum(1 for due, _ in slot.timers if due <= world.now + slot.skew)


def test_worlds_are_values() -> None:
    """Two orders of independent steps meet in one world; a pickled world is the same world."""
    system = toy(wanted=0)
    world = system.init()
    first, second = Action("client/0", "want", (1,)), Action("client/1", "want", (1,))
    one = system.apply(system.apply(world, first), second)
    two = system.apply(system.apply(world, second), first)
    assert one == two
    assert hash(one) == hash(two)
    assert one != world
    copy = pickle.loads(pickle.dumps(one))
    assert copy.now == one.now
    assert copy.slots[0].local == one.slots[0].local


def test_a_delta_checked_run_agrees_with_full_scans() -> None:
    """A full scan after every step finds nothing that the deltas missed, and nothing less."""
    system = toy(faults=FAULTS)
    for seed in range(20):
        checker = Checker(system, PROPERTIES)
        outcome = run(system, RandomDriver(seed, fault_rate=40), system.init(), steps=100,
                      checker=checker)
        full = run(system, ReplayDriver(outcome.actions), system.init(), steps=100,
                   checker=Checker(system, PROPERTIES), full_every=1)
        assert [v.property for v in full.violations] == [v.property for v in outcome.violations]
        assert full.actions == outcome.actions


def test_a_client_retry_after_a_lost_reply_is_found_by_random_and_by_exhaustive_search() -> None:
    """Raising twice for one wish needs a lost reply; breadth-first search gives the shortest."""
    system = toy(clients=1, wanted=1, faults=FaultPlan((("lose_reply", 1),)))
    report = search(system, PROPERTIES, Limits(depth=9, states=50_000))
    assert report.violation is not None
    assert report.violation.property == "the_counter_never_exceeds_what_was_wanted"
    # Both sides learn of the broken connection, in either order, before the wish is raised again.
    assert [action.verb for action in report.trace] == [
        "want", "raise", "deliver", "lose_reply", "deliver", "deliver", "raise", "deliver"]
    found = any(run(system, RandomDriver(seed, fault_rate=40), system.init(), steps=60,
                    checker=Checker(system, PROPERTIES)).violations for seed in range(200))
    assert found


def test_without_faults_every_world_is_visited_and_nothing_is_wrong() -> None:
    """The count of states to this depth is pinned: a change of semantics moves it."""
    system = toy(clients=2, wanted=1)
    checker = Checker(system, PROPERTIES)
    report = search(system, checker.properties, Limits(depth=16, states=50_000))
    assert report.violation is None
    assert report.states == 1320


def test_goals_converge_after_faults() -> None:
    """After healing every wish is done; a component that forgets its wish is caught."""
    system = toy(faults=FaultPlan((("crash", 2), ("cut", 1), ("isolate", 1))))
    quick = FairDriver()
    for seed in range(10):
        checker = Checker(system, [p for p in PROPERTIES if p.kind == "leads_to"])
        rough = run(system, RandomDriver(seed, fault_rate=60), system.init(), steps=80)
        assert converge(system, rough.world, checker, steps=500).violations == ()
    world = run(system, quick, system.init(), steps=500).world
    assert world.quiet()
    stuck = world["client/0"]._replace(wanted=99, busy=True)
    slots = list(world.slots)
    slots[1] = type(slots[1])(stuck, slots[1].inbox, slots[1].timers, 0, 0, (), (), 0)
    late = converge(system, system.rebuilt(world, slots), checker, steps=500).violations
    assert [v.property for v in late] == ["every_wish_is_done"]


PROGRAM = """
import sys; sys.path.insert(0, {tests!r}); sys.path.insert(0, {root!r})
from test_kernel_system import walk, FAULTS
from toy import toy
print([str(action) for _, action in walk(toy(faults=FAULTS), 7, 200)])
"""


def test_one_seed_gives_the_same_bytes_under_any_hash_seed(pytestconfig: pytest.Config) -> None:
    """Two processes with different PYTHONHASHSEED choose the same actions."""
    root = pytestconfig.rootpath
    program = PROGRAM.format(tests=str(root / "tests/unit"), root=str(root))
    texts = {subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed},
                            capture_output=True, text=True, check=True).stdout
             for seed in ("0", "1", "4711")}
    assert len(texts) == 1
    assert "deliver" in texts.pop()
