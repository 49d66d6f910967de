"""What the scheduler promises along a history, checked by rules written apart from it.

Sources: Kubernetes documentation, "Kubernetes Scheduler", "Pod Priority and Preemption",
"Assigning Pods to Nodes". A binding is judged when it is stored, by what is stored then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.kernel.action import Action
from model.kernel.property import Part, Property, always, each, leads_to, sometimes, step_rule
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, title
from properties.scheduler import rules
from properties.scheduler.facts import (
    NANO,
    NodeFacts,
    PodFacts,
    asks_for_scores,
    asks_of,
    node_facts,
    pod_facts,
    takes_room,
)

PODS, NODES = "/registry/pods/", "/registry/nodes/"
SCHEDULER = "scheduler"
CACHED_NODES = Part(SCHEDULER, "snapshot.nodes")
ATTEMPT = Part(SCHEDULER, "attempt")
ASSUMED = Part(SCHEDULER, "assumed")
FLIGHT = Part(SCHEDULER, "flight")


def node_of(pod: Any) -> str:
    """The node that a pod is bound to, "" for none."""
    return (pod.spec.node_name or "") if pod.spec is not None else ""


class Store:
    """Pods by node, nodes and nominations of a store, brought up to date by differences."""

    def __init__(self) -> None:
        self._source: FrozenMap[str, Any] = EMPTY
        self.by_node: dict[str, dict[str, Any]] = {}
        self.nodes: dict[str, Any] = {}
        self.waiting: dict[str, Any] = {}

    def of(self, kv: FrozenMap[str, Any]) -> Store:
        """The same store, now of `kv`."""
        for key, old, new in self._source.diff(kv):
            if key.startswith(PODS):
                self._pod(key, old, new)
            elif key.startswith(NODES):
                if old is not None:
                    self.nodes.pop(old.value.metadata.name, None)
                if new is not None:
                    self.nodes[new.value.metadata.name] = new.value
        self._source = kv
        return self

    def _pod(self, key: str, old: Any, new: Any) -> None:
        if old is not None:
            self.waiting.pop(key, None)
            self.by_node.get(node_of(old.value), {}).pop(key, None)
        if new is None or not takes_room(new.value):
            return
        node = node_of(new.value)
        if node:
            self.by_node.setdefault(node, {})[key] = new.value
        else:
            self.waiting[key] = new.value

    def placement(self) -> rules.Placement:
        """Everything that is placed, for the rules between pods."""
        pods: dict[str, PodFacts] = {}
        where: dict[str, str] = {}
        for name, found in self.by_node.items():
            for pod in found.values():
                facts = pod_facts(pod)
                pods[facts.key], where[facts.key] = facts, name
        return rules.Placement({name: node_facts(node) for name, node in self.nodes.items()},
                               pods, where)


_STORE = Store()


def store_of(world: World) -> Store:
    """The index of a world's store; kept between calls, so that it costs what has changed."""
    return _STORE.of(world["etcd"].kv)


def is_new_binding(old: Any, new: Any) -> bool:
    """Whether a write binds a pod that waited: not one that a client created on its node."""
    return (old is not None and new is not None and not node_of(old.value)
            and bool(node_of(new.value)) and old.value.metadata.uid == new.value.metadata.uid)


@each(of=KV, prefix=PODS,
      why="a pod that changes its node runs twice, or its volumes are mounted twice")
def a_pod_is_bound_at_most_once(world: World, key: str, old: Any, new: Any) -> str | None:
    """spec.nodeName of a pod, once set, never changes."""
    if old is None or new is None or old.value.metadata.uid != new.value.metadata.uid:
        return None
    before, after = node_of(old.value), node_of(new.value)
    if before and before != after:
        return f"pod {title(new.value)} was bound to {before} and is now bound to {after or 'none'}"
    return None


def was_bound(pod: Any) -> bool:
    """Whether a pod came to its node by a binding, which marks it; a client may also create it
    there, and nobody promises that it fits."""
    status = pod.status
    return status is not None and any(each.type == "PodScheduled" and each.status == "True"
                                      for each in status.conditions or ())


@each(of=KV, prefix=PODS, why="a pod on a node without room or against its rules fails there")
def a_pod_is_bound_to_a_node_where_it_fits(world: World, key: str, old: Any,
                                           new: Any) -> str | None:
    """When the scheduler's binding is stored, every rule for pod and node holds: taints, node
    choice, room, host ports. A node that has gone meanwhile is judged when the binding is sent."""
    flight = world[SCHEDULER].flight if SCHEDULER in world else None
    if flight is None or not is_new_binding(old, new):
        return None
    name = node_of(new.value)
    if flight.waiting.pod.uid != new.value.metadata.uid or flight.node != name:
        return None
    store = store_of(world)
    node = store.nodes.get(name)
    if node is None:
        return None
    facts, place = pod_facts(new.value), node_facts(node)
    beside = [pod_facts(pod) for pod in store.by_node.get(name, {}).values() if was_bound(pod)]
    wrong = (rules.room(beside, place) or rules.host_ports(beside, place)
             or rules.node_choice(facts, place) or rules.taints(facts, place))
    return None if wrong is None or _changed(world, place) else wrong


