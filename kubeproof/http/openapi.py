"""The OpenAPI documents of the server: version 3 for each group, version 2 as a whole.

Made from the tables of fields (`model.api.schema`), the list of resources and, for custom
resources, the schemas of their definitions. Source: Kubernetes documentation, "The Kubernetes API"
(OpenAPI V2 and V3), and the extensions `x-kubernetes-*` described there.

Not modelled: the protobuf forms of the documents; clients that ask for them get JSON, which kubectl
needs nowhere, because it takes version 3, as JSON, wherever it can.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from kubeproof.http import descriptions
from kubeproof.http.discovery import (
    ONLY_CREATED,
    VERSION,
    Served,
    subresource_type,
    verbs_of,
)
from model.api.resources import Resource
from model.api.schema import (
    fields_of,
    is_type,
    list_keys,
    merge_key,
    required_of,
    tables,
    type_of,
)

JSON = "application/json"
YAML = "application/yaml"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_META_TYPES = frozenset((
    "V1ObjectMeta", "V1ListMeta", "V1LabelSelector", "V1LabelSelectorRequirement",
    "V1OwnerReference", "V1ManagedFieldsEntry", "V1Status", "V1StatusDetails", "V1StatusCause",
    "V1DeleteOptions", "V1Preconditions", "V1Condition"))
_PACKAGES = {"apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
             "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
             "": "io.k8s.api.core"}
_SCALARS: dict[str, dict[str, Any]] = {
    "string": {"type": "string"}, "bytes": {"type": "string", "format": "byte"},
    "bool": {"type": "boolean"}, "int": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "double"}, "object": {"type": "object"}, "json": {}}
_NAMED = {"time": META + "Time", "microtime": META + "MicroTime",
          "quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
          "int-or-string": "io.k8s.apimachinery.pkg.util.intstr.IntOrString"}
_NAMED_SCHEMAS: dict[str, dict[str, Any]] = {
    _NAMED["time"]: {"type": "string", "format": "date-time",
                     "description": "A moment, as RFC 3339 text."},
    _NAMED["microtime"]: {"type": "string", "format": "date-time",
                          "description": "A moment with microseconds, as RFC 3339 text."},
    _NAMED["quantity"]: {"type": "string", "description":
                         "An amount of a resource, such as 500m, 2Gi or 1e3."},
    _NAMED["int-or-string"]: {"type": "string", "format": "int-or-string",
                              "description": "A whole number, or text such as a percentage."}}
_ACTIONS = {"get": "get", "list": "list", "create": "post", "update": "put", "patch": "patch",
            "delete": "delete", "deletecollection": "deletecollection"}


# -- schemas -------------------------------------------------------------------------------------

def package_of(group: str) -> str:
    """The package of a group's types, as their names in the documents begin."""
    known = _PACKAGES.get(group)
    return known if known is not None else f"io.k8s.api.{group.partition('.')[0]}"


@cache
def definition_names() -> dict[str, str]:
    """Type -> its name in the documents. A type belongs to the first group that uses it."""
    names: dict[str, str] = {}

    def claim(name: str, package: str) -> None:
        if name in names:
            return
        if name in _META_TYPES:
            names[name] = META + name[2:]
        else:
            head, _, rest = _parted(name)
            names[name] = f"{package}.{head}.{rest}"
        for code in fields_of(name).values():
            inner = code.lstrip("[{")
            if is_type(inner):
                claim(inner, package)

    kinds: dict[str, str] = tables()["kinds"]
    for key in sorted(kinds, key=lambda each: (each.count("/") > 1, each)):
        version = key.rpartition("/")[0]
        group = version.rpartition("/")[0]
        claim(kinds[key], package_of(group))
    for name in sorted(_META_TYPES):
        if is_type(name):
            claim(name, "")
    return names


def _parted(name: str) -> tuple[str, str, str]:
    """`V1Pod` -> ("v1", "", "Pod"); `RbacV1Subject` -> ("v1", "Rbac", "Subject")."""
    at = next(at for at in range(len(name)) if name[at] == "V" and name[at + 1].isdigit())
    end = at + 1
    while name[end].isdigit() or name[end].islower():
        end += 1
    return name[at:end].lower(), name[:at], name[end:]


