"""The worked example told from beginning to end, as a person would tell it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from model.kernel.action import Action
from model.kernel.driver import FairDriver, run
from model.kernel.fault import FaultPlan
from model.kernel.mutant import Mutant
from model.kernel.property import Checker
from model.kernel.system import System
from model.kernel.world import World
from properties.cluster import restart_changes
from properties.reading import is_live, is_ready, objects, stored
from reference_impl.cluster import build, start
from reference_impl.kube_proxy.rules import packet_walk
from reference_impl.kubelet.component import Kubelet
from reference_impl.scenarios import named

OUTSIDE = "203.0.113.7"
RESTART = Kubelet.restart
UPKEEP = ("/registry/events/", "/registry/leases/", "/registry/nodes.metrics.k8s.io/")


class Story:
    """A cluster, served fairly, and the commands of its user. Every property is checked."""

    def __init__(self) -> None:
        from kubeproof.explorer import all_properties
        scenario = replace(named("worked-example"), script=(),
                           faults=FaultPlan((("crash_machine", 1),), (), ("node-",)))
        self.system: System = build(scenario)
        self.checker = Checker(self.system, all_properties())
        self.world: World = start(self.system, scenario)

    def take(self, action: Action) -> None:
        after = self.system.apply(self.world, action)
        assert after is not None, action
        self.world = after

    def settle(self, seconds: int = 30) -> None:
        """Let so much time pass, all served fairly, and every goal be reached."""
        driver = FairDriver(self.world.now + seconds * 1000, script=False)
        outcome = run(self.system, driver, self.world, steps=60_000, checker=self.checker)
        assert outcome.violations == ()
        self.world = outcome.world
        assert self.checker.pending(self.world) == []

    def kubectl(self, line: str, seconds: int = 60) -> str:
        """Run a command, let the cluster settle, and give what it printed."""
        self.take(Action("kubectl", "run", (line,)))
        self.settle(seconds)
        last = self.world["kubectl"].last
        assert last.code == 0, last.err
        return str(last.out)

    def create(self) -> None:
        for name in ("mysql-rc", "mysql-svc", "myweb-rc", "myweb-svc"):
            self.kubectl(f"create -f {name}.yaml")

    def pods(self, app: str) -> list[Any]:
        return [pod for pod in objects(self.world, "pods")
                if dict(pod.metadata.labels or ()).get("app") == app and is_live(pod)]

    def service(self, name: str) -> Any:
        return stored(self.world, "services", "default", name)

    def walk(self, node: str, source: str, address: str, port: int) -> dict[str, Fraction]:
        """Where a packet ends, by the rules of one node, with its probabilities."""
        ends = packet_walk(self.world[f"kube-proxy/{node}"].rules, source, address, "TCP", port)
        return {f"{hop.address}:{hop.port}": chance for hop, chance in ends}


def reached(pods: list[Any], port: int) -> dict[str, Fraction]:
    return {f"{pod.status.pod_ip}:{port}": Fraction(1, len(pods)) for pod in pods}


@pytest.fixture
def story() -> Story:
    told = Story()
    told.create()
    return told


def test_everything_runs_and_is_reached(story: Story) -> None:
    """Pods run; Tomcat reaches MySQL by ClusterIP; outside reaches Tomcat at any node's 30001."""
    mysql, myweb = story.pods("mysql"), story.pods("myweb")
    assert (len(mysql), len(myweb)) == (1, 2)
    assert all(is_ready(pod) and pod.status.phase == "Running" for pod in mysql + myweb)
    inside = story.service("mysql").spec.cluster_ip
    assert inside.startswith("169.169.")
    for pod in myweb:
        ends = story.walk(pod.spec.node_name, pod.status.pod_ip, inside, 3306)
        assert ends == reached(mysql, 3306)
    for node in objects(story.world, "nodes"):
        address = next(a.address for a in node.status.addresses if a.type == "InternalIP")
        assert story.walk(node.metadata.name, OUTSIDE, address, 30001) == reached(myweb, 8080)


def test_a_load_balancer_comes_and_goes(story: Story) -> None:
    """The cloud gives an address that leads to Tomcat; type NodePort gives it back."""
    story.kubectl("""patch svc myweb -p '{"spec":{"type":"LoadBalancer"}}'""")
    ingress = story.service("myweb").status.load_balancer.ingress
    assert len(ingress) == 1
    ends = story.walk("node-1", OUTSIDE, ingress[0].ip, 8080)
    assert ends == reached(story.pods("myweb"), 8080)
    story.kubectl("""patch svc myweb -p '{"spec":{"type":"NodePort"}}'""")
    assert not story.service("myweb").status.load_balancer.ingress
    assert len(story.world["cloud"].balancers) == 0


