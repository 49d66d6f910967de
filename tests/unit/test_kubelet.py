"""One kubelet behind the small API server: what it does with pods, told as short stories."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_agents import TWO_NODES, ask, erase, kubelets, put, put_document, short_lived
from tiny_apiserver import pod_json

from model.api.conditions import find
from model.api.objects import from_json, rest_fields, thaw
from model.api.quantities import milli
from model.kernel.action import Action
from model.kernel.system import ADVANCE, System
from model.kernel.world import World
from properties.kubelet.cadvisor import figures_at
from reference_impl.kubelet import cadvisor, runtime
from reference_impl.kubelet.node import machines
from reference_impl.kubelet.state import Used
from reference_impl.kubelet.status import duration


class Story:
    """A system that is served fairly between inputs."""

    def __init__(self, *inputs: Action, faults: str = "none") -> None:
        self.system: System = kubelets(faults, ())
        self.world: World = self.system.init()
        self.settle()
        self.tell(*inputs)

    def settle(self) -> None:
        """Serve, without a jump of the clock, until nothing is ready."""
        turn = 0
        while self.world.total:
            self.act(self.system.pick(self.world, turn % self.world.total))
            turn += 1

    def tell(self, *inputs: Action) -> None:
        for action in inputs:
            self.act(action)
            self.settle()

    def act(self, action: Action) -> None:
        after = self.system.apply(self.world, action)
        assert after is not None, f"{action} is not possible"
        self.world = after

    def later(self, seconds: int) -> None:
        """Let time pass, timers included."""
        until = self.world.now + 1000 * seconds
        while self.world.now < until:
            self.act(ADVANCE)
            self.settle()

    def pod(self, name: str) -> Any:
        return self.world["apiserver"].cache["pods"].get(f"default/{name}")

    def container(self, name: str, at: int = 0) -> Any:
        return self.pod(name).status.container_statuses[at]

    def reasons(self, name: str) -> list[str]:
        events = self.world["apiserver"].cache.get("events")
        return [event.reason for event in events.values()
                if event.involved_object.name == name]


def ready(pod: Any) -> str | None:
    condition = find(pod.status.conditions, "Ready")
    return None if condition is None else condition.status


def test_a_bound_pod_runs_and_says_so() -> None:
    """Pull, create, start; then phase, conditions, addresses and events tell it."""
    story = Story(put("web"))
    status = story.pod("web").status
    assert (status.phase, ready(story.pod("web")), status.host_ip) == ("Running", "True",
                                                                       "192.168.1.1")
    assert status.pod_ip == "10.244.0.2"
    assert [each.type for each in status.conditions] == [
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    assert story.container("web").state.running is not None
    assert story.reasons("web") == ["Pulling", "Pulled", "Created", "Started"]


def test_a_second_pod_needs_no_pull_and_gets_the_next_address() -> None:
    """An image that is there is not pulled again under IfNotPresent."""
    story = Story(put("one"), put("two"))
    assert story.pod("two").status.pod_ip == "10.244.0.3"
    assert "Pulling" not in story.reasons("two")


def test_the_node_registers_not_ready_and_is_ready_soon() -> None:
    """The Node carries capacity, address and network; its lease is held."""
    story = Story()
    node = story.world["apiserver"].cache["nodes"]["node-2"]
    assert find(node.status.conditions, "Ready").status == "True"  # type: ignore[union-attr]  # it is there
    assert node.spec.pod_cidr == "10.244.1.0/24"
    assert node.status.addresses[0].address == "192.168.1.2"
    lease = story.world["apiserver"].cache["leases"]["kube-node-lease/node-2"]
    assert lease.spec.holder_identity == "node-2"


def test_the_lease_is_renewed_every_ten_seconds() -> None:
    """And the node status is not written for it."""
    story = Story()
    node = story.world["apiserver"].cache["nodes"]["node-1"]
    story.later(31)
    lease = story.world["apiserver"].cache["leases"]["kube-node-lease/node-1"]
    assert lease.spec.renew_time == "2016-07-01T00:00:30.000000Z"
    assert story.world["apiserver"].cache["nodes"]["node-1"] == node


@pytest.mark.parametrize(("policy", "code", "phase", "restarts"), [
    ("Never", 0, "Succeeded", 0), ("Never", 3, "Failed", 0), ("OnFailure", 0, "Succeeded", 0),
    ("OnFailure", 3, "Running", 1), ("Always", 0, "Running", 1)])
def test_the_restart_policy_decides_after_an_exit(policy: str, code: int, phase: str,
                                                  restarts: int) -> None:
    """The first restart comes at once."""
    story = Story(put("job", policy=policy, exit=f"{code}*1"))
    assert story.pod("job").status.phase == phase
    assert story.container("job").restart_count == restarts


def test_a_crash_loop_waits_longer_each_time() -> None:
    """At once, then 10 s, 20 s; meanwhile CrashLoopBackOff is told with the wait."""
    story = Story(put("bad", exit="1*4"))
    waiting = story.container("bad").state.waiting
    assert (waiting.reason, story.container("bad").restart_count) == ("CrashLoopBackOff", 1)
    assert waiting.message.startswith("back-off 10s restarting failed container=c0 pod=bad_default")
    story.later(11)
    assert story.container("bad").restart_count == 2
    assert "back-off 20s" in story.container("bad").state.waiting.message
    story.later(60)
    assert story.container("bad").state.running is not None
    assert story.pod("bad").status.phase == "Running"


def test_waits_double_up_to_five_minutes() -> None:
    """Documented: 10 s, 20 s, 40 s and so on, capped at 300 s, the first restart at once."""
    assert [runtime.container_backoff_ms(n) // 1000 for n in range(1, 9)] == [
        0, 10, 20, 40, 80, 160, 300, 300]
    assert [runtime.pull_backoff_ms(n) // 1000 for n in range(1, 8)] == [
        10, 20, 40, 80, 160, 300, 300]
    assert [duration(ms) for ms in (10_000, 80_000, 300_000)] == ["10s", "1m20s", "5m0s"]


def test_an_image_that_cannot_be_pulled_keeps_the_pod_pending() -> None:
    """ErrImagePull, then ImagePullBackOff; a corrected image starts without the wait."""
    story = Story(put("web", images=("registry/bad:v1",)))
    assert story.pod("web").status.phase == "Pending"
    assert story.container("web").state.waiting.reason == "ImagePullBackOff"
    assert story.world.quiet()
    moment = story.world.now
    story.tell(put("web", images=("registry/good:v1",)))
    assert (story.pod("web").status.phase, story.world.now) == ("Running", moment)


def test_a_new_image_replaces_only_its_container() -> None:
    """The other container runs on, with its start time and count."""
    story = Story(put("web", images=("a:1", "b:1")))
    story.later(60)
    other = story.container("web", 1)
    story.tell(put("web", images=("a:2", "b:1")))
    assert story.container("web", 1) == other
    first = story.container("web", 0)
    assert (first.image, first.restart_count) == ("a:2", 1)
    assert first.last_state.terminated.exit_code == runtime.SIGTERM_CODE
    assert story.pod("web").status.phase == "Running"
    assert "Killing" in story.reasons("web")


def test_a_deleted_pod_stops_before_it_goes() -> None:
    """A container that ignores SIGTERM is killed at the end of the grace period."""
    story = Story(put("web", ignores_sigterm="yes"), ask("web", 30))
    assert story.pod("web") is not None
    story.later(24)
    assert story.pod("web") is not None
    story.later(2)
    assert story.pod("web") is None
    assert story.world["kubelet/node-1"].used == Used()


def test_a_pod_that_was_removed_by_force_is_stopped_too() -> None:
    """Its containers end, and nothing is written about it."""
    story = Story(put("web"), erase("pods", "web"))
    assert len(story.world["kubelet/node-1"].pods) == 0


def test_another_pod_of_the_same_name_waits_for_the_end_of_the_first() -> None:
    """The containers of the two never run side by side."""
    story = Story(put("web", ignores_sigterm="yes"))
    story.act(erase("pods", "web"))
    story.act(put("web"))
    story.settle()
    assert story.pod("web").status is None
    story.later(31)
    assert story.pod("web").status.phase == "Running"


def test_a_deadline_ends_the_pod_as_failed() -> None:
    """The phase is told after the containers have ended."""
    story = Story(short_lived("job", 5))
    story.later(6)
    status = story.pod("job").status
    assert (status.phase, status.reason) == ("Failed", "DeadlineExceeded")


def test_init_containers_run_one_after_the_other() -> None:
    """The main container waits as PodInitializing until both have succeeded."""
    document = json.loads(pod_json("web", exit="first=0*1@3,second=0*1@4"))
    document["spec"]["initContainers"] = [{"name": "first", "image": "i"},
                                          {"name": "second", "image": "i"}]
    story = Story(put_document(document))
    status = story.pod("web").status
    assert status.init_container_statuses[0].state.running is not None
    assert status.init_container_statuses[1].state.waiting.reason == "PodInitializing"
    assert status.container_statuses[0].state.waiting.reason == "PodInitializing"
    story.later(3)
    assert story.pod("web").status.init_container_statuses[1].state.running is not None
    assert story.pod("web").status.phase == "Pending"
    story.later(4)
    assert story.pod("web").status.phase == "Running"


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    """The main container never starts."""
    document = json.loads(pod_json("web", policy="Never", exit="first=1*1"))
    document["spec"]["initContainers"] = [{"name": "first", "image": "i"}]
    story = Story(put_document(document))
    assert story.pod("web").status.phase == "Failed"
    assert story.container("web").state.running is None


def test_a_pod_that_does_not_fit_is_refused() -> None:
    """OutOfcpu, with what it asked, what is used and what there is."""
    document = json.loads(pod_json("big"))
    document["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "3"}}
    second = json.loads(pod_json("second"))
    second["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1500m"}}
    story = Story(put_document(document), put_document(second))
    status = story.pod("second").status
    assert (status.phase, status.reason) == ("Failed", "OutOfcpu")
    assert status.message == ("Pod was rejected: Node didn't have enough resource: cpu, requested: "
                              "1500, used: 3000, capacity: 4000")
    assert story.world["kubelet/node-1"].used.cpu_milli == 3000


def test_a_restart_of_the_kubelet_when_quiet_changes_nothing() -> None:
    """No container moves, and nothing that is stored about a pod or the node is written again."""
    story = Story(put("web"), put("job", policy="Never", exit="0*1"), put("x", images=("bad",)),
                  faults="crash")
    before = story.world["apiserver"].cache
    story.act(Action("fault", "crash", ("kubelet/node-1",)))
    story.act(Action("kubelet/node-1", "restart"))
    story.settle()
    after = story.world["apiserver"].cache
    for resource in ("pods", "events"):
        assert after[resource] == before[resource]


def test_a_restart_of_the_machine_starts_the_pod_again() -> None:
    """The restart is counted; a pod that never restarts is told to have failed."""
    story = Story(put("web"), put("once", policy="Never"), faults="crash_machine")
    story.act(Action("fault", "crash_machine", ("node-1",)))
    story.act(Action("fault", "recover", ("node-1",)))
    story.act(Action("kubelet/node-1", "restart"))
    story.settle()
    assert story.container("web").restart_count == 1
    assert story.pod("web").status.phase == "Running"
    once = story.pod("once").status
    assert once.phase == "Failed"
    assert once.container_statuses[0].state.terminated.reason == "ContainerStatusUnknown"


def test_the_status_of_others_is_kept() -> None:
    """A condition of another type survives the kubelet's writes; its own Ready is put right."""
    story = Story(put("web"))
    pod = story.pod("web")
    spoiled = tuple(each._replace(status="False") if each.type == "Ready" else each
                    for each in pod.status.conditions)
    gate = find(pod.status.conditions, "PodScheduled")._replace(type="example.com/gate")  # type: ignore[union-attr]  # it is there
    document = _status_document(pod, (*spoiled, gate))
    story.tell(Action("apiserver", "status", (document,)))
    assert ready(story.pod("web")) == "True"
    assert find(story.pod("web").status.conditions, "example.com/gate") is not None