class Dialect:
    """How one version of OpenAPI writes references: `prefix` is where the definitions lie."""

    def __init__(self, prefix: str, wrapped: bool) -> None:
        self.prefix = prefix
        self.wrapped = wrapped

    def reference(self, name: str, text: str = "") -> dict[str, Any]:
        """A reference to a definition, with what there is to say of its place."""
        found = {"$ref": self.prefix + name}
        if not text:
            return found
        if self.wrapped:
            return {"description": text, "allOf": [found]}
        return {"description": text, **found}

    def code(self, code: str, text: str = "") -> dict[str, Any]:
        """The schema of a code of the tables."""
        said = {"description": text} if text else {}
        if code.startswith("["):
            return {**said, "type": "array", "items": self.code(code[1:])}
        if code.startswith("{"):
            return {**said, "type": "object", "additionalProperties": self.code(code[1:])}
        if is_type(code):
            return self.reference(definition_names()[code], text)
        if code in _NAMED:
            return self.reference(_NAMED[code], text)
        return {**said, **_SCALARS[code]}

    def definition(self, name: str) -> dict[str, Any]:
        """The schema of a type of the tables."""
        properties = {}
        for field, code in fields_of(name).items():
            made = self.code(code, descriptions.field_text(field))
            made.update(_extensions(name, field, code))
            properties[field] = made
        found: dict[str, Any] = {"description": descriptions.type_text(name), "type": "object",
                                 "properties": properties}
        if required_of(name):
            found["required"] = list(required_of(name))
        if name in tables()["atomic"]:
            found["x-kubernetes-map-type"] = "atomic"
        return found


V2 = Dialect("#/definitions/", wrapped=False)
V3 = Dialect("#/components/schemas/", wrapped=True)


def _extensions(name: str, field: str, code: str) -> dict[str, Any]:
    """What a schema says of how a list or a map merges."""
    found: dict[str, Any] = {}
    place = f"{name}.{field}"
    known = tables()
    if code.startswith("["):
        kind, *keys = list_keys(name, field) or ("atomic",)
        found["x-kubernetes-list-type"] = kind
        if keys:
            found["x-kubernetes-list-map-keys"] = keys
    if place in known["atomic"]:
        found["x-kubernetes-map-type"] = "atomic"
    key = merge_key(name, field)
    strategy = "merge" if key or place in known["merge_sets"] else ""
    if place in known["replaced"]:
        strategy = "replace"
    if place in known["retain_keys"]:
        strategy = f"{strategy},retainKeys".strip(",")
    if key:
        found["x-kubernetes-patch-merge-key"] = key
    if strategy:
        found["x-kubernetes-patch-strategy"] = strategy
    return found


def _closure(dialect: Dialect, roots: list[str]) -> dict[str, dict[str, Any]]:
    """The definitions of some types and of all that they refer to."""
    names = definition_names()
    found: dict[str, dict[str, Any]] = {}
    queue = list(roots)
    while queue:
        name = queue.pop()
        if names[name] in found:
            continue
        found[names[name]] = dialect.definition(name)
        for code in fields_of(name).values():
            inner = code.lstrip("[{")
            if is_type(inner):
                queue.append(inner)
            elif inner in _NAMED:
                found[_NAMED[inner]] = _NAMED_SCHEMAS[_NAMED[inner]]
    return found


def _kind_mark(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "kind": resource.kind, "version": resource.version}


def _definitions(dialect: Dialect, served: tuple[Served, ...]) -> dict[str, Any]:
    roots = ["V1ObjectMeta", "V1DeleteOptions"]
    found: dict[str, Any] = {}
    for each in served:
        resource = each.resource
        name = type_of(resource.api_version, resource.kind)
        if name:
            roots.append(name)
        for subresource in resource.subresources:
            group, version, kind = subresource_type(resource, subresource)
            inner = type_of(f"{group}/{version}" if group else version, kind)
            if inner:
                roots.append(inner)
    found.update(_closure(dialect, roots))
    found[META + "Status"] = _STATUS
    found[META + "ListMeta"] = _LIST_META
    found[META + "Patch"] = {"type": "object", "description": "A change to an object."}
    found[META + "WatchEvent"] = _WATCH_EVENT
    for each in served:
        name = object_name(each)
        if each.schema is not None:
            found[name] = _custom(dialect, each)
        elif name not in found:
            found[name] = {"type": "object", "description": descriptions.kind_text(
                each.resource.kind)}
        mark = found[name].setdefault("x-kubernetes-group-version-kind", [])
        if _kind_mark(each.resource) not in mark:
            mark.append(_kind_mark(each.resource))
        found[name + "List"] = _list_schema(dialect, each)
    return dict(sorted(found.items()))


