"""What the node controller promises, how its state maps to its spec, and its seeded bugs."""

from __future__ import annotations

from typing import Any

from model.api.conditions import find
from model.controllers.node import Draining as Spec
from model.kernel.action import Action
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, always, leads_to, sometimes, step_rule
from model.kernel.refine import Derived, refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, Index, is_live, is_ready, live_nodes, objects, stored, title
from reference_impl.controllers.node import (
    GRANTED,
    NODES,
    PODS,
    Eviction,
    NodeController,
    State,
    Work,
)

NAME = "controllers/node"
WHOLE = Part(NAME)
WORK = Part(NAME, "work")
CONVERGES_MS = 600_000
GRACE_MS = 50_000
MANAGED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


# ---- promises ----------------------------------------------------------------------------------


def ready(node: Any) -> str:
    """The status of a node's Ready condition; "" when it has none."""
    found = None if node.status is None else find(node.status.conditions, "Ready")
    return "" if found is None else str(found.status)


def hard_taints(node: Any) -> tuple[Any, ...]:
    """A node's taints with effect NoExecute."""
    taints = () if node is None or node.spec is None else node.spec.taints or ()
    return tuple(taint for taint in taints if taint.effect == "NoExecute")


def is_drained(node: Any) -> bool:
    """Whether the node controller has tainted a node NoExecute."""
    return any(taint.key in MANAGED for taint in hard_taints(node))


def bears(pod: Any, taint: Any) -> list[int | None]:
    """For how many seconds each matching toleration bears a taint; None for ever; [] not at all."""
    found: list[int | None] = []
    for toleration in (pod.spec.tolerations if pod.spec is not None else None) or ():
        fits = (toleration.effect in (None, "", taint.effect)
                and toleration.key in (None, "", taint.key)
                and (toleration.operator == "Exists"
                     or (toleration.key and (toleration.value or "") == (taint.value or ""))))
        if fits:
            found.append(toleration.toleration_seconds)
    return found


def must_leave(pod: Any, node: Any) -> bool:
    """Whether some NoExecute taint of its node is not tolerated for ever by a live bound pod."""
    if pod.metadata.deletion_timestamp is not None:
        return False
    waits = [bears(pod, taint) for taint in hard_taints(node)]
    return any(not found or any(seconds is not None for seconds in found) for found in waits)


@step_rule(reads=(WORK,), why="a node with a slow clock is not a dead node")
def a_node_that_reports_in_time_is_not_declared_lost(before: World, action: Action,
                                                     after: World) -> str | None:
    """Ready=Unknown is written only for a node whose lease and heartbeats were not seen to change
    for a whole grace period of the controller's clock, whatever times are written in them."""
    old, new = before[NAME].work, after[NAME].work
    if new is None or new.at != "lost" or (old is not None and old.at == "lost"):
        return None
    name = new.node.metadata.name
    slot = after.slots[after.names[NAME]]
    silent_ms = after.now + slot.skew - after[NAME].memory.heard_ms.get(name, after.now)
    if silent_ms >= GRACE_MS:
        return None
    return f"node {name} is declared lost {silent_ms} ms after it was heard of"


@leads_to(within_ms=CONVERGES_MS, reads=(KV,), why="pods on a dead machine serve nobody")
def a_dead_node_is_drained(world: World) -> str | None:
    """While some node is ready, no live pod that must leave stays bound to a lost node."""
    nodes = {node.metadata.name: node for node in objects(world, "nodes")}
    if not any(ready(node) == "True" for node in nodes.values()):
        return None
    alive = set(live_nodes(world))
    for pod in objects(world, "pods"):
        node = nodes.get(pod.spec.node_name if pod.spec is not None else "")
        if node is not None and node.metadata.name not in alive and is_live(pod):
            if ready(node) == "True":
                return f"node {node.metadata.name} is dead and still Ready"
            if not is_drained(node) or must_leave(pod, node):
                return f"pod {title(pod)} stays on the dead node {node.metadata.name}"
    return None


