"""What the proxies promise, how their steps map to their spec, and the bugs that must be caught.

What should stand in a kernel is worked out here a second time, from the documents and not from the
proxy's code. Rules: Kubernetes documentation "Service", "Virtual IPs and Service Proxies".
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from model.api.conditions import is_true
from model.api.objects import Endpoints, Pod, Service
from model.api.selectors import selects
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes
from model.kernel.spec.oracle import Label, Oracle
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import CRASHED, UP, World
from model.kube_proxy import SPEC
from reference_impl.kube_proxy.component import NO_END, Flow, KubeProxy, Local
from reference_impl.kube_proxy.rules import Ends, Rules, followed, packet_walk

RULES = Part("kube-proxy/*", "rules")
SHOWN = Part("apiserver", "cache")
OUTSIDE = "203.0.113.7"
OTHERS = "(no service)"

Way = tuple[str, str, int]
Target = tuple[str, int]
Value = frozenset[tuple[Way, frozenset[Target]]]


def proxies(world: World) -> list[tuple[str, Local]]:
    """The proxies whose machines are up, with their local states."""
    return [(name, world[name]) for name in world.names
            if name.startswith("kube-proxy/") and world.status(name) in (UP, CRASHED)]


# ---- what the rules should say -------------------------------------------------------------------


def ways_into(service: Service) -> list[tuple[Way, str]]:
    """Every address, protocol and port of a service, with the name of the port it is for."""
    spec = service.spec
    if spec is None or spec.type == "ExternalName" or spec.cluster_ip in (None, "", "None"):
        return []
    ingress = service.status.load_balancer.ingress if (
        service.status is not None and service.status.load_balancer is not None) else None
    addresses = {spec.cluster_ip, *(spec.external_ips or ()), *(i.ip for i in ingress or ())}
    ways: list[tuple[Way, str]] = []
    for port in spec.ports or ():
        protocol, name = port.protocol or "TCP", port.name or ""
        ways.extend(((address, protocol, port.port or 0), name)
                    for address in sorted(filter(None, addresses)))
        if port.node_port:
            ways.append((("", protocol, port.node_port), name))
    return ways


def targets_of(endpoints: Endpoints | None, port_name: str) -> frozenset[Target]:
    """The ready addresses behind one named port."""
    if endpoints is None:
        return frozenset()
    return frozenset((address.ip or "", port.port or 0)
                     for subset in endpoints.subsets or () for port in subset.ports or ()
                     if (port.name or "") == port_name for address in subset.addresses or ())


_LAST: dict[str, tuple[tuple[Service | None, Endpoints | None, Value | None], ...]] = {}
_LAST_KEPT = 4


def seen_value(local: Local, key: str) -> Value | None:
    """What the proxy has been told about a service, as ways and targets. The last few answers for
    each service are kept: all proxies are told the same."""
    service, endpoints = local.services.store.get(key), local.endpoints.store.get(key)
    kept = _LAST.get(key, ())
    for known, behind, value in kept:
        if known is service and behind is endpoints:
            return value
    ways = [] if service is None else ways_into(service)
    value = frozenset((way, targets_of(endpoints, name)) for way, name in ways) if ways else None
    _LAST[key] = ((service, endpoints, value), *kept[:_LAST_KEPT - 1])
    return value


def kernel_value(rules: Rules, key: str, ways: set[Way]) -> Value | None:
    """What stands in the kernel for a service at some ways."""
    found = frozenset((way, _kernel_targets(rules, chain)) for way in ways
                      if (chain := rules.entries.get(way)) is not None
                      and chain.rpartition(":")[0] == key)
    return found or None


def kernel_values(rules: Rules, keys: set[str]) -> dict[str, Value]:
    """The whole kernel by service; what belongs to none of `keys` comes together."""
    found: dict[str, set[tuple[Way, frozenset[Target]]]] = {}
    for way in rules.entries:
        chain = rules.entries[way]
        owner = chain.rpartition(":")[0]
        found.setdefault(owner if owner in keys else OTHERS, set()).add(
            (way, _kernel_targets(rules, chain)))
    return {key: frozenset(value) for key, value in found.items()}


def _kernel_targets(rules: Rules, chain: str) -> frozenset[Target]:
    ends = rules.chains.get(chain)
    return frozenset(ends.keys()) if ends is not None else frozenset((("missing", 0),))


# ---- refinement ----------------------------------------------------------------------------------

_ORACLES: list[Oracle] = []


def _refines(step: Transition) -> str | None:
    """The rule speaks of each service alone, so only those that the step touches are looked at."""
    if not _ORACLES:
        _ORACLES.append(Oracle(SPEC.module()))
    before: Local = step.before.slots[step.mover].local
    after: Local = step.after.slots[step.mover].local
    verb = step.action.verb
    changed = {key for old, new in ((before.services, after.services),
                                    (before.endpoints, after.endpoints))
               for key, _, _ in old.store.diff(new.store)}
    if not changed and verb == "deliver" and before.synced == after.synced:
        return None  # a bookmark, or a list that brought nothing new
    keys = set(changed)
    if verb in ("sync", "sync-fails", "restart"):
        keys |= set(before.pending.keys())
        if before.full or verb == "restart":
            keys |= {*before.services.store.keys(), *before.written.keys(),
                     *after.services.store.keys()}
    names: dict[Any, str] = {}
    kernels = _kernels(verb, before, after, keys)
    old, new = (_state(local, keys, kernel, names)
                for local, kernel in zip((before, after), kernels, strict=True))
    labels = _labels(step, before, after, sorted(changed), new)
    return _ORACLES[0].check(old, labels, new)


def _kernels(verb: str, before: Local, after: Local,
             keys: set[str]) -> tuple[dict[str, Value | None], dict[str, Value | None]]:
    """What the kernel holds before and after, as far as the step can have changed it."""
    if verb == "sync" and not before.full:
        found: list[dict[str, Value | None]] = [{}, {}]
        for key in keys:
            ways = {way for local in (before, after) for way, _ in local.written.get(key, ())}
            service = after.services.store.get(key)
            ways.update(way for way, _ in (() if service is None else ways_into(service)))
            for at, local in enumerate((before, after)):
                found[at][key] = kernel_value(local.rules, key, ways)
        return found[0], found[1]
    if before.rules is after.rules and verb not in ("sync", "restart"):
        return {}, {}
    return {**kernel_values(before.rules, keys)}, {**kernel_values(after.rules, keys)}


def _state(local: Local, keys: set[str], kernel: dict[str, Value | None],
           names: dict[Any, str]) -> dict[str, Any]:
    ordered = sorted(keys)

    def named(value: Value | None) -> str | None:
        return None if value is None else names.setdefault(value, f"value-{len(names)}")
    return {
        "seen": FrozenMap((key, named(seen_value(local, key))) for key in ordered),
        "rules": FrozenMap((key, named(kernel[key])) for key in sorted(kernel)),
        "dirty": FrozenMap((key, key in local.pending) for key in ordered),
        "full": local.full,
        "listed": local.synced,
    }


def _labels(step: Transition, before: Local, after: Local, changed: list[str],
            new: dict[str, Any]) -> tuple[Label, ...]:
    verb = step.action.verb
    if verb == "sync":
        return (Label("write"),)
    if verb == "sync-fails":
        return (Label("fail"),)
    if verb == "restart":
        lost = len(before.rules.entries) > len(after.rules.entries)
        return (Label("crash" if lost else "restart"),)
    labels = []
    for key in changed:
        value = new["seen"].get(key)
        labels.append(Label("miss", (key,)) if value is None else Label("see", (key, value)))
    if after.synced and not before.synced:
        labels.append(Label("list_all"))
    return tuple(labels)


every_step_of_a_proxy_is_one_of_its_spec = Property(
    "every_step_of_a_proxy_is_one_of_its_spec", "refines", _refines,
    tuple(Part("kube-proxy/*", path) for path in
          ("services", "endpoints", "rules", "pending", "full")),
    "the kernel holds what was last seen, at the latest after the next write")


# ---- what the kernel does ------------------------------------------------------------------------


def _flows_after_a_write(step: Transition) -> str | None:
    if step.action.verb != "sync":
        return None
    local: Local = step.after.slots[step.mover].local
    for chain, end in local.flows.items():
        ends = local.rules.chains.get(chain)
        if ends is None:
            return f"a client of {chain} is tied to {_place(end)} although the service is gone"
        if end not in ends and not (end == NO_END and not len(ends)):
            return (f"a client of {chain} is tied to {_place(end)}, its ends are "
                    f"{[_place(each) for each in ends]}")
    return None


def _place(end: Flow) -> str:
    return f"{end[0]}:{end[1]}" if end != NO_END else "no end"


after_a_write_every_tracked_flow_leads_to_a_current_end = Property(
    "after_a_write_every_tracked_flow_leads_to_a_current_end", "refines", _flows_after_a_write,
    (RULES, Part("kube-proxy/*", "flows"), Part("kube-proxy/*", "stale"),
     Part("kube-proxy/*", "pending"), Part("kube-proxy/*", "full")),
    "a UDP client that keeps sending would talk to a pod that is gone")


# ---- what comes in the end -----------------------------------------------------------------------


def _serves(pod: Pod, selector: Any) -> bool:
    return (selects(selector, pod.metadata.labels) and pod.status is not None
            and pod.metadata.deletion_timestamp is None and bool(pod.status.pod_ip)
            and is_true(pod.status.conditions, "Ready"))


def _target_port(pod: Pod, port: Any) -> int | None:
    """The number of a service port on one pod; None when the pod does not name it."""
    target = port.target_port if port.target_port is not None else port.port
    if isinstance(target, int):
        return target
    named = [each.container_port for container in (pod.spec.containers if pod.spec else None) or ()
             for each in container.ports or ()
             if each.name == target and (each.protocol or "TCP") == (port.protocol or "TCP")]
    return named[0] if named else None


def ready_targets(service: Service, port: Any, pods: FrozenMap[str, Pod]) -> set[Target]:
    """The ready pods that a service selects, with the port they listen on."""
    found: set[Target] = set()
    for pod in pods.values():
        if pod.metadata.namespace == service.metadata.namespace and service.spec is not None \
                and _serves(pod, service.spec.selector):
            number = _target_port(pod, port)
            if number is not None and pod.status is not None:
                found.add((pod.status.pod_ip or "", number))
    return found


@leads_to(within_ms=120_000, reads=(SHOWN, RULES), why="this is what a service is for")
def a_service_routes_to_exactly_the_ready_pods_that_it_selects(world: World) -> str | None:
    cache = world["apiserver"].cache
    pods = cache.get("pods", EMPTY)
    for key, service in cache.get("services", EMPTY).items():
        spec = service.spec
        if spec is None or not spec.selector or spec.publish_not_ready_addresses:
            continue
        ports = {port.name or "": port for port in spec.ports or ()}
        for way, name in ways_into(service):
            wanted = ready_targets(service, ports[name], pods)
            for proxy, local in proxies(world):
                wrong = _walks_elsewhere(local.rules, way, wanted)
                if wrong is not None:
                    return f"{proxy} sends {key} {wrong}"
    return None


def _walks_elsewhere(rules: Rules, way: Way, wanted: set[Target]) -> str | None:
    address = way[0] or rules.node_addresses[0]
    found = packet_walk(rules, OUTSIDE, address, way[1], way[2])
    reached = {(hop.address, hop.port) for hop, _ in found}
    if reached != wanted:
        return (f"({address}:{way[2]}) to {sorted(reached)}, the ready pods it selects are "
                f"{sorted(wanted)}")
    if any(share != Fraction(1, len(found)) for _, share in found):
        return f"({address}:{way[2]}) unevenly: {[str(share) for _, share in found]}"
    return None


@leads_to(within_ms=120_000, reads=(SHOWN, RULES), why="an address that is given again must not "
          "lead to what had it before")
def no_rule_outlives_its_service(world: World) -> str | None:
    services = world["apiserver"].cache.get("services", EMPTY)
    ways = {way for service in services.values() for way, _ in ways_into(service)}
    for proxy, local in proxies(world):
        for way in local.rules.entries:
            if way not in ways:
                return f"{proxy} still has rules for {way[0] or 'node port'}:{way[2]}"
    return None


@sometimes(reads=(RULES,), why="without a service with an end, nothing above was tested")
def a_service_has_an_end_in_some_kernel(world: World) -> bool:
    return any(len(ends) for _, local in proxies(world) for ends in local.rules.chains.values())


# ---- seeded bugs ---------------------------------------------------------------------------------


def _drained_before_the_write(self: KubeProxy, local: Local) -> Local:
    return local._replace(full=True, failures_left=local.failures_left - 1, pending=EMPTY,
                          stale=EMPTY, written=EMPTY)


def _partial_after_a_failure(self: KubeProxy, local: Local) -> Local:
    return local._replace(failures_left=local.failures_left - 1, pending=EMPTY)


def _only_known_chains(self: KubeProxy, rules: Rules) -> Rules:
    return rules


def _flows_with_an_end_only(self: KubeProxy, local: Local) -> FrozenMap[str, Flow]:
    flows = local.flows
    for chain in local.stale:
        end = flows.get(chain)
        ends = local.rules.chains.get(chain)
        if end is not None and end != NO_END and (ends is None or end not in ends):
            flows = flows.drop(chain)
    return flows


def _ends_only_come(chains: FrozenMap[str, Ends], key: str, old: Endpoints | None,
                    new: Endpoints | None) -> FrozenMap[str, Ends]:
    grown = followed(chains, key, old, new)
    for chain in grown:
        for end in chains.get(chain, EMPTY):
            grown = grown.set(chain, grown[chain].set(end, 1))
    return grown


def _writes_what_is_there(self: KubeProxy, local: Local, keys: tuple[str, ...]) -> Local:
    return _write(self, local, tuple(key for key in keys if key in local.services.store))


_write = KubeProxy._write

PROPERTIES = (
    after_a_write_every_tracked_flow_leads_to_a_current_end,
    a_service_routes_to_exactly_the_ready_pods_that_it_selects,
    no_rule_outlives_its_service,
    a_service_has_an_end_in_some_kernel,
    every_step_of_a_proxy_is_one_of_its_spec,
)
_PROXY = "reference_impl.kube_proxy.component:KubeProxy"
MUTANTS = (
    Mutant("proxy-changes-lost-on-failed-restore", "proxy-changes-lost-on-failed-restore",
           "after_a_write_every_tracked_flow_leads_to_a_current_end",
           ((f"{_PROXY}._failed", _drained_before_the_write),), "proxied-services"),
    Mutant("proxy-partial-sync-misses-chain", "proxy-partial-sync-misses-chain",
           "every_step_of_a_proxy_is_one_of_its_spec",
           ((f"{_PROXY}._failed", _partial_after_a_failure),), "proxied-services"),
    Mutant("proxy-restart-leaves-stale-chains", "proxy-restart-leaves-stale-chains",
           "every_step_of_a_proxy_is_one_of_its_spec",
           ((f"{_PROXY}._emptied", _only_known_chains),), "proxied-services", "crash"),
    Mutant("proxy-udp-conntrack-zero-transition", "proxy-udp-conntrack-zero-transition",
           "after_a_write_every_tracked_flow_leads_to_a_current_end",
           ((f"{_PROXY}._kept_flows", _flows_with_an_end_only),), "proxied-services"),
    Mutant("proxy-keeps-ends-that-have-gone", "an end stays in its chain after its pod has gone",
           "a_service_routes_to_exactly_the_ready_pods_that_it_selects",
           (("reference_impl.kube_proxy.component:followed", _ends_only_come),),
           "proxied-services"),
    Mutant("proxy-keeps-rules-of-deleted-services",
           "a partial write leaves out services that are no longer there",
           "no_rule_outlives_its_service",
           ((f"{_PROXY}._write", _writes_what_is_there),), "proxied-services"),
)
