"""The scheduler as a component, fed by hand: queue, assumed pods, bindings, what it writes."""

from __future__ import annotations

from typing import Any

from model.api.objects import Node, Pod, PodSpec, freeze, thaw, with_resource_version
from model.api.objects import read as api_read
from model.api.requests import ObjectList, Reply, Request, WatchEvent, conflict, failure, refused
from model.kernel.component import CUT, Io, Message
from model.kernel.values import FrozenMap
from reference_impl.scheduler import cache, read
from reference_impl.scheduler.component import ALWAYS_WATCHED, Local, Scheduler, turned
from reference_impl.scheduler.decide import schedule
from reference_impl.scheduler.framework import Plugin, Profile, Rejection, Wait, reserved
from reference_impl.scheduler.plugins import DEFAULT_PROFILE
from reference_impl.scheduler.records import (
    Catalog,
    Claim,
    NodeInfo,
    PodInfo,
    Snapshot,
    StorageClass,
    Volume,
)

SCHEDULER = Scheduler()


class Bench:
    """A scheduler with its last effects; `now` is its clock."""

    def __init__(self, nodes: tuple[Node, ...] = (), pods: tuple[Pod, ...] = (),
                 scheduler: Scheduler = SCHEDULER) -> None:
        self.scheduler = scheduler
        self.now = 0
        self.version = 10
        self.sent: list[tuple[str, str, Any]] = []
        self.timers: dict[str, int] = {}
        self.local: Local = self.scheduler.init(self.io())
        first = {"nodes": nodes, "pods": pods}
        assert ("list", ("pods",)) not in scheduler.steps(self.local), "an old binding may live"
        self.get("bind", Reply(200, None))
        for lane in ALWAYS_WATCHED:
            self.step("list", lane)
            self.get(lane, Reply(200, ObjectList("List", first.get(lane, ()), "10")))
        assert self.local.synced

    def io(self) -> Io:
        """Effects that are kept in `sent` and `timers` by `keep`."""
        self.last = Io(self.now)
        return self.last

    def keep(self, local: Local) -> None:
        """The step is over."""
        self.local = local
        self.sent = self.last.requests
        for key, due in self.last.timers:
            if due is None:
                self.timers.pop(key, None)
            else:
                self.timers[key] = due

    def step(self, verb: str, *args: str) -> Request | None:
        """Take an own step that is offered; the request it sends."""
        if verb != "list":
            offered = self.scheduler.steps(self.local)
            assert (verb, args) in offered, offered
        self.keep(self.scheduler.step(self.local, verb, args, self.io()))
        return self.sent[0][2] if self.sent else None

    def get(self, lane: str, body: Any) -> Request | None:
        """Deliver a message; the request it makes the scheduler send."""
        self.keep(self.scheduler.receive(self.local, Message("apiserver", lane, body), self.io()))
        return self.sent[0][2] if self.sent else None

    def see(self, lane: str, kind: Any, obj: Any) -> None:
        """An event of a watch."""
        self.version += 1
        self.get(lane, WatchEvent(kind, with_resource_version(obj, str(self.version))))

    def fire(self, key: str) -> None:
        """A timer fires, at its time."""
        self.now = max(self.now, self.timers.pop(key))
        self.keep(self.scheduler.timer(self.local, key, self.io()))

    def verbs(self) -> list[str]:
        """The verbs of the own steps offered, events aside."""
        return [verb for verb, _ in self.scheduler.steps(self.local) if verb != "record"]

    def used(self, node: str) -> int:
        """Processor taken on a node, in thousandths."""
        return self.local.snapshot.nodes[node].used.cpu

    def events(self) -> list[str]:
        """Reasons of the events that wait to be written."""
        return [event.reason or "" for event in self.local.recorder.waiting]


