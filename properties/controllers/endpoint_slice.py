"""What the endpoint slice controller promises, how its steps map to its spec, and its seeded bugs.

Source: Kubernetes documentation, "EndpointSlices"; KEP-1672 (terminating endpoints); kubernetes
issues 92928, 99345, 100042, 109414.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.api.conditions import is_true
from model.api.objects import EndpointConditions, SliceEndpoint
from model.api.selectors import selects
from model.controllers.endpoint_slice import SPEC
from model.kernel.action import Action
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, each, leads_to, sometimes, step_rule
from model.kernel.refine import State as SpecState
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, Index, objects, stored, title
from reference_impl.controllers.endpoint_slice import (
    ENDPOINTS,
    NODES,
    PODS,
    SERVICES,
    SLICES,
    EndpointSlices,
    State,
    endpoint_for,
    owed,
)

NAME = "controllers/endpoint-slice"
WORK = Part(NAME, "work")
MOST = 100
SERVICE = "kubernetes.io/service-name"
MANAGER = "endpointslice.kubernetes.io/managed-by"
SKIP = "endpointslice.kubernetes.io/skip-mirror"


# ---- what the documents ask for ----------------------------------------------------------------


def label_of(obj: Any, name: str) -> str | None:
    """The value of a label."""
    return dict(obj.metadata.labels or ()).get(name)


def kept_by(service: Any) -> str | None:
    """Who keeps the slices of a Service; None when nobody does."""
    if service is None or service.spec is None:
        return None
    if service.spec.selector is None:
        return "endpointslicemirroring-controller.k8s.io"
    gone = service.metadata.deletion_timestamp is not None
    return None if service.spec.type == "ExternalName" or gone else (
        "endpointslice-controller.k8s.io")


def conditions_wanted(service: Any, pod: Any) -> tuple[bool, bool, bool]:
    """Ready, serving, terminating. A pod that leaves is not ready, unless everything is published;
    it serves for as long as its probes say so."""
    serving = is_true(pod.status.conditions, "Ready")
    leaving = pod.metadata.deletion_timestamp is not None
    ready = bool(service.spec.publish_not_ready_addresses) or (serving and not leaving)
    return ready, serving, leaving


def wanted_for(service: Any, pods: Iterator[Any], nodes: Any,
               endpoints: Any) -> dict[str, tuple[Any, ...]]:
    """What the slices of a Service should list, with its conditions: pods by uid, or the addresses
    that somebody wrote."""
    found: dict[str, tuple[Any, ...]] = {}
    if service.spec.selector is None:
        if endpoints is None or label_of(endpoints, SKIP) == "true":
            return found
        for subset in endpoints.subsets or ():
            for addresses, ready in ((subset.not_ready_addresses, False),
                                     (subset.addresses, True)):
                for address in addresses or ():
                    uid = address.target_ref.uid if address.target_ref is not None else None
                    found[uid or address.ip] = (ready, None, None)
        return found
    for pod in pods:
        status = pod.status
        known = pod.spec.node_name in nodes or bool(service.spec.publish_not_ready_addresses)
        if (selects(service.spec.selector, pod.metadata.labels) and status is not None
                and pod.metadata.namespace == service.metadata.namespace and status.pod_ip
                and status.phase not in ("Succeeded", "Failed") and known):
            found[pod.metadata.uid] = conditions_wanted(service, pod)
    return found


def listed_in(piece: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """What a slice lists, with its conditions."""
    found = []
    for endpoint in piece.endpoints or ():
        target, conditions = endpoint.target_ref, endpoint.conditions
        found.append(((target.uid if target is not None else None) or endpoint.addresses[0],
                      (conditions.ready, conditions.serving, conditions.terminating)))
    return found


def belongs_to(piece: Any, service: Any) -> bool:
    """Whether a slice is one of those that are kept for a Service."""
    return (piece.metadata.namespace == service.metadata.namespace
            and label_of(piece, SERVICE) == service.metadata.name
            and label_of(piece, MANAGER) == kept_by(service))


# ---- promises ----------------------------------------------------------------------------------


@leads_to(within_ms=600_000, reads=(KV, WORK), why="a proxy believes every slice that it sees")
def slices_list_each_pod_of_a_service_once(world: World) -> str | None:
    """All pods with an address that are not finished, each in one slice, with its conditions; and
    no empty slice beside others."""
    nodes = {node.metadata.name for node in objects(world, "nodes")}
    pieces = list(objects(world, SLICES))
    for service in objects(world, SERVICES):
        if kept_by(service) is None or service.metadata.deletion_timestamp is not None:
            continue
        metadata = service.metadata
        endpoints = stored(world, ENDPOINTS, metadata.namespace, metadata.name)
        wanted = wanted_for(service, objects(world, PODS), nodes, endpoints)
        mine = [piece for piece in pieces if belongs_to(piece, service)]
        found = [entry for piece in mine for entry in listed_in(piece)]
        if sorted(found) != sorted(wanted.items()):
            return (f"the slices of Service {title(service)} list {len(found)} endpoints,"
                    f" {len(wanted)} are wanted: {found} instead of {sorted(wanted.items())}")
        if len(mine) > 1 and not all(piece.endpoints for piece in mine):
            return f"Service {title(service)} has an empty slice beside others"
        if not mine and service.spec.selector is not None:
            return f"Service {title(service)} has no slice"
    return None


@each(of=KV, prefix="/registry/endpointslices/", why="consumers rely on the bound")
def no_slice_is_too_large_or_lists_a_pod_twice(world: World, key: str, old: Any,
                                               new: Any) -> str | None:
    """At most a hundred endpoints, none of them twice."""
    if new is None:
        return None
    found = [name for name, _ in listed_in(new.value)]
    if len(found) > MOST:
        return f"{key} lists {len(found)} endpoints"
    return f"{key} lists an endpoint twice" if len(set(found)) < len(found) else None


@step_rule(reads=(WORK,), why="traffic to a pod that leaves is lost")
def slices_say_of_pods_what_the_cache_shows(before: World, action: Action,
                                            after: World) -> str | None:
    """Of every pod in a slice that is about to be written: ready, serving, terminating."""
    local: State = after[NAME]
    if local.work is None or before[NAME].work is not None:
        return None
    service = local.caches[SERVICES].store.get(local.key)
    if service is None or service.spec.selector is None:
        return None
    pods = {pod.metadata.uid: pod for pod in local.caches[PODS].store.values()}
    for request in local.work.left:
        for name, said in listed_in(request.body) if request.body is not None else ():
            wanted = conditions_wanted(service, pods[name]) if name in pods else None
            if said != wanted:
                return f"{name} would be listed with {said} and is {wanted}"
    return None


@sometimes(reads=(KV, WORK), why="a slice without pods shows nothing")
def a_slice_lists_two_pods(world: World) -> bool:
    """Some slice lists two endpoints or more."""
    return True in _TWO.of(world)


_TWO = Index("endpointslices", lambda piece: len(piece.endpoints or ()) >= 2)


# ---- refinement --------------------------------------------------------------------------------


def late(local: State) -> FrozenMap[str, bool]:
    """The slices that the cache does not show as they were written, of all Services."""
    if not local.memory.written:
        return EMPTY
    cache = local.caches[SLICES]
    return FrozenMap((piece, True) for written in local.memory.written.values()
                     for piece in owed(cache, written))


def pieces_left(local: State) -> dict[str, Any]:
    """The slices that are still to be written, with what they will list. New ones have no name
    yet: they are numbered from the end of the plan."""
    if local.work is None:
        return {}
    left = local.work.left
    found: dict[str, Any] = {}
    for at, request in enumerate(left):
        if request.verb == "create":
            found[f"new {len(left) - at}"] = request.body
        elif request.verb == "update":
            found[title(request.body)] = request.body
        else:
            found[f"{request.namespace}/{request.name}"] = None
    return found


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0). What the cache shows is
    part of the state only within the step in which a plan is made."""
    local: State = world[NAME]
    todo = FrozenMap((piece, True) for piece in pieces_left(local))
    return {"truth": EMPTY, "holds": EMPTY, "current": EMPTY, "calm": False, "seen": EMPTY,
            "cached": EMPTY, "owed": late(local), "due": False, "draft": EMPTY, "todo": todo,
            "stage": "idle" if local.work is None else "writing"}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    if step.action.verb == "restart":
        return (Label("crash"),)
    if step.action.verb == "work":
        return tuple(planned(old, new))
    if old.work is not None and new.work is not old.work:
        return tuple(written(step, old, new))
    before, after = late(old), late(new)
    return tuple(Label("catch_up", (piece,)) for piece in before if piece not in after)


