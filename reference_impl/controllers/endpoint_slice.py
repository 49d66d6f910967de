"""The endpoint slice controller: the endpoints of each Service, in slices of at most a hundred.

Source: Kubernetes 1.32, pkg/controller/endpointslice, pkg/controller/endpointslicemirroring and
staging/src/k8s.io/endpointslice; "EndpointSlices" in the documentation; and what a cluster of that
release answers. One worker does what two controllers do there: a Service with a selector gets
slices of its pods, one without gets slices that mirror the Endpoints which somebody wrote for it.

A pod is listed while it has an address and is not finished; while it is being deleted it is no
longer ready, but may still serve. Pods whose ports differ stand in different slices. What stays
where it is, stays in its slice; a slice that lost everything goes, unless a new one is needed; a
Service without pods keeps one empty slice, so that others see that somebody looked.

Nothing is decided while the cache lacks an acknowledged write of the controller's own (kubernetes
issues 92928, 99345, 100042). Kubernetes compares generations of single slices; here the resource
version of the collection tells whether the cache has come as far as the last write.

Not modelled: topology hints, families besides IPv4, and batching of changes. The slices of a
Service that is gone are left to the garbage collector, but for mirrored ones.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, NamedTuple

from model.api.conditions import is_true
from model.api.metadata import Metadata
from model.api.objects import (
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    Node,
    ObjectReference,
    Pod,
    Service,
    SliceEndpoint,
    annotation,
    label,
    owner_for,
    with_metadata,
)
from model.api.records import Pairs
from model.api.requests import Reply, Request, create, delete, update
from model.api.scenario import Scenario
from model.kernel.component import Component, Io
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Informer, Reflector, store_key
from reference_impl.lib.service_pods import (
    hostname_behind,
    pod_values,
    pods_of,
    service_values,
    services_of,
    target_number,
)
from reference_impl.lib.trigger_times import Triggers, annotated, looked_at

SERVICES, PODS, NODES = "services", "pods", "nodes"
ENDPOINTS, SLICES = "endpoints", "endpointslices"
ENDPOINTS_MAX = 100
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"
OWN, MIRROR = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
NOTHING_IN_IT = b'{"endpoints":null,"ports":null}'
"""Lists that are always written, as null when they are empty."""

Ports = tuple[EndpointPort, ...]
Wanted = dict[Ports, list[SliceEndpoint]]


class Written(NamedTuple):
    """What the cache must show before the next decision. `made`: slices that were created or
    changed, with the version that the server gave them; `gone`: deleted ones, with their uids."""

    made: tuple[tuple[str, int], ...] = ()
    gone: tuple[tuple[str, str], ...] = ()


class Work(NamedTuple):
    """The writes that are left, the first of them in flight."""

    left: tuple[Request, ...]


class Memory(NamedTuple):
    """By Service: what was written and is not in the cache yet, and the times of changes that were
    known at the last look."""

    written: FrozenMap[str, Written] = EMPTY
    times: FrozenMap[str, Triggers] = EMPTY


State = ControllerState[Memory]


def service_of(piece: EndpointSlice) -> str | None:
    """The key of the Service that a slice of this controller belongs to."""
    metadata = piece.metadata
    name = label(metadata, SERVICE_NAME)
    if name is None or label(metadata, MANAGED_BY) not in (OWN, MIRROR):
        return None
    return f"{metadata.namespace}/{name}"


def node_of(pod: Pod) -> str | None:
    """The machine that a pod is bound to."""
    return (pod.spec.node_name or None) if pod.spec is not None else None


class EndpointSlices(Controller[Memory]):
    """See the head of this file."""

    name = "controllers/endpoint-slice"
    source = "endpoint-slice-controller"
    reflectors = (
        Reflector(SERVICES, indexes={"selector": service_values}),
        Reflector(PODS, indexes={"labels": pod_values, "node": node_of}),
        Reflector(NODES),
        Reflector(ENDPOINTS),
        Reflector(SLICES, indexes={"service": service_of}),
    )
    blank = Memory()

    # -- handlers -------------------------------------------------------------------------------

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        old, new = change.old, change.new
        if lane in (SERVICES, ENDPOINTS):
            return (change.key,)
        if lane == SLICES:
            # A slice of our own is looked at again, too: what was planned may have been planned
            # over slices that somebody removed meanwhile.
            found = [service_of(each) for each in (old, new) if each is not None]
            return tuple(dict.fromkeys(key for key in found if key is not None))
        if lane == NODES:
            if old is not None and new is not None and zone_of(old) == zone_of(new):
                return ()
            pods = self.reflector(PODS).by(local.caches[PODS], "node", change.key)
        elif old is not None and new is not None and seen_by_slices(old) == seen_by_slices(new):
            return ()
        else:
            pods = [pod for pod in (old, new) if pod is not None]
        reflector, cache = self.reflector(SERVICES), local.caches[SERVICES]
        return tuple(dict.fromkeys(key for pod in pods
                                   for key in services_of(reflector, cache, pod)))

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        if not self.is_fresh(local, key):
            return self.retry(local, io)
        memory = local.memory
        if key in memory.written:
            local = local._replace(memory=memory._replace(written=memory.written.drop(key)))
        local, requests = self.planned(local, key)
        return self._next(local, Work(requests), io)

    def is_fresh(self, local: State, key: str) -> bool:
        """Whether the cache shows every acknowledged write about this Service."""
        written = local.memory.written.get(key)
        if written is None:
            return True
        return not owed(local.caches[SLICES], written)

    def planned(self, local: State, key: str) -> tuple[State, tuple[Request, ...]]:
        """The writes that level one Service, as far as the caches tell."""
        service: Service | None = self.cached(local, SERVICES, key)
        spec = service.spec if service is not None else None
        pieces = self.reflector(SLICES).by(local.caches[SLICES], "service", key)
        own, mirrored = ([piece for piece in pieces
                          if label(piece.metadata, MANAGED_BY) == who] for who in (OWN, MIRROR))
        gone = tuple(deletion(piece) for piece in mirrored)
        if service is None or spec is None:
            return self._remembering(local, key, None), gone
        if spec.selector is not None:
            if spec.type == "ExternalName" or service.metadata.deletion_timestamp is not None:
                return local, gone
            pods = pods_of(self.reflector(PODS), local.caches[PODS], service)
            wanted = wanted_by_pods(service, pods, local.caches[NODES].store)
            times, moment = looked_at(local.memory.times.get(key), service, pods)
            writes = level(wanted, own, blank_for(service), True)
            return self._remembering(local, key, times), (
                *(dated(request, moment) for request in writes), *gone)
        endpoints: Endpoints | None = self.cached(local, ENDPOINTS, key)
        if endpoints is None or not is_mirrored(endpoints):
            return local, gone
        return local, level(wanted_by_endpoints(endpoints), mirrored, blank_mirror(endpoints),
                            False)

    def _remembering(self, local: State, key: str, times: Triggers | None) -> State:
        memory = local.memory
        known = memory.times
        if times is None and key not in known:
            return local
        known = known.drop(key) if times is None else known.set(key, times)
        return local._replace(memory=memory._replace(times=known))

    def _next(self, local: State, work: Work, io: Io) -> State:
        return self.ask(local, work.left[0], work, io) if work.left else self.done(local)

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        request: Request = local.work.left[0]
        gone = request.verb == "delete" and reply.code == 404
        if request.verb == "create" and reply.code == 403:
            # Its namespace ends; so does the Service.
            return self.done(local)
        if reply.code >= 400 and not gone:
            return self.retry(local, io)
        written = local.memory.written.get(local.key, Written())
        if request.verb == "delete":
            left = (f"{request.namespace}/{request.name}", request.options.precondition_uid or "")
            written = written._replace(gone=(*written.gone, left))
        else:
            made = (store_key(reply.body), int(reply.body.metadata.resource_version))
            written = written._replace(made=(*written.made, made))
        memory = local.memory
        local = local._replace(memory=memory._replace(
            written=memory.written.set(local.key, written)))
        return self._next(local, Work(local.work.left[1:]), io)


def owed(cache: Informer, written: Written) -> tuple[str, ...]:
    """The keys of slices that the cache does not show yet as they were written."""
    shown = int(cache.resource_version)
    late = [path for path, version in written.made if version > shown]
    for path, uid in written.gone:
        piece = cache.store.get(path)
        if piece is not None and piece.metadata.uid == uid:
            late.append(path)
    return tuple(dict.fromkeys(late))


# -- what slices say -----------------------------------------------------------------------------


def seen_by_slices(pod: Pod) -> tuple[Any, ...]:
    """Everything of a pod that its Services' slices depend on."""
    status = pod.status
    return (pod.metadata.labels, pod.metadata.deletion_timestamp is None, pod.metadata.uid,
            node_of(pod), None if status is None else (
                status.pod_ip, status.phase, is_true(status.conditions, "Ready")))


