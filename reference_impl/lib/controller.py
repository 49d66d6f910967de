"""The base of every controller: informers, a work queue, one worker as an explicit machine.

A concrete controller says which collections it mirrors (`reflectors`), which keys a change makes
dirty (`keys_for`), and how one key is levelled: `sync` looks at the caches and either finishes or
sends one request, remembering in `work` where it stands; `replied` continues with the answer. At
most one request leaves in a step, so every crash point is a state.

Rules that hold for all: no key is synced before every cache has its first list; a write whose
outcome is unknown, a conflict and a server error put the key back with a growing delay, for ever;
a restart forgets everything but configuration.

Not modelled: several workers of one controller. One worker that may be delayed at will between any
two of its steps shows the same races with other actors; races between workers of one controller
need the same key twice, which the queue excludes.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from model.api.requests import Reply, Request
from model.kernel.action import Scalar
from model.kernel.component import CUT, NO_STEPS, Component, Io, Message, Step
from model.kernel.values import FrozenMap
from reference_impl.lib import recorder as events
from reference_impl.lib import work_queue
from reference_impl.lib.informer import STOPPED, TIMER, Change, Informer, Reflector
from reference_impl.lib.recorder import NO_EVENTS, Recorder
from reference_impl.lib.work_queue import EMPTY_QUEUE, LATER, RETRY, WorkQueue

M = TypeVar("M")
"""What a controller remembers besides its caches: a NamedTuple, a FrozenMap, or None."""

WORK = "work"
WORK_STEPS: tuple[Step, ...] = ((WORK, ()),)
EVENT_STEPS: tuple[Step, ...] = (("record", ()),)
BOTH_STEPS: tuple[Step, ...] = WORK_STEPS + EVENT_STEPS


class ControllerState(NamedTuple, Generic[M]):
    """The local state. `caches`: lane -> informer; `synced`: all of them have their first list;
    `work`: where the worker stands in the sync of `key`, None when it is idle; `memory`: the
    controller's own."""

    caches: FrozenMap[str, Informer]
    synced: bool
    queue: WorkQueue
    key: str
    work: Any
    memory: M
    recorder: Recorder


State = ControllerState[M]


