"""Promises that span components: they hold for the cluster or for none of its parts.

Sources: Kubernetes documentation, "Controllers" (level-based control: the desired state is reached
and then nothing more is written), "Nodes" (eviction from unreachable nodes), "Pod Lifecycle",
"Service" (what is deleted is released).
"""

from __future__ import annotations

from typing import Any

from model.api.metadata import controller_of
from model.kernel.driver import FairDriver, run
from model.kernel.harm import EFFECTS
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, always, each, leads_to, sometimes
from model.kernel.system import System
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import DOWN, UP, World
from properties.reading import KV, Index, is_live, is_ready, live_nodes, objects, title
from reference_impl.lib.replicas import status_of

KUBELETS = Part("kubelet/*", "pods")
RUNTIME_STEPS_MAX = 20_000


@leads_to(within_ms=600_000, reads=(KV,),
          why="controllers that keep writing fight each other or themselves")
def the_cluster_comes_to_rest(world: World) -> str | None:
    """Once all is served, only periodic upkeep is left: a write-free fixed point."""
    busy = [name for name, at in world.names.items()
            if world.slots[at].status == UP and world.slots[at].ready]
    if busy:
        return f"still busy: {', '.join(busy[:5])}"
    waiting = [f"{name} ({key})" for name, at in world.names.items()
               if world.slots[at].status == UP for _, key in world.slots[at].timers
               if not key.startswith("idle:")]
    if waiting and not _backs_off(world):
        return f"still waits for timers: {', '.join(waiting[:5])}"
    return None


def _backs_off(world: World) -> bool:
    """Whether something is tried again for ever, and rightly: a pod whose container ends, whose
    image is not there or that cannot be placed, a pod whose end no machine can confirm, or a
    controller that a quota keeps from its wish.
    """
    live = live_nodes(world)
    return _is_limited(world) or any(
        not is_ready(pod) if is_live(pod) else pod.spec.node_name not in live
        for pod in objects(world, "pods"))


def _is_limited(world: World) -> bool:
    """Whether a quota or a limit range may refuse the pods of a controller."""
    return any(objects(world, "resourcequotas")) or any(objects(world, "limitranges"))


@leads_to(within_ms=600_000, reads=(KV, KUBELETS),
          why="a replica on a dead machine serves nobody")
def a_dead_nodes_pods_are_replaced(world: World) -> str | None:
    """Each wish is fulfilled on machines that live, where there is room for it."""
    live = set(live_nodes(world))
    room = _roomy(world, live) and not _is_limited(world)
    for controller in objects(world, "replicationcontrollers"):
        wish = controller.spec.replicas if controller.spec.replicas is not None else 1
        alive = [pod for pod in objects(world, "pods") if is_live(pod)
                 and (owner := controller_of(pod.metadata)) is not None
                 and owner.uid == controller.metadata.uid
                 and pod.spec is not None and pod.spec.node_name in live]
        if room and controller.metadata.deletion_timestamp is None and len(alive) < wish:
            return (f"{title(controller)} wants {wish} pods and has {len(alive)} on the machines "
                    f"that live ({', '.join(sorted(live))})")
    return None


def _roomy(world: World, live: set[str]) -> bool:
    """Whether every live pod has been placed: then room is no reason for a missing replica."""
    return bool(live) and all(pod.spec is not None and pod.spec.node_name
                              for pod in objects(world, "pods") if is_live(pod))


@leads_to(within_ms=600_000, reads=(KV,),
          why="what is deleted gives back its addresses, ports and load balancers")
def nothing_is_left_when_nothing_is_wanted(world: World) -> str | None:
    """With no controller and no Service of a user, no pod, endpoint or rule of one remains."""
    if any(objects(world, "replicationcontrollers")) or any(objects(world, "replicasets")):
        return None
    services = {title(service) for service in objects(world, "services")}
    for pod in objects(world, "pods"):
        if controller_of(pod.metadata) is not None:
            node = pod.spec.node_name if pod.spec is not None else None
            if pod.metadata.deletion_timestamp is None or not node or node in live_nodes(world):
                return f"pod {title(pod)} remains although nothing wants it"
    for endpoints in objects(world, "endpoints"):
        if title(endpoints) not in services and endpoints.subsets:
            return f"endpoints {title(endpoints)} remain without their Service"
    return None


@each(of=KV, prefix="/registry/pods/",
      why="a pod without its controller's uid is counted by nobody")
def a_pod_has_at_most_one_controller(world: World, key: str, old: Any, new: Any) -> str | None:
    """Owner references with controller=true: at most one (API conventions)."""
    if new is None:
        return None
    owners = [owner for owner in new.value.metadata.owner_references or () if owner.controller]
    return None if len(owners) <= 1 else f"{title(new.value)} has {len(owners)} controllers"


@always(reads=(KUBELETS,), why="two instances of one pod write to one volume")
def a_pod_runs_on_one_machine_only(world: World) -> str | None:
    """No uid has living containers on two machines that can both still act."""
    double = {uid: sorted(names) for uid, names in _PLACES.of(world).items() if len(names) > 1}
    return f"containers of {double} run twice" if double else None


