"""The scheduler as a component: caches, queue, one attempt at a time, one request a step.

An attempt has two moves, as in kube-scheduler: `attempt` decides by the cache as it stands, then
`bind` assumes the pod on a node, reserves what it needs there and sends the binding, or `fail` puts
the pod aside. A pod whose permit is not given yet waits assumed; `allow` binds it when it is.
Whatever arrives in between is delivered in between. Of several equally good nodes up to four are
offered as choices. The binding is answered on a lane of its own, so that the next attempt goes on
beside it; the room of an assumed pod is taken until the watch confirms the binding or the API
server says that there is none. When the outcome of a binding is unknown, the pod itself is asked
for.

A binding may outlive the scheduler that sent it, so a new life begins with a question on the lane
of bindings: once it is answered nothing of the old life is under way, and a list of pods, asked for
after that and from the newest state, holds all bindings that there are.

Source: Kubernetes documentation, "Scheduling Framework"; kube-scheduler's queue and cache.
Not modelled: leader election (one scheduler runs), queueing hints finer than by node (a needless
attempt fails again and is harmless).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api import objects as api
from model.api import requests
from model.api.conditions import set_condition
from model.kernel.action import Scalar
from model.kernel.component import CUT, NO_STEPS, Component, Io, Message, Step
from model.kernel.values import EMPTY, FrozenMap, stable_digest
from reference_impl.lib import recorder as events
from reference_impl.lib.informer import (
    NEWEST,
    STOPPED,
    TIMER,
    Change,
    Informer,
    Reflector,
    split_key,
)
from reference_impl.lib.recorder import NO_EVENTS, Recorder
from reference_impl.scheduler import cache, catalog, read
from reference_impl.scheduler import queue as queues
from reference_impl.scheduler.decide import schedule
from reference_impl.scheduler.framework import (
    Decision,
    Plugin,
    Profile,
    Rejection,
    Wait,
    permitted,
    reserved,
)
from reference_impl.scheduler.plugins import DEFAULT_PROFILE
from reference_impl.scheduler.preemption import UNDER_WAY
from reference_impl.scheduler.queue import EMPTY_QUEUE, Queue, Waiting
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot

BIND, REPORT, EVICT = "bind", "status", "preempt"
"""The lanes of the writes."""
CHOICES_MAX = 4
FLUSH = "idle:flush"
ASK = "ask:"
PERMIT = "permit:"
FLUSH_MS = 30_000
SOURCE = "default-scheduler"
ACTIONS = {"Scheduled": "Binding", "FailedScheduling": "Scheduling", "Preempted": "Preempting"}
"""What events say was being done when they were written."""
NEVER_PROBED = b'{"lastProbeTime":null}'
SCORES_KEPT_MAX = 1_000
STORAGE = ("persistentvolumeclaims", "persistentvolumes", "storageclasses")
BY_NODE = ("NodeUnschedulable", "TaintToleration", "NodeAffinity", "NodePorts",
           "NodeResourcesFit")
PLUGINS: dict[str, Plugin] = {plugin.name: plugin for plugin in DEFAULT_PROFILE.plugins}

REFLECTORS = tuple(Reflector(resource) for resource in (
    "nodes", "pods", "namespaces", "services", "replicationcontrollers", "replicasets",
    "poddisruptionbudgets", *STORAGE))
ANYTHING = requests.get("namespaces", "", "default")
BY_LANE = {reflector.lane: reflector for reflector in REFLECTORS}
ALWAYS_WATCHED = tuple(each.lane for each in REFLECTORS if each.lane not in STORAGE)


class Assumption(NamedTuple):
    """A pod assumed to be on a node until the watch shows it there."""

    uid: str
    node: str


class Flight(NamedTuple):
    """The binding under way. `asking`: its outcome is unknown, so the pod itself is asked for."""

    waiting: Waiting
    node: str
    asking: bool = False


Scores = tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
"""By node, the weighted score of each plug-in."""


class Attempt(NamedTuple):
    """An attempt that was decided but not carried out. `seen` are the events since."""

    key: str
    uid: str
    decision: Decision
    seen: tuple[str, ...] = ()


class Permit(NamedTuple):
    """A pod that is assumed on a node and waits for the permit to be bound."""

    waiting: Waiting
    node: str


class Verdict(NamedTuple):
    """What the status of a pod is to say: why it waits, and for which node it was nominated."""

    message: str
    nominated: str


class Victim(NamedTuple):
    """A pod to remove for another one: first its status says why, then it is deleted."""

    key: str
    uid: str
    preemptor: str
    node: str
    marked: bool = False


class Local(NamedTuple):
    """The local state.

    `alone`: no binding of an earlier life is under way. `synced`: every cache has its first list.
    `snapshot` is the cache that decisions are made from, assumed pods included; `assumed` are
    those of its pods that no watch event has confirmed. `flight` is the binding under way,
    `permits` are assumed pods that wait for a permit, by key;
    `verdicts` are statuses to write, `due` those of them that can be sent now and `report` the
    one that was; `victims` are pods to remove, and `evicting` tells that a write about the first
    of them is under way. `scores` are those of the last attempt for each pod, if they are kept.
    """

    caches: FrozenMap[str, Informer] = EMPTY
    lanes: tuple[str, ...] = ALWAYS_WATCHED
    alone: bool = False
    synced: bool = False
    snapshot: Snapshot = Snapshot()
    assumed: FrozenMap[str, Assumption] = EMPTY
    queue: Queue = EMPTY_QUEUE
    attempt: Attempt | None = None
    flight: Flight | None = None
    permits: FrozenMap[str, Permit] = EMPTY
    verdicts: FrozenMap[str, Verdict] = EMPTY
    due: tuple[str, ...] = ()
    report: str = ""
    victims: tuple[Victim, ...] = ()
    evicting: bool = False
    recorder: Recorder = NO_EVENTS
    scores: FrozenMap[str, Scores] = EMPTY


class Scheduler(Component[Local]):
    """See the head of this file. `keeps_scores`: so that a server can show them; `profile`: the
    plug-ins that decide."""

    name = "scheduler"

    def __init__(self, keeps_scores: bool = False, profile: Profile = DEFAULT_PROFILE) -> None:
        self.keeps_scores = keeps_scores
        self.profile = profile

    def init(self, io: Io) -> Local:
        io.after(FLUSH_MS, FLUSH)
        io.request("apiserver", BIND, ANYTHING)
        fresh = {each.lane: each.init() for each in REFLECTORS}
        fresh["pods"] = fresh["pods"]._replace(resource_version=NEWEST)
        return Local(FrozenMap(fresh.items()))

    # -- own steps ------------------------------------------------------------------------------

    def steps(self, local: Local) -> tuple[Step, ...]:
        offered: tuple[Step, ...] = NO_STEPS
        if not local.synced:
            offered = tuple(("list", (lane,)) for lane in local.lanes
                            if local.caches[lane].phase == STOPPED
                            and (local.alone or lane != "pods"))
        elif local.attempt is not None:
            attempt = local.attempt
            if not attempt.decision.best:
                offered = (("fail", (attempt.key,)),)
            elif local.flight is None:
                best = attempt.decision.best
                offered = tuple(("bind", (attempt.key, node))
                                for node in (best if len(best) <= CHOICES_MAX else best[:1]))
        elif local.queue.active:
            offered = (("attempt", (local.queue.active[0][3],)),)
        if local.permits and local.flight is None:
            offered = (*offered, *(("allow", (key,)) for key, permit in local.permits.items()
                                   if self.may_bind(local, permit)))
        if local.due and not local.report:
            offered = (*offered, ("report", (local.due[0],)))
        if local.victims and not local.evicting:
            offered = (*offered, ("evict", (local.victims[0].key,)))
        if local.recorder.waiting and not local.recorder.busy:
            offered = (*offered, ("record", ()))
        return offered

    def step(self, local: Local, verb: str, args: tuple[Scalar, ...], io: Io) -> Local:
        if verb == "list":
            lane = str(args[0])
            started = BY_LANE[lane].start(local.caches[lane], io)
            return local._replace(caches=local.caches.set(lane, started))
        if verb == "attempt":
            return self.decide(local)
        if verb == "bind":
            return self.bind(local, str(args[1]), io)
        if verb == "allow":
            return self.allow(local, str(args[0]), io)
        if verb == "fail":
            return self.fail(local, io)
        if verb == "report":
            return self.send_report(local, io)
        if verb == "evict":
            return self.send_eviction(local, io)
        return self.send_event(local, io)

    def send_event(self, local: Local, io: Io) -> Local:
        """Write the oldest event, in the form of the events API; a repeated one is counted."""
        event = local.recorder.waiting[0]
        shaped = in_events_form(event, io.now)
        io.request("apiserver", events.LANE, requests.create(shaped) if event.count_ == 1
                   else requests.update(shaped))
        return local._replace(recorder=local.recorder._replace(busy=True))

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        """One line for traces and diagrams."""
        texts = {"list": "lists {0}", "attempt": "decides on pod {0}",
                 "bind": "assumes pod {0} on {1} and binds it",
                 "allow": "binds pod {0}, which waited for its permit",
                 "fail": "puts pod {0} aside: no node takes it",
                 "report": "writes why pod {0} waits", "evict": "removes pod {0} for another",
                 "record": "writes the oldest event"}
        return texts[verb].format(*args) if verb in texts else super().describe(verb, args)

    def decide(self, local: Local) -> Local:
        """Take the pod whose turn it is and decide by the cache as it stands."""
        queue, waiting = queues.take(local.queue)
        pod = waiting.pod
        decision = schedule(pod, local.snapshot, self.profile)
        if self.keeps_scores:
            before = local.scores if len(local.scores) < SCORES_KEPT_MAX else EMPTY
            local = local._replace(scores=before.set(pod.key, decision.scores))
        kept = decision._replace(best=turned(decision.best, pod.uid), scores=(), rejected=(),
                                 feasible=())
        return local._replace(queue=queue, attempt=Attempt(pod.key, pod.uid, kept))

    def bind(self, local: Local, node: str, io: Io) -> Local:
        """Assume the pod on the node, and send its binding."""
        attempt = local.attempt
        assert attempt is not None, "a bind step without an attempt"
        waiting = local.queue.pods[attempt.key]
        if node not in local.snapshot.nodes:
            return local._replace(attempt=None, queue=queues.back_off(local.queue, waiting, io))
        pod, place = waiting.pod, local.snapshot.nodes[node]
        snapshot = reserved(self.profile, pod, place, local.snapshot)
        if type(snapshot) is Rejection:
            return self.refused_late(local, snapshot, io)
        assert isinstance(snapshot, Snapshot)
        local = self.assume(local._replace(snapshot=snapshot), waiting, node, io)
        verdict = permitted(self.profile, pod, place, local.snapshot)
        if type(verdict) is Rejection:
            return self.refused_late(self.forget(local, pod.key), verdict, io)
        local = local._replace(attempt=None, queue=queues.drop(local.queue, attempt.key))
        if type(verdict) is Wait:
            io.after(verdict.at_most_ms, PERMIT + pod.key)
            return local._replace(permits=local.permits.set(pod.key, Permit(waiting, node)))
        return self.send_binding(local, waiting, node, io)

    def send_binding(self, local: Local, waiting: Waiting, node: str, io: Io) -> Local:
        """Ask the API server to bind an assumed pod."""
        namespace, name = split_key(waiting.pod.key)
        binding = api.Binding(metadata=api.Metadata(name=name, namespace=namespace,
                                                    uid=waiting.pod.uid or None),
                              target=api.ObjectReference(kind="Node", name=node))
        io.request("apiserver", BIND, requests.bind(namespace, name, binding))
        return local._replace(flight=Flight(waiting, node))

    def refused_late(self, local: Local, rejection: Rejection, io: Io) -> Local:
        """Reserve or permit refuses the node: the attempt has failed."""
        attempt = local.attempt
        assert attempt is not None, "a late refusal without an attempt"
        decision = Decision((), f"{', '.join(rejection.reasons)}.", refused_by=(rejection.plugin,))
        return self.fail(local._replace(attempt=attempt._replace(decision=decision)), io)

    def may_bind(self, local: Local, permit: Permit) -> bool:
        """Whether the permit that a pod waits for is given now."""
        node = local.snapshot.nodes.get(permit.node)
        return node is not None and permitted(self.profile, permit.waiting.pod, node,
                                              local.snapshot) is None

    def allow(self, local: Local, key: str, io: Io) -> Local:
        """The permit is given: bind the pod."""
        permit = local.permits[key]
        io.cancel(PERMIT + key)
        return self.send_binding(local._replace(permits=local.permits.drop(key)), permit.waiting,
                                 permit.node, io)

    def permit_expired(self, local: Local, key: str, io: Io) -> Local:
        """Nobody gave the permit in time: the pod gives its room back and tries again later."""
        permit = local.permits.get(key)
        if permit is None:
            return local
        local = self.forget(local._replace(permits=local.permits.drop(key)), key)
        local = local._replace(queue=queues.back_off(local.queue, permit.waiting, io))
        return self.happened(local, "pod gone", None, io)

    def assume(self, local: Local, waiting: Waiting, node: str, io: Io) -> Local:
        """Count the pod as being on the node, from now on."""
        pod = waiting.pod
        snapshot = cache.add_pod(local.snapshot, pod._replace(node=node))
        return local._replace(
            snapshot=snapshot._replace(nominated=snapshot.nominated.drop(pod.key)),
            assumed=local.assumed.set(pod.key, Assumption(pod.uid, node)))

    def forget(self, local: Local, key: str) -> Local:
        """The pod is not on the node it was assumed on: give its room back, and what was set aside
        for it."""
        snapshot = cache.release_volumes(cache.remove_pod(local.snapshot, key), key)
        return local._replace(snapshot=snapshot, assumed=local.assumed.drop(key),
                              permits=local.permits.drop(key))

    def fail(self, local: Local, io: Io) -> Local:
        """No node takes the pod: put it aside, say why, and make room if that helps."""
        attempt = local.attempt
        assert attempt is not None, "a fail step without an attempt"
        key, decision = attempt.key, attempt.decision
        local = local._replace(attempt=None)
        pod = local.caches["pods"].store.get(key)
        if pod is not None:
            noted = events.record(local.recorder, pod, "Warning", "FailedScheduling",
                                  decision.message, SOURCE, io.now, by_revision=True)
            local = local._replace(recorder=noted)
        local = self.nominate(local, key, decision)
        queue = queues.park(local.queue, key, decision.refused_by, io.now)
        if self.helped_meanwhile(attempt):
            queue = queues.back_off(queue, queue.pods[key], io)
        return local._replace(queue=queue)

    def helped_meanwhile(self, attempt: Attempt) -> bool:
        """Whether another attempt is due without an event: one since the decision may have changed
        it, or no plug-in refused the pod, so that none could say which event helps (kube-scheduler
        then tries again after the back-off; so where there is no node at all)."""
        refused_by = attempt.decision.refused_by
        return not refused_by or any(helps(event, refused_by) for event in attempt.seen)

    def nominate(self, local: Local, key: str, decision: Decision) -> Local:
        """Write the verdict; where there are victims, claim their room and order their removal."""
        waiting = local.queue.pods[key]
        nominated = decision.nominated
        if not nominated and decision.message.endswith(UNDER_WAY):
            nominated = waiting.pod.nominated
        pod = waiting.pod._replace(nominated=nominated)
        marks = local.snapshot.nominated
        marks = marks.set(key, pod) if nominated else marks.drop(key)
        victims = tuple(Victim(victim, local.snapshot.pods[victim].uid, pod.uid, nominated)
                        for victim in decision.victims if victim in local.snapshot.pods)
        local = local._replace(queue=queues.refresh(local.queue, pod),
                               snapshot=local.snapshot._replace(nominated=marks),
                               victims=local.victims + victims)
        if victims:
            local = self.outranked(local, pod)
        return self.say(local, key, Verdict(decision.message, nominated))

    def outranked(self, local: Local, pod: PodInfo) -> Local:
        """Pods of lower priority that waited for the same node have to look again."""
        for key, other in local.snapshot.nominated.items():
            if other.nominated == pod.nominated and other.needs.priority < pod.needs.priority:
                snapshot = local.snapshot
                local = local._replace(snapshot=snapshot._replace(
                    nominated=snapshot.nominated.drop(key)))
                if key in local.queue.pods:
                    cleared = local.queue.pods[key].pod._replace(nominated="")
                    local = local._replace(queue=queues.refresh(local.queue, cleared))
        return local

    def say(self, local: Local, key: str, verdict: Verdict) -> Local:
        """Have a verdict written to the pod's status, unless it stands there."""
        pod = local.caches["pods"].store.get(key)
        if pod is None or with_verdict(pod, verdict, 0) is None:
            return local
        due = local.due if key in local.due or key == local.report else (*local.due, key)
        return local._replace(verdicts=local.verdicts.set(key, verdict), due=due)

    # -- writes ---------------------------------------------------------------------------------

    def send_report(self, local: Local, io: Io) -> Local:
        """Write the oldest verdict, against the version of the pod that the cache holds."""
        key, due = local.due[0], local.due[1:]
        pod = local.caches["pods"].store.get(key)
        verdict = local.verdicts.get(key)
        changed = None if pod is None or verdict is None else with_verdict(pod, verdict, io.now)
        if changed is None:
            return local._replace(due=due, verdicts=local.verdicts.drop(key))
        io.request("apiserver", REPORT, requests.update_status(changed))
        return local._replace(due=due, report=key)

    def reported(self, local: Local, body: Any) -> Local:
        """A conflict waits for the next version of the pod; an unknown outcome is written again."""
        key = local.report
        local = local._replace(report="")
        if body == CUT:
            return local._replace(due=(*local.due, key))
        if body.code == 409:
            return local
        return local._replace(verdicts=local.verdicts.drop(key))

    def send_eviction(self, local: Local, io: Io) -> Local:
        """Tell a victim why it has to go, then delete it."""
        victim = local.victims[0]
        pod = local.caches["pods"].store.get(victim.key)
        if pod is None or pod.metadata.uid != victim.uid or pod.metadata.deletion_timestamp:
            return local._replace(victims=local.victims[1:])
        if victim.marked:
            namespace, name = split_key(victim.key)
            request = requests.delete("pods", namespace, name, uid=victim.uid)
        else:
            request = requests.update_status(marked_for_disruption(pod, io.now))
        io.request("apiserver", EVICT, request)
        return local._replace(evicting=True)

    def evicted(self, local: Local, body: Any, io: Io) -> Local:
        """The answer about the victim at the head; an unknown outcome is tried again."""
        local = local._replace(evicting=False)
        if body == CUT or not local.victims:
            return local
        victim, others = local.victims[0], local.victims[1:]
        if not victim.marked:
            return local._replace(victims=(victim._replace(marked=True), *others))
        pod = local.caches["pods"].store.get(victim.key)
        if body.code < 400 and pod is not None:
            told = f"Preempted by pod {victim.preemptor} on node {victim.node}"
            noted = events.record(local.recorder, pod, "Normal", "Preempted", told, SOURCE, io.now)
            local = local._replace(recorder=noted)
        return local._replace(victims=others)

    def on_bind_lane(self, local: Local, body: Any, io: Io) -> Local:
        """An answer about a binding, or to the question with which this life began."""
        if local.flight is not None:
            return self.bound(local, local.flight, body, io)
        if local.alone:
            return local
        if body == CUT:
            io.request("apiserver", BIND, ANYTHING)
        elif body.code >= 500:
            io.after(queues.BACKOFF.base_ms, ASK)
        else:
            return local._replace(alone=True)
        return local

    def bound(self, local: Local, flight: Flight, body: Any, io: Io) -> Local:
        """The answer to a binding, or to the question whether it took place."""
        key, uid = flight.waiting.pod.key, flight.waiting.pod.uid
        if body != CUT and body.code < 400 and not flight.asking:
            return self.succeeded(local, flight, io)
        assumption = local.assumed.get(key)
        if assumption is None or assumption.uid != uid:
            known = local.snapshot.pods.get(key)
            if known is not None and (known.uid, known.node) == (uid, flight.node):
                return self.succeeded(local, flight, io)
            return local._replace(flight=None)
        if body == CUT or not flight.asking:
            namespace, name = split_key(key)
            io.request("apiserver", BIND, requests.get("pods", namespace, name))
            return local._replace(flight=flight._replace(asking=True))
        if body.code >= 500:
            io.after(queues.BACKOFF.base_ms, ASK)
            return local
        return self.answered(local, flight, body.body if body.code < 400 else None, io)

    def answered(self, local: Local, flight: Flight, pod: api.Pod | None, io: Io) -> Local:
        """The pod itself says whether it is bound; None: it is gone."""
        waiting = flight.waiting
        key, uid = waiting.pod.key, waiting.pod.uid
        node = pod.spec.node_name if pod is not None and pod.spec is not None else None
        if pod is not None and pod.metadata.uid == uid and node == flight.node:
            return self.succeeded(local, flight, io)
        local = self.forget(local._replace(flight=None), key)
        cached = local.caches["pods"].store.get(key)
        if node is None and cached is not None and cached.metadata.uid == uid:
            local = local._replace(queue=queues.back_off(local.queue, waiting, io))
        return self.happened(local, "pod gone", None, io)

    def succeeded(self, local: Local, flight: Flight, io: Io) -> Local:
        """The binding took place."""
        key = flight.waiting.pod.key
        local = local._replace(flight=None)
        pod = local.caches["pods"].store.get(key)
        if pod is None:
            return local
        told = f"Successfully assigned {key} to {flight.node}"
        return local._replace(recorder=events.record(local.recorder, pod, "Normal", "Scheduled",
                                                     told, SOURCE, io.now))

    # -- what is seen ---------------------------------------------------------------------------

    def receive(self, local: Local, message: Message, io: Io) -> Local:
        lane, body = message.lane, message.body
        reflector = BY_LANE.get(lane)
        if reflector is not None:
            informer, changes = reflector.on_message(local.caches[lane], message, io)
            local = local._replace(caches=local.caches.set(lane, informer))
            for change in changes:
                local = self.seen(local, lane, change, io)
            return local if local.synced else self.check_synced(local)
        if lane == BIND:
            return self.on_bind_lane(local, body, io)
        if lane == REPORT:
            return self.reported(local, body) if local.report else local
        if lane == EVICT:
            return self.evicted(local, body, io) if local.evicting else local
        if body == CUT:
            return self.send_event(local, io) if local.recorder.busy else local
        return local._replace(recorder=events.replied(local.recorder, body, io))

    def check_synced(self, local: Local) -> Local:
        """Whether every collection has its first list; before that nothing is decided."""
        synced = all(local.caches[lane].synced for lane in local.lanes)
        return local._replace(synced=True) if synced else local

    def seen(self, local: Local, lane: str, change: Change, io: Io) -> Local:
        """Bring cache and queue up to date with one change of a collection."""
        if lane == "pods":
            return self.seen_pod(local, change, io)
        if lane == "nodes":
            return self.seen_node(local, change, io)
        before = local.snapshot.catalog
        after = catalog.noted(before, lane, change.key, change.new)
        if after is before:
            return local
        local = local._replace(snapshot=local.snapshot._replace(catalog=after))
        if lane in STORAGE:
            return self.happened(local, "storage changed", None, io)
        return self.happened(local, "pod labels changed", None, io) if lane == "namespaces" \
            else local

    def seen_node(self, local: Local, change: Change, io: Io) -> Local:
        """A node came, changed or went."""
        if change.new is None:
            local = local._replace(snapshot=cache.remove_node(local.snapshot, change.key))
            return self.happened(local, "node removed", None, io)
        old = local.snapshot.nodes.get(change.key)
        snapshot = cache.set_node(local.snapshot, read.node_info(change.new))
        if snapshot is local.snapshot:
            return local
        local = local._replace(snapshot=snapshot)
        new = snapshot.nodes[change.key]
        for event in node_events(old, new):
            local = self.happened(local, event, new, io)
        return local

    def seen_pod(self, local: Local, change: Change, io: Io) -> Local:
        """A pod came, changed or went: it waits, or takes room, or neither."""
        key, pod = change.key, change.new
        if pod is None or read.finished(pod):
            return self.pod_gone(local, key, io)
        info = read.pod_info(pod)
        if info.node:
            local = self.unqueued(local, key)
            return self.pod_placed(local, info, io)
        if key in local.assumed:
            return local
        if info.terminating or info.needs.scheduler_name != SOURCE:
            return self.unqueued(local, key)
        return self.pod_waits(local, info, io)

    def pod_gone(self, local: Local, key: str, io: Io) -> Local:
        """A pod ended or was deleted; its room is free."""
        local = self.unqueued(local, key)
        if key not in local.snapshot.pods:
            return local
        return self.happened(self.forget(local, key), "pod gone", None, io)

    def unqueued(self, local: Local, key: str) -> Local:
        """A pod waits no more: drop what was to be done about it."""
        if key in local.queue.pods:
            local = local._replace(queue=queues.drop(local.queue, key))
        if key in local.snapshot.nominated:
            snapshot = local.snapshot
            local = local._replace(
                snapshot=snapshot._replace(nominated=snapshot.nominated.drop(key)))
        if key in local.verdicts:
            local = local._replace(verdicts=local.verdicts.drop(key),
                                   due=tuple(each for each in local.due if each != key))
        if local.attempt is not None and local.attempt.key == key:
            local = local._replace(attempt=None)
        return local

    def pod_placed(self, local: Local, info: PodInfo, io: Io) -> Local:
        """A pod is on a node: confirm what was assumed, or take it in."""
        key = info.key
        old = local.snapshot.pods.get(key)
        assumed = key in local.assumed
        if old is None or assumed or _occupies_differently(old, info):
            local = self.replace(local, old, info)
            relabelled = old is not None and not assumed
            return self.happened(local, "pod labels changed" if relabelled else "pod placed",
                                 None, io)
        if old == info:
            return local
        snapshot = local.snapshot
        return local._replace(snapshot=snapshot._replace(pods=snapshot.pods.set(key, info)))

    def replace(self, local: Local, old: PodInfo | None, info: PodInfo) -> Local:
        """Take a pod in at its node, in place of what was known under its name."""
        snapshot = local.snapshot if old is None else cache.remove_pod(local.snapshot, info.key)
        return local._replace(snapshot=cache.add_pod(snapshot, info),
                              assumed=local.assumed.drop(info.key),
                              permits=local.permits.drop(info.key))

    def pod_waits(self, local: Local, info: PodInfo, io: Io) -> Local:
        """A pod wants a node."""
        key = info.key
        if info.needs.claims and local.lanes is ALWAYS_WATCHED:
            local = local._replace(lanes=ALWAYS_WATCHED + STORAGE, synced=False)
        if info.nominated and key not in local.queue.pods:
            snapshot = local.snapshot
            local = local._replace(
                snapshot=snapshot._replace(nominated=snapshot.nominated.set(key, info)))
        if key in local.verdicts and key not in local.due and key != local.report:
            local = local._replace(due=(*local.due, key))
        waiting = local.queue.pods.get(key)
        if waiting is None:
            return local._replace(queue=queues.add(local.queue, info, io.now))
        before = waiting.pod
        info = info._replace(nominated=before.nominated)
        if info == before:
            return local
        local = local._replace(queue=queues.refresh(local.queue, info))
        if before.needs == info.needs:
            return local
        if waiting.place == queues.GATED and not info.needs.gates:
            return local._replace(queue=queues.activate(local.queue, key, io.now))
        if local.attempt is not None and local.attempt.key == key:
            seen = (*local.attempt.seen, "pod updated")
            return local._replace(attempt=local.attempt._replace(seen=seen))
        return local._replace(queue=queues.wake(local.queue, key, io))

    def happened(self, local: Local, event: str, node: NodeInfo | None, io: Io) -> Local:
        """Wake the pods that an event may help, and note it for the attempt under way."""
        attempt = local.attempt
        if attempt is not None and event not in attempt.seen:
            local = local._replace(attempt=attempt._replace(seen=(*attempt.seen, event)))
        queue = local.queue
        for key in queue.parked:
            waiting = queue.pods[key]
            if helps(event, waiting.refused_by) and (
                    node is None or node_helps(waiting, node)):
                queue = queues.wake(queue, key, io)
        return local if queue is local.queue else local._replace(queue=queue)

    def timer(self, local: Local, key: str, io: Io) -> Local:
        if key.startswith(queues.TIMER):
            name = key[len(queues.TIMER):]
            return local._replace(queue=queues.activate(local.queue, name, io.now))
        if key.startswith(TIMER):
            lane = key[len(TIMER):]
            again = BY_LANE[lane].on_timer(local.caches[lane], io)
            return local._replace(caches=local.caches.set(lane, again))
        if key == ASK:
            return self.on_bind_lane(local, CUT, io)
        if key.startswith(PERMIT):
            return self.permit_expired(local, key[len(PERMIT):], io)
        io.after(FLUSH_MS, FLUSH)
        queue = local.queue
        for name in queue.parked:
            if io.now - queue.pods[name].since_ms >= queues.STUCK_MS_MAX:
                queue = queues.wake(queue, name, io)
        return local if queue is local.queue else local._replace(queue=queue)


