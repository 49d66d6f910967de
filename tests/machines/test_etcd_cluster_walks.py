"""Random histories of an etcd cluster under every fault: its promises hold, seeded bugs are caught.

Only the members and their client run here, with two faults of each kind in a history.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from model.api.storage import WatchReply
from model.kernel.action import Action
from model.kernel.driver import FairDriver, RandomDriver, converge, run
from model.kernel.fault import FaultPlan, budget_of
from model.kernel.property import Checker, Violation
from model.kernel.system import System, Transition
from model.kernel.world import World
from properties.etcd import member, raft, raft_mutants, raft_refinement, watch
from properties.histories import Recorder, Watched, broken_guarantees
from reference_impl.etcd import cluster, ctl
from reference_impl.scenarios import named

SCENARIO = named("etcd-members")
READS = named("etcd-reads")
PROPERTIES = member.PROPERTIES + watch.PROPERTIES + raft.PROPERTIES
STEPS = 300


def system(faults: str, each: int = 2) -> System:
    plan = FaultPlan(budget_of(faults, each), ("etcd",), ("control-plane",))
    return System(cluster.components(SCENARIO) + ctl.components(SCENARIO), SCENARIO.script, plan)


def histories(count: int, faults: str, seen: set[str]) -> list[Violation]:
    """Walk and converge; the violations of the first bad history."""
    under_test = system(faults)
    for seed in range(count):
        swarm = random.Random(seed)
        checker = Checker(under_test, PROPERTIES)
        world = under_test.init()
        kept = tuple((kind, left if swarm.random() < 0.6 else 0) for kind, left in world.budget)
        world = under_test.rebuilt(world, list(world.slots), budget=kept)
        driver = RandomDriver(seed, fault_rate=swarm.choice((4, 8, 16)),
                              input_rate=swarm.choice((4, 16, 48)))
        outcome = run(under_test, driver, world, steps=STEPS, checker=checker)
        found = outcome.violations
        if not found and seed % 4 == 0:
            found = converge(under_test, outcome.world, checker, steps=5_000).violations
        if found:
            return list(found)
        assert not checker.full(outcome.world)
        seen |= checker.seen
    return []


@pytest.mark.parametrize("faults", ["none", "all"])
def test_a_cluster_keeps_its_promises(faults: str) -> None:
    """With and without faults; under faults later terms commit and snapshots are taken."""
    seen: set[str] = set()
    assert histories(80, faults, seen) == []
    if faults == "all":
        assert {"a_second_term_commits_an_entry", "a_member_goes_on_from_a_snapshot"} <= seen


def test_a_message_between_peers_is_dropped_repeated_and_overtaken() -> None:
    """The three faults on the queue of one channel; a lost disk restarts a member at once."""
    under_test = system("drop,duplicate,reorder,lose_unsynced", 9)
    channel = ("etcd", cluster.RAFT)

    def queue(seen: World) -> tuple[object, ...]:
        found: tuple[object, ...] = seen.slots[seen.names["etcd/2"]].inbox.get(channel, ())
        return found

    def fault(kind: str) -> World:
        after = under_test.apply(world, Action("fault", kind, ("etcd/2", *channel)))
        assert after is not None
        return after

    world = under_test.init()
    driver = FairDriver()
    while len(queue(world)) < 2:
        world = run(under_test, driver, world, steps=1).world
    before = queue(world)
    assert queue(fault("drop")) == before[1:]
    assert queue(fault("duplicate")) == (*before, before[0])
    assert queue(fault("reorder")) == (*before[1:], before[0])
    down = under_test.apply(world, Action("fault", "lose_unsynced", ("etcd/2",)))
    assert down is not None
    assert Action("etcd/2", "restart") in under_test.enabled(down)


def fair(world: World, under_test: System, actions: int) -> World:
    """The world after that many fairly served steps."""
    return run(under_test, FairDriver(), world, steps=actions).world


def test_the_script_ends_with_all_voters_in_agreement() -> None:
    """Without a fault: etcd/4 has joined, etcd/3 has left, the others have the same store."""
    under_test = system("none")
    world = fair(under_test.init(), under_test, 5_000)
    assert world.quiet()
    assert world["etcd"].raft.voters == ("etcd", "etcd/2", "etcd/4")
    stores = [world[name].store for name in world["etcd"].raft.voters]
    assert stores[0] == stores[1] == stores[2]
    assert stores[0].kv.keys() == ("/demo/a", "/demo/d", "/demo/e", "/demo/f")


def test_the_api_server_stands_on_a_cluster_of_etcd() -> None:
    """A whole cluster on three members, under faults: every property of every component holds."""
    from kubeproof.explorer import Explorer, Plan
    explorer = Explorer(named("etcd-cluster"))
    assert explorer.fair_failure() is None
    tally = explorer.explore(Plan(histories=25, steps=200))
    assert [failure.violation for failure in tally.failures] == []


def judged(name: str, faults: str, hosts: tuple[str, ...], count: int) -> str | None:
    """What is wrong with the first bad history of clients who read and write under faults; the good
    ones told them enough to be judged."""
    scenario, answered = named(name), 0
    for seed in range(count):
        under_test = System(cluster.components(scenario) + ctl.components(scenario),
                            scenario.script, FaultPlan(budget_of(faults), ("etcd",), hosts))
        recorder = Recorder("etcdctl")
        run(under_test, RandomDriver(seed, fault_rate=8), under_test.init(), steps=STEPS,
            watch=(recorder.see,))
        answered += sum(each.returned is not None for each in recorder.operations)
        text = recorder.judged()
        if text is not None:
            return text
    assert answered > 5 * count
    return None


def test_what_clients_of_a_cluster_are_told_is_linearizable() -> None:
    """By values alone, whichever member they ask, whatever is lost."""
    faults = "isolate,lose_reply,crash,drop"
    assert judged("etcd-reads", faults, ("control-plane",), 40) is None
    assert judged("etcd-paused", "isolate", ("control-plane-3",), 40) is None


def test_a_stale_read_is_seen_in_what_clients_are_told() -> None:
    """With etcd's bug seeded some history has no order."""
    bug = next(mutant for mutant in raft_mutants.MUTANTS
               if mutant.bug == "etcd-stale-linearizable-read-after-pause")
    with bug.installed():
        text = judged("etcd-paused", "isolate", ("control-plane-3",), 400)
    assert text == "no order explains what clients were told of /demo/a"


