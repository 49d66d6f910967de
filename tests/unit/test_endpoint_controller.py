"""Which pods Endpoints list, and where: facts of Kubernetes 1.32, and the incremental handlers."""

from __future__ import annotations

from typing import Any

import pytest

from model.api.metadata import Condition, Metadata
from model.api.objects import (
    Container,
    ContainerPort,
    Pod,
    PodSpec,
    PodStatus,
    Service,
    ServicePort,
    ServiceSpec,
)
from reference_impl.controllers.endpoint import endpoints_for, seen_by_services


def pod(name: str, ip: str | None, *, ready: bool = True, phase: str = "Running",
        going: bool = False, port_name: str = "http", port: int = 8080) -> Pod:
    status = PodStatus(phase=phase, pod_ip=ip,
                       conditions=(Condition("Ready", "True" if ready else "False"),))
    container = Container("c", "image", ports=(ContainerPort(port_name, None, port, "TCP"),))
    return Pod(metadata=Metadata(name=name, namespace="default", uid=f"uid-{name}",
                                 deletion_timestamp="2016-07-01T00:00:00Z" if going else None),
               spec=PodSpec(containers=(container,), node_name="node-1"), status=status)


def service(*ports: ServicePort, **spec: Any) -> Service:
    return Service(metadata=Metadata(name="web", namespace="default"),
                   spec=ServiceSpec(ports=ports or (ServicePort(port=80, target_port=8080,
                                                                protocol="TCP"),),
                                    selector=(("app", "web"),), **spec))


def lists(made: Any) -> list[tuple[list[str], list[str]]]:
    return [([a.ip for a in s.addresses or ()], [a.ip for a in s.not_ready_addresses or ()])
            for s in made.subsets or ()]


class TestPlaces:
    @pytest.mark.parametrize(("case", "wanted"), [
        (pod("p", "10.0.0.1"), [(["10.0.0.1"], [])]),
        (pod("p", "10.0.0.1", ready=False), [([], ["10.0.0.1"])]),
        (pod("p", None), []),
        (pod("p", "10.0.0.1", going=True), []),
        (pod("p", "10.0.0.1", phase="Succeeded"), []),
        (pod("p", "10.0.0.1", phase="Failed", ready=False), []),
    ], ids=["ready", "unready", "without address", "terminating", "succeeded", "failed"])
    def test_where_a_pod_is_listed(self, case: Pod, wanted: Any) -> None:
        """Ready, not ready, or not at all."""
        assert lists(endpoints_for(service(), [case], None)) == wanted

    @pytest.mark.parametrize(("case", "wanted"), [
        (pod("p", "10.0.0.1", ready=False), [(["10.0.0.1"], [])]),
        (pod("p", "10.0.0.1", going=True), [(["10.0.0.1"], [])]),
        (pod("p", "10.0.0.1", phase="Failed"), []),
    ], ids=["unready", "terminating", "failed"])
    def test_where_a_service_publishes_pods_that_are_not_ready(self, case: Pod,
                                                               wanted: Any) -> None:
        """All pods that are not finished count as ready."""
        made = endpoints_for(service(publish_not_ready_addresses=True), [case], None)
        assert lists(made) == wanted


class TestPorts:
    def test_a_named_target_port_is_looked_up_in_each_pod(self) -> None:
        """Pods with different numbers for one name stand in different subsets."""
        named = service(ServicePort(name="http", port=80, target_port="http", protocol="TCP"))
        made = endpoints_for(named, [pod("a", "10.0.0.1", port=8080),
                                     pod("b", "10.0.0.2", port=9090),
                                     pod("c", "10.0.0.3", port_name="other")], None)
        assert [(s.ports[0].port, len(s.addresses)) for s in made.subsets or ()] == [
            (8080, 1), (9090, 1)]

    def test_ports_with_the_same_addresses_stand_together(self) -> None:
        """One subset, its addresses in numerical order."""
        both = service(ServicePort(name="a", port=80, target_port=8080),
                       ServicePort(name="b", port=81, target_port=8081))
        made = endpoints_for(both, [pod("x", "10.0.0.10"), pod("y", "10.0.0.9")], None)
        subset, = made.subsets or ()
        assert [port.port for port in subset.ports or ()] == [8080, 8081]
        assert [address.ip for address in subset.addresses or ()] == ["10.0.0.9", "10.0.0.10"]


def test_endpoints_that_fit_are_left_alone() -> None:
    """The very same object means: nothing to write."""
    pods = [pod("a", "10.0.0.1")]
    made = endpoints_for(service(), pods, None)
    assert endpoints_for(service(), pods, made) is made
    assert endpoints_for(service(), [], made) is not made


def test_a_headless_service_is_labelled() -> None:
    """Its Endpoints carry service.kubernetes.io/headless."""
    made = endpoints_for(service(cluster_ip="None"), [], None)
    assert made.metadata.labels == (("service.kubernetes.io/headless", ""),)


def test_changes_that_no_service_sees_are_ignored() -> None:
    """A restart count, say, makes no Service due."""
    one = pod("a", "10.0.0.1")
    assert one.status is not None
    other = one._replace(status=one.status._replace(message="restarted"))
    assert seen_by_services(one) == seen_by_services(other)
    assert seen_by_services(one) != seen_by_services(pod("a", "10.0.0.1", ready=False))
