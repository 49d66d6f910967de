"""What quotas promise: the limit holds, the number told is what exists; and the bugs this catches.

What an object uses is counted here once more, from the documents, limit by limit, and not by the
function that admission and controller use. Source: Kubernetes documentation, "Resource Quotas".
"""

from __future__ import annotations

from typing import Any

from model.api.objects import timestamp
from model.api.quantities import parse
from model.controllers.resource_quota import SPEC
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, each, leads_to, sometimes
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, objects, stored, title
from reference_impl.controllers.resource_quota import (
    QUOTAS,
    SETTLE_MS,
    ResourceQuotas,
    State,
)

NAME = "controllers/resource-quota"
WHOLE = Part(NAME)
YOUNG_MS = 10_000
"""A creation that was admitted before the quota had a status is not charged; so long it may take
until the controller has counted it."""
ENDED = ("Succeeded", "Failed")


# ---- measuring ---------------------------------------------------------------------------------


def measure(limit: str, plural: str, obj: Any) -> int:
    """How many billionths of what `limit` counts one object of a collection uses."""
    if limit == f"count/{plural}":
        return 10**9
    if plural == "pods":
        phase = obj.status.phase if obj.status is not None else None
        return 0 if phase in ENDED else _of_pod(limit, obj)
    if plural == "services" and limit in ("services.nodeports", "services.loadbalancers"):
        return _of_service(limit, obj.spec)
    return 10**9 if limit == plural else 0


def _of_pod(limit: str, pod: Any) -> int:
    if limit == "pods":
        return 10**9
    which, _, resource = limit.partition(".")
    if which not in ("requests", "limits"):
        which, resource = "requests", limit
    spec = pod.spec
    if spec is None:
        return 0
    long_lived = sum(_amount(each, which, resource) for each in spec.containers or ())
    return max([long_lived, *(_amount(each, which, resource)
                              for each in spec.init_containers or ())])


def _amount(container: Any, which: str, resource: str) -> int:
    given = getattr(container.resources, which, None) or ()
    return sum(parse(text).nano for name, text in given if name == resource)


def _of_service(limit: str, spec: Any) -> int:
    if limit == "services.loadbalancers":
        return 10**9 if spec.type == "LoadBalancer" else 0
    if spec.type == "NodePort" or (spec.type == "LoadBalancer"
                                   and spec.allocate_load_balancer_node_ports is not False):
        return 10**9 * len(spec.ports or ())
    return 0


def plural_of(limit: str) -> str:
    """The collection that a limit counts."""
    name = limit.removeprefix("count/")
    if "/" in limit or name in ("services", "replicationcontrollers", "secrets", "configmaps",
                                "resourcequotas"):
        return name
    return "services" if name.startswith("services.") else "pods"


def has_scopes(quota: Any) -> bool:
    """Whether a quota counts only some pods; the measure here does not know scopes."""
    return bool(quota.spec.scopes or quota.spec.scope_selector)


def exists(world: World, quota: Any, limit: str) -> int:
    """What is stored of what a limit counts."""
    plural = plural_of(limit)
    prefix = f"/registry/{plural}/{quota.metadata.namespace}/"
    return sum(measure(limit, plural, entry.value) for key, entry in world["etcd"].kv.items()
               if key.startswith(prefix))


# ---- promises ----------------------------------------------------------------------------------


@each(of=KV, prefix="/registry/resourcequotas/", why="the limit is what a quota is for")
def a_quota_is_never_used_above_its_limit(world: World, key: str, old: Any,
                                          new: Any) -> str | None:
    """Usage that was within the limit stays there, unless the limit was lowered."""
    if old is None or new is None or is_young(world, new.value):
        return None
    before, after = old.value, new.value
    if before.status is None or after.status is None:
        return None
    limits, used = dict(before.status.hard or ()), dict(before.status.used or ())
    for name, amount in after.status.used or ():
        hard = dict(after.status.hard or ()).get(name)
        if hard is None or hard != limits.get(name) or name not in used:
            continue
        if parse(amount).nano > parse(hard).nano >= parse(used[name]).nano:
            return f"{title(after)} uses {amount} of {hard} {name}"
    return None