def test_scaling_up_and_back(story: Story) -> None:
    """Two MySQL pods share the connections; back at one, the other has gone from the routes."""
    story.kubectl("scale rc mysql --replicas=2")
    address = story.service("mysql").spec.cluster_ip
    assert len(story.pods("mysql")) == 2
    assert story.walk("node-2", "10.0.0.9", address, 3306) == reached(story.pods("mysql"), 3306)
    story.kubectl("scale rc mysql --replicas=1")
    assert len(story.pods("mysql")) == 1
    assert story.walk("node-2", "10.0.0.9", address, 3306) == reached(story.pods("mysql"), 3306)


def test_images_in_place_and_in_the_template(story: Story) -> None:
    """A running pod's container is replaced in place; a template reaches only new pods."""
    name = story.pods("mysql")[0].metadata.name
    story.kubectl(f"set image pod/{name} mysql=mysql:8")
    pod = story.pods("mysql")[0]
    assert pod.metadata.name == name
    assert pod.spec.containers[0].image == "mysql:8"
    assert pod.status.container_statuses[0].restart_count == 1
    assert is_ready(pod)
    before = {pod.metadata.uid for pod in story.pods("myweb")}
    story.kubectl("set image rc/myweb myweb=kubeguide/tomcat-app:v2")
    assert {pod.metadata.uid for pod in story.pods("myweb")} == before
    assert {pod.spec.containers[0].image for pod in story.pods("myweb")} == {
        "kubeguide/tomcat-app:v1"}
    story.kubectl("scale rc myweb --replicas=3")
    fresh = [pod for pod in story.pods("myweb") if pod.metadata.uid not in before]
    assert [pod.spec.containers[0].image for pod in fresh] == ["kubeguide/tomcat-app:v2"]


def test_a_dead_node_is_replaced(story: Story) -> None:
    """Its pods are evicted and run elsewhere; the routes follow."""
    dead = story.pods("mysql")[0].spec.node_name
    story.take(Action("fault", "crash_machine", (dead,)))
    story.settle(600)
    other = "node-2" if dead == "node-1" else "node-1"
    pods = story.pods("mysql") + story.pods("myweb")
    assert len(pods) == 3
    assert {pod.spec.node_name for pod in pods} == {other}
    address = story.service("mysql").spec.cluster_ip
    assert story.walk(other, "10.0.0.9", address, 3306) == reached(story.pods("mysql"), 3306)


def test_deleting_everything_leaves_nothing(story: Story) -> None:
    """No pod, endpoint, rule, address, port or load balancer remains."""
    story.kubectl("""patch svc myweb -p '{"spec":{"type":"LoadBalancer"}}'""")
    own = set(Story().world["etcd"].kv.keys())
    story.kubectl("delete rc mysql myweb", seconds=120)
    story.kubectl("delete svc mysql myweb", seconds=120)
    left = [key for key in story.world["etcd"].kv
            if key not in own and not key.startswith(UPKEEP)]
    assert left == []
    assert len(story.world["cloud"].balancers) == 0
    fresh = Story().world
    for node in ("node-1", "node-2"):
        rules = story.world[f"kube-proxy/{node}"].rules
        assert rules.entries == fresh[f"kube-proxy/{node}"].rules.entries
        assert not story.world[f"kubelet/{node}"].pods
    for key, entry in fresh["etcd"].kv.items():
        if key.startswith("/registry/ranges/"):
            assert story.world["etcd"].kv[key].value == entry.value


def test_a_restart_when_quiet_changes_nothing(story: Story) -> None:
    """Every component, one after the other: the store is afterwards what it was."""
    for name in story.world.names:
        assert restart_changes(story.system, story.world, name) is None


def _forgets_its_containers(kubelet: Any, local: Any, cause: str, io: Any) -> Any:
    return RESTART(kubelet, local, "machine", io)


def test_a_restart_that_changes_something_is_noticed(story: Story) -> None:
    """A kubelet that takes its own restart for one of the machine runs every container anew."""
    bug = Mutant("kubelet-forgets-its-containers", "a restart loses what runs", "",
                 (("reference_impl.kubelet.component:Kubelet.restart", _forgets_its_containers),))
    node = story.pods("mysql")[0].spec.node_name
    with bug.installed():
        text = restart_changes(story.system, story.world, f"kubelet/{node}")
    assert text is not None
    assert "changed /registry/" in text
