"""What namespaces promise: one that is gone is empty, one that ends goes; and what breaks it.

Source: Kubernetes documentation, "Namespaces"; kubernetes issues 36891 and 93790.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from model.api.objects import timestamp
from model.controllers.namespace import SPEC
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, each, leads_to, sometimes
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, objects
from reference_impl.controllers.namespace import CONTENT, Namespaces, State, Work

NAME = "controllers/namespace"
WORK = Part(NAME, "work")
OWN_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes",
                  "service.kubernetes.io/load-balancer-cleanup")


# ---- promises ----------------------------------------------------------------------------------


@each(of=KV, prefix="/registry/", why="an orphan of a namespace can be reached by nobody")
def every_stored_object_lies_in_a_namespace_that_exists(world: World, key: str, old: Any,
                                                        new: Any) -> str | None:
    """Nothing comes into a namespace that is not there, and none goes before its content."""
    kv = world["etcd"].kv
    parts = key.split("/")
    if new is not None:
        namespace = new.value.metadata.namespace if hasattr(new.value, "metadata") else None
        if not namespace or f"/registry/namespaces/{namespace}" in kv:
            return None
        return f"{key} is stored, the namespace {namespace} is not"
    if parts[2] != "namespaces":
        return None
    left = [each for each in kv if each.split("/")[3:4] == [parts[3]] and each != key
            and len(each.split("/")) == 5]
    return f"the namespace {parts[3]} went before {', '.join(left)}" if left else None


@leads_to(within_ms=600_000, reads=(KV,), why="its name cannot be used again until it is gone")
def a_deleted_namespace_goes(world: World) -> str | None:
    """Unless something in it is held by a finalizer of somebody outside."""
    for namespace in objects(world, "namespaces"):
        name = namespace.metadata.name
        if namespace.metadata.deletion_timestamp is not None and not _held(world, name):
            return f"the namespace {name} is still ending"
    return None


def _held(world: World, name: str) -> bool:
    for key, entry in world["etcd"].kv.items():
        parts = key.split("/")
        if len(parts) == 5 and parts[3] == name and any(
                finalizer not in OWN_FINALIZERS
                for finalizer in entry.value.metadata.finalizers or ()):
            return True
    return False


@sometimes(reads=(WORK,), why="an empty namespace proves little")
def a_namespace_is_swept_that_has_content(world: World) -> bool:
    """A sweep found something and will have to come back."""
    work = world[NAME].work
    return work is not None and bool(work.left)


# ---- refinement --------------------------------------------------------------------------------


def _sweep_of(local: State) -> tuple[str, str, Work | None]:
    """Which namespace is in hand, and what is done with it, in the words of the spec."""
    work: Work | None = local.work
    if work is None:
        return "", "nothing", None
    if work.at in ("delete", "list", "one", "look"):
        return local.key, "sweeping", work
    doing = "releasing" if work.at == "status" and not work.left else "nothing"
    return local.key, doing, work


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    name, doing, work = _sweep_of(world[NAME])
    sweeping = doing == "sweeping" and work is not None
    return {"phase": EMPTY, "stage": EMPTY, "place": EMPTY, "collection": EMPTY, "failed": 0,
            "doing": FrozenMap([(name, doing)]) if doing != "nothing" else EMPTY,
            "next": FrozenMap([(name, work.next)]) if sweeping and work is not None else EMPTY,
            "found": FrozenMap([(name, True)])
            if sweeping and work is not None and work.left else EMPTY}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    old, was, before = _sweep_of(step.before[NAME])
    new, now, after = _sweep_of(step.after[NAME])
    if step.action.verb == "restart" or (after is None and _failed(step)):
        return (Label("give_up", (old,)),) if was != "nothing" else ()
    found: list[Label] = []
    if was == "nothing" and now == "sweeping":
        found.append(Label("begin", (new, _waited_ms(step))))
    if was == "sweeping" and before is not None:
        found.extend(_looked(old, before, after))
        if now != "sweeping":
            found.append(Label("judge", (old,)))
            was = now if now == "releasing" else ("nothing" if _has_left(after, before, step)
                                                  else "releasing")
    finalizes = (after is not None and after.at == "finalize"
                 and (before is None or before.at != "finalize"))
    if finalizes or (was == "releasing" and now == "nothing"):
        found.append(Label("release", (old,)))
    return tuple(found)


def _failed(step: Transition) -> bool:
    """Whether the answer to a request of the sweep was a failure, or none."""
    body = step.message.body if step.message is not None else None
    return getattr(body, "code", 500) >= 400


def _looked(name: str, before: Work, after: Work | None) -> list[Label]:
    if after is None:
        # The last look and a status that needs no word: found as before, or more.
        return [Label("look", (name, True))]
    if after.next == before.next:
        return []
    return [Label("look", (name, after.left != before.left))]


def _has_left(after: Work | None, before: Work, step: Transition) -> bool:
    return after is None or bool(after.left)


def _waited_ms(step: Transition) -> int:
    """How long ago the deletion was, as the stored time (whole seconds) and a clock tell.

    The controller's own clock may have been set in between, forward or back; its timer ran by it.
    That of the two clocks counts which has waited longer.
    """
    local: State = step.after[NAME]
    deleted = _seconds(local.work.namespace.metadata.deletion_timestamp)
    skew = max(0, step.before.slots[step.mover].skew)
    return (_seconds(timestamp(step.before.now + skew)) - deleted) * 1000


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


REFINEMENT = refinement(
    "the_namespace_controller_sweeps_as_its_spec_allows", SPEC, reads=(WORK,), state=state,
    labels=labels, constants={"server": 0, "collections": len(CONTENT), "hold_off": 5_000},
    why="a namespace that is let go too early leaves orphans")

PROPERTIES: tuple[Property, ...] = (
    every_stored_object_lies_in_a_namespace_that_exists, a_deleted_namespace_goes,
    a_namespace_is_swept_that_has_content, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def swept_at_once(self: Namespaces) -> int:
    """Creations that were admitted before the deletion may still be on their way."""
    return 0


def released_after_one_sweep(self: Namespaces, work: Work) -> bool:
    """What the sweep has deleted is taken for gone."""
    return True


def not_supported_for_ever(self: Namespaces, local: State, work: Work, io: Io) -> State:
    """A collection that cannot be deleted as a whole is left alone."""
    return self._sweep(local, work._replace(next=work.next + 1), io)


_MODULE = "reference_impl.controllers.namespace:Namespaces"
MUTANTS = (
    Mutant("object-created-in-terminating-namespace", "object-created-in-terminating-namespace",
           "the_namespace_controller_sweeps_as_its_spec_allows",
           ((f"{_MODULE}.hold_off_ms", swept_at_once),), scenario="tenant"),
    Mutant("namespace-released-after-one-sweep",
           "what a sweep has deleted is taken for gone, though it may take its time",
           "the_namespace_controller_sweeps_as_its_spec_allows",
           ((f"{_MODULE}.may_release", released_after_one_sweep),), scenario="ending-namespace"),
    Mutant("namespace-permanent-unsupported-cache", "namespace-permanent-unsupported-cache",
           "every_stored_object_lies_in_a_namespace_that_exists",
           ((f"{_MODULE}.one_by_one", not_supported_for_ever),), scenario="ending-namespace"),
)