def planned(old: State, new: State) -> Iterator[Label]:
    """The worker looks, and plans; nothing where the cache owes it something."""
    key = old.queue.order[0]
    cache = new.caches[SLICES]
    service = new.caches[SERVICES].store.get(key)
    if kept_by(service) is None or (
            key in old.memory.written and owed(cache, old.memory.written[key])
            and new.work is None):
        if new.work is not None:
            yield from mirrored_away(new)
        return
    wanted = wanted_for(service, iter(new.caches[PODS].store.values()), new.caches[NODES].store,
                        new.caches[ENDPOINTS].store.get(key))
    shown = {path: piece for path, piece in cache.store.items() if belongs_to(piece, service)}
    left = pieces_left(new)
    finally_ = {**shown, **{piece: body for piece, body in left.items()
                            if body is None or label_of(body, MANAGER) == kept_by(service)}}
    for pod in wanted:
        yield Label("observe", (pod, True))
    for piece, body in shown.items():
        for pod, _ in listed_in(body):
            yield Label("show", (piece, pod, True))
    yield Label("begin")
    for piece, body in finally_.items():
        for pod, _ in listed_in(body) if body is not None else ():
            yield Label("place", (pod, piece))
    for piece in left:
        yield Label("plan", (piece,))
    yield Label("go")
    if new.work is None:
        yield Label("finish")
    for pod in wanted:
        yield Label("observe", (pod, False))
    for piece, body in shown.items():
        for pod, _ in listed_in(body):
            yield Label("show", (piece, pod, False))


