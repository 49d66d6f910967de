"""What a kubelet promises, how its steps map to its spec, and the bugs that must be caught.

Rules: Kubernetes documentation "Pod Lifecycle". The checks read what a kubelet keeps of its
machine (`pods`), what it sends, and what the API server shows.
"""

from __future__ import annotations

from typing import Any

from model.api.conditions import find, is_true
from model.api.objects import Node
from model.api.requests import delete
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, each, leads_to, sometimes
from model.kernel.spec.oracle import Label, Oracle
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import CRASHED, UP, World
from model.kubelet import SPEC
from reference_impl.kubelet.component import Kubelet
from reference_impl.kubelet.node import Machine
from reference_impl.kubelet.runtime import survived
from reference_impl.kubelet.state import (
    BACKOFF,
    DEADLINE,
    DELETED,
    DONE,
    GONE,
    LIVE,
    PULLING,
    REJECTED,
    RUNNING,
    STOPPING,
    ContainerRecord,
    Local,
    PodRecord,
)
from reference_impl.kubelet.status import phase_of, status_of
from reference_impl.lib.informer import Reflector

PODS = Part("kubelet/*", "pods")
FLIGHT = Part("kubelet/*", "flight")
SHOWN = Part("apiserver", "cache")
STORED = Part("etcd", "kv")
RANKS = {"Pending": 0, "Running": 1, "Succeeded": 2, "Failed": 2}
ENDED = ("Succeeded", "Failed")


def kubelets(world: World) -> list[tuple[str, Local]]:
    """The kubelets whose machines are up, with their local states."""
    return [(name, world[name]) for name in world.names
            if name.startswith("kubelet/") and world.status(name) in (UP, CRASHED)]


def _backwards(old: str, new: str) -> bool:
    return RANKS[new] < RANKS[old] or (old in ENDED and new != old)


# ---- what a kubelet keeps ------------------------------------------------------------------------


@each(of=PODS, why="controllers count what has failed or succeeded, and never count again")
def a_phase_never_goes_backwards(world: World, key: str, old: PodRecord | None,
                                 new: PodRecord | None) -> str | None:
    if old is None or new is None or old.uid != new.uid or not _backwards(old.phase, new.phase):
        return None
    return f"pod {key} (uid {new.uid}) was {old.phase} and is {new.phase}"


@each(of=STORED, prefix="/registry/pods/",
      why="whoever reads a final phase may act on it for good")
def the_phase_that_is_stored_never_goes_backwards(world: World, key: str, old: Any,
                                                  new: Any) -> str | None:
    if old is None or new is None or old.value.metadata.uid != new.value.metadata.uid:
        return None
    before, after = old.value.status, new.value.status
    if before is None or after is None or before.phase is None:
        return None
    if after.phase is not None and not _backwards(before.phase, after.phase):
        return None
    return f"{key} (uid {new.value.metadata.uid}) was {before.phase} and is {after.phase}"


@each(of=PODS, why="a run-once job must not do its work twice")
def what_has_ended_for_good_never_begins_again(world: World, key: str, old: PodRecord | None,
                                               new: PodRecord | None) -> str | None:
    if new is None:
        return None
    if old is None or old.uid != new.uid:
        return _begins_in_spite_of_its_past(key, new)
    for before, after in zip(old.containers, new.containers, strict=False):
        if before.point == DONE and after.point != DONE:
            return (f"container {after.name} of pod {key} had ended for good and is {after.point} "
                    "again")
    return None


def _begins_in_spite_of_its_past(key: str, new: PodRecord) -> str | None:
    """A pod that this machine does not know may have run where its records were lost."""
    spec, status = new.pod.spec, new.pod.status
    if spec is None or status is None or spec.restart_policy != "Never":
        return None
    ended = {each.name for each in status.container_statuses or ()
             if each.state is not None and each.state.terminated is not None}
    for container in new.containers:
        if container.name in ended and container.point != DONE:
            return (f"container {container.name} of pod {key}, which never restarts, is told to "
                    f"have ended and is {container.point} again")
    return None


@each(of=PODS, why="two instances of one pod would write to the same data")
def a_pod_runs_on_one_machine(world: World, key: str, old: PodRecord | None,
                              new: PodRecord | None) -> str | None:
    if new is None or new.stopped or (old is not None and old.uid == new.uid and not old.stopped):
        return None
    places = [name for name, local in kubelets(world)
              if (found := local.pods.get(key)) is not None and found.uid == new.uid
              and not found.stopped]
    if len(places) < 2:
        return None
    return f"pod {key} (uid {new.uid}) runs on {' and '.join(places)}"