@leads_to(within_ms=CONVERGES_MS, reads=(KV,), why="a node that is back must be used again")
def a_live_node_is_released(world: World) -> str | None:
    """A machine that lives is Ready and has no taint of the node controller."""
    alive = set(live_nodes(world))
    for node in objects(world, "nodes"):
        if node.metadata.name in alive:
            if ready(node) != "True":
                return f"node {node.metadata.name} lives and is Ready={ready(node)}"
            if is_drained(node):
                return f"node {node.metadata.name} lives and is tainted NoExecute"
    return None


@leads_to(within_ms=CONVERGES_MS, reads=(KV,),
          why="a pod that nobody can reach must leave the Endpoints")
def pods_of_a_lost_node_are_not_ready(world: World) -> str | None:
    """Every pod on a dead node with Ready=Unknown has Ready=False, whenever that was noticed."""
    alive = set(live_nodes(world))
    for pod in objects(world, "pods"):
        name = pod.spec.node_name if pod.spec is not None else None
        node = stored(world, "nodes", "", name or "")
        if (node is not None and name not in alive and ready(node) == "Unknown"
                and is_ready(pod)):
            return f"pod {title(pod)} is Ready on the lost node {node.metadata.name}"
    return None


@always(reads=(Part(NAME, "queue"), WORK),
        why="a crash between marking a node and marking its pods must not leave the pods ready")
def a_resting_controller_leaves_no_ready_pod_on_a_lost_node(world: World) -> str | None:
    """With nothing queued, in hand or planned, no pod is Ready, in its cache and in the store, on a
    node that is lost."""
    slot = world.slots[world.names[NAME]]
    local: State = slot.local
    if not local.synced or local.work is not None or local.queue.order:
        return None
    planned = {key for _, key in slot.timers}
    bound = local.caches[PODS].indexes[0]
    for name, node in local.caches[NODES].store.items():
        if ready(node) != "Unknown" or planned & {f"unready:{name}", f"retry:mark|{name}"}:
            continue
        for key in bound.get(name, ()):
            now = stored(world, "pods", *key.split("/"))
            if is_ready(local.caches[PODS].store[key]) and now is not None and is_ready(now):
                return f"pod {key} is Ready on the lost node {name} and nobody will look"
    return None


@sometimes(reads=(KV,), why="without a lost node nothing was shown")
def a_node_is_lost(world: World) -> bool:
    """Some node is Ready=Unknown."""
    return "Unknown" in _NODES.of(world)


_NODES = Index("nodes", ready)


@sometimes(reads=(WORK,), why="without an eviction nothing was shown")
def a_pod_is_evicted(world: World) -> bool:
    """The controller deletes a pod because of a taint."""
    work = world[NAME].work
    return work is not None and work.at == "evict-delete"


# ---- refinement --------------------------------------------------------------------------------

_DOWN: Derived[str, Any] = Derived(
    lambda name, node: (name, True) if ready(node) != "True" else None)
_TAINTED: Derived[str, Any] = Derived(
    lambda name, node: (name, True) if is_drained(node) else None)
_HOLDS: Derived[str, Any] = Derived(
    lambda key, pod: (key, pod.spec.node_name) if pod.spec is not None and pod.spec.node_name
    and pod.metadata.deletion_timestamp is None else None)
_PLANNED: Derived[str, Any] = Derived(lambda key, eviction: (key, True))


