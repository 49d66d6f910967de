"""An observer of one collection with a queue between its connection and its store, as client-go's
informers have it. Present in scenarios with the setting `observer: "yes"`; it watches ConfigMaps.

Source: client-go, tools/cache (reflector.go, delta_fifo.go, controller.go). What is received is
queued at once and applied a second later, one key at a time, as by a slow handler, so that lists
and events arrive while earlier ones still wait. The informers of the controllers apply changes as
they arrive; this one shows what the queue may get wrong.

Not modelled: handlers besides the store, and back-off: a failed list is sent again at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.requests import Options, Reply, Status, WatchEvent, list_, watch
from model.api.scenario import Scenario
from model.kernel.component import CUT, Cause, Component, Io, Message
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib import delta_fifo
from reference_impl.lib.delta_fifo import DELETED, EMPTY_FIFO, UPDATED, Delta, DeltaFifo
from reference_impl.lib.informer import store_key

RESOURCE = "configmaps"
LISTING, WATCHING = "listing", "watching"
APPLY = "apply"
APPLIES_AFTER_MS = 1_000


class State(NamedTuple):
    """`store`: what was applied; `version`: up to where was received."""

    fifo: DeltaFifo = EMPTY_FIFO
    store: FrozenMap[str, Any] = EMPTY
    version: str = "0"
    phase: str = LISTING


class Observer(Component[State]):
    """See the head of this file."""

    name = "observer"

    def init(self, io: Io) -> State:
        return self._list(State(), io, "0")

    def restart(self, local: State, cause: Cause, io: Io) -> State:
        return self.init(io)

    def _list(self, local: State, io: Io, version: str | None) -> State:
        io.request("apiserver", RESOURCE, list_(RESOURCE, "", Options(resource_version=version)))
        return local._replace(phase=LISTING)

    def _watch(self, local: State, io: Io) -> State:
        io.request("apiserver", RESOURCE, watch(RESOURCE, local.version))
        return local._replace(phase=WATCHING)

    def receive(self, local: State, message: Message, io: Io) -> State:
        body = message.body
        if body == CUT:
            return self._watch(local, io) if local.phase == WATCHING else (
                self._list(local, io, None))
        if type(body) is Reply:
            if body.code >= 400:
                return self._list(local, io, None)
            listed = {store_key(obj): obj for obj in body.body.items}
            fifo = delta_fifo.replace(local.fifo, listed, local.store)
            local = self._queued(local, fifo, io)._replace(version=body.body.resource_version)
            return self._watch(local, io)
        return self._event(local, body, io) if type(body) is WatchEvent else local

    def _event(self, local: State, event: WatchEvent, io: Io) -> State:
        kind, obj = event
        if isinstance(obj, Status):
            return self._list(local, io, None)
        version = obj.metadata.resource_version or local.version
        if kind == "BOOKMARK":
            return local._replace(version=version)
        delta = Delta(DELETED if kind == "DELETED" else UPDATED, obj)
        fifo = delta_fifo.put(local.fifo, store_key(obj), delta)
        return self._queued(local, fifo, io)._replace(version=version)

    def timer(self, local: State, key: str, io: Io) -> State:
        fifo, key, deltas = delta_fifo.pop(local.fifo)
        store = local.store
        for delta in deltas:
            if delta.type != DELETED:
                store = store.set(key, delta.object)
            elif key in store:
                store = store.drop(key)
        if fifo.order:
            io.after(APPLIES_AFTER_MS, APPLY)
        return local._replace(fifo=fifo, store=store)

    def _queued(self, local: State, fifo: DeltaFifo, io: Io) -> State:
        """Whoever applies what is queued is slow: it takes one key at a time."""
        if fifo.order and not local.fifo.order:
            io.after(APPLIES_AFTER_MS, APPLY)
        return local._replace(fifo=fifo)


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The observer of a scenario that asks for one."""
    return (Observer(),) if scenario.setting("observer", "no") == "yes" else ()