class Controller(Component[ControllerState[M]], Generic[M]):
    """See the head of this file. `reflectors` must have different lanes."""

    name: str
    reflectors: tuple[Reflector, ...]
    blank: M
    """The memory at start."""
    source = ""
    """The component that its events name."""

    # -- what a controller writes ---------------------------------------------------------------

    def keys_for(self, local: State[M], lane: str, change: Change) -> tuple[str, ...]:
        """The keys that a change in the cache `lane` makes dirty; `local` is after the change."""
        return (change.key,)

    def observed(self, local: State[M], lane: str, change: Change, io: Io) -> State[M]:
        """What the controller remembers of a change, before keys are queued."""
        return local

    def sync(self, local: State[M], key: str, io: Io) -> State[M]:
        """Begin to level one key: end with `self.ask`, `self.done` or `self.retry`."""
        raise AssertionError(f"{self.name} has no sync")

    def replied(self, local: State[M], reply: Reply, io: Io) -> State[M]:
        """Continue after the answer to the request in flight: end like `sync`."""
        return self.settle(local, reply, io)

    def lost(self, local: State[M], io: Io) -> State[M]:
        """The outcome of the request in flight is unknown: by default, try the key again."""
        return self.retry(local, io)

    def alarm(self, local: State[M], key: str, io: Io) -> State[M]:
        """A timer of the controller's own fired."""
        raise AssertionError(f"{self.name} has no timer {key}")

    def received(self, local: State[M], message: Message, io: Io) -> State[M]:
        """A message on a lane of the controller's own."""
        raise AssertionError(f"{self.name} has no lane {message.lane}")

    def own_steps(self, local: State[M]) -> tuple[Step, ...]:
        """Further steps of the controller's own."""
        return NO_STEPS

    # -- how `sync` and `replied` end -----------------------------------------------------------

    def ask(self, local: State[M], request: Request, work: Any, io: Io) -> State[M]:
        """Send the next request of the sync; `work` says where to go on."""
        io.request("apiserver", WORK, request)
        return ControllerState(local.caches, local.synced, local.queue, local.key, work,
                               local.memory, local.recorder)

    def done(self, local: State[M]) -> State[M]:
        """The key is level, as far as the caches tell."""
        queue = work_queue.forget(work_queue.done(local.queue, local.key), local.key)
        return ControllerState(local.caches, local.synced, queue, "", None, local.memory,
                               local.recorder)

    def retry(self, local: State[M], io: Io) -> State[M]:
        """The sync failed: do the key again after its back-off."""
        queue = work_queue.done(work_queue.add_rate_limited(local.queue, local.key, io), local.key)
        return ControllerState(local.caches, local.synced, queue, "", None, local.memory,
                               local.recorder)

    def settle(self, local: State[M], reply: Reply, io: Io) -> State[M]:
        """Done when the last write succeeded or its object is gone, else try again."""
        return self.done(local) if reply.code < 400 or reply.code == 404 else self.retry(local, io)

    # -- helpers --------------------------------------------------------------------------------

    def cached(self, local: State[M], lane: str, key: str) -> Any:
        """An object from a cache, None when it is not there."""
        return local.caches[lane].store.get(key)

    def reflector(self, lane: str) -> Reflector:
        """The reflector of a lane."""
        return self.by_lane[lane]

    def enqueue(self, local: State[M], keys: tuple[str, ...]) -> State[M]:
        """Make keys dirty."""
        queue = local.queue
        for key in keys:
            queue = work_queue.add(queue, key)
        if queue is local.queue:
            return local
        return ControllerState(local.caches, local.synced, queue, local.key, local.work,
                               local.memory, local.recorder)

    def event(self, local: State[M], about: Any, kind: Any, reason: str, message: str,
              io: Io) -> State[M]:
        """Write an event about an object, in time."""
        noted = events.record(local.recorder, about, kind, reason, message,
                              self.source or self.name.rpartition("/")[2], io.now)
        return local._replace(recorder=noted)

    # -- the component --------------------------------------------------------------------------

    @property
    def by_lane(self) -> dict[str, Reflector]:
        """Lane to reflector."""
        found: dict[str, Reflector] | None = self.__dict__.get("_by_lane")
        if found is None:
            found = self.__dict__["_by_lane"] = {each.lane: each for each in self.reflectors}
        return found

    def init(self, io: Io) -> State[M]:
        caches = FrozenMap((each.lane, each.init()) for each in self.reflectors)
        return ControllerState(caches, False, EMPTY_QUEUE, "", None, self.blank, NO_EVENTS)

    def steps(self, local: State[M]) -> tuple[Step, ...]:
        recorder = local.recorder
        writes = bool(recorder.waiting) and not recorder.busy
        if not local.synced:
            offered: tuple[Step, ...] = tuple(
                ("list", (each.lane,)) for each in self.reflectors
                if local.caches[each.lane].phase == STOPPED)
            return offered + EVENT_STEPS if writes else offered
        if local.work is None and local.queue.order:
            steps = BOTH_STEPS if writes else WORK_STEPS
        else:
            steps = EVENT_STEPS if writes else NO_STEPS
        own = self.own_steps(local)
        return steps + own if own else steps

    def step(self, local: State[M], verb: str, args: tuple[Scalar, ...], io: Io) -> State[M]:
        if verb == WORK:
            queue, key = work_queue.take(local.queue)
            taken = ControllerState(local.caches, local.synced, queue, key, None, local.memory,
                                    local.recorder)
            return self.sync(taken, key, io)
        if verb == "record":
            return local._replace(recorder=events.send(local.recorder, io))
        if verb == "list":
            lane = str(args[0])
            started = self.by_lane[lane].start(local.caches[lane], io)
            return local._replace(caches=local.caches.set(lane, started))
        return self.own_step(local, verb, args, io)

    def own_step(self, local: State[M], verb: str, args: tuple[Scalar, ...],
                 io: Io) -> State[M]:
        """Take one of `own_steps`."""
        raise AssertionError(f"{self.name} offers no step {verb}")

    def receive(self, local: State[M], message: Message, io: Io) -> State[M]:
        lane = message.lane
        reflector = self.by_lane.get(lane)
        if reflector is not None and message.source == reflector.server:
            return self._reflected(local, reflector, message, io)
        if lane == WORK:
            if local.work is None:
                return local
            if message.body == CUT:
                return self.lost(local, io)
            return self.replied(local, message.body, io)
        if lane == events.LANE:
            return local._replace(recorder=events.replied(local.recorder, message.body, io))
        return self.received(local, message, io)

    def _reflected(self, local: State[M], reflector: Reflector, message: Message,
                   io: Io) -> State[M]:
        lane = reflector.lane
        informer, changes = reflector.on_message(local.caches[lane], message, io)
        caches = local.caches.set(lane, informer)
        synced = local.synced or self.has_synced(caches)
        local = ControllerState(caches, synced, local.queue, local.key, local.work, local.memory,
                                local.recorder)
        for change in changes:
            local = self.observed(local, lane, change, io)
            local = self.enqueue(local, self.keys_for(local, lane, change))
        return local

    def has_synced(self, caches: FrozenMap[str, Informer]) -> bool:
        """Whether the worker may start: every cache has its first list."""
        return all(each.synced for each in caches.values())

    def timer(self, local: State[M], key: str, io: Io) -> State[M]:
        for prefix in (RETRY, LATER):
            if key.startswith(prefix):
                return self.enqueue(local, (key[len(prefix):],))
        if key.startswith(TIMER):
            lane = key[len(TIMER):]
            again = self.by_lane[lane].on_timer(local.caches[lane], io)
            return local._replace(caches=local.caches.set(lane, again))
        return self.alarm(local, key, io)

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        if verb == WORK:
            return "the worker takes the oldest key and syncs it"
        if verb == "record":
            return "writes the oldest event"
        if verb == "list":
            return f"lists {args[0]}"
        return " ".join((verb, *map(str, args)))