def is_young(world: World, quota: Any) -> bool:
    """Whether something that was admitted without the quota may still come."""
    since: str = timestamp(max(0, world.now - YOUNG_MS))
    return bool((quota.metadata.creation_timestamp or "") >= since)


@each(of=KV, prefix="/registry/pods/", why="what is not charged lets the next one pass the limit")
def a_pod_is_charged_before_it_is_stored(world: World, key: str, old: Any,
                                         new: Any) -> str | None:
    """What is told of a quota covers every pod that is there."""
    if old is not None or new is None or NAME not in world:
        return None
    namespace = new.value.metadata.namespace
    for known in world[NAME].caches[QUOTAS].store.values():
        metadata = known.metadata
        if metadata.namespace != namespace or has_scopes(known):
            continue
        quota = stored(world, QUOTAS, namespace, metadata.name)
        if quota is None or quota.status is None or is_young(world, quota):
            continue
        for name, told in quota.status.used or ():
            there = exists(world, quota, name) if plural_of(name) == "pods" else 0
            if there > parse(told).nano:
                return (f"{title(quota)} tells {told} {name}, with {title(new.value)} there are "
                        f"{there / 10**9:g}")
    return None


@leads_to(within_ms=600_000, reads=(KV,), why="a leaked charge is room that nobody can use")
def what_a_quota_tells_is_what_exists(world: World) -> str | None:
    """Every number of every status is the number of what is stored."""
    for quota in objects(world, QUOTAS):
        if quota.metadata.deletion_timestamp is not None or has_scopes(quota):
            continue
        used = dict((quota.status.used if quota.status is not None else None) or ())
        for name, _ in quota.spec.hard or ():
            there = exists(world, quota, name)
            if name not in used or parse(used[name]).nano != there:
                return (f"{title(quota)} tells {used.get(name)} {name}, there are "
                        f"{there / 10**9:g}")
    return None


@sometimes(reads=(Part(NAME, "caches"),), why="a quota with room for all limits nothing")
def a_quota_is_full(world: World) -> bool:
    """Some limit is used up."""
    return any(parse(dict(quota.status.used or ()).get(name, "0")).nano == parse(hard).nano > 0
               for quota in world[NAME].caches[QUOTAS].store.values()
               if quota.status is not None for name, hard in quota.status.hard or ())


# ---- refinement --------------------------------------------------------------------------------


Entries = FrozenMap[str, Any]
_counts: dict[str, Any] = {"key": (), "value": (EMPTY, EMPTY, EMPTY)}