@each(of=PODS, why="a change of one container must not interrupt the others")
def a_container_is_stopped_only_for_its_own_image_or_with_its_pod(
        world: World, key: str, old: PodRecord | None, new: PodRecord | None) -> str | None:
    if old is None or new is None or old.uid != new.uid or new.ending != LIVE:
        return None
    for before, after in zip(old.containers, new.containers, strict=False):
        if before.point == RUNNING and after.point == STOPPING \
                and after.replacement in ("", before.image):
            return (f"container {after.name} of pod {key} is stopped although its image is still "
                    f"{before.image}")
    return None


@each(of=PODS, why="room and data of an ended pod are given to others")
def a_final_phase_comes_after_the_last_container_has_ended(
        world: World, key: str, old: PodRecord | None, new: PodRecord | None) -> str | None:
    if new is None or new.stopped or new.phase not in ENDED:
        return None
    alive = [container.name for container in new.containers if container.alive]
    return f"pod {key} is {new.phase} while its container {alive[0]} is running"


@each(of=PODS, why="a fix must not wait for the back-off of what it fixes")
def a_changed_container_does_not_wait_for_the_back_off_of_the_old_image(
        world: World, key: str, old: PodRecord | None, new: PodRecord | None) -> str | None:
    if old is None or new is None or old.uid != new.uid:
        return None
    for before, after in zip(old.containers, new.containers, strict=False):
        if before.image != after.image and (after.crashes or after.pulls_failed
                                            or after.point == BACKOFF):
            return (f"container {after.name} of pod {key} has changed from {before.image} to "
                    f"{after.image} and keeps a back-off of {after.crashes} ends")
    return None


# ---- what a kubelet sends ------------------------------------------------------------------------


def _deletes_by_uid(step: Transition) -> str | None:
    for _, lane, request in step.sent:
        if lane != "status" or getattr(request, "verb", "") != "delete":
            continue
        name = f"{request.namespace}/{request.name}"
        flight = _mover(step).flight
        if flight is None or request.options.precondition_uid != flight.uid:
            return (f"the last delete of pod {name} does not name the uid "
                    f"{flight.uid if flight is not None else ''} that it is about")
        record = _mover(step).pods.get(flight.key)
        if record is not None and not record.stopped:
            return f"pod {name} is deleted for good while a container of it is running"
    return None


a_kubelet_deletes_only_the_pod_that_it_has_seen_end = Property(
    "a_kubelet_deletes_only_the_pod_that_it_has_seen_end", "refines", _deletes_by_uid, (FLIGHT,),
    "a new pod of the same name must not go instead, and nothing may run on after its object")


def _ready_as_it_runs(step: Transition) -> str | None:
    for _, lane, request in step.sent:
        if lane != "status" or request.subresource != "status":
            continue
        key = f"{request.namespace}/{request.name}"
        record = _mover(step).pods[key]
        main = record.containers[record.inits:]
        runs = bool(main) and all(container.point == RUNNING for container in main)
        ready = find(request.body.status.conditions, "Ready")
        told = ready is not None and ready.status == "True"
        if told != (runs and record.phase not in ENDED):
            return (f"pod {key} is told to be {'ready' if told else 'not ready'} while "
                    f"{sum(c.point == RUNNING for c in main)} of {len(main)} containers run")
    return None


a_pod_is_told_to_be_ready_exactly_while_all_its_containers_run = Property(
    "a_pod_is_told_to_be_ready_exactly_while_all_its_containers_run", "refines",
    _ready_as_it_runs, (FLIGHT,), "a restart of the kubelet alone must not empty all endpoints")


def _mover(step: Transition) -> Local:
    local: Local = step.after.slots[step.mover].local
    return local


# ---- what comes in the end -----------------------------------------------------------------------


@leads_to(within_ms=120_000, reads=(PODS, FLIGHT, Part("kubelet/*", "dirty"), SHOWN),
          why="clients decide by what the API shows")
def what_the_api_shows_is_what_runs(world: World) -> str | None:
    shown: FrozenMap[str, Any] = world["apiserver"].cache.get("pods", EMPTY)
    for name, local in kubelets(world):
        for key, record in local.pods.items():
            pod = shown.get(key)
            if record.ending == GONE or pod is None or pod.metadata.uid != record.uid:
                return f"{name} still has pod {key} (uid {record.uid}), which is no longer there"
            if pod.status != record.status:
                phase = pod.status.phase if pod.status is not None else "nothing"
                return f"{name} has pod {key} {record.phase}, the API shows {phase}"
            if record.ending == DELETED and not pod.metadata.finalizers:
                return f"{name} has not finished pod {key}, which was asked to go"
    return None