_STATUS: dict[str, Any] = {
    "type": "object", "description": "What became of a request that has no object to answer.",
    "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"},
                   "metadata": {"type": "object"}, "status": {"type": "string"},
                   "message": {"type": "string"}, "reason": {"type": "string"},
                   "details": {"type": "object"},
                   "code": {"type": "integer", "format": "int32"}}}
_LIST_META: dict[str, Any] = {
    "type": "object", "description": "What every list carries.",
    "properties": {"resourceVersion": {"type": "string"}, "continue": {"type": "string"},
                   "remainingItemCount": {"type": "integer", "format": "int64"},
                   "selfLink": {"type": "string"}}}
_WATCH_EVENT: dict[str, Any] = {
    "type": "object", "description": "One event of a watch.", "required": ["type", "object"],
    "properties": {"type": {"type": "string"}, "object": {"type": "object"}}}


def object_name(each: Served) -> str:
    """The name of the definition of a resource's objects."""
    resource = each.resource
    known = type_of(resource.api_version, resource.kind)
    if known and each.schema is None:
        return definition_names()[known]
    if each.schema is not None:
        reverse = ".".join(reversed(resource.group.split(".")))
        return f"{reverse}.{resource.version}.{resource.kind}"
    return f"{package_of(resource.group)}.{resource.version}.{resource.kind}"


def _custom(dialect: Dialect, each: Served) -> dict[str, Any]:
    schema = dict(each.schema or {})
    properties = dict(schema.get("properties") or {})
    properties.update(apiVersion={"type": "string"}, kind={"type": "string"},
                      metadata=dialect.reference(META + "ObjectMeta"))
    return {**_published(schema), "type": "object",
            "properties": {name: _published(value) for name, value in sorted(properties.items())}}


def _published(schema: Any) -> Any:
    """A structural schema as it is published: without what only the server needs."""
    if isinstance(schema, dict):
        return {key: _published(value) for key, value in schema.items()
                if key != "x-kubernetes-validations"}
    return [_published(each) for each in schema] if isinstance(schema, list) else schema


def _list_schema(dialect: Dialect, each: Served) -> dict[str, Any]:
    resource = each.resource
    return {"type": "object", "required": ["items"], "description": f"A list of {resource.name}.",
            "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"},
                           "metadata": dialect.reference(META + "ListMeta"),
                           "items": {"type": "array",
                                     "items": dialect.reference(object_name(each))}},
            "x-kubernetes-group-version-kind": [
                {**_kind_mark(resource), "kind": resource.kind + "List"}]}


# -- paths ---------------------------------------------------------------------------------------

def _query(name: str, kind: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": {"type": kind}}


_DRY_RUN = _query("dryRun", "string", "All: do everything but store the result.")
_MANAGER = _query("fieldManager", "string", "Who is to own the fields that the request sets.")
_VALIDATION = _query("fieldValidation", "string", "What to do about unknown and duplicate fields: "
                     "Ignore, Warn (the default) or Strict.")
_FORCE = _query("force", "boolean", "Take over fields that others own; for apply only.")
_SELECTORS = [
    _query("labelSelector", "string", "Only objects whose labels match."),
    _query("fieldSelector", "string", "Only objects whose fields match.")]
_LIST = [
    *_SELECTORS, _query("limit", "integer", "At most so many items, and how to go on."),
    _query("continue", "string", "Where the page before this one ended."),
    _query("resourceVersion", "string", "How recent the answer has to be."),
    _query("resourceVersionMatch", "string", "How resourceVersion is meant."),
    _query("timeoutSeconds", "integer", "End a watch after this time."),
    _query("watch", "boolean", "Stream changes instead of a list."),
    _query("allowWatchBookmarks", "boolean", "Send events that only tell how far the watch is."),
    _query("sendInitialEvents", "boolean", "Begin a watch with what there is.")]
_LOG = [
    _query("container", "string", "Whose log; needed where the pod has more than one container."),
    _query("previous", "boolean", "The log of the instance before the one that runs."),
    _query("follow", "boolean", "Go on with what is written from now on."),
    _query("timestamps", "boolean", "Begin each line with its time."),
    _query("tailLines", "integer", "Only so many lines from the end."),
    _query("limitBytes", "integer", "Only so many bytes from the beginning."),
    _query("sinceSeconds", "integer", "Only lines that are younger.")]
_PRETTY = _query("pretty", "string", "Accepted and ignored.")
_WRITE = [_DRY_RUN, _MANAGER, _VALIDATION]
_PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "get": [], "list": _LIST, "create": _WRITE, "update": _WRITE, "patch": [*_WRITE, _FORCE],
    "delete": [_DRY_RUN, _query("gracePeriodSeconds", "integer", "How long to let it finish."),
               _query("propagationPolicy", "string", "Orphan, Background or Foreground.")],
    "deletecollection": [_DRY_RUN, *_SELECTORS]}