def derived(local: State) -> tuple[Entries, Entries, Entries]:
    """used, counted and synced by entry ("team/small pods"), from the caches."""
    quotas = local.caches[QUOTAS].store
    if not quotas:
        return EMPTY, EMPTY, EMPTY
    key = tuple((each.store, each.synced) for each in local.caches.values())
    known = _counts["key"]
    if len(known) == len(key) and all(a[0] is b[0] and a[1] == b[1]
                                      for a, b in zip(known, key, strict=True)):
        found: tuple[Entries, Entries, Entries] = _counts["value"]
        return found
    used, counted, synced = {}, {}, {}
    for name, quota in quotas.items():
        told = dict((quota.status.used if quota.status is not None else None) or ())
        for limit, _ in quota.spec.hard or ():
            entry = f"{name} {limit}"
            cache = local.caches[plural_of(limit)]
            used[entry] = parse(told[limit]).nano if limit in told else -1
            counted[entry] = sum(measure(limit, plural_of(limit), obj)
                                 for obj in cache.store.values()
                                 if obj.metadata.namespace == quota.metadata.namespace)
            synced[entry] = cache.synced
    result = FrozenMap(used.items()), FrozenMap(counted.items()), FrozenMap(synced.items())
    _counts["key"], _counts["value"] = key, result
    return result


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    used, counted, synced = derived(local)
    slot = world.slots[world.names[NAME]]
    clock = world.now + slot.skew
    settled = FrozenMap((entry, True) for entry in used
                        if clock - local.memory[entry.split(" ")[0]].since_ms >= SETTLE_MS)
    return {"stage": EMPTY, "charged": EMPTY, "current": EMPTY, "calm": False, "synced": synced,
            "used": used, "counted": counted, "settled": settled}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    if step.action.verb == "restart":
        return (Label("crash"),)
    before, after = state(step.before), state(step.after)
    found = [Label("forget", (entry,)) for entry in before["used"] if entry not in after["used"]]
    for entry, _, new in before["synced"].diff(after["synced"]):
        if new:
            found.append(Label("sync", (entry,)))
    seen = step.before[NAME].memory, step.after[NAME].memory
    for entry in after["used"]:
        quota = entry.split(" ")[0]
        if seen[0].get(quota) != seen[1].get(quota):
            found.append(Label("learn", (entry, after["used"].get(entry, 0))))
        if before["counted"].get(entry, 0) != after["counted"].get(entry, 0):
            found.append(Label("count_anew", (entry, after["counted"].get(entry, 0))))
    for _, lane, body in step.sent:
        if lane == "work":
            found.extend(_writes(body.body, after["used"]))
    return tuple(found)


def _writes(quota: Any, used: Entries) -> list[Label]:
    metadata = quota.metadata
    wanted = {f"{metadata.namespace}/{metadata.name} {name}": parse(amount).nano
              for name, amount in quota.status.used or ()}
    return [Label("write", (entry, amount)) for entry, amount in wanted.items()
            if used.get(entry) != amount]


REFINEMENT = refinement(
    "the_quota_controller_writes_what_its_spec_allows", SPEC, reads=(WHOLE,), state=state,
    labels=labels, constants={"server": 0},
    why="a number that is too low lets creations pass that the limit forbids")

PROPERTIES: tuple[Property, ...] = (
    a_quota_is_never_used_above_its_limit, a_pod_is_charged_before_it_is_stored,
    what_a_quota_tells_is_what_exists, a_quota_is_full, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def settled_at_once(self: ResourceQuotas, local: State, key: str, io: Any) -> int:
    """What the cache shows is written as it is, charged creations under way or not."""
    return 0


def never_lowered(used: dict[str, str], counted: dict[str, str],
                  may_lower: bool) -> dict[str, str]:
    """What was charged stays charged, also when the creation failed or the object went."""
    return {name: used[name] if name in used and parse(used[name]).nano > parse(amount).nano
            else amount for name, amount in counted.items()}


def not_intercepted(*of_an_update: Any) -> tuple[Any, ...]:
    """An update is charged nothing, whatever it uses more."""
    return ()


_MODULE = "reference_impl.controllers.resource_quota"
MUTANTS = (
    Mutant("quota-update-not-intercepted", "quota-update-not-intercepted",
           "a_quota_is_never_used_above_its_limit",
           (("reference_impl.apiserver.registry.store:Store._update_charges", not_intercepted),),
           scenario="quota-of-services"),
    Mutant("quota-controller-overwrites-used", "quota-controller-overwrites-used",
           "the_quota_controller_writes_what_its_spec_allows",
           ((f"{_MODULE}:ResourceQuotas.wait_ms", settled_at_once),), scenario="quota"),
    Mutant("quota-not-rolled-back-on-failed-create", "quota-not-rolled-back-on-failed-create",
           "what_a_quota_tells_is_what_exists", ((f"{_MODULE}:settled", never_lowered),),
           scenario="quota"),
)