def turned(best: tuple[str, ...], uid: str) -> tuple[str, ...]:
    """Equally good nodes from one on that chance picks, here by the pod: one made again under its
    name may get another node, as with kube-scheduler."""
    if len(best) < 2:
        return best
    at = int(stable_digest(uid)[:8], 16) % len(best)
    return best[at:] + best[:at]


def _occupies_differently(old: PodInfo, new: PodInfo) -> bool:
    return (old.node != new.node or old.uid != new.uid or old.terminating != new.terminating
            or old.needs != new.needs)


def helps(event: str, refused_by: tuple[str, ...]) -> bool:
    """Whether an event may let a pod pass that these plug-ins refused; any may, for plug-ins that
    are not of the default profile."""
    if event == "pod updated":
        return True
    if not refused_by:
        return event == "node added"
    return any(name not in PLUGINS or event in PLUGINS[name].helped_by for name in refused_by)


def node_helps(waiting: Waiting, node: NodeInfo) -> bool:
    """Whether a node that came or changed is one that the pod could not have before.

    Rules that look at one node only are asked; for the others any change may help.
    """
    refused_by = waiting.refused_by
    if not refused_by or any(name not in BY_NODE for name in refused_by):
        return True
    return any(PLUGINS[name].filter(
        PLUGINS[name].pre_filter(waiting.pod, Snapshot()), waiting.pod, node) is None
        for name in refused_by)