def _status_document(pod: Any, conditions: Any) -> str:
    return json.dumps(thaw(pod._replace(status=pod.status._replace(conditions=conditions))))


@pytest.mark.parametrize(("text", "name", "found"), [
    ("1", "c", (1, 1, 0)), ("0*3", "c", (0, 3, 0)), ("c=1*2@20", "c", (1, 2, 20_000)),
    ("d=1*2", "c", (0, 0, 0)), ("d=1,c=2", "c", (2, 1, 0)), ("crash", "c", (0, 0, 0)),
    ("", "c", (0, 0, 0))])
def test_the_exit_annotation(text: str, name: str, found: tuple[int, int, int]) -> None:
    """CODE*TIMES@SECONDS for all or for a container; anything else means never."""
    pod = from_json(pod_json("p", exit=text))
    assert runtime.exits_of(pod, name) == found


@pytest.mark.parametrize(("image", "pulls"), [
    ("mysql", True), ("bad", False), ("bad:v1", False), ("web:bad", False), ("x/y/bad", False),
    ("badly", True), ("bad/web", True)])
def test_which_images_exist(image: str, pulls: bool) -> None:
    """An image whose name or tag is `bad` cannot be pulled."""
    assert runtime.is_pullable(image) is pulls


def test_each_machine_has_a_network_of_its_own() -> None:
    """The n-th /24 of the pod range."""
    assert [each.pod_network for each in machines(TWO_NODES)] == ["10.244.0", "10.244.1"]