@step_rule(reads=(FLIGHT,), why="a pod on a node that does not exist runs nowhere")
def a_binding_is_sent_for_an_existing_node(before: World, action: Action,
                                           after: World) -> str | None:
    """The node was there, as far as the scheduler can know."""
    flight = after[SCHEDULER].flight
    if flight is None or before[SCHEDULER].flight is not None:
        return None
    if flight.node in after[SCHEDULER].caches["nodes"].store:
        return None
    return f"{flight.waiting.pod.key} is bound to {flight.node}, which does not exist"


def _changed(world: World, place: NodeFacts) -> bool:
    """Whether the scheduler has not seen the node as it is stored now."""
    seen = world[SCHEDULER].caches["nodes"].store.get(place.name)
    return seen is None or node_facts(seen) != place


@each(of=CACHED_NODES, why="room that is counted wrong is given away twice, or never again")
def a_nodes_cached_totals_are_the_sum_of_its_pods(world: World, key: str, old: Any,
                                                  new: Any) -> str | None:
    """Assumed and seen pods, added up again from their specs."""
    if new is None:
        return None
    local = world[SCHEDULER]
    totals: dict[str, int] = {}
    scored: dict[str, int] = {}
    ports = 0
    for name in new.pods:
        pod = local.caches["pods"].store.get(name)
        if pod is None or pod.metadata.uid != local.snapshot.pods[name].uid:
            return None
        for resource, asked in asks_of(pod.spec).items():
            totals[resource] = totals.get(resource, 0) + whole(resource, asked)
        for resource, asked in asks_for_scores(pod.spec).items():
            scored[resource] = scored.get(resource, 0) + whole(resource, asked)
        ports += len(rules.ports_of(pod_facts(pod)))
    totals.pop("pods", None)
    used = new.used
    counted = {"cpu": used.cpu, "memory": used.memory, "ephemeral-storage": used.ephemeral,
               **dict(used.extended)}
    if {name: amount for name, amount in counted.items() if amount} != totals:
        return (f"the scheduler counts {counted} on {key}, its pods "
                f"{', '.join(new.pods) or '(none)'} ask for {totals}")
    for_scores = (scored.get("cpu", 0), scored.get("memory", 0))
    if (new.scored_cpu, new.scored_memory) != for_scores or len(new.ports) != ports:
        return (f"the scheduler counts {new.scored_cpu}m, {new.scored_memory} bytes for scores and "
                f"{len(new.ports)} host ports on {key}, its pods make {for_scores} and {ports}")
    return None