def make_node(name: str, cpu: str = "2") -> Node:
    node: Node = freeze({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": name, "resourceVersion": "5"}, "spec": {},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}})
    return node


def make_pod(name: str, cpu: str = "1", uid: str = "", on: str = "", priority: int = 0,
             **spec: Any) -> Pod:
    pod: Pod = freeze({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": uid or name,
                     "resourceVersion": "6", "creationTimestamp": "2016-07-01T00:00:00Z"},
        "spec": {"containers": [{"name": "c", "image": "i",
                                 "resources": {"requests": {"cpu": cpu}}}],
                 "priority": priority, **({"nodeName": on} if on else {}), **spec},
        "status": {"phase": "Pending"}})
    return pod


OK = Reply(201, None)


def test_a_pod_is_assumed_bound_and_confirmed() -> None:
    bench = Bench((make_node("n1"),), (make_pod("p"),))
    bench.step("attempt", "default/p")
    request = bench.step("bind", "default/p", "n1")
    assert request is not None
    assert (request.verb, request.resource, request.name, request.subresource) == (
        "create", "pods", "p", "binding")
    assert request.body.target.name == "n1"
    assert request.body.metadata.uid == "p"
    assert bench.used("n1") == 1000
    assert list(bench.local.assumed) == ["default/p"]
    bench.get("bind", OK)
    assert bench.events() == ["Scheduled"]
    assert list(bench.local.assumed) == ["default/p"], "only the watch confirms"
    bench.see("pods", "MODIFIED", make_pod("p", on="n1"))
    assert not bench.local.assumed
    assert bench.used("n1") == 1000
    assert bench.verbs() == []


def test_equally_good_nodes_are_offered_as_choices() -> None:
    bench = Bench((make_node("n1"), make_node("n2")), (make_pod("p"),))
    bench.step("attempt", "default/p")
    assert sorted(SCHEDULER.steps(bench.local)) == [("bind", ("default/p", "n1")),
                                                    ("bind", ("default/p", "n2"))]


def test_chance_picks_which_of_equally_good_nodes_comes_first() -> None:
    """By the pod: made again under its name it may go elsewhere, and the same one never does."""
    nodes = ("n1", "n2", "n3")
    firsts = {turned(nodes, f"uid-{at}")[0] for at in range(20)}
    assert firsts == set(nodes)
    assert all(sorted(turned(nodes, f"uid-{at}")) == list(nodes) for at in range(20))
    assert turned(nodes, "uid-1") == turned(nodes, "uid-1")


def test_the_next_attempt_counts_what_is_assumed() -> None:
    bench = Bench((make_node("n1", "1"), make_node("n2", "1")), (make_pod("p"), make_pod("q")))
    bench.step("attempt", "default/p")
    bench.step("bind", "default/p", "n1")
    bench.step("attempt", "default/q")
    assert bench.verbs() == [], "one binding at a time"
    bench.get("bind", OK)
    assert SCHEDULER.steps(bench.local)[0] == ("bind", ("default/q", "n2"))


def test_room_is_given_back_when_a_binding_is_refused_for_good() -> None:
    bench = Bench((make_node("n1"),), (make_pod("p"),))
    bench.step("attempt", "default/p")
    bench.step("bind", "default/p", "n1")
    asked = bench.get("bind", refused(conflict("pods", "p")))
    assert asked is not None
    assert asked.verb == "get"
    bench.get("bind", Reply(200, make_pod("p")))
    assert bench.used("n1") == 0
    assert bench.verbs() == []
    bench.fire("backoff:default/p")
    assert bench.verbs() == ["attempt"]


def test_room_stays_taken_while_the_outcome_is_unknown() -> None:
    bench = Bench((make_node("n1"),), (make_pod("p"),))
    bench.step("attempt", "default/p")
    bench.step("bind", "default/p", "n1")
    asked = bench.get("bind", CUT)
    assert asked is not None
    assert asked.verb == "get"
    assert bench.used("n1") == 1000
    assert bench.get("bind", refused(failure(503, "ServiceUnavailable", "later"))) is None
    bench.fire("ask:")
    bench.get("bind", Reply(200, make_pod("p", on="n1")))
    assert bench.used("n1") == 1000
    assert bench.events() == ["Scheduled"]


def test_without_any_node_a_pod_is_tried_again_after_its_back_off() -> None:
    """No plug-in refused it, so no event is known to help; each verdict is told."""
    bench = Bench((), (make_pod("p"),))
    bench.step("attempt", "default/p")
    bench.step("fail", "default/p")
    bench.step("report", "default/p")
    bench.get("report", OK)
    bench.see("pods", "MODIFIED", make_pod("p"))
    bench.fire("backoff:default/p")
    assert bench.now == 1000
    bench.step("attempt", "default/p")
    bench.step("fail", "default/p")
    first, second = bench.local.recorder.waiting
    assert (first.message, first.count_) == (second.message, second.count_) == (
        "no nodes available to schedule pods", 1)
    assert first.metadata.name != second.metadata.name


def test_a_pod_that_does_not_fit_is_told_so_and_waits_for_an_event() -> None:
    bench = Bench((make_node("n1", "1"),), (make_pod("p", cpu="2"),))
    bench.step("attempt", "default/p")
    bench.step("fail", "default/p")
    assert bench.events() == ["FailedScheduling"]
    request = bench.step("report", "default/p")
    assert request is not None
    assert request.subresource == "status"
    (condition,) = request.body.status.conditions
    assert (condition.type, condition.status, condition.reason) == (
        "PodScheduled", "False", "Unschedulable")
    assert condition.message.startswith("0/1 nodes are available: 1 Insufficient cpu.")
    bench.get("status", Reply(200, None))
    assert bench.verbs() == []
    bench.see("nodes", "ADDED", make_node("n2", "1"))
    assert bench.verbs() == [], "a node that is too small does not help"
    bench.see("nodes", "ADDED", make_node("n3", "2"))
    bench.fire("backoff:default/p")
    bench.step("attempt", "default/p")
    bench.step("bind", "default/p", "n3")


def test_an_event_during_the_attempt_is_not_lost() -> None:
    bench = Bench((), (make_pod("p"),))
    bench.step("attempt", "default/p")
    bench.see("nodes", "ADDED", make_node("n1"))
    bench.step("fail", "default/p")
    bench.fire("backoff:default/p")
    assert "attempt" in bench.verbs()


def test_a_verdict_refused_by_a_conflict_is_written_at_the_next_version() -> None:
    bench = Bench((), (make_pod("p"),))
    bench.step("attempt", "default/p")
    bench.step("fail", "default/p")
    bench.step("report", "default/p")
    bench.get("status", refused(conflict("pods", "p")))
    assert "report" not in bench.verbs()
    bench.see("pods", "MODIFIED", make_pod("p"))
    bench.step("report", "default/p")
    bench.get("status", CUT)
    assert "report" in bench.verbs()


def test_pods_go_by_priority_then_by_who_waits_longest() -> None:
    bench = Bench((), (make_pod("a"), make_pod("b", priority=5)))
    bench.step("attempt", "default/b")
    bench.step("fail", "default/b")
    bench.step("attempt", "default/a")
    bench.step("fail", "default/a")
    bench.see("pods", "ADDED", make_pod("c"))
    bench.see("nodes", "ADDED", make_node("n1"))
    for key in ("default/b", "default/a"):
        bench.fire(f"backoff:{key}")
    order = [key for *_, key in bench.local.queue.active]
    assert order == ["default/b", "default/c", "default/a"]


def test_gated_pods_wait_until_their_gates_are_gone() -> None:
    gates = [{"name": "g"}]
    bench = Bench((make_node("n1"),), (make_pod("p", schedulingGates=gates),))
    assert bench.verbs() == []
    bench.see("pods", "MODIFIED", make_pod("p"))
    assert bench.verbs() == ["attempt"]


def test_pods_of_another_scheduler_are_left_alone() -> None:
    bench = Bench((make_node("n1"),), (make_pod("p", schedulerName="other"),))
    assert bench.verbs() == []


def test_victims_are_marked_and_deleted_before_the_pod_is_tried_again() -> None:
    low, high = make_pod("low", on="n1"), make_pod("high", priority=9)
    bench = Bench((make_node("n1", "1"),), (low, high))
    bench.step("attempt", "default/high")
    bench.step("fail", "default/high")
    marked = bench.step("evict", "default/low")
    assert marked is not None
    assert marked.body.status.conditions[0].reason == "PreemptionByScheduler"
    bench.get("preempt", Reply(200, None))
    deleted = bench.step("evict", "default/low")
    assert deleted is not None
    assert (deleted.verb, deleted.options.precondition_uid) == ("delete", "low")
    bench.get("preempt", Reply(200, None))
    assert bench.events() == ["FailedScheduling", "Preempted"]
    assert bench.local.snapshot.nominated["default/high"].nominated == "n1"
    bench.see("pods", "ADDED", make_pod("late"))
    bench.see("pods", "DELETED", low)
    bench.step("attempt", "default/late")
    bench.step("fail", "default/late")
    bench.fire("backoff:default/high")
    bench.step("attempt", "default/high")
    bench.step("bind", "default/high", "n1")


def test_a_pod_made_again_under_its_name_is_another_pod() -> None:
    bench = Bench((make_node("n1"), make_node("n2")), (make_pod("p", on="n1"),))
    bench.see("pods", "MODIFIED", make_pod("p", uid="other", on="n2"))
    assert (bench.used("n1"), bench.used("n2")) == (0, 1000)


def test_finished_pods_and_deleted_nodes_leave_no_trace() -> None:
    ended = make_pod("p", on="n1")
    bench = Bench((make_node("n1"),), (ended,))
    bench.see("pods", "MODIFIED", ended._replace(status=ended.status._replace(phase="Failed")))
    assert bench.used("n1") == 0
    bench.see("pods", "ADDED", make_pod("q", on="n1"))
    bench.see("nodes", "DELETED", make_node("n1"))
    assert not bench.local.snapshot.nodes
    bench.see("nodes", "ADDED", make_node("n1"))
    assert bench.used("n1") == 1000


def test_a_bound_pod_is_never_bound_again() -> None:
    bench = Bench((make_node("n1"),), (make_pod("p"),))
    bench.step("attempt", "default/p")
    bench.see("pods", "MODIFIED", make_pod("p", on="n1"))
    assert bench.verbs() == []


class Together(Plugin):
    """A plug-in of a user's own: pods of a gang are bound when two of them have a node."""

    name = "Together"

    def permit(self, pod: PodInfo, node: NodeInfo, snapshot: Snapshot) -> Wait | Rejection | None:
        gang = pod.needs.labels.get("gang")
        if gang == "none":
            return Rejection("Together", ("no gang is wanted",))
        there = sum(each.needs.labels.get("gang") == gang for each in snapshot.pods.values())
        return None if gang is None or there >= 2 else Wait(5_000)


GANGS = Scheduler(profile=Profile((*DEFAULT_PROFILE.plugins, Together())))


def in_gang(name: str, gang: str = "g") -> Pod:
    pod = make_pod(name)
    return pod._replace(metadata=pod.metadata._replace(labels=(("gang", gang),)))


def test_a_pod_waits_assumed_until_its_permit_is_given() -> None:
    bench = Bench((make_node("n1"),), (in_gang("a"), in_gang("b")), GANGS)
    bench.step("attempt", "default/a")
    assert bench.step("bind", "default/a", "n1") is None, "no permit, no binding"
    assert bench.used("n1") == 1000
    assert bench.verbs() == ["attempt"], "others go on meanwhile"
    bench.step("attempt", "default/b")
    sent = bench.step("bind", "default/b", "n1")
    assert sent is not None
    assert sent.name == "b"
    bench.get("bind", OK)
    sent = bench.step("allow", "default/a")
    assert sent is not None
    assert sent.name == "a"
    assert not bench.local.permits
    assert "permit:default/a" not in bench.timers


def test_a_permit_that_is_not_given_in_time_frees_the_room() -> None:
    bench = Bench((make_node("n1"),), (in_gang("a"),), GANGS)
    bench.step("attempt", "default/a")
    bench.step("bind", "default/a", "n1")
    bench.fire("permit:default/a")
    assert bench.now == 5_000
    assert bench.used("n1") == 0
    assert "backoff:default/a" in bench.timers
    bench.fire("backoff:default/a")
    assert bench.verbs() == ["attempt"]


def test_a_pod_that_goes_while_it_waits_for_its_permit_frees_the_room() -> None:
    bench = Bench((make_node("n1"),), (in_gang("a"),), GANGS)
    bench.step("attempt", "default/a")
    bench.step("bind", "default/a", "n1")
    bench.see("pods", "DELETED", in_gang("a"))
    assert bench.used("n1") == 0
    assert not bench.local.permits
    bench.fire("permit:default/a")
    assert bench.verbs() == []


def test_a_permit_that_is_refused_puts_the_pod_aside() -> None:
    bench = Bench((make_node("n1"),), (in_gang("a", "none"),), GANGS)
    bench.step("attempt", "default/a")
    assert bench.step("bind", "default/a", "n1") is None
    assert bench.used("n1") == 0
    assert bench.local.verdicts["default/a"].message == "no gang is wanted."


def test_a_volume_is_set_aside_for_one_pod() -> None:
    """Two claims wait for a node; there is one volume, and it is given back with the pod's room."""
    claims = FrozenMap((f"default/{name}", Claim("", "slow", 1, ("ReadWriteOnce",)))
                       for name in ("one", "two"))
    volume = Volume("v", True, "slow", 5, ("ReadWriteOnce",), None)
    catalog = Catalog(claims=claims, volumes=FrozenMap([("v", volume)]),
                      classes=FrozenMap([("slow", StorageClass(True, False))]))
    snapshot = cache.set_node(Snapshot(catalog=catalog), read.node_info(make_node("n1")))
    pods = {}
    for name in ("one", "two"):
        pod = make_pod(name)
        document = {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": name}}]}
        spec = api_read(PodSpec, {**thaw(pod)["spec"], **document})
        pods[name] = read.pod_info(pod._replace(spec=spec))
    node = snapshot.nodes["n1"]
    assert schedule(pods["two"], snapshot).best == ("n1",)
    taken = reserved(DEFAULT_PROFILE, pods["one"], node, snapshot)
    assert isinstance(taken, Snapshot)
    assert dict(taken.volumes.items()) == {"v": "default/one"}
    late = reserved(DEFAULT_PROFILE, pods["two"], node, taken)
    assert isinstance(late, Rejection)
    assert schedule(pods["two"], taken).best == ()
    assert cache.release_volumes(taken, "default/one") == snapshot