class _Places:
    """Uid of a pod -> the machines on which containers of it live, kept up by differences."""

    def __init__(self) -> None:
        self._seen: dict[str, FrozenMap[str, Any]] = {}
        self._places: dict[str, set[str]] = {}

    def of(self, world: World) -> dict[str, set[str]]:
        now = {name: world.slots[at].local.pods for name, at in world.names.items()
               if name.startswith("kubelet/") and world.slots[at].status != DOWN}
        for name in (*now, *(name for name in self._seen if name not in now)):
            pods, seen = now.get(name, EMPTY), self._seen.get(name, EMPTY)
            for uid, _, record in () if pods is seen else seen.diff(pods):
                if record is not None and any(each.alive for each in record.containers):
                    self._places.setdefault(uid, set()).add(name)
                elif name in self._places.get(uid, ()):
                    self._places[uid].discard(name)
                    if not self._places[uid]:
                        del self._places[uid]
        self._seen = now
        return self._places


_PLACES = _Places()


@sometimes(reads=(KV,), why="a story without running pods shows nothing")
def three_pods_are_ready(world: World) -> bool:
    """The worked example reaches its goal."""
    return sum(1 for pod in objects(world, "pods") if is_ready(pod)) >= 3


@sometimes(reads=(KV,), why="machine faults must reach pods to mean anything")
def a_pod_is_replaced_while_its_old_one_remains(world: World) -> bool:
    """A controller has a terminating pod and live ones."""
    groups = _PODS_OF_OWNERS.of(world)
    return any(live and (uid, False) in groups for uid, live in groups)


def _owner_and_life(pod: Any) -> tuple[str | None, bool] | None:
    owner = controller_of(pod.metadata)
    return None if owner is None else (owner.uid, is_live(pod))


_PODS_OF_OWNERS = Index("pods", _owner_and_life)


def restart_changes(system: System, quiet: World, name: str) -> str | None:
    """What a restart of component `name` changes in a world that is quiet; None if nothing.

    Compared is the store without leases, events and the heartbeats in nodes' conditions.
    """
    crashed = EFFECTS["crash"](system, quiet, (name,))
    after = run(system, FairDriver(script=False), crashed, steps=RUNTIME_STEPS_MAX)
    if after.violations:
        return after.violations[0].message
    if not after.world.quiet():
        return f"after a restart of {name} the cluster does not come to rest"
    for key, old, new in quiet["etcd"].kv.diff(after.world["etcd"].kv):
        if not key.startswith(("/registry/leases/", "/registry/events/", "/registry/minions/",
                               "/registry/nodes/")):
            was = "nothing" if old is None else f"revision {old.mod_revision}"
            now = "nothing" if new is None else f"revision {new.mod_revision}"
            return f"a restart of {name} changed {key}: {was} -> {now}"
    return None


PROPERTIES: tuple[Property, ...] = (
    the_cluster_comes_to_rest, a_dead_nodes_pods_are_replaced,
    nothing_is_left_when_nothing_is_wanted, a_pod_has_at_most_one_controller,
    a_pod_runs_on_one_machine_only, three_pods_are_ready,
    a_pod_is_replaced_while_its_old_one_remains)



def _delete_all_the_same(session: Any, op: Any) -> Any:
    return session.after()


def _status_that_never_settles(rc: Any, pods: Any, error: Any, manage: bool,
                               now_ms: int) -> tuple[Any, int | None]:
    status, due_ms = status_of(rc, pods, error, manage, now_ms)
    flipped = None if rc.status is not None and rc.status.available_replicas else 1
    return status._replace(available_replicas=flipped), due_ms


def _at_no_time(node: Any) -> None:
    return None


def _never(controller: Any, local: Any) -> bool:
    return False


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "replication-status-never-settles",
        "a controller writes a status that differs from the one it has just written",
        the_cluster_comes_to_rest.name,
        (("reference_impl.lib.replicas:status_of", _status_that_never_settles),)),
    Mutant(
        "kubelet-contradicts-without-end",
        "found by exploration: a kubelet that was told to be not ready repeated its report of the "
        "same second, which is no sign of life, and was contradicted again, for ever",
        the_cluster_comes_to_rest.name,
        (("reference_impl.kubelet.component:reported_at", _at_no_time),), faults="skew"),
    Mutant(
        "dead-nodes-keep-their-pods",
        "the node controller waits for ever for leave to evict",
        a_dead_nodes_pods_are_replaced.name,
        (("reference_impl.controllers.node:NodeController.may_grant", _never),),
        faults="crash_machine"),
    Mutant(
        "kubectl-deletes-what-it-could-not-empty",
        "found by exploration: the client of release 1.3 deleted a controller whose pods it had "
        "failed to remove first, and they stayed for ever",
        nothing_is_left_when_nothing_is_wanted.name,
        (("reference_impl.kubectl.plans:given_up", _delete_all_the_same),),
        scenario="emptied-controller", faults="lose_request,lose_reply"),
)