def zone_of(node: Node) -> str | None:
    """The zone that a machine stands in."""
    return label(node.metadata, ZONE)


def should_be_in_slices(pod: Pod) -> bool:
    """Whether a selected pod is listed at all."""
    status = pod.status
    return (status is not None and bool(status.pod_ip)
            and status.phase not in ("Succeeded", "Failed"))


def wanted_by_pods(service: Service, pods: list[Pod], nodes: FrozenMap[str, Node]) -> Wanted:
    """The endpoints of a Service's pods by the ports that they have, which may be none. A pod on a
    machine that is not known is left out, unless the Service publishes whatever there is."""
    spec = service.spec
    assert spec is not None, "the caller has looked"
    found: Wanted = {}
    for pod in pods:
        node = nodes.get(node_of(pod) or "")
        if not should_be_in_slices(pod) or (
                node is None and not spec.publish_not_ready_addresses):
            continue
        ports = []
        for port in spec.ports or ():
            number = target_number(port, pod)
            if number is not None:
                ports.append(EndpointPort(port.name or "", number, port.protocol,
                                          port.app_protocol))
        found.setdefault(in_order(ports), []).append(endpoint_for(pod, service, node))
    return found


def in_order(ports: list[EndpointPort]) -> Ports:
    """Ports in Kubernetes' order: by a hash of them, the MD5 of how Go prints the value."""
    return tuple(sorted(ports, key=_port_order))


