"""The logs of containers: what GET .../pods/NAME/log answers.

Source: Kubernetes API reference, core/v1, "Pod read log" (its query parameters and errors).

The request goes through the simulated API server as a read of the subresource: who may, and
whether the pod is there, is decided there and recorded like every request. What a real server then
fetches from the kubelet over a connection of its own is here read off the kubelet's state, as the
page for people reads the world: it changes nothing, so no property can depend on it. A kubelet that
is down refuses the connection; a partition between the API server and a node is not modelled here.

`follow` streams until the instance ends or the client leaves, as in Kubernetes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from kubeproof.http import paths
from model.api.objects import micro_timestamp, milliseconds, rest_fields, timestamp
from model.api.requests import (
    Cause,
    Status,
    bad_request,
    failure,
    field_forbidden,
    field_invalid,
    invalid,
    not_found,
)
from model.kernel.errors import InputError
from model.kernel.values import EMPTY
from model.kernel.world import UP, World
from reference_impl.kubelet import logs

MEDIA = "text/plain"
KUBELET_PORT = 10250
LOOK_EVERY_S = 0.25
_NUMBERS = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}
_PREFERRED = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")


class LogOptions(NamedTuple):
    """The query of a log. The numbers are by name, as far as they were given."""

    container: str = ""
    previous: bool = False
    follow: bool = False
    timestamps: bool = False
    numbers: Mapping[str, int] = {}
    since: int | None = None


class Following(NamedTuple):
    """A log that goes on: whose, and what of it is there."""

    node: str
    key: str
    options: LogOptions
    log: logs.Log


def is_asked(target: paths.Target, verb: str) -> bool:
    """Whether a request asks for a log."""
    return (target.group, target.plural, target.subresource, verb) == ("", "pods", "log", "get")


def options_of(query: Mapping[str, str], name: str) -> LogOptions | Status:
    """The options in a query; a 400 where one cannot be read, a 422 where one may not be so."""
    numbers: dict[str, int] = {}
    for field in _NUMBERS:
        if field in query:
            if fault := paths.number_fault(query[field]):
                return bad_request(fault)
            numbers[field] = int(query[field])
    since = None
    if text := query.get("sinceTime", ""):
        try:
            since = milliseconds(text)
        except (InputError, OverflowError):
            return bad_request(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot '
                               f'parse "{text}" as "2006"')
    causes: list[Cause] = [
        field_invalid(field, value, "must be greater than or equal to 0" if field == "tailLines"
                      else "must be greater than 0")
        for field, value in numbers.items() if value < _NUMBERS[field]]
    if since is not None and "sinceSeconds" in numbers:
        causes.append(field_forbidden(
            "", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if causes:
        return invalid("PodLogOptions", "", name, tuple(causes))
    previous, follow, timestamps = (
        field in query and query[field].lower() not in ("false", "0")
        for field in ("previous", "follow", "timestamps"))
    return LogOptions(query.get("container", ""), previous, follow, timestamps, numbers, since)


def answer(world: World, pod: Any, options: LogOptions) -> bytes | Following | Status:
    """The log of a container of a pod; a Status says why there is none, and one with code 204
    that the pod has no node yet."""
    name = pod.metadata.name
    container = _container(pod, options.container)
    if isinstance(container, Status):
        return container
    options = options._replace(container=container)
    node = pod.spec.node_name or ""
    if not node:
        return failure(204, "", "")
    fault = _unreachable(world, pod, options)
    if fault is not None:
        return fault
    kubelet = f"kubelet/{node}"
    key = f"{pod.metadata.namespace}/{name}"
    found = logs.log_of(world[kubelet], key, container, options.previous, world.now)
    if isinstance(found, logs.Refusal):
        if found.code == 200:
            return found.text.encode()
        return bad_request(found.text) if found.code == 400 else Status(
            code=404, reason="NotFound", name=name, details_kind="pods/log",
            message=f"the server could not find the requested resource ( pods/log {name})")
    if options.follow and not found.over:
        return Following(kubelet, key, options, found)
    return shown(found, options, world.now)


def _container(pod: Any, wanted: str) -> str | Status:
    """The container that is meant; the 400 when none is, or none of the pod's."""
    name, spec = pod.metadata.name, pod.spec
    main = [each.name for each in spec.containers or ()]
    first = [each.name for each in spec.init_containers or ()]
    added = [each.get("name", "") for each in rest_fields(spec).get("ephemeralContainers") or ()]
    if wanted:
        return wanted if wanted in (*main, *first, *added) else bad_request(
            f"container {wanted} is not valid for pod {name}")
    if len(main) == 1:
        return str(main[0])
    text = f"a container name must be specified for pod {name}"
    if main:
        text += f", choose one of: [{' '.join(main)}]"
        if first:
            text += f" or one of the init containers: [{' '.join(first)}]"
        if added:
            text += f" or one of the ephemeral containers: [{' '.join(added)}]"
    return bad_request(text)


