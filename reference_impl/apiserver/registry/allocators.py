"""Stage three: cluster addresses and node ports, kept in etcd as sets that are changed by
compare-and-swap.

Source: Kubernetes documentation, "Service" (choosing your own IP address, choosing your own port),
KEP-3070. Each range is one object under /registry/ranges; a service that wants addresses or ports
changes the range first and is stored then; what a failed request took is given back, and a repair
loop finds what a crash left behind. An address is chosen by a hash of the service's name, so that
it is the same in every run, and the next free one is taken when it is in use.

Not modelled: IPv6 and the IPAddress objects of release 1.33; both change where the set is stored,
not when it changes.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, ip_address
from typing import Any, NamedTuple

from model.api.objects import Metadata, Service, put
from model.api.requests import Status, field_invalid, invalid
from model.api.resources import BY_NAME
from model.kernel.values import EMPTY, FrozenMap, stable_digest

RANGES = "ranges"
ADDRESSES = "serviceips"
PORTS = "servicenodeports"
SIGHTINGS_TO_RELEASE = 3


class RangeAllocation(NamedTuple):
    """The addresses or ports in use, as text, each with the mark 1."""

    kind: str = "RangeAllocation"
    metadata: Metadata = Metadata()
    used: FrozenMap[str, int] = EMPTY


class Limits(NamedTuple):
    """What may be given out: a network, and the first and the last port."""

    network: str
    ports: tuple[int, int]


class Work(NamedTuple):
    """A write to another object that a request needs: `verb` on the object `resource`/`key`."""

    verb: str
    resource: str
    key: str
    detail: tuple[Any, ...] = ()


TAKE_ADDRESS = Work("address", RANGES, ADDRESSES)
TAKE_PORTS = Work("ports", RANGES, PORTS)


@lru_cache(maxsize=16)
def _network(text: str) -> IPv4Network:
    return IPv4Network(text)


def first_address(limits: Limits) -> str:
    """The address of the server's own service."""
    return str(_network(limits.network)[1])


def has_address(service: Service) -> bool:
    """Whether a service holds, or is to get, a cluster address."""
    spec = service.spec
    return spec is not None and spec.type != "ExternalName" and spec.cluster_ip != "None"


def wants_ports(service: Service) -> bool:
    """Whether each port of a service gets a node port."""
    spec = service.spec
    if spec is None:
        return False
    return spec.type == "NodePort" or (spec.type == "LoadBalancer"
                                       and spec.allocate_load_balancer_node_ports is not False)


def addresses_of(service: Service) -> tuple[str, ...]:
    """The cluster addresses that a stored service holds."""
    spec = service.spec
    if spec is None or not has_address(service) or not spec.cluster_ip:
        return ()
    return (spec.cluster_ip,)


def ports_of(service: Service) -> tuple[str, ...]:
    """The node ports that a stored service holds, each once."""
    spec = service.spec
    if spec is None:
        return ()
    numbers = dict.fromkeys(str(port.node_port) for port in spec.ports or () if port.node_port)
    if spec.health_check_node_port:
        numbers[str(spec.health_check_node_port)] = None
    return tuple(numbers)


def releases(gone: Service, stays: Service | None) -> tuple[Work, ...]:
    """What to give back when `gone` is no longer stored (and `stays` is in its place)."""
    work = []
    for key, held, kept in (
            (ADDRESSES, addresses_of(gone), addresses_of(stays) if stays else ()),
            (PORTS, ports_of(gone), ports_of(stays) if stays else ())):
        free = tuple(each for each in held if each not in kept)
        if free:
            work.append(Work("release", RANGES, key, free))
    return tuple(work)


def needs(service: Service, old: Service | None) -> tuple[Work, ...]:
    """What a service must get before it can be stored in place of `old`."""
    work = []
    if has_address(service) and (old is None or not addresses_of(old)):
        work.append(TAKE_ADDRESS)
    held = ports_of(old) if old is not None else ()
    if wants_ports(service) and service.spec is not None and any(
            not port.node_port or str(port.node_port) not in held
            for port in service.spec.ports or ()):
        work.append(TAKE_PORTS._replace(detail=held))
    return tuple(work)


# -- the pieces of work, as functions of the stored range ----------------------------------------

Taken = tuple[RangeAllocation, Service, tuple[Work, ...]]


def take_address(range_: RangeAllocation, service: Service, limits: Limits) -> Taken | Status:
    """The range with the service's address taken, the service with it, and how to undo that."""
    assert service.spec is not None, "only services with a spec get here"
    wanted = service.spec.cluster_ip
    network = _network(limits.network)
    if wanted:
        fault = _address_fault(range_, wanted, network)
        if fault:
            return _refusal(service, "spec.clusterIPs", [wanted], fault)
        chosen = wanted
    else:
        found = _free_address(range_, network, _place(service))
        if found is None:
            return _internal("failed to allocate a serviceIP: range is full")
        chosen = found
    spec = service.spec._replace(cluster_ip=chosen, cluster_ips=(chosen,))
    return (_with(range_, (chosen,)), put(service, "spec", spec),
            (Work("release", RANGES, ADDRESSES, (chosen,)),))