_PATCH_TYPES = ("application/json-patch+json", "application/merge-patch+json",
                "application/strategic-merge-patch+json", "application/apply-patch+yaml")


def _operation(each: Served, verb: str, subresource: str, names: tuple[str, str]) -> dict[str, Any]:
    """One operation of version 3; `names` are the definitions of its body and of its answer."""
    resource = each.resource
    body, answer = names
    mark = _kind_mark(resource)
    if subresource:
        group, version, kind = subresource_type(resource, subresource)
        mark = {"group": group, "version": version, "kind": kind}
    content = {JSON: {"schema": V3.reference(answer)}, YAML: {"schema": V3.reference(answer)}}
    found: dict[str, Any] = {
        "description": f"{verb} {resource.name}{'/' + subresource if subresource else ''}",
        "operationId": _operation_id(resource, verb, subresource), "tags": [_tag(resource)],
        "parameters": _PARAMETERS[verb],
        "responses": {"200": {"description": "OK", "content": content},
                      "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": _ACTIONS[verb], "x-kubernetes-group-version-kind": mark}
    if subresource == "log":
        found["parameters"] = _LOG
        found["responses"]["200"]["content"] = {
            media: {"schema": {"type": "string"}} for media in (JSON, YAML, "text/plain")}
    if verb == "create":
        found["responses"]["201"] = {"description": "Created", "content": content}
    if verb in ("create", "update"):
        found["requestBody"] = {"required": True, "content": {
            JSON: {"schema": V3.reference(body)}}}
    elif verb == "patch":
        types = [each for each in _PATCH_TYPES if "strategic" not in each] \
            if resource.custom else _PATCH_TYPES
        found["requestBody"] = {"required": True, "content": {
            media: {"schema": V3.reference(META + "Patch")} for media in types}}
    elif verb.startswith("delete"):
        found["requestBody"] = {"content": {JSON: {"schema": V3.reference(
            META + "DeleteOptions")}}}
    return found


def _tag(resource: Resource) -> str:
    head = resource.group.partition(".")[0] or "core"
    return f"{head}_{resource.version}"


def _operation_id(resource: Resource, verb: str, subresource: str) -> str:
    word = {"get": "read", "update": "replace", "deletecollection": "deleteCollection"}
    head = (resource.group.partition(".")[0] or "core").title()
    scope = "Namespaced" if resource.namespaced else ""
    return (f"{word.get(verb, verb)}{head}{resource.version.title()}{scope}{resource.kind}"
            f"{subresource.title()}")


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"},
            "description": f"The {name} of the object."}