class Hot:
    """Which cached pods must leave their nodes, from the caches, by differences."""

    def __init__(self) -> None:
        self.nodes: FrozenMap[str, Any] = EMPTY
        self.pods: FrozenMap[str, Any] = EMPTY
        self.hot: FrozenMap[str, bool] = EMPTY

    def of(self, nodes: FrozenMap[str, Any], pods: FrozenMap[str, Any]) -> FrozenMap[str, bool]:
        """The pods that must leave."""
        if nodes is not self.nodes:
            changed = {name for name, old, new in self.nodes.diff(nodes)
                       if hard_taints(old) != hard_taints(new)}
            if changed:
                for key, pod in pods.items():
                    if pod.spec is not None and pod.spec.node_name in changed:
                        self._judge(key, pod, nodes)
            self.nodes = nodes
        for key, _, pod in self.pods.diff(pods):
            self._judge(key, pod, nodes)
        self.pods = pods
        return self.hot

    def _judge(self, key: str, pod: Any, nodes: FrozenMap[str, Any]) -> None:
        node = None if pod is None or pod.spec is None else nodes.get(pod.spec.node_name or "")
        if node is None or not must_leave(pod, node):
            self.hot = self.hot.drop(key)
        elif key not in self.hot:
            self.hot = self.hot.set(key, True)


_HOT = Hot()


def state_at(local: State, now_ms: int) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    nodes, pods = local.caches[NODES].store, local.caches[PODS].store
    memory = local.memory
    silent = FrozenMap((name, True) for name, heard_ms in memory.heard_ms.items()
                       if heard_ms + GRACE_MS <= now_ms)
    down = _DOWN.of(nodes)
    granted = FrozenMap((name, True) for name, grant in memory.grants.items()
                        if grant == GRANTED and name in down)
    ripe = FrozenMap((key, True) for key, eviction in memory.evictions.items()
                     if eviction.due_ms <= now_ms)
    return {"alive": _ALIVE.of(nodes), "lost": EMPTY, "hard": EMPTY, "on": EMPTY, "calm": False,
            "silent": silent, "down": down, "tainted": _TAINTED.of(nodes),
            "granted": granted, "holds": _HOLDS.of(pods),
            "hot": _HOT.of(nodes, pods), "planned": _PLANNED.of(memory.evictions), "ripe": ripe,
            "outage": memory.outage}


# The oracle takes the names of nodes from the maps: this one holds all that the cache has.
_ALIVE: Derived[str, Any] = Derived(lambda name, node: (name, True))


def state(world: World) -> dict[str, Any]:
    """The spec's variables at the controller's own time."""
    slot = world.slots[world.names[NAME]]
    return state_at(slot.local, world.now + slot.skew)


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    if step.action.verb == "restart":
        return (Label("crash", ()),)
    slot = step.after.slots[step.mover]
    now_ms = step.after.now + slot.skew
    old, new = state_at(step.before[NAME], now_ms), state_at(step.after[NAME], now_ms)
    found: list[Label] = []
    for name in dict.fromkeys(key for part in ("down", "tainted")
                              for key, _, _ in old[part].diff(new[part])):
        found.append(Label("learn", (name, name not in new["down"], name in new["tainted"])))
    found.extend(pod_labels(old, new))
    if old["outage"] != new["outage"]:
        found.append(Label("weigh", ()))
    elif step.action.verb == "timer":
        found.extend(Label("grant", (name,)) for name, _, granted in
                     old["granted"].diff(new["granted"]) if granted)
    found.extend(Label("beat", (name,)) for name, _, silent in old["silent"].diff(new["silent"])
                 if not silent and not (old["outage"] and not new["outage"]))
    return (*found, *decided(step.before[NAME].work, step.after[NAME].work))


def pod_labels(old: dict[str, Any], new: dict[str, Any]) -> list[Label]:
    """Pods that come to nodes or leave them, and those that must leave or need not any more."""
    found: list[Label] = []
    moved = set()
    for key, before, after in old["holds"].diff(new["holds"]):
        if before is not None:
            found.append(Label("drop", (key,)))
        if after is not None:
            found.append(Label("hold", (key, after)))
            if before is not None and key in new["hot"]:
                moved.add(key)
    gone = {label.arguments[0] for label in found if label.action == "drop"}
    for key in dict.fromkeys((*(key for key, _, _ in old["hot"].diff(new["hot"])), *moved)):
        if key in new["hot"] or key not in gone:
            found.append(Label("heat", (key, key in new["hot"])))
            if key in new["ripe"]:
                found.append(Label("ripen", (key,)))  # nothing is tolerated: it goes at once
    return found