def small(name: str, faults: str) -> System:
    """The system of a scenario of etcd alone, with one fault of each kind."""
    scenario = named(name)
    return System(cluster.components(scenario) + ctl.components(scenario), scenario.script,
                  FaultPlan(budget_of(faults), ("etcd",), ("control-plane",)))


@pytest.mark.parametrize("name", ["etcd-elections", "etcd-paused", "etcd-reads"])
def test_members_step_as_the_spec_of_raft_allows(name: str) -> None:
    """Each step that tells of a promise or of what a leader did, under every fault."""
    under_test, told = small(name, "all"), 0
    for seed in range(25):
        checker = Checker(under_test, (raft_refinement.REFINEMENT,))
        outcome = run(under_test, RandomDriver(seed, fault_rate=8), under_test.init(), steps=200,
                      checker=checker)
        assert outcome.violations == ()
        told += sum(node.raft.story.told for _, node in raft.members(outcome.world))
    assert told > 200


def test_a_watch_keeps_every_guarantee_through_a_snapshot() -> None:
    """At a member that is cut off and goes on from a leader's state; judged one by one."""
    judged_events = snapshots = 0
    for seed in range(60):
        under_test = small("etcd-paused", "isolate,cut,crash,lose_unsynced,drop")
        told: list[WatchReply] = []

        def see(step: Transition, told: list[WatchReply] = told) -> None:
            message = step.message
            if message is not None and step.action.actor == "etcdctl" and (
                    type(message.body) is WatchReply):
                told.append(message.body)

        world = run(under_test, RandomDriver(seed, fault_rate=8), under_test.init(), steps=STEPS,
                    watch=(see,)).world
        connection = world["etcdctl"].connections.get("watcher@3")
        if connection is None or connection.watch is None:
            continue
        happened = watch.newest_store(world).log.since(0)
        assert broken_guarantees(Watched(connection.watch, tuple(told)), happened) == []
        judged_events += len(connection.events)
        snapshots += world["etcd/3"].raft.log.base > 0
    assert judged_events > 100
    assert snapshots > 5


def test_five_members_keep_their_promises_too() -> None:
    """Two of them may be down: the rest elects, commits, and steps as the spec allows."""
    five = replace(READS, settings=tuple(
        (key, "5" if key == "etcd-members" else value) for key, value in READS.settings))
    under_test = System(cluster.components(five) + ctl.components(five), five.script,
                        FaultPlan(budget_of("all"), ("etcd",), ("control-plane",)))
    commits = 0
    for seed in range(20):
        checker = Checker(under_test, (*PROPERTIES, raft_refinement.REFINEMENT))
        outcome = run(under_test, RandomDriver(seed, fault_rate=8), under_test.init(), steps=250,
                      checker=checker)
        assert outcome.violations == ()
        commits += outcome.world["etcd"].raft.commit
    assert commits > 50


def test_what_is_offered_can_be_taken_and_nothing_else() -> None:
    """Faults between peers among them: each enabled action has a successor, a mangled one none."""
    under_test = system("all")
    world, driver, tried = under_test.init(), RandomDriver(3, fault_rate=30), 0
    for _ in range(250):
        enabled = under_test.enabled(world)
        for action in enabled:
            assert under_test.apply(world, action) is not None, action
            mangled = action._replace(args=(*action.args, "x"))
            if not under_test.accepts(world, mangled):
                assert under_test.apply(world, mangled) is None, mangled
            tried += action.verb in ("drop", "duplicate", "reorder", "lose_unsynced")
        chosen = driver.pick(under_test, world)
        if chosen is None:
            break
        world = under_test.apply(world, chosen) or world
    assert tried > 100
