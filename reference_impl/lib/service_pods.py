"""Which pods stand behind which Services: what the controllers of Endpoints and of EndpointSlices
share.

Source: Kubernetes 1.32, pkg/controller/util/endpoint. The selector of a Service is a set of pairs;
pods are found under each pair of their labels, Services under the first pair of their selector, so
that neither side looks through all of the other.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import Pod, Service, ServicePort
from model.api.records import Pairs, rest_fields
from model.api.selectors import selects
from reference_impl.lib.informer import Informer, Reflector

NO_SELECTION: tuple[str, ...] = ()


def pair_values(namespace: str | None, pairs: Pairs | None) -> tuple[str, ...]:
    """The index values of labels or of a selector: one for each pair, by namespace."""
    return tuple(f"{namespace}|{key}={value}" for key, value in pairs or ())


def pod_values(pod: Pod) -> tuple[str, ...]:
    """Under which pairs a pod is found."""
    return pair_values(pod.metadata.namespace, pod.metadata.labels)


def service_values(service: Service) -> tuple[str, ...]:
    """Under which pair a Service is found: the first of its selector, which its pods carry too."""
    spec = service.spec
    if spec is None or not spec.selector:
        return NO_SELECTION
    return pair_values(service.metadata.namespace, spec.selector[:1])


def services_of(reflector: Reflector, cache: Informer, pod: Any) -> tuple[str, ...]:
    """The keys of the Services that select a pod; the cache has an index named `selector`."""
    return tuple(key for value in pod_values(pod)
                 for key in reflector.keys_by(cache, "selector", value)
                 if selects(cache.store[key].spec.selector, pod.metadata.labels))


def pods_of(reflector: Reflector, cache: Informer, service: Service) -> list[Pod]:
    """The pods that a Service selects, found under the rarest pair of its selector; the cache has
    an index named `labels`."""
    selector = service.spec.selector if service.spec is not None else None
    lists = [reflector.keys_by(cache, "labels", value)
             for value in pair_values(service.metadata.namespace, selector)]
    if not lists:
        return []
    return [pod for pod in (cache.store[key] for key in min(lists, key=len))
            if selects(selector, pod.metadata.labels)]


def hostname_behind(pod: Pod, service: Service) -> str | None:
    """The host name under which a pod is found behind a Service: the one that it asks for, if the
    Service is its subdomain."""
    rest = {} if pod.spec is None else rest_fields(pod.spec)
    if rest.get("subdomain") != service.metadata.name or \
            service.metadata.namespace != pod.metadata.namespace:
        return None
    hostname: str | None = rest.get("hostname")
    return hostname


def target_number(port: ServicePort, pod: Pod) -> int | None:
    """The number of a Service's target port in a pod; None when no port has its name."""
    target = port.target_port if port.target_port is not None else port.port
    if isinstance(target, int):
        return target
    spec = pod.spec
    if spec is None:
        return None
    for container in (*(spec.containers or ()), *(spec.init_containers or ())):
        for each in container.ports or ():
            if each.name == target and (each.protocol or "TCP") == (port.protocol or "TCP"):
                return each.container_port
    return None
