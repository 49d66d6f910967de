"""The nouns between the Service controller and the cloud: load balancers outside the cluster.

They carry what a cloud provider's interface (`cloudprovider.LoadBalancer`) carries. Every call may
be repeated: ensuring what is there and deleting what is gone succeed.
"""

from __future__ import annotations

from typing import NamedTuple


class BalancerPort(NamedTuple):
    """One port that a balancer takes from outside, and the port of every node it sends to."""

    protocol: str
    port: int
    node_port: int


class Balancer(NamedTuple):
    """A load balancer: its name, its outside address, what it forwards, and to which nodes."""

    name: str
    address: str
    ports: tuple[BalancerPort, ...]
    nodes: tuple[str, ...]
    kind: str = "Balancer"


class EnsureBalancer(NamedTuple):
    """Make the balancer `name` forward `ports` to `nodes`; create it when there is none.

    `wanted_address` is honoured when the balancer is new and the address is free, else refused.
    """

    name: str
    ports: tuple[BalancerPort, ...]
    nodes: tuple[str, ...]
    wanted_address: str = ""
    kind: str = "EnsureBalancer"


class DeleteBalancer(NamedTuple):
    """Remove the balancer `name`, if it is there, and free its address."""

    name: str
    kind: str = "DeleteBalancer"


class BalancerReply(NamedTuple):
    """The balancer as it is after an ensure; None after a deletion."""

    balancer: Balancer | None
    kind: str = "BalancerReply"


class CloudFailure(NamedTuple):
    """The request changed nothing; `message` says why."""

    message: str
    kind: str = "CloudFailure"


Request = EnsureBalancer | DeleteBalancer
Reply = BalancerReply | CloudFailure


def balancer_name(uid: str) -> str:
    """The name of a Service's balancer: `a` and its uid without dashes, at most 32 characters."""
    return ("a" + uid.replace("-", ""))[:32]
