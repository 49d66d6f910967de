"""NAT rules as a value, and the walk of a packet through them.

Source: Kubernetes documentation "Virtual IPs and Service Proxies" (iptables mode): an address,
protocol and port lead to the chain of a service port; the chain jumps to one of its ends by a row
of `statistic` matches, the i-th of n with probability 1/(n-i) of those that came so far; a service
port without ends rejects.
"""

from __future__ import annotations

from fractions import Fraction
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from model.api.objects import EndpointAddress, Endpoints, EndpointSubset, Service
from model.kernel.values import EMPTY, FrozenMap

End = tuple[str, int]
"""Address and port of one end."""
Ends = FrozenMap[End, int]
Entry = tuple[str, str, int]
"""Destination address ("" for any address of the node), protocol, port."""
ANY_NODE_ADDRESS = ""
Addresses = tuple[EndpointAddress, ...]


class Rules(NamedTuple):
    """What stands in the kernel of one node. `entries` lead to names of `chains`.

    `node_addresses` are the addresses at which node ports answer, `pod_range` the addresses that
    are not masqueraded on their way to a cluster address.
    """

    entries: FrozenMap[Entry, str] = EMPTY
    chains: FrozenMap[str, Ends] = EMPTY
    node_addresses: tuple[str, ...] = ()
    pod_range: str = "0.0.0.0/32"


class Hop(NamedTuple):
    """Where a packet goes: address and port, and whether its source becomes the node's."""

    address: str
    port: int
    masquerade: bool


def packet_walk(rules: Rules, source: str, destination: str, protocol: str,
                port: int) -> tuple[tuple[Hop, Fraction], ...]:
    """The ends at which a packet may arrive, each with its probability; none: it is rejected.

    A destination that is no service is passed on as it is.
    """
    chain = rules.entries.get((destination, protocol, port))
    inside = chain is not None
    if chain is None and destination in rules.node_addresses:
        chain = rules.entries.get((ANY_NODE_ADDRESS, protocol, port))
    if chain is None:
        return ((Hop(destination, port, False), Fraction(1)),)
    ends = rules.chains.get(chain, EMPTY).keys()
    from_pod = ip_address(source) in ip_network(rules.pod_range)
    found: list[tuple[Hop, Fraction]] = []
    left = Fraction(1)
    for at, (address, end_port) in enumerate(ends):
        share = left / (len(ends) - at)
        masquerade = not inside or not from_pod or source == address
        found.append((Hop(address, end_port, masquerade), share))
        left -= share
    return tuple(found)


def chain_name(service: str, port: str | None) -> str:
    """The chain of one port of a service."""
    return f"{service}:{port or ''}"


def entries_of(key: str, service: Service) -> tuple[tuple[Entry, str], ...]:
    """Every way into a service: cluster address, external and balancer addresses, node ports."""
    spec = service.spec
    if spec is None or spec.type == "ExternalName" or spec.cluster_ip in (None, "", "None"):
        return ()
    addresses = [spec.cluster_ip or "", *(spec.external_ips or ())]
    if service.status is not None and service.status.load_balancer is not None:
        addresses.extend(each.ip for each in service.status.load_balancer.ingress or () if each.ip)
    found: list[tuple[Entry, str]] = []
    for port in spec.ports or ():
        chain, protocol = chain_name(key, port.name), port.protocol or "TCP"
        found.extend(((address, protocol, port.port or 0), chain) for address in addresses)
        if port.node_port:
            found.append(((ANY_NODE_ADDRESS, protocol, port.node_port), chain))
    return tuple(found)


def _ends_of(key: str, endpoints: Endpoints | None) -> dict[str, dict[End, int]]:
    """The ready ends of each chain that an Endpoints object names."""
    found: dict[str, dict[End, int]] = {}
    for subset in (endpoints.subsets if endpoints is not None else None) or ():
        for port in subset.ports or ():
            ends = found.setdefault(chain_name(key, port.name), {})
            for address in subset.addresses or ():
                ends[address.ip or "", port.port or 0] = 1
    return found


def followed(chains: FrozenMap[str, Ends], key: str, old: Endpoints | None,
             new: Endpoints | None) -> FrozenMap[str, Ends]:
    """The chains after an Endpoints object changed.

    The usual change, some addresses of one subset, costs a comparison of two tuples up to where
    they differ, and one write for each address that came or went.
    """
    before, after = _single(old), _single(new)
    if before is not None and after is not None and before.ports == after.ports:
        gone, come = _difference(before.addresses or (), after.addresses or ())
        for port in after.ports or ():
            chain = chain_name(key, port.name)
            ends = chains.get(chain, EMPTY)
            for address in gone:
                ends = ends.drop((address.ip or "", port.port or 0))
            for address in come:
                ends = ends.set((address.ip or "", port.port or 0), 1)
            chains = chains.set(chain, ends)
        return chains
    wanted = _ends_of(key, new)
    for chain in _ends_of(key, old):
        if chain not in wanted:
            chains = chains.drop(chain)
    for chain, members in wanted.items():
        chains = chains.set(chain, FrozenMap(members.items()))
    return chains


def _single(endpoints: Endpoints | None) -> EndpointSubset | None:
    """The only subset of an Endpoints object, with distinct addresses by construction."""
    if endpoints is None or endpoints.subsets is None or len(endpoints.subsets) != 1:
        return None
    return endpoints.subsets[0]


def _difference(old: Addresses, new: Addresses) -> tuple[Addresses, Addresses]:
    """What two tuples that share a head and a tail have in between."""
    shorter = min(len(old), len(new))
    head = 0
    while head < shorter and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return old[head:len(old) - tail], new[head:len(new) - tail]
