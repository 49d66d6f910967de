"""The quota controller: `status.used` of every ResourceQuota tells what exists.

Source: Kubernetes documentation, "Resource Quotas"; Kubernetes 1.32, pkg/controller/resourcequota.
Admission charges a creation before the object is stored; this controller takes back what was
deleted, or was charged for a creation that failed, and counts what was there before the quota.

Taking back is where Kubernetes itself has gone wrong (kubernetes#123434): an object that was
charged may not be stored yet, or not be in the cache yet, so that a count of the cache is too low.
Therefore a smaller number is written only when nobody has changed the quota for `SETTLE_MS`,
longer than a creation is under way; and only on top of the version of the quota that was looked
at. A larger number is written at once.

Collections are mirrored as soon as some quota names them, not before: a cluster without quotas
costs nothing. Not modelled: priorities between quotas, discovery of new kinds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.objects import ResourceQuota, ResourceQuotaStatus, with_status
from model.api.quantities import compare
from model.api.records import Pairs, pairs
from model.api.requests import update_status
from model.api.scenario import Scenario
from model.kernel.component import NO_STEPS, Component, Io, Step
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib import quota as evaluator
from reference_impl.lib import work_queue
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import STOPPED, WATCHING, Change, Informer, Reflector, split_key

QUOTAS = "resourcequotas"
SETTLE_MS = 5_000
RESYNC_MS = 300_000
UNREADY_MS = 100
_RESYNC = "idle:resync"


class Seen(NamedTuple):
    """The version of a quota in the cache, and since when it has been that one."""

    resource_version: str
    since_ms: int


Memory = FrozenMap[str, Seen]
State = ControllerState[Memory]


def namespace_of(obj: Any) -> str | None:
    """The index that finds quotas, and what they count."""
    found: str | None = obj.metadata.namespace
    return found


class ResourceQuotas(Controller[Memory]):
    """See the head of this file."""

    name = "controllers/resource-quota"
    source = "resourcequota-controller"
    reflectors = (Reflector(QUOTAS, indexes={"namespace": namespace_of}),
                  *(Reflector(each, indexes={"namespace": namespace_of})
                    for each in evaluator.COUNTED if each != QUOTAS))
    blank: Memory = EMPTY

    # -- life -----------------------------------------------------------------------------------

    def init(self, io: Io) -> State:
        io.after(RESYNC_MS, _RESYNC)
        return super().init(io)

    def has_synced(self, caches: FrozenMap[str, Informer]) -> bool:
        return caches[QUOTAS].synced

    def steps(self, local: State) -> tuple[Step, ...]:
        if local.synced:
            return super().steps(local)
        if local.caches[QUOTAS].phase == STOPPED:
            return (("list", (QUOTAS,)),)
        return NO_STEPS

    def own_steps(self, local: State) -> tuple[Step, ...]:
        """Mirror what some quota names and nobody mirrors yet."""
        caches = local.caches
        if not caches[QUOTAS].store:
            return NO_STEPS
        return tuple([("list", (lane,)) for lane in self.wanted_lanes(local)
                      if caches[lane].phase == STOPPED])

    def wanted_lanes(self, local: State) -> tuple[str, ...]:
        """The collections that quotas name, in a fixed order."""
        names = [name for quota in local.caches[QUOTAS].store.values()
                 for name, _ in hard_of(quota)]
        return lanes_of(tuple(names))

    def alarm(self, local: State, key: str, io: Io) -> State:
        io.after(RESYNC_MS, _RESYNC)
        return self.enqueue(local, local.caches[QUOTAS].store.keys())

    # -- handlers -------------------------------------------------------------------------------

    def observed(self, local: State, lane: str, change: Change, io: Io) -> State:
        if lane != QUOTAS:
            return local
        if change.new is None:
            return local._replace(memory=local.memory.drop(change.key))
        seen = Seen(change.new.metadata.resource_version, io.now)
        return local._replace(memory=local.memory.set(change.key, seen))

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        mine = (change.key,) if lane == QUOTAS and change.new is not None else ()
        old, new = change.old, change.new
        if old is not None and new is not None and same_use(old, new, lane):
            return mine
        namespace = split_key(change.key)[0]
        reflector = self.reflector(QUOTAS)
        found = reflector.keys_by(local.caches[QUOTAS], "namespace", namespace)
        return tuple(dict.fromkeys((*mine, *found)))

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        quota: ResourceQuota | None = self.cached(local, QUOTAS, key)
        if quota is None or quota.metadata.deletion_timestamp is not None:
            return self.done(local)
        hard = hard_of(quota)
        if not self.is_ready(local, hard):
            work_queue.add_after(io, key, UNREADY_MS)
            return self.done(local)
        status = quota.status or ResourceQuotaStatus()
        counted = self.counted(local, quota)
        wait_ms = self.wait_ms(local, key, io)
        used = settled(dict(status.used or ()), counted, wait_ms == 0)
        if wait_ms and any(compare(used[name], counted[name]) > 0 for name in counted):
            work_queue.add_after(io, key, wait_ms)
        wish = ResourceQuotaStatus(hard, pairs(used), status.rest)
        if wish == status or (status.hard == hard and same_amounts(status.used, wish.used)):
            return self.done(local)
        return self.ask(local, update_status(with_status(quota, wish)), "status", io)

    def wait_ms(self, local: State, key: str, io: Io) -> int:
        """How long until the quota counts as settled; 0 when it does."""
        return max(0, local.memory[key].since_ms + SETTLE_MS - io.now)

    def is_ready(self, local: State, hard: Pairs) -> bool:
        """Whether all that the quota counts is mirrored and followed."""
        caches = local.caches
        return all(caches[lane].synced and caches[lane].phase == WATCHING
                   for lane in (QUOTAS, *lanes_of(tuple(name for name, _ in hard))))

    def counted(self, local: State, quota: ResourceQuota) -> dict[str, str]:
        """What exists, by the names that the quota limits."""
        names = tuple(name for name, _ in hard_of(quota))
        namespace = quota.metadata.namespace or ""
        found = [(obj, lane) for lane in lanes_of(names)
                 for obj in self.reflector(lane).by(local.caches[lane], "namespace", namespace)
                 if evaluator.concerns(quota, obj)]
        return evaluator.total(found, names)


# -- quotas --------------------------------------------------------------------------------------


def hard_of(quota: ResourceQuota) -> Pairs:
    """The limits that the user set."""
    return (quota.spec.hard if quota.spec is not None else None) or ()


def lanes_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """The collections that must be counted for these names of limits."""
    wanted = {_lane_of(name): None for name in names}
    return tuple(lane for lane in evaluator.COUNTED if lane in wanted)


def _lane_of(name: str) -> str:
    plain = name.removeprefix("count/")
    if plain in evaluator.COUNTED:
        return plain
    return "services" if plain.startswith("services.") else "pods"


def same_use(old: Any, new: Any, lane: str) -> bool:
    """Whether a change of an object leaves every count as it was."""
    return evaluator.usage(old, lane) == evaluator.usage(new, lane)


def same_amounts(left: Pairs | None, right: Pairs | None) -> bool:
    """Whether two maps of quantities hold the same amounts under the same names."""
    first, second = dict(left or ()), dict(right or ())
    return first.keys() == second.keys() and all(
        compare(amount, second[name]) == 0 for name, amount in first.items())


def settled(used: dict[str, str], counted: dict[str, str], may_lower: bool) -> dict[str, str]:
    """What to write: the count, but nothing less than what is charged until that may be."""
    result = {}
    for name, amount in counted.items():
        charged = used.get(name)
        keep = charged is not None and not may_lower and compare(charged, amount) > 0
        same = charged is not None and compare(charged, amount) == 0
        result[name] = charged if charged is not None and (keep or same) else amount
    return result


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The quota controller of a cluster."""
    return (ResourceQuotas(),)
