"""Stage three: who owns which fields, and server-side apply.

Every object may carry, in `metadata.managedFields`, one entry for each manager with the set of
fields that it set last. A write takes the fields that it changes; an apply owns exactly the fields
that it names, fails where it would change one that another manager owns, and removes what it named
before and nobody owns any more.

Creations are tracked where the server is told to (`field-management`); from then on, or from the
first apply on, every write of the object is. Objects that nobody tracks cost one look at bytes.
Source: Kubernetes documentation, "Server-Side Apply", and KEP-555.

Not modelled: managers of one kind under several versions, because each kind has one; the scale
subresource as a view of the same field, because its writes take the field like any other.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from model.api.objects import (
    ConfigMap,
    Metadata,
    Pairs,
    Secret,
    api_version_of,
    canonical_json,
    thaw,
    timestamp,
    with_metadata,
)
from model.api.requests import Cause, Status
from model.api.schema import FREE_SHAPE, Shape, shape_of
from reference_impl.apiserver.registry import field_sets
from reference_impl.apiserver.registry.field_sets import (
    Tree,
    applied_set,
    compared,
    difference,
    intersection,
    merged,
    paths,
    pruned,
    union,
)

APPLY, UPDATE = "Apply", "Update"
FIELD = "managedFields"
_MARK = b'"managedFields"'
BEFORE_FIRST_APPLY = "before-first-apply"
ANCIENT = "ancient-changes"
UPDATERS_MAX = 10
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
_UNTRACKED: Tree = {
    "f:apiVersion": {}, "f:kind": {}, "f:metadata": {
        ".": {}, "f:name": {}, "f:namespace": {}, "f:creationTimestamp": {}, "f:selfLink": {},
        "f:uid": {}, "f:generation": {}, "f:managedFields": {}, "f:resourceVersion": {}}}
"""Fields that nobody owns: what names the object, and what only the server sets."""
_INTERNAL = (("kubelet/", "kubelet"), ("scheduler", "kube-scheduler"),
             ("kube-proxy/", "kube-proxy"), ("kubectl", "kubectl"))


class Entry(NamedTuple):
    """One manager's entry; `fields` is a tree as in `field_sets`."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str | None
    fields: Tree | None

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes two entries the same manager's."""
        version = "" if self.operation == APPLY else self.api_version
        return self.manager, self.operation, self.subresource, version


class Author(NamedTuple):
    """Who writes, by which operation, through which subresource, when."""

    manager: str
    operation: str
    subresource: str
    now: int


def manager_of(asked: str, client: str) -> str:
    """The manager of a request: the one it names, else the program that sent it."""
    if asked:
        return asked
    for head, name in _INTERNAL:
        if client.startswith(head):
            return name
    return "kube-controller-manager" if client.startswith("controllers/") else "unknown"


# -- entries in metadata -------------------------------------------------------------------------

def is_tracked(metadata: Metadata) -> bool:
    """Whether an object has entries."""
    return bool(metadata.rest) and _MARK in metadata.rest


@lru_cache(maxsize=4096)
def _entries(rest: bytes) -> tuple[Entry, ...]:
    found = json.loads(rest).get(FIELD)
    return tuple(Entry(str(each.get("manager", "")), str(each.get("operation", UPDATE)),
                       str(each.get("apiVersion", "")), str(each.get("subresource", "")),
                       each.get("time"), _tree(each.get("fieldsV1")))
                 for each in (found if isinstance(found, list) else ())
                 if isinstance(each, dict) and each)


def _tree(value: Any) -> Tree | None:
    """A tree as a client may have sent it, without what is none."""
    if not isinstance(value, dict):
        return None
    return {key: _tree(child) or {} for key, child in value.items()
            if key == field_sets.SELF or key[:2] in ("f:", "k:", "v:")}


def unowned(obj: Any) -> Any:
    """An object as a client posts it: its entries, if it brought any, mean nothing."""
    if obj is None or not is_tracked(obj.metadata):
        return obj
    return with_entries(obj, ())


def entries_of(metadata: Metadata) -> tuple[Entry, ...]:
    """The entries of an object."""
    return _entries(metadata.rest) if is_tracked(metadata) else ()


def _document(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"manager": entry.manager, "operation": entry.operation,
                             "apiVersion": entry.api_version}
    if entry.time is not None:
        found["time"] = entry.time
    found.update(fieldsType="FieldsV1", fieldsV1=entry.fields or {})
    if entry.subresource:
        found["subresource"] = entry.subresource
    return found


def _order(entry: Entry) -> tuple[str, ...]:
    return (entry.operation, entry.time or "", entry.manager, entry.api_version,
            entry.subresource)