def _unreachable(world: World, pod: Any, options: LogOptions) -> Status | None:
    """Why the kubelet of a pod cannot be asked, None when it can."""
    name = pod.spec.node_name
    node = world["apiserver"].cache.get("nodes", EMPTY).get(name)
    if node is None:
        return not_found("nodes", name)
    listed = (node.status.addresses if node.status else None) or ()
    by_type = {each.type: each.address for each in reversed(listed)}
    host = next((by_type[each] for each in _PREFERRED if each in by_type), "")
    if not host:
        known = " ".join(f"{{{each.type} {each.address}}}" for each in listed)
        return failure(500, "", f"no preferred addresses found; known addresses: [{known}]")
    kubelet = f"kubelet/{name}"
    if kubelet in world and world.status(kubelet) == UP:
        return None
    asked: dict[str, Any] = {field: "true" for field in ("follow", "previous", "timestamps")
                             if getattr(options, field)}
    asked.update(options.numbers)
    if options.since is not None:
        asked["sinceTime"] = timestamp(options.since)
    query = f"?{urlencode(sorted(asked.items()))}" if asked else ""
    place = f"{host}:{KUBELET_PORT}"
    return failure(500, "", (
        f'Get "https://{place}/containerLogs/{pod.metadata.namespace}/{pod.metadata.name}/'
        f'{options.container}{query}": dial tcp {place}: connect: connection refused'))


def shown(log: logs.Log, options: LogOptions, now: int) -> bytes:
    """A log as text: the last lines, of these the ones young enough, of these the first bytes."""
    numbers = options.numbers
    lines = log.lines
    if "tailLines" in numbers:
        lines = lines[max(0, len(lines) - numbers["tailLines"]):]
    since = now - 1000 * numbers["sinceSeconds"] if "sinceSeconds" in numbers else options.since
    text = _text([each for each in lines if since is None or each.at >= since], options)
    return text[:numbers["limitBytes"]] if "limitBytes" in numbers else text


def _text(lines: list[logs.Line], options: LogOptions) -> bytes:
    """Lines as bytes; a time has nine digits after its seconds."""
    return "".join(
        f"{micro_timestamp(each.at)[:-1]}000Z {each.text}\n" if options.timestamps
        else f"{each.text}\n" for each in lines).encode()


async def written(following: Following, look: Callable[[], World],
                  send: Callable[[MutableMapping[str, Any]], Any]) -> None:
    """Write a log, and what is added to it, until its instance ends or its bytes are used up."""
    node, key, options, log = following
    left = options.numbers.get("limitBytes", 1 << 62)
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", MEDIA.encode())]})
    text = shown(log, options, look().now)
    while True:
        if text:
            await send({"type": "http.response.body", "body": text[:left], "more_body": True})
            left -= len(text)
        if log.over or left <= 0:
            break
        await asyncio.sleep(LOOK_EVERY_S)
        world, last = look(), log.lines[-1].number
        found = logs.instance_log(world[node], key, options.container, log.instance, world.now
                                  ) if world.status(node) == UP else None
        if found is None:
            break
        log = found
        text = _text([each for each in log.lines if each.number > last], options)
    await send({"type": "http.response.body", "body": b""})
