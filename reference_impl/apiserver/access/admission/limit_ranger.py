"""LimitRanger: containers get the defaults of the namespace's limit ranges and obey their bounds.

The defaults are set before the object is validated, the bounds are looked at after. Source:
Kubernetes documentation, "Limit Ranges". Not modelled: ratios of claims' storage.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import (
    Container,
    Pairs,
    Pod,
    PodSpec,
    ResourceRequirements,
    pairs,
    put,
    with_annotations,
)
from model.api.quantities import add, compare, milli
from model.api.requests import Status, forbidden
from reference_impl.apiserver.access.admission.attributes import CREATE, Attributes


def admit(attributes: Attributes, obj: Any) -> Any:
    """A pod with the default requests and limits, and an annotation that tells of them."""
    for item in _items(attributes, obj):
        if item.type == "Container":
            obj = _with_defaults(obj, item)
    return obj


def validate(attributes: Attributes, obj: Any) -> Status | None:
    """Why a pod breaks the bounds of its namespace."""
    faults = [fault for item in _items(attributes, obj) for fault in _faults(obj, item)]
    if not faults:
        return None
    why = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    return forbidden("pods", obj.metadata.name or "", why)


def _items(attributes: Attributes, obj: Any) -> list[Any]:
    """The limits that concern a request, most often none."""
    if obj.kind != "Pod" or attributes.operation != CREATE or not attributes.cache.get(
            "limitranges") or obj.spec is None:
        return []
    return [item for limit_range in attributes.of_namespace("limitranges")
            if limit_range.spec is not None for item in limit_range.spec.limits or ()]


def _with_defaults(pod: Pod, item: Any) -> Pod:
    spec: PodSpec = pod.spec  # type: ignore[assignment]  # checked by the caller
    changed = spec._replace(
        containers=_each(spec.containers, item), init_containers=_each(spec.init_containers, item))
    if changed == spec:
        return pod
    told = [text for group, before in (("container", spec.containers),
                                       ("init container", spec.init_containers))
            for container in before or () for text in _told(container, item, group)]
    annotations = {**dict(pod.metadata.annotations or ()),
                   ANNOTATION: f"LimitRanger plugin set: {'; '.join(told)}"}
    return put(with_annotations(pod, pairs(annotations)), "spec", changed)


ANNOTATION = "kubernetes.io/limit-ranger"


def _told(container: Container, item: Any, group: str) -> list[str]:
    """What was set for one container, in words."""
    wish = container.resources or ResourceRequirements()
    texts = []
    for word, defaults, given in (("request", item.default_request, wish.requests),
                                  ("limit", item.default, wish.limits)):
        names = [name for name, _ in defaults or () if name not in dict(given or ())]
        if names:
            texts.append(f"{', '.join(names)} {word} for {group} {container.name}")
    return texts


def _each(containers: tuple[Container, ...] | None, item: Any) -> tuple[Container, ...] | None:
    return None if containers is None else tuple(_container(each, item) for each in containers)


def _container(container: Container, item: Any) -> Container:
    wish = container.resources or ResourceRequirements()
    limits = {**dict(item.default or ()), **dict(wish.limits or ())}
    requests = {**dict(item.default_request or ()), **dict(wish.requests or ())}
    return put(container, "resources", wish._replace(
        limits=pairs(limits) if limits else wish.limits,
        requests=pairs(requests) if requests else wish.requests))


def _faults(pod: Pod, item: Any) -> list[str]:
    spec: PodSpec = pod.spec  # type: ignore[assignment]  # checked by the caller
    if item.type == "Container":
        return [fault for container in (*(spec.containers or ()), *(spec.init_containers or ()))
                for fault in _bounds("Container", container.resources, item)]
    if item.type == "Pod":
        total = ResourceRequirements(_sum(spec, "limits"), _sum(spec, "requests"))
        return _bounds("Pod", total, item)
    return []


def _sum(spec: PodSpec, which: str) -> Pairs:
    total: dict[str, str] = {}
    for container in spec.containers or ():
        for name, text in getattr(container.resources, which, None) or ():
            total[name] = add(total[name], text) if name in total else text
    return pairs(total)


def _bounds(kind: str, wish: ResourceRequirements | None, item: Any) -> list[str]:
    limits = dict(wish.limits or ()) if wish else {}
    requests = dict(wish.requests or ()) if wish else {}
    faults = []
    for name, bound in item.min or ():
        faults.extend(_below(kind, name, bound, requests.get(name), limits.get(name)))
    for name, bound in item.max or ():
        faults.extend(_above(kind, name, bound, requests.get(name), limits.get(name)))
    for name, ratio in item.max_limit_request_ratio or ():
        faults.extend(_ratio(kind, name, ratio, requests.get(name), limits.get(name)))
    return faults


def _below(kind: str, name: str, bound: str, request: str | None, limit: str | None) -> list[str]:
    if request is None:
        return [f"minimum {name} usage per {kind} is {bound}.  No request is specified"]
    if compare(request, bound) < 0:
        return [f"minimum {name} usage per {kind} is {bound}, but request is {request}"]
    if limit is not None and compare(limit, bound) < 0:
        return [f"minimum {name} usage per {kind} is {bound}, but limit is {limit}"]
    return []


def _above(kind: str, name: str, bound: str, request: str | None, limit: str | None) -> list[str]:
    if limit is None:
        return [f"maximum {name} usage per {kind} is {bound}.  No limit is specified"]
    if compare(limit, bound) > 0:
        return [f"maximum {name} usage per {kind} is {bound}, but limit is {limit}"]
    if request is not None and compare(request, bound) > 0:
        return [f"maximum {name} usage per {kind} is {bound}, but request is {request}"]
    return []


def _ratio(kind: str, name: str, ratio: str, request: str | None, limit: str | None) -> list[str]:
    if not request or not milli(request):
        return [f"{name} max limit to request ratio per {kind} is {ratio}, but no request is "
                "specified or request is 0"]
    if limit is None or not milli(limit):
        return [f"{name} max limit to request ratio per {kind} is {ratio}, but no limit is "
                "specified or limit is 0"]
    if milli(limit) * 1000 > milli(ratio) * milli(request):
        actual = milli(limit) / milli(request)
        return [f"{name} max limit to request ratio per {kind} is {ratio}, but provided ratio is "
                f"{actual:.6f}"]
    return []
