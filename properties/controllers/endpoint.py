"""What the endpoint controller promises, how its state maps to its spec, and its seeded bugs."""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.conditions import is_true
from model.api.selectors import selects
from model.controllers.endpoint import Endpoint as Spec
from model.kernel.action import Action
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, each, leads_to, sometimes, step_rule
from model.kernel.refine import Derived, refinement
from model.kernel.refine import State as SpecState
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, Index, objects, stored, title
from reference_impl.controllers.endpoint import ENDPOINTS, PODS, SERVICES, State
from reference_impl.controllers.endpoint import Endpoint as Controller
from reference_impl.lib.informer import Change

NAME = "controllers/endpoint"
WHOLE = Part(NAME)
CONVERGES_MS = 600_000
Places = FrozenMap[tuple[str, str], str]


# ---- promises ----------------------------------------------------------------------------------


def place(pod: Any, publishes_all: bool) -> str:
    """Where the documentation wants a selected pod: out, unready or ready."""
    status = pod.status
    if status is None or not status.pod_ip or status.phase in ("Succeeded", "Failed"):
        return "out"
    if publishes_all:
        return "ready"
    if pod.metadata.deletion_timestamp is not None:
        return "out"
    return "ready" if is_true(status.conditions, "Ready") else "unready"


def listed(endpoints: Any) -> dict[str, str]:
    """Pod uid -> ready or unready, as Endpoints list them. Addresses that stand for no pod, which
    only people write, are left out."""
    found: dict[str, str] = {}
    for subset in endpoints.subsets or ():
        for address in subset.not_ready_addresses or ():
            if address.target_ref is not None:
                found.setdefault(address.target_ref.uid, "unready")
        for address in subset.addresses or ():
            if address.target_ref is not None:
                found[address.target_ref.uid] = "ready"
    return found


def governed(service: Any) -> bool:
    """Whether the controller writes a Service's Endpoints."""
    return (service.spec is not None and service.spec.selector is not None
            and service.spec.type != "ExternalName")


def has_port(service: Any, pod: Any) -> bool:
    """Whether some port of the Service can be found in the pod (or the Service has none)."""
    names = {port.name for container in pod.spec.containers or ()
             for port in container.ports or ()}
    ports = service.spec.ports or ()
    return any(not isinstance(port.target_port, str) or port.target_port in names
               for port in ports) or (not ports and service.spec.cluster_ip == "None")


@leads_to(within_ms=CONVERGES_MS, reads=(KV,), why="a Service must reach its pods, and only those")
def a_service_lists_exactly_its_ready_pods(world: World) -> str | None:
    """Endpoints of each Service with a selector: the ready pods that it selects, no others."""
    pods = list(objects(world, "pods"))
    for service in objects(world, "services"):
        if not governed(service) or service.metadata.deletion_timestamp is not None:
            continue
        namespace = service.metadata.namespace
        endpoints = stored(world, "endpoints", namespace, service.metadata.name)
        if endpoints is None:
            return f"Service {title(service)} has no Endpoints"
        wanted = {pod.metadata.uid for pod in pods if pod.metadata.namespace == namespace
                  and selects(service.spec.selector, pod.metadata.labels)
                  and place(pod, bool(service.spec.publish_not_ready_addresses)) == "ready"
                  and has_port(service, pod)}
        found = {uid for uid, where in listed(endpoints).items() if where == "ready"}
        if wanted != found:
            return (f"Service {title(service)} lists {len(found)} ready pods and has {len(wanted)}:"
                    f" missing {sorted(wanted - found)}, too many {sorted(found - wanted)}")
    return None


@step_rule(reads=(Part(NAME, "caches"),),
           why="a Service that was replaced at once would stay without Endpoints")
def a_difference_that_is_seen_makes_its_service_due(before: World, action: Action,
                                                    after: World) -> str | None:
    """When a cache shows Endpoints that are not what the cached pods ask for, the Service waits for
    a sync, or is in hand."""
    old, new = before[NAME].caches, after[NAME].caches
    if old[ENDPOINTS].store is new[ENDPOINTS].store or not new[SERVICES].synced \
            or not new[PODS].synced:
        return None
    local: State = after[NAME]
    for key, _, endpoints in old[ENDPOINTS].store.diff(new[ENDPOINTS].store):
        service = new[SERVICES].store.get(key)
        if service is None or not governed(service) or key in local.queue.dirty:
            continue
        wanted = behind(local, key)
        if endpoints is None or listed(endpoints) != wanted:
            return f"the cached Endpoints of {key} are not what its pods ask for, and nobody looks"
    return None