def mirrored_away(new: State) -> Iterator[Label]:
    """Nothing is kept for this Service any more: what is left of it is taken away."""
    yield Label("begin")
    for piece, body in pieces_left(new).items():
        if body is None:
            yield Label("plan", (piece,))
    yield Label("go")


def written(step: Transition, old: State, new: State) -> Iterator[Label]:
    """A write was answered, or its answer was lost."""
    code = getattr(step.message.body if step.message is not None else None, "code", 500)
    request = old.work.left[0]
    if code >= 400 and not (code == 404 and request.verb == "delete"):
        yield Label("give_up")
        return
    piece = next(iter(pieces_left(old)))
    body = step.message.body.body if step.message is not None else None
    name = title(body) if request.verb == "create" else piece
    yield Label("write", (piece, name))
    if name not in late(new):
        yield Label("catch_up", (name,))
    if new.work is None:
        yield Label("finish")


def narrow(step: Transition, before: SpecState, after: SpecState) -> tuple[SpecState, SpecState]:
    """A look is about one Service: what the cache owes to others is left out."""
    if step.action.verb != "work":
        return before, after
    local: State = step.before[NAME]
    key = local.queue.order[0]
    mine = local.memory.written.get(key)
    owed_here = EMPTY if mine is None else FrozenMap(
        (piece, True) for piece in owed(local.caches[SLICES], mine))
    return {**before, "owed": owed_here}, {**after, "owed": owed_here}


REFINEMENT = refinement(
    "slices_are_planned_over_what_was_written", SPEC,
    reads=(WORK, Part(NAME, "caches"), Part(NAME, "memory"), Part(NAME, "queue")),
    state=state, labels=labels, constants={"server": 0, "capacity": MOST}, narrow=narrow,
    why="a plan over a cache that lacks the last one puts pods into slices twice")

PROPERTIES: tuple[Property, ...] = (
    slices_list_each_pod_of_a_service_once, no_slice_is_too_large_or_lists_a_pod_twice,
    slices_say_of_pods_what_the_cache_shows, a_slice_lists_two_pods, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------

_ENDPOINT_FOR = endpoint_for


def always_fresh(self: EndpointSlices, local: State, key: str) -> bool:
    """Whatever the cache shows is taken for the newest state."""
    return True


def finished_pods_stay(pod: Any) -> bool:
    """Only the address counts, not the phase."""
    return pod.status is not None and bool(pod.status.pod_ip)


def leaving_pods_stay_ready(pod: Any, service: Any, node: Any) -> SliceEndpoint:
    """That a pod is being deleted is told, but has no effect on whether it is ready."""
    made = _ENDPOINT_FOR(pod, service, node)
    said = made.conditions or EndpointConditions()
    return made._replace(conditions=said._replace(ready=said.serving))


HOME = "reference_impl.controllers.endpoint_slice"
MUTANTS = (
    Mutant("endpointslice-duplicates-from-stale-cache", "endpointslice-duplicates-from-stale-cache",
           "slices_are_planned_over_what_was_written",
           ((f"{HOME}:EndpointSlices.is_fresh", always_fresh),), scenario="sliced-services"),
    Mutant("endpointslice-keeps-terminal-pod-ip", "endpoints-keep-terminal-pod-ip",
           "slices_are_planned_over_what_was_written",
           ((f"{HOME}:should_be_in_slices", finished_pods_stay),), scenario="sliced-services"),
    Mutant("endpointslice-leaving-pod-stays-ready",
           "a pod that is being deleted stays ready in the slices until it is gone",
           "slices_say_of_pods_what_the_cache_shows",
           ((f"{HOME}:endpoint_for", leaving_pods_stay_ready),), scenario="sliced-services"),
)