def with_entries(obj: Any, entries: tuple[Entry, ...]) -> Any:
    """The object with these entries, in the order in which Kubernetes writes them."""
    return with_metadata(obj, obj.metadata._replace(rest=_rest_with(obj.metadata.rest, entries)))


def _rest_with(rest: bytes, entries: tuple[Entry, ...]) -> bytes:
    kept = _capped([each for each in entries if each.fields])
    fields: dict[str, Any] = json.loads(rest) if rest else {}
    fields.pop(FIELD, None)
    if kept:
        fields[FIELD] = [_document(each) for each in sorted(kept, key=_order)]
    return canonical_json(fields) if fields else b""


def _capped(entries: list[Entry]) -> list[Entry]:
    """The oldest updaters share one entry when there are too many."""
    updaters = sorted((each for each in entries if each.operation == UPDATE
                       and not each.subresource), key=lambda each: (each.time or "", *each[:1]))
    over = len(updaters) - UPDATERS_MAX
    if over <= 0:
        return entries
    old = updaters[:over + 1]
    ancient = Entry(ANCIENT, UPDATE, old[-1].api_version, "", old[-1].time,
                    field_sets.merge_all(each.fields for each in old))
    return [*(each for each in entries if each not in old), ancient]


# -- creations and updates -----------------------------------------------------------------------

EMPTY_TEMPLATE: dict[str, Any] = {"metadata": {}, "spec": {"containers": None}}
EMPTY_OBJECTS: dict[str, dict[str, Any]] = {
    "Pod": {"spec": {"containers": None}, "status": {}},
    "ReplicationController": {"spec": {}, "status": {}},
    "ReplicaSet": {"spec": {"selector": None, "template": EMPTY_TEMPLATE}, "status": {}},
    "Deployment": {"spec": {"selector": None, "template": EMPTY_TEMPLATE, "strategy": {}},
                   "status": {}},
    "StatefulSet": {"spec": {"selector": None, "template": EMPTY_TEMPLATE, "updateStrategy": {}},
                    "status": {}},
    "DaemonSet": {"spec": {"selector": None, "template": EMPTY_TEMPLATE, "updateStrategy": {}},
                  "status": {}},
    "Job": {"spec": {"template": EMPTY_TEMPLATE}, "status": {}},
    "CronJob": {"spec": {"jobTemplate": {"metadata": {}, "spec": {"template": EMPTY_TEMPLATE}}},
                "status": {}},
    "Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "Node": {"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {}}, "nodeInfo": {}}},
    "PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    "HorizontalPodAutoscaler": {"spec": {"scaleTargetRef": {}}, "status": {}},
    "Ingress": {"spec": {}, "status": {"loadBalancer": {}}},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "LimitRange": {"spec": {"limits": None}},
    "Role": {"rules": None}, "ClusterRole": {"rules": None},
    "EndpointSlice": {"endpoints": None, "ports": None},
    "CustomResourceDefinition": {
        "spec": {"names": {}, "versions": None},
        "status": {"conditions": None, "acceptedNames": {}, "storedVersions": None}},
}
"""What a new, empty object of a kind holds already: its inner structs are nobody's."""
_SPEC_ONLY: dict[str, Any] = {"spec": {}, "status": {}}


def _empty(obj: Any) -> dict[str, Any]:
    if "." in api_version_of(obj).partition("/")[0] and shape_of(
            api_version_of(obj), obj.kind) is None:
        return {"metadata": {}}
    return {"metadata": {}, **EMPTY_OBJECTS.get(obj.kind, _SPEC_ONLY)}


def created(obj: Any, author: Author, shape: Shape) -> Any:
    """A new object, owned by its creator as it was sent and defaulted."""
    metadata = obj.metadata
    bare = with_metadata(obj, Metadata(
        generate_name=metadata.generate_name and "x", labels=_names_of(metadata.labels),
        annotations=_names_of(metadata.annotations),
        owner_references=metadata.owner_references, finalizers=metadata.finalizers))
    if type(obj) in (ConfigMap, Secret):
        bare = bare._replace(data=_names_of(obj.data))
    # Many objects of one shape come at a time, from one client: what they get is kept ready.
    rest = _created_rest(bare, metadata.rest, author.manager, author.subresource,
                         timestamp(author.now), shape)
    return with_metadata(obj, metadata._replace(rest=rest))


def _names_of(pairs: Pairs | None) -> Pairs | None:
    """A map without its values, which ownership does not depend on."""
    return pairs and tuple((key, "") for key, _ in pairs)


@lru_cache(maxsize=4096)
def _created_rest(bare: Any, rest: bytes, manager: str, subresource: str, time: str,
                  shape: Shape) -> bytes:
    changed, _ = compared(_empty(bare), thaw(bare), shape)
    entry = Entry(manager, UPDATE, api_version_of(bare), subresource, time, _owned(changed, ""))
    return _rest_with(rest, (entry,))