@each(of=KV, prefix="/registry/endpoints/",
      why="traffic for one Service would reach pods of another")
def endpoints_name_only_pods_of_their_namespace(world: World, key: str, old: Any,
                                                new: Any) -> str | None:
    """Every listed address belongs to a pod of the Endpoints' own namespace."""
    if new is None:
        return None
    endpoints = new.value
    for subset in endpoints.subsets or ():
        for address in (*(subset.addresses or ()), *(subset.not_ready_addresses or ())):
            target = address.target_ref
            if target is not None and target.namespace != endpoints.metadata.namespace:
                return f"Endpoints {title(endpoints)} list {target.namespace}/{target.name}"
    return None


@sometimes(reads=(KV,), why="without a ready pod behind a Service nothing was shown")
def a_service_reaches_a_ready_pod(world: World) -> bool:
    """Some Endpoints list a ready pod."""
    return True in _READY.of(world)


_READY = Index("endpoints", lambda endpoints: "ready" in listed(endpoints).values())


# ---- refinement --------------------------------------------------------------------------------


class View(NamedTuple):
    """What the two caches tell: the places by (service key, pod uid), and the same by service."""

    services: FrozenMap[str, Any]
    pods: FrozenMap[str, Any]
    places: Places
    of_service: FrozenMap[str, Places]

    def placed(self, service: str, uid: str, where: str) -> View:
        """The view with one pod somewhere; "out" takes it away."""
        entry, mine = (service, uid), self.of_service.get(service, EMPTY)
        if mine.get(entry, "out") == where:
            return self
        places = self.places.drop(entry) if where == "out" else self.places.set(entry, where)
        mine = mine.drop(entry) if where == "out" else mine.set(entry, where)
        return View(self.services, self.pods, places, self.of_service.set(service, mine))


class Seen:
    """Derives the view of the caches from the last one by differences; keeps the last two."""

    def __init__(self) -> None:
        self._last = self._earlier = View(EMPTY, EMPTY, EMPTY, EMPTY)
        self._rules: tuple[tuple[str, Any], ...] = ()
        self._rules_of: FrozenMap[str, Any] = EMPTY

    def of(self, services: FrozenMap[str, Any], pods: FrozenMap[str, Any]) -> View:
        """The view of these stores."""
        view = self._last
        if view.services is services and view.pods is pods:
            return view
        if self._earlier.services is services and self._earlier.pods is pods:
            return self._earlier
        for key, _, service in view.services.diff(services):
            for _, uid in view.of_service.get(key, EMPTY):
                view = view.placed(key, uid, "out")
            if service is not None and governed(service):
                for pod in view.pods.values():
                    view = view.placed(key, pod.metadata.uid, place_behind(service, pod))
        for _, old, new in view.pods.diff(pods):
            view = self._moved(view, services, old, new)
        self._earlier, self._last = self._last, view._replace(services=services, pods=pods)
        return self._last

    def _moved(self, view: View, services: FrozenMap[str, Any], old: Any, new: Any) -> View:
        if services is not self._rules_of:
            self._rules_of = services
            self._rules = tuple(entry for entry in services.items() if governed(entry[1]))
        for key, service in self._rules:
            if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
                view = view.placed(key, old.metadata.uid, "out")
            if new is not None:
                view = view.placed(key, new.metadata.uid, place_behind(service, new))
        return view


def place_behind(service: Any, pod: Any) -> str:
    """Where a pod belongs behind one Service that the controller writes."""
    if (service.metadata.namespace == pod.metadata.namespace
            and selects(service.spec.selector, pod.metadata.labels) and has_port(service, pod)):
        return place(pod, bool(service.spec.publish_not_ready_addresses))
    return "out"


_SEEN = Seen()
_PRESENT: Derived[str, Any] = Derived(
    lambda key, service: (key, True) if governed(service) else None)


def seen_by(local: State) -> View:
    """What the caches of a local state tell. Neighbouring states differ little, so one deriver
    serves all."""
    return _SEEN.of(local.caches[SERVICES].store, local.caches[PODS].store)


def behind(local: State, key: str) -> dict[str, str]:
    """Pod uid -> ready or unready, as the caches want the Endpoints of a Service to list them."""
    return {uid: where for (_, uid), where in seen_by(local).of_service.get(key, EMPTY).items()}


