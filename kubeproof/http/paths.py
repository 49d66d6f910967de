"""From a URL and a method to a Request, and the options in its query.

Source: Kubernetes documentation, "Kubernetes API Concepts" (resource URIs, verbs).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from model.api.requests import Options
from model.api.resources import BY_NAME, RESOURCES, Resource


class Target(NamedTuple):
    """What a URL names. `resource` is None when the group or the resource is unknown."""

    resource: Resource | None
    group: str
    version: str
    plural: str
    namespace: str
    name: str
    subresource: str


_BY_PATH = {(r.group, r.version, r.name): r for r in RESOURCES}
_BY_PATH["autoscaling", "v1", "horizontalpodautoscalers"] = BY_NAME["horizontalpodautoscalers"]


def target_of(path: str) -> Target | None:
    """The target of a resource URL; None when it is no resource URL at all."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not (
            len(rest) == 3 and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3] if len(rest) < 3 else (
        rest[0], rest[1], "/".join(rest[2:]))
    return Target(_BY_PATH.get((group, version, plural)), group, version, plural, namespace, name,
                  subresource)


def resource_name(resource: Resource) -> str:
    """How requests name a resource: the plural, or `plural.group` where that is ambiguous."""
    if resource.custom:
        return resource.group_resource
    return resource.name if BY_NAME[resource.name] is resource else resource.group_resource


def program_of(user_agent: str) -> str:
    """The field manager of a client that names none: the first word of its User-Agent header."""
    word = "".join(char for char in user_agent.partition("/")[0] if char.isprintable())
    return word.encode()[:128].decode("utf-8", "ignore") or "unknown"


_TRUE = ("true", "1", "")


def verb_of(method: str, target: Target, query: Mapping[str, str]) -> str:
    """The verb of a request, "" when the method has none."""
    if method == "GET":
        if not target.name and query.get("watch", "false") in _TRUE:
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "HEAD": "get"}.get(method, "")


_OF_DELETION = ("gracePeriodSeconds", "propagationPolicy", "orphanDependents", "dryRun")
_NUMBERS = ("limit", "timeoutSeconds", "gracePeriodSeconds")
_TYPES = {"gracePeriodSeconds": (int, "int64"), "orphanDependents": (bool, "bool"),
          "propagationPolicy": (str, "string"), "dryRun": (list, "[]string"),
          "preconditions": (dict, "v1.Preconditions")}
_DIGITS_MAX = 18


def number_fault(text: str) -> str:
    """What is wrong with a whole number in a query; "" when nothing is."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        return f'strconv.ParseInt: parsing "{text}": invalid syntax'
    if len(digits.lstrip("0")) > _DIGITS_MAX:
        return f'strconv.ParseInt: parsing "{text}": value out of range'
    return ""


def options_fault(query: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """What is wrong with the numbers in a query, or with the types in the options of a deletion;
    "" when nothing is."""
    for field in _NUMBERS:
        text = query.get(field, "")
        if text and (fault := number_fault(text)):
            return fault
    for field, (kind, name) in _TYPES.items():
        value = body.get(field)
        if value is not None and (not isinstance(value, kind)
                                  or (kind is int and isinstance(value, bool))):
            return (f'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: '
                    f"cannot unmarshal into Go struct field DeleteOptions.{field} of type {name}")
    for field, value in (body.get("preconditions") or {}).items():
        if value is not None and not isinstance(value, str):
            return f"preconditions.{field} is a string"
    return ""


def options_of(query: Mapping[str, str], body: Mapping[str, Any] | None) -> Options:
    """The options in the query; those of a deletion are in its body, if it has one. `options_fault`
    has found nothing wrong with them."""
    if body:
        query = {key: value for key, value in query.items() if key not in _OF_DELETION}
    body = body or {}
    preconditions = body.get("preconditions") or {}
    grace = query.get("gracePeriodSeconds", body.get("gracePeriodSeconds"))
    policy = query.get("propagationPolicy", body.get("propagationPolicy")) or ""
    orphan = query.get("orphanDependents", body.get("orphanDependents"))
    if orphan is not None and not policy:
        policy = "Orphan" if str(orphan).lower() == "true" else "Background"
    dry = query.get("dryRun") == "All" or "All" in (body.get("dryRun") or ())
    timeout = query.get("timeoutSeconds", "")
    limit = query.get("limit", "")
    return Options(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        resource_version=query.get("resourceVersion") or None,
        resource_version_match=query.get("resourceVersionMatch", ""),
        limit=max(0, int(limit or 0)), continue_=query.get("continue", ""),
        allow_bookmarks=query.get("allowWatchBookmarks", "false") in _TRUE,
        send_initial_events=query.get("sendInitialEvents", "false") in _TRUE,
        timeout_seconds=max(0, int(timeout)) if timeout else None,
        grace_period_seconds=int(grace) if grace not in (None, "") else None,
        precondition_uid=preconditions.get("uid"),
        precondition_resource_version=preconditions.get("resourceVersion"),
        propagation_policy=policy, dry_run=dry, field_manager=query.get("fieldManager", ""),
        field_validation=query.get("fieldValidation", ""),
        force=query.get("force", "false") in _TRUE)