@leads_to(within_ms=120_000, reads=(PODS, SHOWN), why="a pod that nobody runs serves nobody")
def a_bound_pod_is_taken_up_by_its_machine(world: World) -> str | None:
    running = dict(kubelets(world))
    for key, pod in world["apiserver"].cache.get("pods", EMPTY).items():
        name = f"kubelet/{pod.spec.node_name or '' if pod.spec is not None else ''}"
        if name in running and key not in running[name].pods:
            return f"pod {key} is bound to {name}, which has not taken it up"
    return None


@leads_to(within_ms=120_000, reads=(Part("kubelet/*", "node"), SHOWN),
          why="what is told to be not ready gets no pods and loses those it has")
def a_machine_that_is_up_is_told_to_be_ready(world: World) -> str | None:
    nodes = world["apiserver"].cache.get("nodes", EMPTY)
    for name, _ in kubelets(world):
        node = nodes.get(name.partition("/")[2])
        if node is not None and not is_true(node.status.conditions, "Ready"):
            return f"{name} is up, the API shows its node as not ready"
    return None


@sometimes(reads=(PODS,), why="without a pod that runs, nothing above was tested")
def a_pod_runs_and_is_told_so(world: World) -> bool:
    return any(record.phase == "Running" and record.status is not None and record.pod.status
               is not None and record.pod.status.phase == "Running"
               for _, local in kubelets(world) for record in local.pods.values())


# ---- refinement ----------------------------------------------------------------------------------

PHASES = {"Pending": "pending", "Running": "running", "Succeeded": "ended", "Failed": "ended"}
POLICIES = {"Always": "always", "OnFailure": "on-failure", "Never": "never"}


def shown_of(record: PodRecord) -> str:
    """The phase that the API showed when the kubelet last saw the pod."""
    status = record.pod.status
    return PHASES[status.phase if status is not None and status.phase else "Pending"]


def policy_of(record: PodRecord) -> str:
    """The restart policy of a pod in the words of the spec."""
    spec = record.pod.spec
    return POLICIES[(spec.restart_policy if spec is not None else None) or "Always"]


def point_of(record: PodRecord) -> str:
    """The containers of a pod taken together. A pod that never restarts and of which a part has
    ended runs on: the parts that wait belong to the same run."""
    if all(container.point == DONE for container in record.containers):
        return "ended"
    begun = policy_of(record) == "never" and any(container.point == DONE
                                                 for container in record.containers)
    return "waiting" if record.stopped and not begun else "running"


def asked_of(record: PodRecord) -> bool:
    """Whether the pod has to go, by whomever it was asked."""
    return record.ending not in (LIVE, REJECTED)


def labels_of(node: str, old: PodRecord | None, new: PodRecord | None) -> list[Label]:
    """What happened to one pod on one machine, in the words of the spec."""
    if new is None or (old is not None and old.uid != new.uid):
        assert old is not None
        away = [] if asked_of(old) else [Label("ask", (old.uid,))]
        if point_of(old) != "ended":
            last = "stop" if point_of(old) == "running" else "cancel"
            away.append(Label(last, (old.uid, node)))
        away.append(Label("release", (old.uid, node)))
        return away + ([] if new is None else labels_of(node, None, new))
    uid, labels = new.uid, []
    if old is None:
        labels.append(Label("bind", (uid, node, policy_of(new), shown_of(new))))
        refused = new.ending == REJECTED
        labels.append(Label("refuse" if refused else "admit", (uid, node)))
        asked, shown = False, shown_of(new)
        point = "ended" if refused or shown == "ended" else "waiting"
    else:
        asked, shown, point = asked_of(old), shown_of(old), point_of(old)
    if asked_of(new) and not asked:
        labels.append(Label("ask", (uid,)))
    if point != point_of(new):
        labels.append(Label(_move(old, new, point), (uid, node)))
    if shown != shown_of(new):
        kind = "report_end" if shown_of(new) == "ended" else "report_running"
        labels.append(Label(kind, (uid, node)))
    return labels


def _move(old: PodRecord | None, new: PodRecord, point: str) -> str:
    to = point_of(new)
    if point == "waiting":
        return "start" if to == "running" else "cancel"
    if to == "waiting":
        return "swap" if policy_of(new) == "never" else "again"
    return "stop" if asked_of(new) else "finish"