@lru_cache(maxsize=4096)
def _port_order(port: EndpointPort) -> str:
    protocol = "<nil>" if port.app_protocol is None else port.app_protocol
    printed = (f"(v1.EndpointPort){{Name:(*string){port.name or ''} "
               f"Protocol:(*v1.Protocol){port.protocol or 'TCP'} Port:(*int32){port.port or 0} "
               f"AppProtocol:(*string){protocol}}}")
    return hashlib.md5(printed.encode(), usedforsecurity=False).hexdigest()


def endpoint_for(pod: Pod, service: Service, node: Node | None) -> SliceEndpoint:
    """A pod as an endpoint of a Service."""
    assert service.spec is not None, "the caller has looked"
    assert pod.status is not None, "only pods with an address are listed"
    metadata = pod.metadata
    serving = is_true(pod.status.conditions, "Ready")
    leaving = metadata.deletion_timestamp is not None
    ready = bool(service.spec.publish_not_ready_addresses) or (serving and not leaving)
    return SliceEndpoint(
        (pod.status.pod_ip or "",), EndpointConditions(ready, serving, leaving),
        hostname_behind(pod, service), node_of(pod),
        ObjectReference("Pod", metadata.namespace, metadata.name, metadata.uid),
        None if node is None else zone_of(node))


def is_mirrored(endpoints: Endpoints) -> bool:
    """Whether hand-made Endpoints are to be mirrored."""
    metadata = endpoints.metadata
    return (metadata.deletion_timestamp is None and label(metadata, SKIP_MIRROR) != "true"
            and annotation(metadata, LEADER) is None)


def wanted_by_endpoints(endpoints: Endpoints) -> Wanted:
    """The endpoints of hand-made Endpoints by their ports."""
    found: Wanted = {}
    for subset in endpoints.subsets or ():
        ports = in_order([port._replace(name=port.name or "") for port in subset.ports or ()])
        group = found.setdefault(ports, [])
        for addresses, ready in ((subset.addresses, True), (subset.not_ready_addresses, False)):
            group.extend(SliceEndpoint((address.ip or "",), EndpointConditions(ready),
                                       address.hostname or None, address.node_name,
                                       address.target_ref) for address in addresses or ())
    return {ports: group for ports, group in found.items() if group}


# -- slices without content ----------------------------------------------------------------------


def blank_for(service: Service) -> EndpointSlice:
    """An empty slice of a Service's pods."""
    own = {SERVICE_NAME: service.metadata.name or "", MANAGED_BY: OWN}
    if service.spec is not None and service.spec.cluster_ip == "None":
        own[HEADLESS] = ""
    return _blank(service, service.metadata.labels, own)


def blank_mirror(endpoints: Endpoints) -> EndpointSlice:
    """An empty slice that mirrors Endpoints."""
    own = {SERVICE_NAME: endpoints.metadata.name or "", MANAGED_BY: MIRROR}
    return _blank(endpoints, endpoints.metadata.labels, own)


def _blank(owner: Any, labels: Pairs | None, own: dict[str, str]) -> EndpointSlice:
    kept = {name: value for name, value in labels or () if name != HEADLESS}
    metadata = Metadata(
        generate_name=f"{owner.metadata.name}-", namespace=owner.metadata.namespace,
        labels=tuple(sorted({**kept, **own}.items())), owner_references=(owner_for(owner),))
    return EndpointSlice("EndpointSlice", metadata, "IPv4", None, None, NOTHING_IN_IT)