def node_events(old: NodeInfo | None, new: NodeInfo) -> tuple[str, ...]:
    """What changed about a node, in the words of `Plugin.helped_by`."""
    if old is None:
        return ("node added",)
    found = []
    if old.labels != new.labels:
        found.append("node labels changed")
    if old.hard_taints != new.hard_taints or old.soft_taints != new.soft_taints:
        found.append("node taints changed")
    if old.unschedulable != new.unschedulable:
        found.append("node cordon changed")
    if old.room != new.room or old.pods_max != new.pods_max:
        found.append("node room grew")
    return tuple(found)


def in_events_form(event: api.Event, now_ms: int) -> api.Event:
    """An event as kube-scheduler writes it: with an action and a reporter, without a source.

    Its second and later occurrences are a series, as in events.k8s.io/v1.
    """
    moment = api.micro_timestamp(now_ms)
    count = event.count_ or 1
    series = "" if count == 1 else f',"series":{{"count":{count},"lastObservedTime":"{moment}"}}'
    rest = (f'{{"action":"{ACTIONS[event.reason or ""]}","eventTime":"{moment}",'
            f'"firstTimestamp":null,"lastTimestamp":null,"reportingComponent":"{SOURCE}",'
            f'"reportingInstance":"{SOURCE}-control-plane"{series}}}')
    return event._replace(source=api.EventSource(), count_=None, first_timestamp=None,
                          last_timestamp=None, rest=rest.encode())