def whole(resource: str, nano: int) -> int:
    """Thousandths of a processor or whole units, rounded up."""
    return -(-nano // (10 ** 6 if resource == "cpu" else NANO))


@leads_to(within_ms=60_000, reads=(KV, CACHED_NODES),
          why="room that a pod does not take any more must be given again")
def the_scheduler_counts_the_pods_that_the_store_holds(world: World) -> str | None:
    """In quiescence the pods that the cache has on each node are those stored there, by uid."""
    local, live = world[SCHEDULER], store_of(world).nodes
    expected = {(title(pod), pod.metadata.uid, name)
                for name, pods in store_of(world).by_node.items() if name in live
                for pod in pods.values()}
    known = local.snapshot.pods
    counted = {(key, known[key].uid if key in known else "?", name)
               for name, node in local.snapshot.nodes.items() for key in node.pods}
    wrong = sorted(counted ^ expected)
    if not wrong:
        return None
    key, uid, name = wrong[0]
    side = "only counted by the scheduler" if wrong[0] in counted else "not counted"
    return f"pod {key} (uid {uid}) on {name} is {side}"


@leads_to(within_ms=120_000, reads=(KV,), why="a pod that could run must not wait for ever")
def a_pod_that_fits_is_bound(world: World) -> str | None:
    """A pod that waits although some node takes it, by the documents, is pending work."""
    store = store_of(world)
    candidates = [pod for pod in store.waiting.values() if wants_a_node(pod)]
    if not candidates:
        return None
    placement = store.placement()
    for pod in candidates:
        facts = pod_facts(pod)
        for name in sorted(placement.nodes):
            if rules.against(facts, name, placement) is None and not _reserved(
                    pod, name, store, placement):
                return f"pod {facts.key} fits on {name} and is not bound"
    return None


def wants_a_node(pod: Any) -> bool:
    """Whether the scheduler has to find a node for a pod that is not bound."""
    spec = pod.spec
    return (pod.metadata.deletion_timestamp is None and spec is not None
            and not spec.scheduling_gates and not _claims(spec)
            and spec.scheduler_name in (None, "default-scheduler"))


def _claims(spec: Any) -> bool:
    return any(each.persistent_volume_claim is not None for each in spec.volumes or ())


def _reserved(pod: Any, name: str, store: Store, placement: rules.Placement) -> bool:
    """Whether the room on a node is kept for a pod that goes before this one."""
    return any(other is not pod and _nomination(other) == name
               and (other.spec.priority or 0) >= (pod.spec.priority or 0)
               for other in store.waiting.values())


def _nomination(pod: Any) -> str:
    return (pod.status.nominated_node_name or "") if pod.status is not None else ""


@step_rule(reads=(FLIGHT,),
           why="a pod that made room by preemption must get it, or it never ends")
def room_made_by_preemption_is_not_given_to_lower_priority(before: World, action: Action,
                                                           after: World) -> str | None:
    """A binding leaves room for pods of higher priority that are nominated to the same node.

    Victims, those ordered to go and those that go, do not count any more.
    """
    local = after[SCHEDULER]
    flight = local.flight
    if flight is None or before[SCHEDULER].flight is not None:
        return None
    name, own = flight.node, flight.waiting.pod.needs.priority
    above = [info.key for info in local.snapshot.nominated.values()
             if info.nominated == name and info.needs.priority > own]
    node = local.caches["nodes"].store.get(name)
    pods = local.caches["pods"].store
    if node is None or not above:
        return None
    leaving = {victim.key for victim in local.victims}
    staying = [key for key in local.snapshot.nodes[name].pods
               if key not in leaving and not local.snapshot.pods[key].terminating]
    wrong = rules.room([pod_facts(pods[key]) for key in [*staying, *above] if key in pods],
                       node_facts(node))
    if wrong is None:
        return None
    return (f"{flight.waiting.pod.key} (priority {own}) is given room on {name} that "
            f"{above[0]} made: {wrong}")


@step_rule(reads=(ATTEMPT,), why="a pod at the head that never fits must not starve the others")
def the_pod_that_waits_longest_among_equals_is_attempted(before: World, action: Action,
                                                         after: World) -> str | None:
    """Queue order: priority first, then the time since which a pod waits to be tried."""
    attempt = after[SCHEDULER].attempt
    if attempt is None or before[SCHEDULER].attempt is not None:
        return None
    queue: Mapping[str, Any] = before[SCHEDULER].queue.pods
    taken = queue[attempt.key]
    own = _turn(taken)
    for _, waiting in queue.items():
        if waiting.place == "active" and _turn(waiting) < own:
            return (f"{attempt.key} was tried before {waiting.pod.key}, which has priority "
                    f"{waiting.pod.needs.priority} and waits since {waiting.since_ms} ms")
    return None


def _turn(waiting: Any) -> tuple[int, int, int]:
    """Who goes first: higher priority, longer wait, fewer attempts so far."""
    return -waiting.pod.needs.priority, waiting.since_ms, waiting.attempts


@always(reads=(ASSUMED,), why="a pod that is assumed on a node and still queued is placed twice")
def no_pod_is_both_assumed_and_queued(world: World) -> str | None:
    """A pod is queued, or it takes room, not both."""
    local = world[SCHEDULER]
    for key in local.assumed:
        if key in local.queue.pods:
            return f"pod {key} is assumed on {local.assumed[key].node} and still in the queue"
    return None


@sometimes(reads=(FLIGHT,),
           why="without overlap of attempts and bindings no race of the cache is tried")
def a_pod_is_decided_while_another_is_being_bound(world: World) -> bool:
    """An attempt beside a binding whose outcome is not known."""
    local = world[SCHEDULER]
    return local.flight is not None and bool(local.queue.active or local.attempt)


@sometimes(reads=(Part(SCHEDULER, "queue"),), why="without a pod that waits nothing is requeued")
def a_pod_waits_because_no_node_takes_it(world: World) -> bool:
    """Some pod is unschedulable."""
    return len(world[SCHEDULER].queue.parked) > 0


HISTORY_PROPERTIES: tuple[Property, ...] = (
    a_pod_is_bound_at_most_once, a_pod_is_bound_to_a_node_where_it_fits,
    a_binding_is_sent_for_an_existing_node,
    a_nodes_cached_totals_are_the_sum_of_its_pods,
    the_scheduler_counts_the_pods_that_the_store_holds, a_pod_that_fits_is_bound,
    room_made_by_preemption_is_not_given_to_lower_priority,
    the_pod_that_waits_longest_among_equals_is_attempted, no_pod_is_both_assumed_and_queued,
    a_pod_is_decided_while_another_is_being_bound, a_pod_waits_because_no_node_takes_it)