def updated(old: Any, new: Any, author: Author, shape: Shape) -> Any:
    """The new state of a tracked object, with what the write changed owned by its author."""
    if not is_tracked(new.metadata):
        return new
    changed, removed = _change(old, new, author.subresource, shape)
    if changed is None and removed is None:
        return _with_times_of(old, new)
    mine = Entry(author.manager, UPDATE, api_version_of(new), author.subresource,
                 timestamp(author.now), changed)
    entries = []
    for entry in entries_of(new.metadata):
        left = _released(entry, changed, removed)
        if entry.identity == mine.identity:
            mine = mine._replace(fields=union(changed, left.fields),
                                 time=mine.time if changed is not None else entry.time)
        else:
            entries.append(left)
    return with_entries(new, (*entries, mine))


def _with_times_of(old: Any, new: Any) -> Any:
    """A state in which nothing changed but perhaps the times in the entries: they stay, too, so
    that the write is none."""
    before, after = entries_of(old.metadata), entries_of(new.metadata)
    if before == after or _timeless(before) != _timeless(after):
        return new
    return with_entries(new, before)


def _timeless(entries: tuple[Entry, ...]) -> list[Any]:
    return sorted((each._replace(time=None) for each in entries), key=lambda each: each.identity)


def _change(old: Any, new: Any, subresource: str, shape: Shape) -> tuple[Tree | None, Tree | None]:
    """What a write changed and removed, without the fields that nobody owns."""
    before, after = _different_parts(old, new)
    changed, removed = compared(before, after, shape)
    return _owned(changed, subresource), _owned(removed, subresource)


_CLIENTS_METADATA = ("generate_name", "labels", "annotations", "owner_references", "finalizers")


