"""A small stand-in for the API server: enough for node agents, in one file and with no etcd.

It stores what it is given, numbers the versions, serves lists and watches, deletes pods gracefully.
Inputs: `put` (JSON of an object: create it, or replace spec, labels and annotations), `ask` (delete
a pod gracefully), `erase` (remove at once), `status` (JSON: replace the status).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from model.api.objects import (
    BY_NAME,
    from_json,
    key_of,
    put,
    resource_of,
    timestamp,
    with_metadata,
    with_resource_version,
    with_status,
)
from model.api.requests import (
    ObjectList,
    Reply,
    Request,
    WatchEvent,
    already_exists,
    conflict,
    list_kind,
    not_found,
    refused,
    success,
    too_old,
)
from model.kernel.action import Scalar
from model.kernel.component import CUT, Cause, Component, Io, Message
from model.kernel.values import EMPTY, FrozenMap

Channel = tuple[str, str]


class Tiny(NamedTuple):
    """`cache`: resource -> key -> object."""

    cache: FrozenMap[str, FrozenMap[str, Any]] = EMPTY
    version: int = 1
    watchers: FrozenMap[Channel, tuple[str, str]] = EMPTY
    born: int = 0
    removed_at: int = 0


class TinyApiServer(Component[Tiny]):
    name = "apiserver"
    servers = ()

    def init(self, io: Io) -> Tiny:
        return Tiny()

    def restart(self, local: Tiny, cause: Cause, io: Io) -> Tiny:
        return local._replace(watchers=EMPTY)

    def accepts(self, local: Tiny, verb: str, args: tuple[Scalar, ...]) -> bool:
        if verb == "put":
            obj = from_json(str(args[0]))
            old = local.cache.get(name_of(obj), EMPTY).get(str(key_of(obj)))
            return old is None or obj.kind != "Pod" or _same_but_images(old.spec, obj.spec)
        if verb == "status":
            obj = from_json(str(args[0]))
            return str(key_of(obj)) in local.cache.get(name_of(obj), EMPTY)
        return verb in ("ask", "erase") and args[1] in local.cache.get(str(args[0]), EMPTY)

    def step(self, local: Tiny, verb: str, args: tuple[Scalar, ...], io: Io) -> Tiny:
        if verb in ("put", "status"):
            obj = from_json(str(args[0]))
            resource, key = name_of(obj), str(key_of(obj))
            old = local.cache.get(resource, EMPTY).get(key)
            if verb == "status":
                return self._store(local, resource, key, with_status(old, obj.status), io)
            return self._put(local, resource, key, old, obj, io)
        resource, key = str(args[0]), str(args[1])
        old = local.cache[resource][key]
        if verb == "erase" or (old.spec is not None and old.spec.node_name is None):
            return self._remove(local, resource, key, io)
        seconds = int(args[2]) if len(args) > 2 else 30
        metadata = old.metadata._replace(deletion_timestamp=timestamp(io.now + 1000 * seconds),
                                         deletion_grace_period_seconds=seconds)
        return self._store(local, resource, key, with_metadata(old, metadata), io)

    def receive(self, local: Tiny, message: Message, io: Io) -> Tiny:
        channel = (message.source, message.lane)
        local = local._replace(watchers=local.watchers.drop(channel))
        if message.body == CUT:
            return local
        request: Request = message.body
        return getattr(self, "_" + request.verb)(local, request, channel, io)

    def _put(self, local: Tiny, resource: str, key: str, old: Any, new: Any, io: Io) -> Tiny:
        if old is not None:
            metadata = old.metadata._replace(labels=new.metadata.labels,
                                             annotations=new.metadata.annotations)
            new = with_metadata(new, metadata)
            if "status" in new._fields:
                new = put(new, "status", old.status)
        else:
            born = local.born + 1
            local = local._replace(born=born)
            new = with_metadata(new, new.metadata._replace(
                uid=f"uid-{born}", creation_timestamp=timestamp(io.now)))
        return self._store(local, resource, key, new, io)

    def _store(self, local: Tiny, resource: str, key: str, obj: Any, io: Io) -> Tiny:
        version = local.version + 1
        obj = with_resource_version(obj, str(version))
        objects = local.cache.get(resource, EMPTY)
        old = objects.get(key)
        self._tell(local, resource, old, obj, "ADDED" if old is None else "MODIFIED", io)
        return local._replace(cache=local.cache.set(resource, objects.set(key, obj)),
                              version=version)

    def _remove(self, local: Tiny, resource: str, key: str, io: Io) -> Tiny:
        version = local.version + 1
        objects = local.cache[resource]
        old = with_resource_version(objects[key], str(version))
        self._tell(local, resource, old, old, "DELETED", io)
        return local._replace(cache=local.cache.set(resource, objects.drop(key)), version=version,
                              removed_at=version)

    def _tell(self, local: Tiny, resource: str, old: Any, new: Any, kind: Any, io: Io) -> None:
        for (client, lane), (watched, fields) in local.watchers.items():
            if watched == resource and _selected(fields, new):
                was = kind != "MODIFIED" or (old is not None and _selected(fields, old))
                io.reply(client, lane, WatchEvent(kind if was else "ADDED", new))

    def _list(self, local: Tiny, request: Request, channel: Channel, io: Io) -> Tiny:
        found = tuple(each for each in local.cache.get(request.resource, EMPTY).values()
                      if _selected(request.options.field_selector, each))
        io.reply(*channel, Reply(200, ObjectList(list_kind(request.resource), found,
                                                 str(local.version))))
        return local

    def _watch(self, local: Tiny, request: Request, channel: Channel, io: Io) -> Tiny:
        since, fields = int(request.options.resource_version or 0), request.options.field_selector
        if since < local.removed_at:
            io.reply(*channel, refused(too_old(since, local.removed_at)))
            return local
        for each in local.cache.get(request.resource, EMPTY).values():
            if int(each.metadata.resource_version) > since and _selected(fields, each):
                io.reply(*channel, WatchEvent("MODIFIED", each))
        return local._replace(watchers=local.watchers.set(channel, (request.resource, fields)))

    def _get(self, local: Tiny, request: Request, channel: Channel, io: Io) -> Tiny:
        found = local.cache.get(request.resource, EMPTY).get(_key(request))
        io.reply(*channel, refused(not_found(request.resource, request.name)) if found is None
                 else Reply(200, found))
        return local

    def _create(self, local: Tiny, request: Request, channel: Channel, io: Io) -> Tiny:
        key = str(key_of(request.body))
        if key in local.cache.get(request.resource, EMPTY):
            io.reply(*channel, refused(already_exists(request.resource, key)))
            return local
        local = self._put(local, request.resource, key, None, request.body, io)
        io.reply(*channel, Reply(201, local.cache[request.resource][key]))
        return local

    def _update(self, local: Tiny, request: Request, channel: Channel, io: Io) -> Tiny:
        key = _key(request)
        old = local.cache.get(request.resource, EMPTY).get(key)
        if old is None:
            io.reply(*channel, refused(not_found(request.resource, request.name)))
            return local
        wanted = request.body.metadata
        if wanted.uid not in (None, old.metadata.uid) or \
                wanted.resource_version not in (None, old.metadata.resource_version):
            io.reply(*channel, refused(conflict(request.resource, request.name)))
            return local
        new = with_status(old, request.body.status) if request.subresource == "status" \
            else with_metadata(request.body, old.metadata)
        if new != old:
            local = self._store(local, request.resource, key, new, io)
        io.reply(*channel, Reply(200, local.cache[request.resource][key]))
        return local

    def _delete(self, local: Tiny, request: Request, channel: Channel, io: Io) -> Tiny:
        key = _key(request)
        old = local.cache.get(request.resource, EMPTY).get(key)
        if old is None:
            io.reply(*channel, refused(not_found(request.resource, request.name)))
            return local
        if request.options.precondition_uid not in (None, old.metadata.uid):
            io.reply(*channel, refused(conflict(request.resource, request.name)))
            return local
        local = self._remove(local, request.resource, key, io)
        io.reply(*channel, Reply(200, success(request.resource, request.name,
                                              old.metadata.uid or "")))
        return local


def name_of(obj: Any) -> str:
    """The resource of an object as requests name it."""
    resource = resource_of(obj)
    return resource.name if BY_NAME[resource.name] is resource else resource.group_resource


def _same_but_images(old: Any, new: Any) -> bool:
    """Whether one pod spec may replace another: only images of containers may differ."""
    def blank(spec: Any) -> Any:
        return spec._replace(containers=tuple(put(each, "image", "") for each in spec.containers))
    return bool(blank(old) == blank(new))


def _key(request: Request) -> str:
    return f"{request.namespace}/{request.name}" if request.namespace else request.name


def _selected(fields: str, obj: Any) -> bool:
    name, _, value = fields.partition("=")
    if name == "spec.nodeName":
        return bool(obj.spec is not None and obj.spec.node_name == value)
    return name != "metadata.name" or obj.metadata.name == value


def pod_json(name: str, node: str = "node-1", images: tuple[str, ...] = ("web",),
             policy: str = "Always", **more: Any) -> str:
    """The JSON of a bound pod with one container for each image; `more` are annotations."""
    annotations = {f"kubeproof.io/{key.replace('_', '-')}": value for key, value in more.items()}
    containers = [{"name": f"c{at}", "image": image, "imagePullPolicy": "IfNotPresent"}
                  for at, image in enumerate(images)]
    return json.dumps({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"nodeName": node, "restartPolicy": policy, "containers": containers}})
