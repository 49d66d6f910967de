"""Cloud: a balancer has one address, no address is given twice, what is deleted is given back.

Requests wait until the cloud serves them; ensuring what is there and deleting what is gone change
nothing, so that a client may repeat a request whose answer was lost.

Not modelled: ports and nodes of a balancer (they are replaced as a whole and nothing depends on
them here), the order in which addresses are given. The waiting requests are there when `client`
is 1; the refinement of the implementation sets it to 0. Source: the interface
`cloudprovider.LoadBalancer` of Kubernetes 1.32.
"""

from __future__ import annotations

from typing import Literal

from model.kernel.spec.language import (
    Index,
    Map,
    Spec,
    action,
    constant,
    define,
    each,
    invariant,
    leads_to,
    limit,
    mutant,
    require,
    step_rule,
    witness,
)

Request = Literal["none", "ensure", "delete"]


class Balancer(Index, symmetric=True, short="b"):
    """The name of a balancer."""


class Address(Index, symmetric=True, short="a"):
    """An address outside the cluster."""


class Cloud(Spec):
    """Balancers, their addresses, and requests that wait."""

    client = constant(1)
    scopes = {"ci": {"Balancer": 3, "Address": 2}, "proof": {"Balancer": 3, "Address": 2}}

    address: Map[Balancer, Address | None] = each(None)
    waiting: Map[Balancer, Request] = each("none")

    @define
    def free(self, a: Address) -> bool:
        return not any(self.address[b] == a for b in Balancer)

    @action
    def ask(self, b: Balancer, what: Request) -> None:
        """A client sends a request."""
        limit(self.client == 1)
        require(self.waiting[b] == "none" and what != "none")
        self.waiting[b] = what

    @action(fair="strong")
    def give(self, b: Balancer, a: Address) -> None:
        """Ensure: a new balancer gets a free address."""
        require(self.waiting[b] == "ensure" or self.client == 0)
        require(self.address[b] is None and self.free(a))
        self.address[b] = a
        self.waiting[b] = "none"

    @action(fair="strong")
    def keep(self, b: Balancer) -> None:
        """Ensure: what is there keeps its address."""
        require(self.waiting[b] == "ensure" or self.client == 0)
        require(self.address[b] is not None)
        self.waiting[b] = "none"

    @action(fair="strong")
    def refuse(self, b: Balancer) -> None:
        """Ensure: no address is free, or not the one that was wanted."""
        require(self.waiting[b] == "ensure" or self.client == 0)
        require(self.address[b] is None)
        limit(not any(self.free(a) for a in Address))
        self.waiting[b] = "none"

    @action(fair="weak")
    def remove(self, b: Balancer) -> None:
        """Delete: the balancer is gone and its address is free; also when it was gone before."""
        require(self.waiting[b] == "delete" or self.client == 0)
        self.address[b] = None
        self.waiting[b] = "none"

    @invariant
    def no_address_is_given_twice(self) -> bool:
        return all(self.address[b] is None or b == c or self.address[b] != self.address[c]
                   for b in Balancer for c in Balancer)

    @step_rule
    def a_balancer_keeps_its_address(self, after: Cloud) -> bool:
        return all(self.address[b] is None or after.address[b] is None
                   or self.address[b] == after.address[b] for b in Balancer)

    @leads_to
    def a_request_is_answered(self, b: Balancer) -> tuple[bool, bool]:
        return self.waiting[b] != "none", self.waiting[b] == "none"

    @witness
    def all_addresses_are_in_use(self) -> bool:
        return all(not self.free(a) for a in Address)

    @mutant(replaces="give", breaks="no_address_is_given_twice")
    def give_any_address(self, b: Balancer, a: Address) -> None:
        require(self.waiting[b] == "ensure" and self.address[b] is None)
        self.address[b] = a
        self.waiting[b] = "none"


SPEC = Cloud