def state_of(node: str, records: dict[str, PodRecord]) -> dict[str, FrozenMap[Any, Any]]:
    """The state of the spec, as far as these pods of one machine go."""
    every = tuple(records.values())
    return {
        "holder": FrozenMap((r.uid, node) for r in every),
        "policy": FrozenMap((r.uid, policy_of(r)) for r in every),
        "asked": FrozenMap((r.uid, asked_of(r)) for r in every),
        "shown": FrozenMap((r.uid, shown_of(r)) for r in every),
        "point": FrozenMap(((r.uid, node), point_of(r)) for r in every),
        "up": FrozenMap(((node, True),)),
    }


def _abstract(record: PodRecord | None) -> tuple[Any, ...]:
    """What the spec sees of a pod."""
    if record is None:
        return ()
    return record.uid, asked_of(record), shown_of(record), point_of(record), policy_of(record)


_ORACLES: list[Oracle] = []


def _refines(step: Transition) -> str | None:
    """Only pods that changed are looked at: no guard of the spec reads two pods."""
    if not _ORACLES:
        _ORACLES.append(Oracle(SPEC.module()))
    node = step.action.actor.partition("/")[2]
    old: FrozenMap[str, PodRecord] = step.before.slots[step.mover].local.pods
    new: FrozenMap[str, PodRecord] = step.after.slots[step.mover].local.pods
    changes = [each for each in old.diff(new) if _abstract(each[1]) != _abstract(each[2])]
    if not changes:
        return None
    before = state_of(node, {key: was for key, was, _ in changes if was is not None})
    after = state_of(node, {key: now for key, _, now in changes if now is not None})
    labels: list[Label] = []
    if step.action.verb == "restart":
        lost = [was for _, was, now in changes if was is not None and now is None]
        if lost:
            labels = [Label("crash", (node,)), Label("recover", (node,)),
                      *(Label("release", (was.uid, node)) for was in lost)]
    if not labels:
        for _, was, now in changes:
            labels.extend(labels_of(node, was, now))
    return _ORACLES[0].check(before, tuple(labels), after)


every_step_of_a_kubelet_is_one_of_its_spec = Property(
    "every_step_of_a_kubelet_is_one_of_its_spec", "refines", _refines, (PODS,),
    "what is proved of the spec then holds of the kubelet")


# ---- seeded bugs ---------------------------------------------------------------------------------


def _delete_by_name(self: Kubelet, namespace: str, name: str, record: PodRecord) -> Any:
    return delete("pods", namespace, name, grace_period_seconds=0)


def _unknown_exit_is_success(record: PodRecord) -> str:
    if record.ending != LIVE and record.stopped:
        return "Succeeded"
    return phase_of(record)


def _no_record_means_not_run(record: PodRecord) -> PodRecord:
    return record._replace(status=None, containers=tuple(
        container if container.alive else container._replace(point=PULLING)
        for container in record.containers))


def _not_ready_until_seen(record: PodRecord, host_ip: str, now: int) -> Any:
    status = status_of(record, host_ip, now)
    if record.status is not None or record.pod.status is None:
        return status
    return status._replace(conditions=tuple(
        each._replace(status="False") if each.type == "Ready" else each
        for each in status.conditions or ()))


def _keeps_the_back_off(container: ContainerRecord, image: str) -> ContainerRecord:
    if container.point == RUNNING:
        return container._replace(point=STOPPING, replacement=image)
    return container._replace(image=image)


def _any_change_of_the_spec(self: Kubelet, container: ContainerRecord, image: str) -> bool:
    return True


def _failed_when_decided(record: PodRecord) -> str:
    return "Failed" if record.ending in (DEADLINE, DELETED) else phase_of(record)


def _finished_when_asked(self: Kubelet, record: PodRecord) -> bool:
    return record.ending == DELETED


def _any_pods(*of_a_node: Any) -> str | None:
    """A node may list every pod, as releases before 1.32 let it."""
    return None


def _watches_every_pod(self: Kubelet, machine: Machine, tells: bool = True,
                       metrics_ms: int = 0) -> None:
    _construct(self, machine, tells, metrics_ms)
    self.pods = Reflector("pods")


def _trusts_its_last_status(record: PodRecord) -> PodRecord:
    return survived(record)._replace(status=record.status)


def _forgets_who_waits(self: Kubelet, local: Local, record: PodRecord, io: Io) -> Local:
    blind = local.informer._replace(store=local.informer.store.drop(record.key))
    after = _forget(self, local._replace(informer=blind), record, io)
    return after._replace(informer=local.informer)


def _believes_to_be_ready(node: Node) -> bool:
    return True


