"""What the service controller promises, how its state maps to its spec, and its seeded bugs."""

from __future__ import annotations

from typing import Any

from model.api.cloud import CloudFailure, EnsureBalancer, balancer_name
from model.api.requests import Reply
from model.controllers.service import Balancing as Spec
from model.kernel.action import Action
from model.kernel.component import CUT, Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.refine import Derived, refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, Index, objects, title
from reference_impl.controllers.service import (
    CLOUD,
    EXCLUDED,
    FINALIZER,
    NODES,
    SERVICES,
    Applied,
    Services,
    State,
    Work,
)

NAME = "controllers/service"
WHOLE = Part(NAME)
BALANCERS = Part("cloud", "balancers")
CONVERGES_MS = 600_000


# ---- promises ----------------------------------------------------------------------------------


def balanced(service: Any) -> bool:
    """Whether the documentation gives a Service a balancer: type LoadBalancer, default class."""
    return (service.spec is not None and service.spec.type == "LoadBalancer"
            and not service.spec.load_balancer_class
            and service.metadata.deletion_timestamp is None)


def takes_traffic(node: Any) -> bool:
    """Whether balancers send to a node: not one that is leaving or has the label against it."""
    return (node.metadata.deletion_timestamp is None
            and EXCLUDED not in dict(node.metadata.labels or ()))


@leads_to(within_ms=CONVERGES_MS, reads=(KV, BALANCERS),
          why="traffic from outside must arrive, and no balancer may be forgotten")
def balancers_are_those_of_the_services(world: World) -> str | None:
    """The cloud has a balancer for each Service of type LoadBalancer, to all nodes, no other."""
    nodes = tuple(sorted(node.metadata.name for node in objects(world, "nodes")
                         if takes_traffic(node)))
    left = dict(world["cloud"].balancers.items())
    for service in objects(world, "services"):
        if not balanced(service):
            if FINALIZER in (service.metadata.finalizers or ()):
                return f"Service {title(service)} keeps the finalizer of a balancer"
            continue
        balancer = left.pop(balancer_name(service.metadata.uid), None)
        if balancer is None:
            return f"Service {title(service)} has no balancer"
        if balancer.nodes != nodes:
            return f"{balancer.name} sends to {balancer.nodes}, the nodes are {nodes}"
        ingress = service.status.load_balancer.ingress if (
            service.status is not None and service.status.load_balancer is not None) else None
        told = [entry.ip for entry in ingress or ()]
        if told != [balancer.address]:
            return f"the status of {title(service)} says {told}, its balancer {balancer.address}"
    return f"balancers {sorted(left)} belong to no Service" if left else None


@step_rule(reads=(BALANCERS,), why="without the finalizer nobody would release the balancer")
def a_balancer_is_made_only_after_the_finalizer(before: World, action: Action,
                                                after: World) -> str | None:
    """When a balancer appears, its stored Service has the finalizer or is gone by force."""
    for name, old, new in before["cloud"].balancers.diff(after["cloud"].balancers):
        if old is None and new is not None:
            for service in objects(after, "services"):
                if balancer_name(service.metadata.uid) == name and FINALIZER not in (
                        service.metadata.finalizers or ()):
                    return f"{name} was made for {title(service)}, which has no finalizer"
    return None


@sometimes(reads=(KV,), why="a Service without a balancer shows nothing")
def a_service_has_a_balancer(world: World) -> bool:
    """A Service's status names its balancer."""
    return True in _BALANCED.of(world)


_BALANCED = Index("services", lambda service: service.status is not None
                  and service.status.load_balancer is not None
                  and bool(service.status.load_balancer.ingress))


# ---- refinement --------------------------------------------------------------------------------

AT = {"finalizer": "marking", "ensure": "ensuring", "release": "releasing", "clear": "unmarking",
      "unfinalize": "unmarking"}
_ASKS: Derived[str, Any] = Derived(lambda key, service: (key, True) if balanced(service) else None)
_TAGGED: Derived[str, Any] = Derived(
    lambda key, service: (key, True) if FINALIZER in (service.metadata.finalizers or ()) else None)
_UP: Derived[str, Any] = Derived(lambda key, node: (key, True) if takes_traffic(node) else None)