def present(local: State) -> FrozenMap[str, bool]:
    """The Services whose Endpoints the controller writes."""
    return _PRESENT.of(local.caches[SERVICES].store)


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    work = local.work
    busy = deletes = draft = EMPTY
    if work is not None:
        busy = FrozenMap([(local.key, True)])
        if work == "delete":
            deletes = busy
        else:
            draft = FrozenMap(((local.key, uid), where) for uid, where in listed(work).items())
    return {"truth": EMPTY, "wanted": EMPTY, "published": EMPTY, "exists": EMPTY, "current": EMPTY,
            "fresh": EMPTY, "due": EMPTY, "calm": False, "shown": EMPTY, "listed": EMPTY,
            "present": present(local), "seen": seen_by(local).places, "busy": busy,
            "deletes": deletes, "draft": draft}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    message = step.message
    if step.action.verb == "restart":
        return (Label("crash", ()),)
    if step.action.verb == "work":
        return begun(old, new)
    if message is None:
        return ()
    if message.lane == "work" and old.work is not None:
        return (Label("refuse", (old.key,)),)
    found = [Label("notice", (key, after is not None))
             for key, _, after in present(old).diff(present(new))]
    found.extend(Label("observe", (*key, after or "out"))
                 for key, _, after in seen_by(old).places.diff(seen_by(new).places))
    return tuple(found)


def begun(old: State, new: State) -> tuple[Label, ...]:
    """The label of the worker's decision; writing nothing is right only where the cache fits."""
    key = old.queue.order[0]
    service = new.caches[SERVICES].store.get(key)
    if service is not None and not governed(service):
        return ()
    if new.work is not None:
        return (Label("begin", (key, True)),)
    endpoints = new.caches[ENDPOINTS].store.get(key)
    fits = service is not None and endpoints is not None and listed(endpoints) == behind(new, key)
    return (Label("begin", (key, not fits)),)


def narrow(step: Transition, before: SpecState, after: SpecState) -> tuple[SpecState, SpecState]:
    """A decision, and the answer to a write, are about one Service: while the caches stay as they
    are, the places behind others are left out."""
    old: State = step.before[NAME]
    answered = step.message is not None and step.message.lane == "work"
    if before["seen"] is not after["seen"] or not (answered or step.action.verb == "work"):
        return before, after
    key = old.key if answered else old.queue.order[0]
    seen = seen_by(old).of_service.get(key, EMPTY)
    return {**before, "seen": seen}, {**after, "seen": seen}


REFINEMENT = refinement(
    "the_controller_drafts_what_it_sees", Spec, reads=(WHOLE,), state=state, labels=labels,
    constants={"server": 0}, narrow=narrow,
    why="Endpoints that differ from what the controller knows send traffic to wrong pods")

PROPERTIES: tuple[Property, ...] = (
    a_service_lists_exactly_its_ready_pods, a_difference_that_is_seen_makes_its_service_due,
    endpoints_name_only_pods_of_their_namespace,
    a_service_reaches_a_ready_pod, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------

_KEYS_FOR = Controller.keys_for


def endpoints_are_not_watched(self: Controller, local: State, lane: str,
                              change: Change) -> tuple[str, ...]:
    return () if lane == ENDPOINTS else _KEYS_FOR(self, local, lane, change)


def finished_pods_stay(pod: Any, service: Any) -> bool:
    return (pod.status is not None and bool(pod.status.pod_ip)
            and pod.metadata.deletion_timestamp is None)


def terminating_pods_stay(pod: Any, service: Any) -> bool:
    return (pod.status is not None and bool(pod.status.pod_ip)
            and pod.status.phase not in ("Succeeded", "Failed"))


HOME = "reference_impl.controllers.endpoint"
MUTANTS = (
    Mutant("endpoints-missing-after-service-recreate", "endpoints-missing-after-service-recreate",
           "a_difference_that_is_seen_makes_its_service_due",
           ((f"{HOME}:Endpoint.keys_for", endpoints_are_not_watched),),
           scenario="service-recreated"),
    Mutant("endpoints-keep-terminal-pod-ip", "endpoints-keep-terminal-pod-ip",
           "the_controller_drafts_what_it_sees",
           ((f"{HOME}:should_be_in_endpoints", finished_pods_stay),), scenario="finished-pod"),
    Mutant("endpoints-keep-terminating-pod",
           "a pod that is being deleted stays in the Endpoints until it is gone",
           "the_controller_drafts_what_it_sees",
           ((f"{HOME}:should_be_in_endpoints", terminating_pods_stay),),
           scenario="leaving-pod"),
)