_construct = Kubelet.__init__
_forget = Kubelet._forget
_COMPONENT = "reference_impl.kubelet.component"

PROPERTIES = (
    a_phase_never_goes_backwards,
    the_phase_that_is_stored_never_goes_backwards,
    what_has_ended_for_good_never_begins_again,
    a_pod_runs_on_one_machine,
    a_container_is_stopped_only_for_its_own_image_or_with_its_pod,
    a_final_phase_comes_after_the_last_container_has_ended,
    a_changed_container_does_not_wait_for_the_back_off_of_the_old_image,
    a_kubelet_deletes_only_the_pod_that_it_has_seen_end,
    a_pod_is_told_to_be_ready_exactly_while_all_its_containers_run,
    what_the_api_shows_is_what_runs,
    a_bound_pod_is_taken_up_by_its_machine,
    a_machine_that_is_up_is_told_to_be_ready,
    a_pod_runs_and_is_told_so,
    every_step_of_a_kubelet_is_one_of_its_spec,
)
MUTANTS = (
    Mutant("kubelet-status-delete-without-uid", "kubelet-status-delete-without-uid",
           "a_kubelet_deletes_only_the_pod_that_it_has_seen_end",
           ((f"{_COMPONENT}:Kubelet._last_delete", _delete_by_name),), "containers"),
    Mutant("kubelet-phase-failed-to-succeeded", "kubelet-phase-failed-to-succeeded",
           "a_phase_never_goes_backwards",
           ((f"{_COMPONENT}:phase_of", _unknown_exit_is_success),), "containers"),
    Mutant("kubelet-never-policy-runs-twice", "kubelet-never-policy-runs-twice",
           "what_has_ended_for_good_never_begins_again",
           (("reference_impl.kubelet.runtime:survived", _no_record_means_not_run),),
           "containers", "crash"),
    Mutant("kubelet-notready-pod-ready-after-restart", "kubelet-notready-pod-ready-after-restart",
           "a_pod_is_told_to_be_ready_exactly_while_all_its_containers_run",
           ((f"{_COMPONENT}:status_of", _not_ready_until_seen),), "containers", "crash"),
    Mutant("kubelet-backoff-not-reset-on-image-change",
           "kubelet-backoff-not-reset-on-image-change",
           "a_changed_container_does_not_wait_for_the_back_off_of_the_old_image",
           (("reference_impl.kubelet.runtime:image_changed", _keeps_the_back_off),),
           "containers"),
    Mutant("kubelet-container-hash-too-wide", "kubelet-container-hash-too-wide",
           "a_container_is_stopped_only_for_its_own_image_or_with_its_pod",
           ((f"{_COMPONENT}:Kubelet._is_other", _any_change_of_the_spec),), "containers"),
    Mutant("kubelet-failed-before-killed", "kubelet-failed-before-killed",
           "a_final_phase_comes_after_the_last_container_has_ended",
           ((f"{_COMPONENT}:phase_of", _failed_when_decided),), "containers"),
    Mutant("kubelet-deletes-before-killed", "kubelet-failed-before-killed",
           "a_kubelet_deletes_only_the_pod_that_it_has_seen_end",
           ((f"{_COMPONENT}:Kubelet._may_finish", _finished_when_asked),), "containers"),
    Mutant("kubelet-takes-the-pods-of-others",
           "every kubelet watches all pods (as it could before a node was refused that) and takes "
           "up those of other machines", "a_pod_runs_on_one_machine",
           ((f"{_COMPONENT}:Kubelet.__init__", _watches_every_pod),
            ("reference_impl.apiserver.access.node_authorizer:_own_pods", _any_pods)),
           "containers"),
    Mutant("kubelet-status-lost-in-a-restart",
           "a status that waited to be written when the kubelet crashed is never written",
           "what_the_api_shows_is_what_runs",
           (("reference_impl.kubelet.runtime:survived", _trusts_its_last_status),), "containers",
           "crash"),
    Mutant("kubelet-waits-with-its-node-status",
           "a node that others told to be not ready says otherwise only with its next heartbeat",
           "a_machine_that_is_up_is_told_to_be_ready",
           ((f"{_COMPONENT}:reports_ready", _believes_to_be_ready),), "silent-node",
           "skew"),
    Mutant("kubelet-static-pod-recreate-stuck", "kubelet-static-pod-recreate-stuck",
           "a_bound_pod_is_taken_up_by_its_machine",
           ((f"{_COMPONENT}:Kubelet._forget", _forgets_who_waits),), "containers"),
)
