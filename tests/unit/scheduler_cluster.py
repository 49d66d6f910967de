"""A scheduler behind the small API server, with bindings and a store that properties can read."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tiny_apiserver import Channel, TinyApiServer

from model.api.conditions import set_condition
from model.api.metadata import Condition
from model.api.objects import timestamp, with_metadata, with_resource_version
from model.api.requests import Reply, Request, Status, conflict, not_found, refused, success
from model.api.storage import KeyValue
from model.kernel.action import Action, Scalar
from model.kernel.component import Io, Step
from model.kernel.fault import FaultPlan, budget_of
from model.kernel.system import Script, System
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.scheduler.component import Scheduler


class Stored(NamedTuple):
    """What the small API server keeps, and the same under the keys of etcd."""

    cache: FrozenMap[str, FrozenMap[str, Any]] = EMPTY
    version: int = 1
    watchers: FrozenMap[Channel, tuple[str, str]] = EMPTY
    born: int = 0
    removed_at: int = 0
    kv: FrozenMap[str, KeyValue] = EMPTY


class BindingApiServer(TinyApiServer):
    """Binds pods, deletes bound pods gracefully, and ends them in steps of its own."""

    def init(self, io: Io) -> Any:
        return Stored()

    def steps(self, local: Any) -> tuple[Step, ...]:
        return tuple(("reap", (key,)) for key, pod in local.cache.get("pods", EMPTY).items()
                     if pod.metadata.deletion_timestamp is not None)

    def accepts(self, local: Any, verb: str, args: tuple[Scalar, ...]) -> bool:
        if verb == "put":
            obj = json.loads(str(args[0]))
            if obj["kind"] == "Pod":
                name = f"default/{obj['metadata']['name']}"
                return name not in local.cache.get("pods", EMPTY)
        return super().accepts(local, verb, args)

    def step(self, local: Any, verb: str, args: tuple[Scalar, ...], io: Io) -> Any:
        if verb == "reap":
            return self._remove(local, "pods", str(args[0]), io)
        return super().step(local, verb, args, io)

    def _store(self, local: Any, resource: str, key: str, obj: Any, io: Io) -> Any:
        local = super()._store(local, resource, key, obj, io)
        path = f"/registry/{resource}/{key}"
        entry = KeyValue(path, with_resource_version(obj, None), 1, local.version, 1)
        return local._replace(kv=local.kv.set(path, entry))

    def _remove(self, local: Any, resource: str, key: str, io: Io) -> Any:
        local = super()._remove(local, resource, key, io)
        return local._replace(kv=local.kv.drop(f"/registry/{resource}/{key}"))

    def _create(self, local: Any, request: Request, channel: Channel, io: Io) -> Any:
        if request.subresource != "binding":
            return super()._create(local, request, channel, io)
        key = f"{request.namespace}/{request.name}"
        pod = local.cache.get("pods", EMPTY).get(key)
        answer = _refusal(pod, request)
        if answer is not None:
            io.reply(*channel, refused(answer))
            return local
        bound = Condition(type="PodScheduled", status="True",
                          last_transition_time=timestamp(io.now))
        status = pod.status._replace(conditions=set_condition(pod.status.conditions, bound))
        spec = pod.spec._replace(node_name=request.body.target.name)
        io.reply(*channel, Reply(201, None))
        return self._store(local, "pods", key, pod._replace(spec=spec, status=status), io)

    def _delete(self, local: Any, request: Request, channel: Channel, io: Io) -> Any:
        key = f"{request.namespace}/{request.name}"
        pod = local.cache.get("pods", EMPTY).get(key)
        if pod is None or pod.metadata.uid != request.options.precondition_uid:
            return super()._delete(local, request, channel, io)
        ending = with_metadata(pod, pod.metadata._replace(deletion_timestamp=timestamp(io.now)))
        io.reply(*channel, Reply(200, success("pods", request.name, pod.metadata.uid or "")))
        return self._store(local, "pods", key, ending, io)


def _refusal(pod: Any, request: Request) -> Status | None:
    """Why a pod cannot be bound."""
    if pod is None:
        return not_found("pods", request.name)
    wanted = request.body.metadata.uid
    if (pod.spec.node_name or pod.metadata.deletion_timestamp is not None
            or wanted not in (None, pod.metadata.uid)):
        return conflict("pods", request.name)
    return None


def node(name: str, cpu: str, disliked: bool = False) -> Action:
    """A node joins; `disliked`: with a taint that pods rather avoid."""
    taints = [{"key": "slow", "value": "disk", "effect": "PreferNoSchedule"}] if disliked else []
    return Action("apiserver", "put", (json.dumps({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": taints},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}}),))


def pod(name: str, cpu: str = "1", priority: int = 0) -> Action:
    """A pod is created."""
    return Action("apiserver", "put", (json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"priority": priority, "containers": [
            {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {"phase": "Pending"}}),))


def erase(resource: str, name: str) -> Action:
    """An object goes at once."""
    return Action("apiserver", "erase", (resource, name))


def ask(name: str) -> Action:
    """A pod is deleted gracefully."""
    return Action("apiserver", "ask", ("pods", f"default/{name}", 0))


SCRIPT: Script = (
    (node("n1", "2"), node("n2", "1"), erase("nodes", "n2"), node("n2", "2")),
    (pod("a"), pod("b"), pod("c"), pod("d"), ask("a"), pod("a"), pod("e")),
    (pod("p"), erase("pods", "default/p"), pod("p"), ask("p"), pod("p", "2")),
    (pod("big", "9"), pod("huge", "9"), pod("high", "2", 10), pod("mid", "1", 5)),
)


LATE_NODE: Script = ((node("n1", "1"), *(erase("nodes", "n1"), node("n1", "1")) * 5),
                     (pod("a"),))
"""The only node may join while the only pod is being tried, and nothing happens after that."""


CONTESTED: Script = (
    (node("n1", "3"), node("n2", "2", disliked=True)),
    (pod("a"), pod("b", "1", 5), pod("c"), pod("d", "1", 5), pod("e"), pod("high", "1", 10)),
)
"""Two unequal nodes, one of them disliked, full of pods of which some are more important."""


def scheduling(faults: str = "none", script: Script = SCRIPT) -> System:
    """A system of the two; the store of the small API server stands for etcd's."""
    system = System((BindingApiServer(), Scheduler()), script,
                    FaultPlan(budget_of(faults), ("scheduler",), ()))
    system.names["etcd"] = system.names["apiserver"]
    return system
