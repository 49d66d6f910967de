"""What a client asked to see: documents, tables, metadata alone; JSON or YAML.

Source: Kubernetes documentation, "Kubernetes API Concepts" (receiving resources as tables,
alternate representations of resources).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from model.api.objects import api_version_of, thaw
from model.api.requests import ObjectList, Status, WatchEvent, document_of, failure
from reference_impl.lib import tables

TABLE, PARTIAL, PLAIN = "Table", "PartialObjectMetadata", ""


_WITH_EMPTY_DETAILS = ("MethodNotAllowed", "NotFound", "Invalid")


class Wish(NamedTuple):
    """How an answer is to look: the representation, and whether as YAML."""

    form: str = PLAIN
    yaml: bool = False


def wish_of(accept: str) -> Wish | Status:
    """The first representation in an Accept header that the server offers."""
    if not accept:
        return Wish()
    for entry in accept.split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        known = dict(part.split("=", 1) for part in parameters if "=" in part)
        form = known.get("as", PLAIN)
        if kind in ("application/json", "*/*", "application/*"):
            if form in (TABLE, PARTIAL, PLAIN):
                return Wish(form)
            if form == "PartialObjectMetadataList":
                return Wish(PARTIAL)
        elif kind == "application/yaml":
            return Wish(PLAIN, True)
    return failure(406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: "
                   "application/json, application/yaml, application/vnd.kubernetes.protobuf")


def document(body: Any, wish: Wish, now: int) -> dict[str, Any]:
    """A reply's body in the form that was asked for."""
    if isinstance(body, Status):
        shown = document_of(body)
        if "details" not in shown and body.reason in _WITH_EMPTY_DETAILS:
            shown["details"] = {}
        return shown
    if wish.form == PLAIN:
        return _with_nulls(_listed(document_of(body)))
    if wish.form == PARTIAL:
        return _partial(body)
    return _table(body, now)


def event(found: WatchEvent, wish: Wish, now: int, first: bool) -> dict[str, Any]:
    """An event of a watch in the form that was asked for; a table tells its columns once."""
    if isinstance(found.object, Status):
        return {"type": found.type, "object": document_of(found.object)}
    if wish.form == TABLE and found.type != "BOOKMARK":
        shown = _table(found.object, now)
        if not first:
            shown["columnDefinitions"] = None
    elif wish.form == PARTIAL:
        shown = _partial(found.object)
    else:
        shown = _with_nulls(thaw(found.object))
    return {"type": found.type, "object": shown}


_TIMES = {"Pod": ("lastProbeTime", "lastTransitionTime"),
          "Node": ("lastHeartbeatTime", "lastTransitionTime"),
          "Deployment": ("lastUpdateTime", "lastTransitionTime"),
          "Job": ("lastProbeTime", "lastTransitionTime"),
          "PersistentVolumeClaim": ("lastProbeTime", "lastTransitionTime"),
          **dict.fromkeys(("Namespace", "ReplicationController", "ReplicaSet", "StatefulSet",
                           "DaemonSet", "PodDisruptionBudget", "Service"),
                          ("lastTransitionTime",))}


def _with_nulls(shown: dict[str, Any]) -> dict[str, Any]:
    """Times of conditions are written out even when they are unset."""
    kind = str(shown.get("kind", ""))
    times = _TIMES.get(kind.removesuffix("List"), ())
    for item in shown.get("items", ()) if kind.endswith("List") else (shown,):
        for condition in ((item.get("status") or {}).get("conditions") or ()) if times else ():
            for field in times:
                condition.setdefault(field, None)
    return shown


def _listed(shown: dict[str, Any]) -> dict[str, Any]:
    """Items of a list do not repeat kind and version."""
    if isinstance(shown.get("items"), list) and str(shown.get("kind", "")).endswith("List"):
        for item in shown["items"]:
            item.pop("kind", None)
            item.pop("apiVersion", None)
    return shown


def _partial(body: Any) -> dict[str, Any]:
    if isinstance(body, ObjectList):
        shown = document_of(body)
        return {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": shown["metadata"],
                "items": [{"kind": PARTIAL, "apiVersion": "meta.k8s.io/v1",
                           "metadata": item["metadata"]} for item in shown["items"]] or None}
    return {"kind": PARTIAL, "apiVersion": "meta.k8s.io/v1", "metadata": thaw(body)["metadata"]}


def _table(body: Any, now: int) -> dict[str, Any]:
    if isinstance(body, ObjectList):
        items, kind = body.items, body.kind.removesuffix("List")
        metadata = document_of(body)["metadata"]
    else:
        items, kind = (body,), body.kind
        metadata = {"resourceVersion": body.metadata.resource_version}
    _, *lines = tables.rows(kind, items, now, True)
    columns = [{"name": column.name, "type": column.type,
                "format": "name" if column.name == "Name" and not column.wide else "",
                "description": "", "priority": int(column.wide)}
               for column in tables.columns(kind)]
    rows = [{"cells": tables.typed_cells(kind, line), "object": {
        "kind": PARTIAL, "apiVersion": "meta.k8s.io/v1", "metadata": thaw(item)["metadata"]}}
        for line, item in zip(lines, items, strict=True)]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": columns, "rows": rows}


class Texts:
    """The JSON of objects, written once: objects are values, and those in the watch cache are read
    by many. An entry holds its object, so that the address that finds it stays its own."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._kept: dict[int, tuple[Any, bytes]] = {}

    def of(self, obj: Any, *, keep: bool = False) -> bytes:
        """The document of an object as bytes."""
        found = self._kept.get(id(obj))
        if found is not None:
            return found[1]
        text = compact(_with_nulls(thaw(obj)))
        if keep:
            if len(self._kept) >= self._most:
                self._kept.clear()
            self._kept[id(obj)] = obj, text
        return text

    def event(self, kind: str, obj: Any) -> bytes:
        """An event of a watch as a line."""
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), self.of(obj, keep=True))

    def list(self, body: ObjectList) -> bytes:
        """A list as bytes; items do not repeat kind and version."""
        shown = document_of(body._replace(items=()))
        del shown["items"]
        items = [self._item(obj) for obj in body.items]
        return compact(shown)[:-1] + b',"items":[' + b",".join(items) + b"]}"

    def _item(self, obj: Any) -> bytes:
        text = self.of(obj, keep=True)
        head = compact({"kind": obj.kind, "apiVersion": api_version_of(obj)})[:-1] + b","
        return b"{" + text[len(head):] if text.startswith(head) else text


def compact(shown: Any) -> bytes:
    """JSON without blanks."""
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()


def encoded(shown: Any, wish: Wish) -> tuple[bytes, str]:
    """Bytes and media type of an answer."""
    if wish.yaml:
        import yaml
        return yaml.safe_dump(shown, allow_unicode=True).encode(), "application/yaml"
    return compact(shown) + b"\n", "application/json"
