"""What becomes of pods whose machine dies, is deleted, or comes back: told as short stories."""

from __future__ import annotations

from dataclasses import replace

from model.api.scenario import kubectl
from model.kernel.action import Action
from model.kernel.driver import FairDriver, run
from model.kernel.harm import EFFECTS
from model.kernel.property import Checker
from model.kernel.system import ADVANCE, System
from model.kernel.world import UP, World
from properties.controllers.node import PROPERTIES, is_drained, ready
from properties.reading import is_live, is_ready, objects, stored
from reference_impl.cluster import build, start
from reference_impl.scenarios import named


def settled() -> tuple[System, World]:
    """Three nodes and a controller of two pods, all at rest."""
    scenario = named("failing-nodes")
    scenario = replace(scenario, script=(kubectl("create -f web.yaml"),), start="settled")
    system = build(scenario)
    return system, start(system, scenario)


class Until(FairDriver):
    """Serves fairly and stops before the clock would pass a moment."""

    def __init__(self, moment_ms: int) -> None:
        super().__init__(until_ms=moment_ms, script=False)
        self._moment_ms = moment_ms

    def pick(self, system: System, world: World) -> Action | None:
        action = super().pick(system, world)
        due = [slot.timers[0][0] - slot.skew for slot in world.slots
               if slot.timers and slot.status == UP]
        return None if action == ADVANCE and min(due) > self._moment_ms else action


def passes(system: System, world: World, seconds: int) -> World:
    """The world after that time, served fairly, with every rule of the node controller checked."""
    outcome = run(system, Until(world.now + seconds * 1000), world, steps=30_000,
                  checker=Checker(system, PROPERTIES))
    assert outcome.violations == ()
    return outcome.world


def home(world: World) -> str:
    """A node that has a pod."""
    return next(pod.spec.node_name for pod in objects(world, "pods"))


def placed(world: World, node: str) -> list[bool]:
    """Whether each pod on a node is live."""
    return [is_live(pod) for pod in objects(world, "pods") if pod.spec.node_name == node]


def test_a_dead_node_is_lost_after_fifty_seconds_and_drained_after_five_minutes() -> None:
    """Unknown and unready pods at 50 s; evictions when the 300 s of toleration are over."""
    system, world = settled()
    node = home(world)
    world = EFFECTS["crash_machine"](system, world, (node,))
    early = passes(system, world, 35)
    assert ready(stored(early, "nodes", "", node)) == "True"
    lost = passes(system, world, 65)
    assert ready(stored(lost, "nodes", "", node)) == "Unknown"
    assert is_drained(stored(lost, "nodes", "", node))
    assert not any(is_ready(pod) for pod in objects(lost, "pods") if pod.spec.node_name == node)
    assert all(placed(passes(system, lost, 200), node))
    late = passes(system, lost, 330)
    assert not any(placed(late, node))
    assert sum(is_live(pod) and is_ready(pod) for pod in objects(late, "pods")) == 2


def test_a_node_that_comes_back_keeps_its_pods() -> None:
    """Taints go, evictions are cancelled."""
    system, world = settled()
    node = home(world)
    cut = EFFECTS["isolate"](system, world, (node,))
    lost = passes(system, cut, 120)
    assert is_drained(stored(lost, "nodes", "", node))
    back = passes(system, EFFECTS["rejoin"](system, lost, (node,)), 600)
    assert not is_drained(stored(back, "nodes", "", node))
    assert all(placed(back, node))
    assert {pod.metadata.uid for pod in objects(back, "pods")} == {
        pod.metadata.uid for pod in objects(world, "pods")}


def test_nothing_is_evicted_while_every_node_is_silent() -> None:
    """The fault is rather ours than theirs."""
    system, world = settled()
    for node in ("node-1", "node-2", "node-3"):
        world = EFFECTS["isolate"](system, world, (node,))
    silent = passes(system, world, 900)
    assert all(ready(node) == "Unknown" for node in objects(silent, "nodes"))
    assert not any(is_drained(node) for node in objects(silent, "nodes"))
    assert all(is_live(pod) for pod in objects(silent, "pods"))


def test_pods_of_a_deleted_node_are_removed() -> None:
    """40 s after the node is gone, when a live look confirms it."""
    system, world = settled()
    node = home(world)
    world = EFFECTS["crash_machine"](system, world, (node,))
    action = kubectl(f"delete node {node} --wait=false")[0]
    step = system.apply(world, action)
    assert step is not None
    assert placed(passes(system, step, 30), node)
    later = passes(system, step, 90)
    assert stored(later, "nodes", "", node) is None
    assert placed(later, node) == []
    assert sum(is_live(pod) for pod in objects(later, "pods")) == 2