def _address_fault(range_: RangeAllocation, wanted: str, network: IPv4Network) -> str:
    try:
        inside = ip_address(wanted) in network
    except ValueError:
        inside = False
    if not inside:
        return (f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid "
                f"range. The range of valid IPs is {network}")
    if wanted in range_.used:
        return f"failed to allocate IP {wanted}: provided IP is already allocated"
    return ""


def _free_address(range_: RangeAllocation, network: IPv4Network, place: int) -> str | None:
    size = network.num_addresses - 2
    lower = min(max(16, size // 16), 256)
    upper = size - lower
    first = int(network.network_address) + 1
    for block, count in ((first + lower, upper), (first, lower)):
        for step in range(count):
            address = str(ip_address(block + (place + step) % count))
            if address not in range_.used:
                return address
    return None


def take_ports(range_: RangeAllocation, service: Service, limits: Limits,
               held: tuple[str, ...]) -> Taken | Status:
    """The range with the service's node ports taken, the service with them, and how to undo it.
    Ports of the same service that differ in the protocol only may share a number."""
    spec = service.spec
    assert spec is not None, "only services with a spec get here"
    first, last = limits.ports
    taken: dict[str, set[str]] = {}
    ports = []
    by_port: dict[int | None, int] = {each.port: each.node_port for each in spec.ports or ()
                                      if each.node_port}
    for index, port in enumerate(spec.ports or ()):
        # Ports of one number get one node port, whatever their protocols.
        number = port.node_port or by_port.get(port.port)
        protocol = port.protocol or "TCP"
        if number:
            text = str(number)
            path = f"spec.ports[{index}].nodePort"
            if not first <= number <= last:
                return _refusal(service, path, number,
                                f"provided port is not in the valid range. The range of valid "
                                f"ports is {first}-{last}")
            shared = text in taken and protocol not in taken[text]
            if (text in taken and not shared) or (text in range_.used and text not in held
                                                  and not shared):
                return _refusal(service, path, number, "provided port is already allocated")
        else:
            found = _free_port(range_, taken, limits, _place(service) + index)
            if found is None:
                return _internal("failed to allocate a nodePort: range is full")
            text = found
        taken.setdefault(text, set()).add(protocol)
        by_port.setdefault(port.port, int(text))
        ports.append(port._replace(node_port=int(text)))
    fresh = tuple(text for text in taken if text not in held)
    return (_with(range_, fresh), put(service, "spec", spec._replace(ports=tuple(ports))),
            (Work("release", RANGES, PORTS, fresh),))


def _free_port(range_: RangeAllocation, taken: dict[str, set[str]], limits: Limits,
               place: int) -> str | None:
    first, last = limits.ports
    size = last - first + 1
    reserved = min(max(16, size // 32), 128)
    if reserved >= size:
        reserved = 0
    for block, count in ((first + reserved, size - reserved), (first, reserved)):
        for step in range(count):
            text = str(block + (place + step) % count)
            if text not in range_.used and text not in taken:
                return text
    return None


def release(range_: RangeAllocation, entries: tuple[str, ...], holders: frozenset[str]
            ) -> RangeAllocation:
    """The range without what nobody holds any more (`holders`: what other services hold)."""
    used = range_.used
    for entry in entries:
        if entry not in holders:
            used = used.drop(entry)
    return range_ if used is range_.used else put(range_, "used", used)


def held_by_others(services: FrozenMap[str, Service], key: str, besides: str) -> frozenset[str]:
    """The addresses or ports that stored services hold, but for one of them."""
    holdings = addresses_of if key == ADDRESSES else ports_of
    return frozenset(entry for name, service in services.items() if name != besides
                     for entry in holdings(service))


def _with(range_: RangeAllocation, entries: tuple[str, ...]) -> RangeAllocation:
    return put(range_, "used", range_.used.update((entry, 1) for entry in entries))


@lru_cache(maxsize=4096)
def _place_of(name: str) -> int:
    return int(stable_digest(name), 16)


def _place(service: Service) -> int:
    metadata = service.metadata
    return _place_of(f"{metadata.namespace}/{metadata.name}")


def _refusal(service: Service, field: str, value: Any, why: str) -> Status:
    shown = "[]string{" + ", ".join(f'"{each}"' for each in value) + "}" if isinstance(
        value, list) else value
    cause = field_invalid(field, value, why)
    if isinstance(value, list):
        cause = cause._replace(message=f"Invalid value: {shown}: {why}")
    return invalid("Service", BY_NAME["services"].group, service.metadata.name or "", (cause,))


def _internal(message: str) -> Status:
    return Status(code=500, reason="InternalError", message=f"Internal error occurred: {message}")


# -- the repair loop -----------------------------------------------------------------------------

def unheld(range_: RangeAllocation, held: frozenset[str]) -> tuple[str, ...]:
    """What the range has as used though no stored service holds it."""
    return tuple(entry for entry in range_.used if entry not in held)