def with_verdict(pod: api.Pod, verdict: Verdict, now_ms: int) -> api.Pod | None:
    """The pod with the verdict in its status; None when it stands there already."""
    status = pod.status or api.PodStatus()
    nominated = verdict.nominated or None
    same = status.nominated_node_name == nominated and any(
        each.type == "PodScheduled" and each.status == "False" and each.reason == "Unschedulable"
        and each.message == verdict.message for each in status.conditions or ())
    if same:
        return None
    condition = api.Condition(type="PodScheduled", status="False", reason="Unschedulable",
                              message=verdict.message,
                              last_transition_time=api.timestamp(now_ms), rest=NEVER_PROBED)
    conditions = set_condition(status.conditions, condition)
    return api.with_status(pod, status._replace(nominated_node_name=nominated,
                                                conditions=conditions))


def marked_for_disruption(pod: api.Pod, now_ms: int) -> api.Pod:
    """The pod with the condition that tells why it is removed."""
    status = pod.status or api.PodStatus()
    condition = api.Condition(
        type="DisruptionTarget", status="True", reason="PreemptionByScheduler",
        message=f"{SOURCE}: preempting to accommodate a higher priority pod",
        last_transition_time=api.timestamp(now_ms), rest=NEVER_PROBED)
    return api.with_status(pod, status._replace(
        conditions=set_condition(status.conditions, condition)))