def _paths(served: tuple[Served, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in served:
        resource = each.resource
        head = f"/apis/{resource.group}/{resource.version}" if resource.group else (
            f"/api/{resource.version}")
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        base = f"{head}{scope}/{resource.name}"
        inside = [_path_parameter("namespace")] if resource.namespaced else []
        verbs = verbs_of(resource)
        mine = object_name(each)
        found[base] = _path(each, "", inside, {
            verb: (mine, mine + "List" if verb != "create" else mine)
            for verb in ("list", "create", "deletecollection") if verb in verbs})
        if resource.namespaced and "list" in verbs:
            everywhere = _path(each, "", [], {"list": (mine, mine + "List")})
            everywhere["get"]["operationId"] += "ForAllNamespaces"
            found[f"{head}/{resource.name}"] = everywhere
        named = [*inside, _path_parameter("name")]
        if "get" in verbs:
            found[base + "/{name}"] = _path(each, "", named, {
                verb: (mine, META + "Status" if verb == "delete" else mine)
                for verb in ("get", "update", "patch", "delete") if verb in verbs})
        for subresource in resource.subresources:
            if subresource in ("proxy", "resize"):
                continue
            found[f"{base}/{{name}}/{subresource}"] = _subresource_path(each, subresource, named)
    return dict(sorted(found.items()))


def _subresource_path(each: Served, subresource: str,
                      parameters: list[dict[str, Any]]) -> dict[str, Any]:
    group, version, kind = subresource_type(each.resource, subresource)
    known = type_of(f"{group}/{version}" if group else version, kind)
    name = definition_names()[known] if known else object_name(each)
    if subresource in ONLY_CREATED:
        verbs: tuple[str, ...] = ("create",)
    else:
        verbs = ("get",) if subresource == "log" else ("get", "update", "patch")
        verbs = ("update",) if subresource == "finalize" else verbs
    return _path(each, subresource, parameters, dict.fromkeys(verbs, (name, name)))


_METHODS = {"get": "get", "list": "get", "create": "post", "update": "put", "patch": "patch",
            "delete": "delete", "deletecollection": "delete"}


def _path(each: Served, subresource: str, parameters: list[dict[str, Any]],
          verbs: dict[str, tuple[str, str]]) -> dict[str, Any]:
    item: dict[str, Any] = {_METHODS[verb]: _operation(each, verb, subresource, names)
                            for verb, names in verbs.items()}
    item["parameters"] = [*parameters, _PRETTY]
    return item


# -- documents -----------------------------------------------------------------------------------

_INFO = {"title": "Kubernetes", "version": VERSION["gitVersion"]}
_SECURITY = {"BearerToken": {"type": "apiKey", "in": "header", "name": "authorization",
                             "description": "Bearer token"}}


def document_v3(served: tuple[Served, ...]) -> dict[str, Any]:
    """The document of the resources of one group and version."""
    return {"openapi": "3.0.0", "info": _INFO, "paths": _paths(served),
            "components": {"schemas": _definitions(V3, served), "securitySchemes": _SECURITY}}


def paths_v3(served: tuple[Served, ...]) -> dict[str, tuple[Served, ...]]:
    """Where the documents of version 3 lie below /openapi/v3, and what each is about."""
    found: dict[str, list[Served]] = {}
    for each in served:
        resource = each.resource
        where = f"apis/{resource.group}/{resource.version}" if resource.group else (
            f"api/{resource.version}")
        found.setdefault(where, []).append(each)
    return {where: tuple(entries) for where, entries in found.items()}


def index_v3(served: tuple[Served, ...]) -> dict[str, Any]:
    """The index of version 3: each document with a digest, so that clients may keep it."""
    return {"paths": {where: {"serverRelativeURL": f"/openapi/v3/{where}?hash={_digest(entries)}"}
                      for where, entries in sorted(paths_v3(served).items())}}


def _digest(served: tuple[Served, ...]) -> str:
    told = json.dumps([[each.resource.api_version, each.resource.name, each.schema]
                       for each in served], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest().upper()


def document_v2(served: tuple[Served, ...]) -> dict[str, Any]:
    """The document of everything, in version 2."""
    return {"swagger": "2.0", "info": _INFO, "securityDefinitions": _SECURITY,
            "security": [{"BearerToken": []}],
            "paths": {path: _path_v2(item) for path, item in _paths(served).items()},
            "definitions": _definitions(V2, served)}


def _path_v2(item: dict[str, Any]) -> dict[str, Any]:
    """A path of version 3 in the words of version 2."""
    made: dict[str, Any] = {"parameters": [_parameter_v2(each) for each in item["parameters"]]}
    for method, operation in item.items():
        if method == "parameters":
            continue
        old = {**operation, "produces": [JSON, YAML], "schemes": ["https"],
               "parameters": [_parameter_v2(each) for each in operation["parameters"]]}
        body = old.pop("requestBody", None)
        if body is not None:
            old["consumes"] = list(body["content"])
            first = next(iter(body["content"].values()))
            old["parameters"].append({"name": "body", "in": "body", "schema": _moved(
                first["schema"]), **({"required": True} if body.get("required") else {})})
        old["responses"] = {code: _response_v2(each) for code, each in operation[
            "responses"].items()}
        made[method] = old
    return made


def _parameter_v2(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter["schema"]
    return {**{key: value for key, value in parameter.items() if key != "schema"}, **schema}


def _response_v2(response: dict[str, Any]) -> dict[str, Any]:
    content = response.get("content")
    found = {"description": response["description"]}
    return found if content is None else {**found, "schema": _moved(content[JSON]["schema"])}


def _moved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    return {"$ref": schema["$ref"].replace(V3.prefix, V2.prefix)}