# -- from what there is to what is wanted --------------------------------------------------------


class Plan(NamedTuple):
    """What is done about slices: contents of new ones, changed ones, slices that go."""

    fresh: list[EndpointSlice]
    changed: list[EndpointSlice]
    doomed: list[EndpointSlice]


def level(wanted: Wanted, pieces: list[EndpointSlice], blank: EndpointSlice,
          placeholder: bool) -> tuple[Request, ...]:
    """The writes that make slices say what is wanted, with as little change as possible."""
    plan = Plan([], [], [])
    for ports, endpoints in wanted.items():
        fit(endpoints, [piece for piece in pieces if (piece.ports or ()) == ports],
            blank._replace(ports=ports or None), plan)
    unused = [piece for piece in pieces if (piece.ports or ()) not in wanted]
    if placeholder and not wanted and pieces:
        # One of those that go stays instead, as the empty slice.
        spare = next((piece for piece in unused if not piece.endpoints and not piece.ports),
                     unused[0])
        unused.remove(spare)
        _keep(spare, [], blank, plan)
    elif placeholder and not wanted:
        plan.fresh.append(blank)
    plan.doomed.extend(unused)
    for _ in range(min(len(plan.fresh), len(plan.doomed))):
        plan.changed.append(_filled(plan.doomed.pop(0), plan.fresh.pop(0)))
    return (*map(create, plan.fresh), *map(update, plan.changed), *map(deletion, plan.doomed))


def fit(endpoints: list[SliceEndpoint], pieces: list[EndpointSlice], blank: EndpointSlice,
        plan: Plan) -> None:
    """Put endpoints into slices with the same ports: each stays where it is; the others fill slices
    that change anyway, then the fullest one with room for all of them, then new ones."""
    left = {identity_of(endpoint): endpoint for endpoint in endpoints}
    kept: list[tuple[EndpointSlice, list[SliceEndpoint]]] = []
    for piece in pieces:
        mine = [left.pop(identity) for identity in map(identity_of, piece.endpoints or ())
                if identity in left]
        if mine:
            kept.append((piece, mine))
        else:
            plan.doomed.append(piece)
    changing = [mine for piece, mine in kept if tuple(mine) != piece.endpoints]
    for mine in sorted(changing, key=len, reverse=True):
        _fill(mine, left)
    roomy = [mine for piece, mine in kept if tuple(mine) == piece.endpoints
             and len(mine) + len(left) <= ENDPOINTS_MAX]
    if left and roomy:
        _fill(max(roomy, key=len), left)
    for piece, mine in kept:
        _keep(piece, mine, blank, plan)
    while left:
        mine = []
        _fill(mine, left)
        plan.fresh.append(blank._replace(endpoints=tuple(mine)))


def identity_of(endpoint: SliceEndpoint) -> tuple[Any, ...]:
    """What makes an endpoint the same one, whatever its conditions."""
    target = endpoint.target_ref
    return (endpoint.addresses, endpoint.hostname,
            None if target is None else (target.namespace, target.name, target.uid))


def _fill(mine: list[SliceEndpoint], left: dict[tuple[Any, ...], SliceEndpoint]) -> None:
    while left and len(mine) < ENDPOINTS_MAX:
        mine.append(left.pop(next(iter(left))))


def _keep(piece: EndpointSlice, mine: list[SliceEndpoint], blank: EndpointSlice,
          plan: Plan) -> None:
    filled = _filled(piece, blank._replace(endpoints=tuple(mine) or None))
    if filled != piece:
        plan.changed.append(filled)


def _filled(piece: EndpointSlice, content: EndpointSlice) -> EndpointSlice:
    """A slice with the content, labels and owners of another."""
    metadata = piece.metadata._replace(labels=content.metadata.labels,
                                       owner_references=content.metadata.owner_references)
    return with_metadata(piece._replace(endpoints=content.endpoints, ports=content.ports), metadata)


def dated(request: Request, moment: str | None) -> Request:
    """The write of a slice with the time of the change that it answers."""
    if request.body is None:
        return request
    return request._replace(body=annotated(request.body, moment))


def deletion(piece: EndpointSlice) -> Request:
    """The request that removes a slice."""
    metadata = piece.metadata
    return delete(SLICES, metadata.namespace or "", metadata.name or "", uid=metadata.uid)


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The endpoint slice controller of a cluster that runs the controllers of workloads."""
    return (EndpointSlices(),) if scenario.workloads else ()
