"""What the cloud promises, how its state maps to its spec, and its seeded bugs."""

from __future__ import annotations

from typing import Any

from model.api.cloud import DeleteBalancer, EnsureBalancer, balancer_name
from model.cloud import Cloud as Spec
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, always, leads_to, sometimes
from model.kernel.refine import Derived, refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY
from model.kernel.world import World
from properties.reading import KV, objects
from reference_impl.cloud import CloudState

NAME = "cloud"
BALANCERS = Part(NAME, "balancers")


@always(reads=(BALANCERS, Part(NAME, "addresses")),
        why="two balancers on one address send a client to either")
def no_two_balancers_share_an_address(world: World) -> str | None:
    """Every balancer has an address of its own, and the cloud's book of addresses agrees."""
    local: CloudState = world[NAME]
    owners: dict[str, str] = {}
    for name, balancer in local.balancers.items():
        if balancer.address in owners:
            return f"{owners[balancer.address]} and {name} share {balancer.address}"
        owners[balancer.address] = name
    booked = dict(local.addresses.items())
    if booked != owners:
        return f"the book of addresses says {booked}, the balancers {owners}"
    return None


@leads_to(within_ms=600_000, reads=(KV, BALANCERS), why="what nobody wants is paid for")
def only_wanted_balancers_remain(world: World) -> str | None:
    """In the end every balancer belongs to a stored Service of type LoadBalancer."""
    wanted = {balancer_name(service.metadata.uid) for service in objects(world, "services")
              if service.spec.type == "LoadBalancer"
              and service.metadata.deletion_timestamp is None}
    left = [name for name in world[NAME].balancers if name not in wanted]
    return f"balancer {left[0]} belongs to no Service" if left else None


@sometimes(reads=(BALANCERS,), why="a cloud without balancers shows nothing")
def a_balancer_exists(world: World) -> bool:
    """Somebody asked for a balancer and got it."""
    return len(world[NAME].balancers) > 0


_ADDRESS: Derived[str, Any] = Derived(lambda name, balancer: (name, balancer.address))


def state(world: World) -> dict[str, Any]:
    """The spec's variables; waiting requests are left out (`client` is 0)."""
    return {"address": _ADDRESS.of(world[NAME].balancers), "waiting": EMPTY}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a request to the cloud is in the words of the spec."""
    body = None if step.message is None else step.message.body
    if isinstance(body, DeleteBalancer):
        return (Label("remove", (body.name,)),)
    if isinstance(body, EnsureBalancer):
        old = step.before[NAME].balancers.get(body.name)
        new = step.after[NAME].balancers.get(body.name)
        if old is not None:
            return (Label("keep", (body.name,)),)
        if new is None:
            return (Label("refuse", (body.name,)),)
        return (Label("give", (body.name, new.address)),)
    return ()


REFINEMENT = refinement(
    "the_cloud_gives_and_takes_as_its_spec_allows", Spec, reads=(Part(NAME),), state=state,
    labels=labels, constants={"client": 0}, why="clients outside know a balancer by its address")

PROPERTIES: tuple[Property, ...] = (
    no_two_balancers_share_an_address, only_wanted_balancers_remain, a_balancer_exists, REFINEMENT)


def the_first_address(local: CloudState) -> str:
    return "203.0.113.1"


MUTANTS = (
    Mutant("cloud-gives-an-address-twice", "an address that is in use is given again",
           "no_two_balancers_share_an_address",
           (("reference_impl.cloud:free_address", the_first_address),),
           scenario="load-balancers"),
)
