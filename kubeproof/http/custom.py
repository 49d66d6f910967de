"""Custom resources at the front door: which there are, their bodies, and how answers look.

What the server's cache knows of definitions decides; it is looked at anew only when it changed.
Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions".
"""

from __future__ import annotations

import json
from typing import Any

from kubeproof.http import discovery
from kubeproof.http.bodies import Body
from kubeproof.http.discovery import Served
from kubeproof.http.paths import Target
from model.api.objects import Generic, freeze, thaw
from model.api.requests import (
    ObjectList,
    Patch,
    Status,
    WatchEvent,
    bad_request,
    document_of,
    failure,
)
from model.api.resources import Resource
from model.kernel.values import EMPTY
from model.kernel.world import World
from reference_impl.apiserver.registry import custom, structural
from reference_impl.apiserver.registry.custom import Definition
from reference_impl.lib.ages import age

_MEDIA = ("the body of the request was in an unknown format - accepted media types include: "
          "application/json-patch+json, application/merge-patch+json, "
          "application/apply-patch+yaml")


class Custom:
    """The custom resources of a running cluster."""

    def __init__(self) -> None:
        self._seen: Any = EMPTY
        self._served = discovery.BUILT_IN
        self._known: dict[tuple[str, str, str], tuple[Resource, Definition]] = {}

    def served(self, world: World) -> tuple[Served, ...]:
        """Everything that is served, built in and custom."""
        crds = world["apiserver"].cache.get(custom.DEFINITIONS, EMPTY)
        if crds is not self._seen:
            self._seen = crds
            self._look(world)
        return self._served

    def _look(self, world: World) -> None:
        self._known = {}
        found: list[Served] = []
        for definition in custom.established(world["apiserver"].cache):
            names = definition.names
            for version in definition.served:
                resource = definition.resource_of(version)
                self._known[resource.group, resource.version, resource.name] = resource, definition
                found.append(Served(resource, custom.schema_of(version),
                                    tuple(names.get("categories") or ()),
                                    names.get("singular", "")))
        self._served = (*discovery.BUILT_IN, *found)

    def target(self, target: Target, world: World) -> Target:
        """A target whose resource is looked for among the custom ones."""
        self.served(world)
        found = self._known.get((target.group, target.version, target.plural))
        return target if found is None else target._replace(resource=found[0])

    def has_group(self, group: str, world: World) -> bool:
        """Whether anything is served in a group."""
        return any(each.resource.group == group for each in self.served(world))

    def definition(self, resource: Resource) -> Definition:
        """The definition of a resource that `target` found."""
        return self._known[resource.group, resource.version, resource.name][1]

    # -- bodies -----------------------------------------------------------------------------------

    def accepted(self, resource: Resource, found: Body, subresource: str,
                 validation: str) -> Body | Status:
        """A body without fields that the schema does not know, with a warning for each; or the
        refusal of a strict client."""
        if subresource == "scale":
            return found
        schema = self._schema(resource)
        unknown: list[str] = []
        body = found.object
        if isinstance(body, Patch):
            return self._patch(resource, found, schema, validation)
        if not isinstance(body, Generic):
            return found
        document = structural.pruned(thaw(body), schema, unknown)
        warnings = (*found.warnings, *(f'unknown field "{each}"' for each in unknown))
        if validation == "Strict" and warnings:
            return bad_request(f'{resource.kind} in version "{resource.version}" cannot be handled '
                               f"as a {resource.kind}: strict decoding error: "
                               f"{', '.join(warnings)}")
        stored = self.definition(resource).resource.api_version
        return Body(freeze({**document, "apiVersion": stored}),
                    () if validation == "Ignore" else warnings)

    def _schema(self, resource: Resource) -> dict[str, Any]:
        definition = self.definition(resource)
        version = next(each for each in definition.served if each["name"] == resource.version)
        return custom.schema_of(version)

    def _patch(self, resource: Resource, found: Body, schema: dict[str, Any],
               validation: str) -> Body | Status:
        patch: Patch = found.object
        if patch.type == "strategic":
            return failure(415, "UnsupportedMediaType", _MEDIA)
        if patch.type == "json":
            return found
        unknown: list[str] = []
        change = json.loads(patch.document)
        change = structural.pruned(change, schema, unknown)
        if patch.type == "apply" and unknown:
            metadata = change.get("metadata") or {}
            return Status(code=500, message="failed to create typed patch object ("
                          f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; "
                          f"{resource.api_version}, Kind={resource.kind}): .{unknown[0]}: field "
                          "not declared in schema")
        warnings = tuple(f'unknown field "{each}"' for each in unknown)
        if isinstance(change, dict) and "apiVersion" in change:
            change["apiVersion"] = self.definition(resource).resource.api_version
        return Body(Patch(patch.type, json.dumps(change).encode()),
                    () if validation == "Ignore" else (*found.warnings, *warnings))

    # -- answers ----------------------------------------------------------------------------------

    def shown(self, resource: Resource, body: Any, form: str, now: int) -> dict[str, Any] | None:
        """An answer about custom resources as a document; None for what looks like any other."""
        if isinstance(body, ObjectList):
            items = [{**thaw(each), "apiVersion": resource.api_version} for each in body.items]
        elif isinstance(body, Generic):
            items = [{**thaw(body), "apiVersion": resource.api_version}]
        else:
            return None
        if form == "Table":
            return self._table(resource, body, items, now)
        if form:
            return None
        if isinstance(body, Generic):
            return items[0]
        kind = self.definition(resource).names.get("listKind") or f"{resource.kind}List"
        metadata = {"continue": "", **document_of(body._replace(items=()))["metadata"]}
        return {"apiVersion": resource.api_version, "kind": kind, "metadata": metadata,
                "items": items}

    def event(self, found: WatchEvent, form: str, world: World,
              first: bool) -> dict[str, Any] | None:
        """An event about a custom resource as a table; None for what looks like any other."""
        obj = found.object
        if form != "Table" or type(obj) is not Generic or found.type == "BOOKMARK":
            return None
        self.served(world)
        resource = next((known for known, _ in self._known.values()
                         if (known.api_version, known.kind) == (obj.api_version, obj.kind)), None)
        if resource is None:
            return None
        table = self._table(resource, obj, [thaw(obj)], world.now)
        if not first:
            table["columnDefinitions"] = None
        return {"type": found.type, "object": table}

    def _table(self, resource: Resource, body: Any, items: list[dict[str, Any]],
               now: int) -> dict[str, Any]:
        definition = self.definition(resource)
        version = next(each for each in definition.served if each["name"] == resource.version)
        columns = version.get("additionalPrinterColumns") or [
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]
        heads = [{"name": "Name", "type": "string", "format": "name", "description": "",
                  "priority": 0}, *({
                      "name": each["name"], "type": each["type"], "format": each.get("format", ""),
                      "description": each.get("description", ""),
                      "priority": each.get("priority", 0)} for each in columns)]
        rows = [{"cells": [item["metadata"].get("name", ""), *(
            _cell(item, each, now) for each in columns)], "object": {
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": item["metadata"]}} for item in items]
        metadata = document_of(body)["metadata"] if isinstance(body, ObjectList) else {
            "resourceVersion": body.metadata.resource_version}
        return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "columnDefinitions": heads, "rows": rows}


def _cell(item: dict[str, Any], column: dict[str, Any], now: int) -> Any:
    found = at_path(item, column.get("jsonPath", ""))
    if not found:
        return None
    value = found[0]
    if column.get("type") == "date":
        return age(value, now) if isinstance(value, str) else "<unknown>"
    if column.get("type") == "string":
        texts = [each if isinstance(each, str) else json.dumps(each) for each in found]
        return ",".join(texts)
    return value


def at_path(document: Any, path: str) -> list[Any]:
    """What a JSON path of the simple kind finds: `.a.b`, `['a']`, `[0]`, `[*]` and
    `[?(@.type=="Ready")]`."""
    found = [document]
    for step in _steps(path):
        following: list[Any] = []
        for each in found:
            following.extend(_stepped(each, step))
        found = following
    return found


def _steps(path: str) -> list[str]:
    import re
    return [step for groups in re.findall(
        r"\.([A-Za-z0-9_-]+(?:\\\.[A-Za-z0-9_-]+)*)|\['([^']+)'\]|\[([^\]]+)\]", path)
        for step in (groups[0].replace("\\.", "."), groups[1], groups[2] and f"[{groups[2]}]")
        if step]


def _stepped(value: Any, step: str) -> list[Any]:
    if not step.startswith("["):
        return [value[step]] if isinstance(value, dict) and step in value else []
    inner = step[1:-1]
    if not isinstance(value, list):
        return []
    if inner == "*":
        return list(value)
    if inner.startswith("?("):
        field, _, wanted = inner[2:-1].partition("==")
        name = field.strip().removeprefix("@.")
        text = wanted.strip().strip("\"'")
        return [each for each in value if isinstance(each, dict) and str(each.get(name)) == text]
    return value[int(inner):][:1] if inner.lstrip("-").isdigit() else []
