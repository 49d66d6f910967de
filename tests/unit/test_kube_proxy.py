"""The rules of a proxy and the walk of a packet through them, worked out a second way too."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from node_agents import endpoints, erase, proxies, service

from model.api.objects import from_json
from model.kernel.action import Action
from model.kernel.system import ADVANCE, System
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from reference_impl.kube_proxy.component import KubeProxy
from reference_impl.kube_proxy.rules import Hop, Rules, followed, packet_walk
from reference_impl.lib.informer import Change

POD = "10.244.0.9"
OUTSIDE = "203.0.113.7"


def settled(system: System, world: World) -> World:
    """Serve until nothing is ready."""
    turn = 0
    while world.total:
        after = system.apply(world, system.pick(world, turn % world.total))
        assert after is not None
        world, turn = after, turn + 1
    return world


def told(*inputs: Action, faults: str = "none") -> tuple[System, World]:
    """A system in which each input is followed until nothing is ready."""
    system = proxies(faults, ())
    world = settled(system, system.init())
    for action in inputs:
        after = system.apply(world, action)
        assert after is not None
        world = settled(system, after)
    return system, world


def walk(world: World, source: str, destination: str, port: int,
         protocol: str = "TCP") -> tuple[tuple[Hop, Fraction], ...]:
    return packet_walk(world["kube-proxy/node-1"].rules, source, destination, protocol, port)


def test_a_cluster_address_leads_to_each_end_with_the_same_probability() -> None:
    """From a pod, with no masquerade; from elsewhere with it."""
    _, world = told(service("web", "10.96.0.1"), endpoints("web", "10.244.0.2", "10.244.1.2"))
    assert walk(world, POD, "10.96.0.1", 80) == (
        (Hop("10.244.0.2", 8080, False), Fraction(1, 2)),
        (Hop("10.244.1.2", 8080, False), Fraction(1, 2)))
    assert all(hop.masquerade for hop, _ in walk(world, OUTSIDE, "10.96.0.1", 80))


def test_a_pod_that_reaches_itself_through_its_service_is_masqueraded() -> None:
    """Else the answer would not pass through the node again."""
    _, world = told(service("web", "10.96.0.1"), endpoints("web", "10.244.0.2", "10.244.1.2"))
    assert [hop.masquerade for hop, _ in walk(world, "10.244.0.2", "10.96.0.1", 80)] == [True,
                                                                                      False]


def test_a_node_port_answers_at_the_address_of_the_node() -> None:
    """And only there; another port of the node passes."""
    _, world = told(service("web", "10.96.0.1", node_port=30001), endpoints("web", "10.244.0.2"))
    assert walk(world, OUTSIDE, "192.168.1.1", 30001) == (
        (Hop("10.244.0.2", 8080, True), Fraction(1)),)
    assert walk(world, OUTSIDE, "192.168.1.1", 30002)[0][0] == Hop("192.168.1.1", 30002, False)


def test_a_load_balancer_address_and_external_addresses_lead_in() -> None:
    """The address that the cloud gave, once it is in the status."""
    _, world = told(
        service("web", "10.96.0.1", type="LoadBalancer", externalIPs=["198.51.100.5"]),
        endpoints("web", "10.244.0.2"),
        Action("apiserver", "status", (
            '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": '
            '"default"}, "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}}}',)))
    for address in ("198.51.100.5", "198.51.100.9"):
        assert walk(world, OUTSIDE, address, 80) == ((Hop("10.244.0.2", 8080, True), Fraction(1)),)


def test_a_service_without_ends_rejects() -> None:
    """So does one whose last end has gone."""
    _, world = told(service("web", "10.96.0.1"))
    assert walk(world, POD, "10.96.0.1", 80) == ()
    _, world = told(service("web", "10.96.0.1"), endpoints("web", "10.244.0.2"), endpoints("web"))
    assert walk(world, POD, "10.96.0.1", 80) == ()


def test_headless_services_and_other_protocols_have_no_rules() -> None:
    """The packet passes as it is."""
    _, world = told(service("web", "None"), service("dns", "10.96.0.10", "UDP"),
                    endpoints("dns", "10.244.0.2", protocol="UDP"))
    assert len(world["kube-proxy/node-1"].rules.entries) == 1
    assert walk(world, POD, "10.96.0.10", 80)[0][0] == Hop("10.96.0.10", 80, False)
    assert walk(world, POD, "10.96.0.10", 80, "UDP")[0][0].address == "10.244.0.2"


def test_a_deleted_service_leaves_nothing() -> None:
    """No entry, no chain, and its address passes as it is."""
    _, world = told(service("web", "10.96.0.1", node_port=30001), endpoints("web", "10.244.0.2"),
                    erase("services", "web"))
    rules = world["kube-proxy/node-1"].rules
    assert (len(rules.entries), len(rules.chains)) == (0, 0)


def test_rules_outlive_the_process_and_not_the_machine() -> None:
    """Until the restarted proxy has listed, its kernel routes as before."""
    system, world = told(service("web", "10.96.0.1"), endpoints("web", "10.244.0.2"),
                         faults="crash,crash_machine")
    after = world
    for action in (Action("fault", "crash", ("kube-proxy/node-1",)),
                   Action("kube-proxy/node-1", "restart")):
        after = system.apply(after, action) or after
    assert walk(after, POD, "10.96.0.1", 80) == walk(world, POD, "10.96.0.1", 80)
    for action in (Action("fault", "crash_machine", ("node-1",)),
                   Action("fault", "recover", ("node-1",)),
                   Action("kube-proxy/node-1", "restart")):
        after = system.apply(after, action) or after
    assert walk(after, POD, "10.96.0.1", 80)[0][0] == Hop("10.96.0.1", 80, False)
    after = settled(system, after)
    assert walk(after, POD, "10.96.0.1", 80) == walk(world, POD, "10.96.0.1", 80)


def test_an_idle_proxy_has_no_timer() -> None:
    """When all is written, a proxy waits for events only."""
    system, world = told(service("web", "10.96.0.1"))
    assert world.quiet()
    assert system.apply(world, ADVANCE) is None


ADDRESSES = st.lists(st.integers(1, 9).map(lambda n: f"10.244.0.{n}"), unique=True, max_size=7)


@given(ADDRESSES)
def test_the_walk_is_fair(addresses: list[str]) -> None:
    """The chain of statistic matches gives each end 1/n, and nothing is left over."""
    ends = FrozenMap(((address, 80), 1) for address in addresses)
    rules = Rules(FrozenMap(((("10.96.0.1", "TCP", 80), "s:"),)), FrozenMap((("s:", ends),)))
    found = packet_walk(rules, OUTSIDE, "10.96.0.1", "TCP", 80)
    assert {hop.address: share for hop, share in found} == {
        address: Fraction(1, len(addresses)) for address in addresses}


def _document(addresses: list[str]) -> Any:
    return from_json(str(endpoints("web", *sorted(addresses)).args[0]))


@given(st.lists(ADDRESSES, min_size=1, max_size=6))
def test_following_differences_equals_starting_anew(versions: list[list[str]]) -> None:
    """Chains kept by differences are the chains of the last version alone."""
    chains, last = EMPTY, None
    for version in versions:
        document = _document(version)
        chains = followed(chains, "default/web", last, document)
        last = document
    assert chains == followed(EMPTY, "default/web", None, last)
    assert set(chains.get("default/web:p", EMPTY).keys()) == {
        (address, 8080) for address in versions[-1]}


def test_one_address_among_many_costs_one_write() -> None:
    """The parts of the map of ends that did not change are the identical objects."""
    proxy = KubeProxy("node-1", "192.168.1.1", "10.244.0.0/16")
    many = _document([f"10.244.{n // 250}.{n % 250}" for n in range(500)])
    subset = many.subsets[0]
    fewer = many._replace(subsets=(subset._replace(addresses=subset.addresses[1:]),))
    local = proxy.init(_io())
    local = proxy._follow(local, Change("default/web", None, many))
    after = proxy._follow(local, Change("default/web", many, fewer))
    old, new = (each.ends["default/web:p"]._parts for each in (local, after))
    assert sum(a is not b for a, b in zip(old, new, strict=True)) == 1


def _io() -> Any:
    from model.kernel.component import Io
    return Io(0)
