"""A cloud that gives and takes load balancers. It outlives every crash of the cluster.

Source: the contract of `cloudprovider.LoadBalancer` in Kubernetes 1.32. Addresses come from
203.0.113.0/24 (RFC 5737, reserved for documentation), the lowest free one first.

Not modelled: health checks of nodes by the balancer, quotas, and slowness of its own: a request
may be delivered late or be lost by the kernel, which is how a slow cloud looks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.cloud import Balancer, BalancerReply, CloudFailure, DeleteBalancer, EnsureBalancer
from model.api.scenario import Scenario
from model.kernel.component import CUT, Cause, Component, Io, Message
from model.kernel.values import EMPTY, FrozenMap

NETWORK = "203.0.113."
ADDRESSES_MAX = 254


class CloudState(NamedTuple):
    """`balancers`: name -> balancer; `addresses`: address in use -> name of its balancer."""

    balancers: FrozenMap[str, Balancer] = EMPTY
    addresses: FrozenMap[str, str] = EMPTY


class Cloud(Component[CloudState]):
    """See the head of this file."""

    name = "cloud"
    host = "cloud"
    servers = ()

    def init(self, io: Io) -> CloudState:
        return CloudState()

    def restart(self, local: CloudState, cause: Cause, io: Io) -> CloudState:
        return local

    def receive(self, local: CloudState, message: Message, io: Io) -> CloudState:
        body = message.body
        if body == CUT:
            return local
        reply: BalancerReply | CloudFailure
        if isinstance(body, EnsureBalancer):
            local, reply = self.ensure(local, body)
        elif isinstance(body, DeleteBalancer):
            local, reply = self.delete(local, body.name), BalancerReply(None)
        else:
            reply = CloudFailure(f"the cloud knows no request {type(body).__name__}")
        io.reply(message.source, message.lane, reply)
        return local

    def ensure(self, local: CloudState,
               request: EnsureBalancer) -> tuple[CloudState, BalancerReply | CloudFailure]:
        """Create the balancer or give it other ports and nodes; its address stays."""
        found = local.balancers.get(request.name)
        if found is not None:
            made = found._replace(ports=request.ports, nodes=request.nodes)
            if made == found:
                return local, BalancerReply(found)
            return CloudState(local.balancers.set(request.name, made),
                              local.addresses), BalancerReply(made)
        wanted = request.wanted_address
        if wanted and wanted in local.addresses:
            return local, CloudFailure(f"the address {wanted} is in use")
        address = wanted or free_address(local)
        if not address:
            return local, CloudFailure("no address is free")
        made = Balancer(request.name, address, request.ports, request.nodes)
        return CloudState(local.balancers.set(request.name, made),
                          local.addresses.set(address, request.name)), BalancerReply(made)

    def delete(self, local: CloudState, name: str) -> CloudState:
        """Remove a balancer and free its address."""
        found = local.balancers.get(name)
        if found is None:
            return local
        return CloudState(local.balancers.drop(name), local.addresses.drop(found.address))


def free_address(local: CloudState) -> str:
    """The lowest address that no balancer has; "" when all are taken."""
    for last in range(1, ADDRESSES_MAX + 1):
        address = f"{NETWORK}{last}"
        if address not in local.addresses:
            return address
    return ""


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The cloud that a cluster runs in."""
    return (Cloud(),)