@given(st.text("abc:/", max_size=6), st.integers(0, 9000), st.integers(0, 10**6))
def test_the_load_is_what_its_description_says(image: str, age: int, start: int) -> None:
    """Against an oracle that adds up second by second."""
    load = cadvisor.profile(image, "c")
    found = cadvisor.sample(load, 0, start, start + 1000 * age)
    assert (found.cpu_nanos, found.memory_bytes, found.filesystem_bytes,
            found.received_bytes) == figures_at(load, age)


@given(st.integers(0, 200), st.integers(1, 200))
def test_counters_never_fall_and_rates_stay_in_the_profile(first: int, more: int) -> None:
    """Between two samples of an instance the rate is between calm and busy."""
    load = cadvisor.profile("mysql", "mysql")
    old = cadvisor.sample(load, 0, 0, 1000 * first)
    new = cadvisor.sample(load, 0, 0, 1000 * (first + more))
    assert new.cpu_nanos >= old.cpu_nanos
    assert load.cpu_milli <= cadvisor.rate_milli(old, new) <= 3 * load.cpu_milli
    other = new._replace(instance=1, started_ms=5)
    assert cadvisor.rate_milli(old, other) >= 0


def test_published_figures_are_those_of_what_runs() -> None:
    """One entry a container, the node's use is more than its pods', and it goes with the pod."""
    story = Story(put("web", images=("a:1", "b:1")))
    story.later(20)
    cache = story.world["apiserver"].cache
    pod = cache["pods.metrics.k8s.io"]["default/web"]
    node = cache["nodes.metrics.k8s.io"]["node-1"]
    assert [each.name for each in pod.containers] == ["c0", "c1"]
    used = sum(milli(dict(each.usage)["cpu"]) for each in pod.containers)
    assert 0 < used < milli(dict(node.usage)["cpu"])
    assert [name for name, _ in node.usage] == ["cpu", "ephemeral-storage", "memory"]
    assert rest_fields(pod)["network"]["receivedBytes"] > 0
    story.tell(ask("web"))
    story.later(20)
    assert "default/web" not in story.world["apiserver"].cache["pods.metrics.k8s.io"]


def test_a_pod_goes_even_if_the_answer_to_its_last_status_was_lost() -> None:
    """The second write of that status meets a conflict; the last delete follows all the same."""
    story = Story(put("web"), faults="lose_reply")
    story.act(ask("web"))
    held = Action("kubelet/node-1", "deliver", ("apiserver", "pods"))
    lost = ""
    while story.pod("web").status.phase == "Running" or not lost or story.world.total > 1:
        offered = story.system.enabled(story.world)
        losses = [each for each in offered if each.verb == "lose_reply" and "status" in each.args]
        if losses and story.pod("web").status.phase == "Failed":
            lost = str(losses[0])
            story.act(losses[0])
            continue
        ready_now = [each for each in offered if each.actor not in ("fault", "clock")]
        story.act(next((each for each in ready_now if each != held), held))
    story.settle()
    story.later(2)
    assert lost
    assert story.pod("web") is None