def decided(old: Work | None, new: Work | None) -> list[Label]:
    """The labels of a write that the worker begins."""
    if new is None or (old is not None and old.at == new.at):
        return []
    if new.at == "lost" and new.node is not None:
        return [Label("declare", (new.node.metadata.name,))]
    if new.at == "taint" and new.node is not None:
        was, now = is_drained(new.node), is_drained(new.written)
        if was != now:
            return [Label("taint" if now else "clear", (new.node.metadata.name,))]
    began = old is None or old.at not in EVICTING
    if new.at in EVICTING and began and new.pod is not None:
        return [Label("evict", (title(new.pod),))]
    return []


EVICTING = ("evict-status", "evict-delete")

REFINEMENT = refinement(
    "the_controller_drains_as_its_spec_allows", Spec, reads=(WHOLE,), state=state, labels=labels,
    constants={"server": 0}, why="a wrong eviction stops what runs well")

PROPERTIES: tuple[Property, ...] = (
    a_node_that_reports_in_time_is_not_declared_lost, a_dead_node_is_drained,
    a_live_node_is_released, pods_of_a_lost_node_are_not_ready,
    a_resting_controller_leaves_no_ready_pod_on_a_lost_node, a_node_is_lost, a_pod_is_evicted,
    REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def written_time_counts(self: NodeController, lease: Any, io: Io) -> int:
    from model.api.objects import milliseconds
    return milliseconds(lease.spec.renew_time)


def never_an_outage(self: NodeController, local: State) -> bool:
    return False


def cancels_only_without_taints(self: NodeController, local: State, key: str, planned: Eviction,
                                pod: Any, io: Io) -> State:
    if pod is not None and pod.metadata.deletion_timestamp is None and hard_taints(
            local.caches[NODES].store.get(pod.spec.node_name)):
        return local
    return _CANCEL(self, local, key, planned, pod, io)


def marks_only_on_the_transition(self: NodeController, old: Any, new: Any) -> bool:
    return old is not None and ready(old) == "True" and ready(new) != "True"


def does_not_look_at_pods(self: NodeController, local: State, pod: Any) -> bool:
    return False


_CANCEL = NodeController.cancel

HOME = "reference_impl.controllers.node"
MUTANTS = (
    Mutant("node-heartbeat-compares-clocks", "node-heartbeat-compares-clocks",
           "the_controller_drains_as_its_spec_allows",
           ((f"{HOME}:NodeController.heard_at", written_time_counts),),
           scenario="failing-nodes", faults="skew"),
    Mutant("mass-eviction-when-controller-partitioned",
           "mass-eviction-when-controller-partitioned",
           "the_controller_drains_as_its_spec_allows",
           ((f"{HOME}:NodeController.is_outage", never_an_outage),),
           scenario="one-node", faults="isolate"),
    Mutant("taint-removed-eviction-not-cancelled", "taint-removed-eviction-not-cancelled",
           "the_controller_drains_as_its_spec_allows",
           ((f"{HOME}:NodeController.cancel", cancels_only_without_taints),),
           scenario="failing-nodes"),
    Mutant("pods-not-marked-after-restart", "pods-not-marked-after-restart",
           "a_resting_controller_leaves_no_ready_pod_on_a_lost_node",
           ((f"{HOME}:NodeController.unreadies_pods", marks_only_on_the_transition),
            (f"{HOME}:NodeController.is_ready_on_a_lost_node", does_not_look_at_pods)),
           scenario="one-node", faults="crash,isolate"),
)