def _different_parts(old: Any, new: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both objects as documents, without the parts that are equal anyway."""
    if type(old) is not type(new):
        return _bare(thaw(old)), _bare(thaw(new))
    one, other = old.metadata, new.metadata
    names = [name for name in _CLIENTS_METADATA if getattr(one, name) != getattr(other, name)]
    same = {name: None for name, mine, theirs in zip(old._fields[2:], old[2:], new[2:], strict=True)
            if name not in ("rest", "api_version") and (mine is theirs or mine == theirs)}
    return (thaw(old._replace(metadata=_part(one, names), **same)),
            thaw(new._replace(metadata=_part(other, names), **same)))


def _part(metadata: Metadata, names: list[str]) -> Metadata:
    return Metadata(**{name: getattr(metadata, name) for name in names})


def _bare(document: dict[str, Any]) -> dict[str, Any]:
    """A document without its entries."""
    metadata = document.get("metadata") or {}
    if FIELD not in metadata:
        return document
    return {**document, "metadata": {key: value for key, value in metadata.items()
                                     if key != FIELD}}


def _owned(fields: Tree | None, subresource: str) -> Tree | None:
    """A set without what nobody owns, and without what the request cannot write."""
    if fields is not None and not _UNTRACKED.keys().isdisjoint(fields):
        fields = difference(fields, _UNTRACKED)
    if fields is None:
        return None
    other = "f:spec" if subresource == "status" else "f:status"
    if other not in fields:
        return fields
    return difference(fields, {other: fields[other]})


# -- apply ---------------------------------------------------------------------------------------

class ApplyError(Exception):
    """An apply that is refused; `status` says why."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


def applied(live: Any, config: dict[str, Any], author: Author, force: bool,
            shape: Shape) -> dict[str, Any]:
    """The document of an object after an apply, its entries with it. `live` is None where the
    apply creates the object. ApplyError with the conflicts, or what is wrong with the document."""
    mine = _claim(config, author, shape)
    if live is None:
        return _with_documents(config, [mine])
    document = _bare(thaw(live))
    entries = {each.identity: each for each in entries_of(live.metadata)}
    if not entries:
        entries = _taken_before(live, document, author, shape)
    last = entries.get(mine.identity)
    others = [each for each in entries.values() if each.identity != mine.identity]
    result = _merged_and_pruned(document, config, mine, last, others, shape)
    changed, removed = compared(document, result, shape)
    conflicts = _conflicting(others, changed)
    if conflicts and not force:
        allowed = _from_client_side(live, document, shape) if author.manager == KUBECTL else None
        conflicts = [(each, left) for each, both in conflicts
                     if (left := difference(both, allowed)) is not None]
        if conflicts:
            raise ApplyError(_conflict(conflicts))
    if changed is None and removed is None:
        mine = mine._replace(time=_time_of(last))
    kept = [_released(each, changed, removed) for each in others]
    _sync_last_applied(result, config, author)
    return _with_documents(result, [*kept, mine])


def _conflicting(others: list[Entry], changed: Tree | None) -> list[tuple[Entry, Tree]]:
    """Whose fields an apply would change, and which."""
    return [(each, both) for each in others
            if (both := intersection(each.fields, changed)) is not None]


def _released(entry: Entry, changed: Tree | None, removed: Tree | None) -> Entry:
    """What is left to a manager after somebody else's write."""
    return entry._replace(fields=difference(difference(entry.fields, changed), removed))


def _time_of(last: Entry | None) -> str | None:
    """An apply that changes nothing happened when it happened first."""
    return None if last is None else last.time


def _claim(config: dict[str, Any], author: Author, shape: Shape) -> Entry:
    """What an apply owns afterwards: the fields that it names."""
    try:
        named = _owned(applied_set(config, shape), author.subresource)
    except field_sets.DuplicateError as error:
        metadata = config.get("metadata") or {}
        version = config.get("apiVersion", "")
        raise ApplyError(Status(code=500, message="failed to create typed patch object ("
                                f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; "
                                f"{version if '/' in version else '/' + version}, Kind="
                                f"{config.get('kind', '')}): {error}")) from None
    return Entry(author.manager, APPLY, config.get("apiVersion", ""), author.subresource,
                 timestamp(author.now), named)


def _taken_before(live: Any, document: dict[str, Any], author: Author,
                  shape: Shape) -> dict[tuple[str, ...], Entry]:
    """An object that nobody tracked is all its earlier writers'."""
    changed, _ = compared(_empty(live), document, shape)
    entry = Entry(BEFORE_FIRST_APPLY, UPDATE, api_version_of(live), "", timestamp(author.now),
                  _owned(changed, ""))
    return {entry.identity: entry}


def _merged_and_pruned(document: dict[str, Any], config: dict[str, Any], mine: Entry,
                       last: Entry | None, others: list[Entry], shape: Shape) -> dict[str, Any]:
    both = merged(document, {key: value for key, value in config.items() if key != "status"}
                  if mine.subresource != "status" else config, shape)
    owned = field_sets.merge_all([mine.fields, *(each.fields for each in others)])
    result: dict[str, Any] = pruned(both, shape, None if last is None else last.fields, owned)
    return result


def _with_documents(document: dict[str, Any], entries: list[Entry]) -> dict[str, Any]:
    kept = _capped([each for each in entries if each.fields])
    metadata = {**(document.get("metadata") or {}),
                FIELD: [_document(each) for each in sorted(kept, key=_order)]}
    if not kept:
        del metadata[FIELD]
    return {**document, "metadata": metadata}


def _from_client_side(live: Any, document: dict[str, Any], shape: Shape) -> Tree | None:
    """What a client-side apply set and nobody changed since: `kubectl` may take that over."""
    text = dict(live.metadata.annotations or ()).get(LAST_APPLIED)
    try:
        config = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(config, dict):
        return None
    named = applied_set(config, shape)
    changed, removed = compared(document, config, shape)
    return difference(difference(named, changed), removed)


def _sync_last_applied(result: dict[str, Any], config: dict[str, Any], author: Author) -> None:
    """An annotation of client-side apply is kept up by `kubectl`'s applies."""
    annotations = (result.get("metadata") or {}).get("annotations") or {}
    if author.manager != KUBECTL or LAST_APPLIED not in annotations:
        return
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    result["metadata"] = {**result["metadata"], "annotations": {**annotations,
                                                                LAST_APPLIED: text}}


def _shown_manager(entry: Entry) -> str:
    text = json.dumps(entry.manager, ensure_ascii=False)
    if entry.subresource:
        text += f" with subresource {json.dumps(entry.subresource)}"
    return f"{text} using {entry.api_version}" if entry.operation == UPDATE else text


def _conflict(conflicts: list[tuple[Entry, Tree]]) -> Status:
    """409, with a cause for each field of each manager."""
    found = [(_shown_manager(entry), list(paths(fields)))
             for entry, fields in sorted(conflicts, key=lambda each: each[0].identity)]
    causes = tuple(Cause("FieldManagerConflict", f"conflict with {manager}", path)
                   for manager, places in found for path in places)
    if len(causes) == 1:
        text = f"1 conflict: conflict with {found[0][0]}: {causes[0].field}"
    else:
        lines = [line for manager, places in found
                 for line in (f"conflicts with {manager}:", *(f"- {path}" for path in places))]
        text = f"{len(causes)} conflicts: " + "\n".join(lines)
    return Status(code=409, reason="Conflict", message=f"Apply failed with {text}", causes=causes)


def shape_for(obj: Any) -> Shape:
    """The shape of an object of a kind that is built in; of any other, a free one."""
    return shape_of(api_version_of(obj), obj.kind) or FREE_SHAPE