def backends(key: str, sent: EnsureBalancer) -> list[tuple[tuple[str, str], bool]]:
    """The entries of a map by Service and node for one request."""
    return [((key, node), True) for node in sent.nodes]


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    services = local.caches[SERVICES].store
    work: Work | None = local.work
    at: FrozenMap[str, str] = EMPTY
    sent: FrozenMap[tuple[str, str], bool] = EMPTY
    if work is not None and work.at in AT:
        at = FrozenMap([(local.key, AT[work.at])])
        if work.sent is not None:
            sent = FrozenMap(backends(local.key, work.sent))
    applied = FrozenMap(entry for key, done in local.memory.items()
                        for entry in backends(key, done))
    sure = FrozenMap((key, True) for key in local.memory)
    return {"wants": EMPTY, "marked": EMPTY, "current": EMPTY, "basis": EMPTY, "node": EMPTY,
            "balancer": EMPTY, "backend": EMPTY, "due": EMPTY, "calm": False,
            "asks": _ASKS.of(services), "tagged": _TAGGED.of(services),
            "up": _UP.of(local.caches[NODES].store), "at": at, "sent": sent, "sure": sure,
            "applied": applied}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    if step.action.verb == "restart":
        return (Label("crash", ()),)
    if step.action.verb == "work":
        return begun(old, new)
    message = step.message
    if message is None:
        return ()
    if message.lane == SERVICES:
        return noticed(step.before, step.after)
    if message.lane == NODES:
        return tuple(Label("observe", (name, after is not None)) for name, _, after in
                     _UP.of(old.caches[NODES].store).diff(_UP.of(new.caches[NODES].store)))
    work: Work | None = old.work
    if work is None or work.at not in AT:
        return ()
    body = message.body
    if (work.at in ("ensure", "release")) != (message.lane == CLOUD):
        return ()
    if message.lane == CLOUD:
        told = body != CUT and not isinstance(body, CloudFailure)
        return (Label("ensures" if work.at == "ensure" else "releases", (old.key, told)),)
    if message.lane != "work":
        return ()
    goes = isinstance(body, Reply) and body.code < 400
    if work.at == "finalizer":
        return (Label("marks", (old.key, goes)),)
    return () if new.work is not None else (Label("unmark", (old.key, goes)),)


def noticed(before: World, after: World) -> tuple[Label, ...]:
    """The labels of a delivery to the cache of Services."""
    old, new = state(before), state(after)
    keys = dict.fromkeys(key for name in ("asks", "tagged")
                         for key, _, _ in old[name].diff(new[name]))
    return tuple(Label("notice", (key, key in new["asks"], key in new["tagged"])) for key in keys)


def begun(old: State, new: State) -> tuple[Label, ...]:
    """The label of the worker's decision."""
    key = old.queue.order[0]
    work: Work | None = new.work
    if work is None:
        return (Label("rest", (key,)),)
    name = {"finalizer": "mark", "ensure": "ensure", "release": "release"}[work.at]
    return (Label(name, (key,)),)


REFINEMENT = refinement(
    "the_controller_balances_as_its_spec_allows", Spec, reads=(WHOLE,), state=state, labels=labels,
    constants={"server": 0}, why="a balancer made too early or forgotten too early is leaked")

PROPERTIES: tuple[Property, ...] = (
    balancers_are_those_of_the_services, a_balancer_is_made_only_after_the_finalizer,
    a_service_has_a_balancer, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------

_SYNC = Services.sync


def skips_what_it_does_not_remember(self: Services, local: State, key: str, io: Io) -> State:
    service = self.cached(local, SERVICES, key)
    if service is not None and not balanced(service) and key not in local.memory:
        return self.done(local)
    return _SYNC(self, local, key, io)


def remembers_the_nodes_of_now(self: Services, local: State, sent: EnsureBalancer) -> Applied:
    return local.memory.set(local.key, sent._replace(nodes=self.backends(local)))


HOME = "reference_impl.controllers.service"
MUTANTS = (
    Mutant("lb-leaked-on-type-change-while-down", "lb-leaked-on-type-change-while-down",
           "the_controller_balances_as_its_spec_allows",
           ((f"{HOME}:Services.sync", skips_what_it_does_not_remember),),
           scenario="load-balancers", faults="crash"),
    Mutant("lb-nodes-from-old-snapshot", "lb-nodes-from-old-snapshot",
           "the_controller_balances_as_its_spec_allows",
           ((f"{HOME}:Services.applied", remembers_the_nodes_of_now),),
           scenario="load-balancers"),
)
