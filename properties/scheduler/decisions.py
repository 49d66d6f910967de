"""Every decision of the scheduler judged by the documents: feasible, refused, best, whom to remove.

A decision is looked at when it is made, from what the scheduler has cached then (API objects, and
the pods that it assumes), not from the totals and groups that it decides by. In small clusters each
decision is judged; in larger ones a sample, one in so many as keeps the cost of a step the same.
Pods with volume claims are not judged, nor are clusters in which not every node is looked at.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api import objects as api
from model.kernel.action import Action
from model.kernel.property import Property, sometimes, step_rule
from model.kernel.values import stable_digest
from model.kernel.world import World
from properties.scheduler import preemption, rules, scores
from properties.scheduler.facts import PodFacts, node_facts, pod_facts, takes_room
from properties.scheduler.histories import ATTEMPT, SCHEDULER, node_of
from properties.scheduler.preemption import Budget, Contest
from properties.scheduler.scores import Scene

JUDGED_SIZE = 600
"""Nodes times pods up to which each decision is judged."""
NODES_MAX = 100


class Sight(NamedTuple):
    """What the scheduler had cached when it decided on a pod, as the documents see it."""

    pod: PodFacts
    contest: Contest
    scene: Scene
    feasible: tuple[str, ...]
    nominated: str


class _Memory:
    """The last sight: several properties judge one decision."""

    def __init__(self) -> None:
        self.local: Any = None
        self.key = ""
        self.sight: Sight | None = None

    def of(self, local: Any, key: str) -> Sight | None:
        """The sight of a pod from a local state."""
        if local is not self.local or key != self.key:
            self.local, self.key, self.sight = local, key, _sight(local, key)
        return self.sight


_MEMORY = _Memory()


def decided(before: World, after: World) -> tuple[Any, Sight] | None:
    """The decision of this step and what it was made from; None when none is to be judged."""
    attempt = after[SCHEDULER].attempt
    if attempt is None or before[SCHEDULER].attempt is not None:
        return None
    local = before[SCHEDULER]
    nodes, pods = len(local.caches["nodes"].store), len(local.caches["pods"].store)
    one_in = 1 + nodes * pods // JUDGED_SIZE
    if nodes > NODES_MAX or (one_in > 1 and int(
            stable_digest(f"{attempt.key} {before.now}")[:8], 16) % one_in):
        return None
    sight = _MEMORY.of(local, attempt.key)
    return None if sight is None else (attempt.decision, sight)


def _sight(local: Any, key: str) -> Sight | None:
    stored = local.caches["pods"].store
    pod = stored.get(key)
    if pod is None or pod.spec is None or any(
            each.persistent_volume_claim is not None for each in pod.spec.volumes or ()):
        return None
    nodes = local.caches["nodes"].store
    facts, where, started = {}, {}, {}
    terminating = set()
    for name, other in stored.items():
        assumed = local.assumed.get(name)
        node = node_of(other) or (assumed.node if assumed is not None else "")
        if not node or not takes_room(other):
            continue
        found = pod_facts(other)
        facts[name], where[name] = found, node
        if other.status is not None and other.status.start_time:
            started[name] = api.milliseconds(other.status.start_time)
        if other.metadata.deletion_timestamp is not None:
            terminating.add(name)
    namespaces = {name: dict(found.metadata.labels or ())
                  for name, found in local.caches["namespaces"].store.items()}
    placement = rules.Placement({name: node_facts(node) for name, node in nodes.items()}, facts,
                                where, namespaces)
    waiting: dict[str, list[PodFacts]] = {}
    for name, info in local.snapshot.nominated.items():
        if name in stored:
            waiting.setdefault(info.nominated, []).append(pod_facts(stored[name]))
    gone = frozenset(terminating)
    contest = Contest(placement, started, _budgets(local), waiting, gone)
    own = pod_facts(pod)
    feasible = tuple(name for name in placement.nodes if preemption.takes(own, name, contest))
    scene = Scene(placement, {name: _images(node) for name, node in nodes.items()}, gone,
                  _kin(local, pod))
    return Sight(own, contest, scene, feasible, local.queue.pods[key].pod.nominated)


def _budgets(local: Any) -> list[Budget]:
    found = []
    for each in local.caches["poddisruptionbudgets"].store.values():
        status = each.status or api.PodDisruptionBudgetStatus()
        found.append(Budget(each.metadata.namespace or "default",
                            each.spec.selector if each.spec is not None else None,
                            status.disruptions_allowed or 0,
                            frozenset(name for name, _ in status.disrupted_pods or ())))
    return found


def _images(node: Any) -> dict[str, int]:
    listed = node.status.images if node.status is not None else None
    return {scores.tagged(name): image.size_bytes or 0
            for image in listed or () for name in image.names or ()}


def _kin(local: Any, pod: api.Pod) -> api.LabelSelector | None:
    """What the Services of a pod and its owner select together."""
    namespace, labels = pod.metadata.namespace or "default", dict(pod.metadata.labels or ())
    pairs: dict[str, str] = {}
    for service in local.caches["services"].store.values():
        wanted = dict(service.spec.selector or ()) if service.spec is not None else {}
        if (wanted and service.metadata.namespace == namespace
                and all(labels.get(key) == value for key, value in wanted.items())):
            pairs.update(wanted)
    expressions: tuple[Any, ...] = ()
    owner = api.controller_of(pod.metadata)
    lane = {"ReplicationController": "replicationcontrollers", "ReplicaSet": "replicasets"}.get(
        owner.kind or "" if owner is not None else "")
    found = local.caches[lane].store.get(f"{namespace}/{owner.name}") \
        if lane is not None and owner is not None else None
    if found is not None and found.spec is not None and found.spec.selector:
        if lane == "replicationcontrollers":
            pairs.update(dict(found.spec.selector))
        else:
            pairs.update(dict(found.spec.selector.match_labels or ()))
            expressions = found.spec.selector.match_expressions or ()
    if not pairs and not expressions:
        return None
    return api.LabelSelector(match_labels=tuple(sorted(pairs.items())),
                             match_expressions=expressions or None)


@step_rule(reads=(ATTEMPT,), why="a pod that waits although a node takes it is an outage")
def a_pod_is_refused_only_when_no_node_takes_it(before: World, action: Action,
                                                after: World) -> str | None:
    """"Unschedulable" really is, by the documents and by what the scheduler has cached."""
    found = decided(before, after)
    if found is None:
        return None
    decision, sight = found
    if not decision.best and sight.feasible:
        return (f"{sight.pod.key} is refused ({decision.message}) although "
                f"{', '.join(sight.feasible)} would take it")
    return None


@step_rule(reads=(ATTEMPT,), why="a worse node costs room, balance or spread for good")
def the_chosen_node_is_among_the_best(before: World, action: Action, after: World) -> str | None:
    """What is offered are the nodes with the highest independent score, or the one for which room
    was made. In larger clusters a sample of the decisions is judged."""
    found = decided(before, after)
    if found is None or not found[0].best:
        return None
    decision, sight = found
    wanted = frozenset((sight.nominated,)) if sight.nominated in sight.feasible else \
        scores.best(sight.pod, sight.feasible, sight.scene)
    if frozenset(decision.best) == wanted:
        return None
    return (f"{sight.pod.key} is offered {', '.join(decision.best)}, the best of "
            f"{', '.join(sight.feasible) or 'no node'} are {', '.join(sorted(wanted)) or 'none'}")


@step_rule(reads=(ATTEMPT,), why="each pod that is removed in vain is an outage of its own")
def victims_are_needed_and_the_least_important(before: World, action: Action,
                                               after: World) -> str | None:
    """Preemption removes whom the documents say, from a node that they prefer, breaking no budget
    that could be spared; and nobody when that does not help. In larger clusters a sample of the
    decisions is judged."""
    found = decided(before, after)
    if found is None or found[0].best:
        return None
    decision, sight = found
    if sight.pod.spec.preemption_policy == "Never" or _under_way(sight):
        return f"{sight.pod.key} may not preempt and removes {', '.join(decision.victims)}" \
            if decision.victims else None
    choices = preemption.choices(sight.pod, sight.contest)
    if not choices:
        return f"{sight.pod.key} removes {', '.join(decision.victims)}, which does not help" \
            if decision.victims else None
    told = "; ".join(f"{', '.join(sorted(each.keys)) or 'nobody'} from {name}"
                     for name, each in choices.items())
    chosen = choices.get(decision.nominated)
    if chosen is None or chosen.keys != frozenset(decision.victims):
        return (f"{sight.pod.key} removes {', '.join(decision.victims) or 'nobody'} from "
                f"{decision.nominated or 'no node'}, it should remove {told}")
    return None


def _under_way(sight: Sight) -> bool:
    """Whether room is being made for the pod on the node for which it is nominated."""
    placement, name = sight.contest.placement, sight.nominated
    node = placement.nodes.get(name)
    return (node is not None and rules.taints(sight.pod, node) is None
            and rules.node_choice(sight.pod, node) is None
            and any(placement.where[key] == name and preemption.priority(placement.pods[key])
                    < preemption.priority(sight.pod) for key in sight.contest.terminating))


@sometimes(reads=(ATTEMPT,), why="without a pod that makes room no victim is judged")
def a_pod_makes_room_for_itself(world: World) -> bool:
    """Some decision removes others."""
    attempt = world[SCHEDULER].attempt
    return attempt is not None and bool(attempt.decision.victims)


DECISION_PROPERTIES: tuple[Property, ...] = (
    a_pod_is_refused_only_when_no_node_takes_it, the_chosen_node_is_among_the_best,
    victims_are_needed_and_the_least_important, a_pod_makes_room_for_itself)
