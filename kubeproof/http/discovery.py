"""What the server serves, in the words of the discovery API.

Source: Kubernetes documentation, "Kubernetes API Concepts" and "The Kubernetes API" (discovery,
aggregated discovery: KEP-3352).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, NamedTuple

from model.api.resources import RESOURCES, Resource

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
VERSION = {"major": "1", "minor": "32", "gitVersion": "v1.32.13", "gitCommit": "",
           "gitTreeState": "clean", "buildDate": "2025-01-01T00:00:00Z", "goVersion": "go1.23",
           "compiler": "gc", "platform": "linux/amd64"}
HEALTH = ("/healthz", "/livez", "/readyz")
AGGREGATED = "APIGroupDiscoveryList"
_REVIEWS = ("authorization.k8s.io", "authentication.k8s.io")
_SUBRESOURCES = {"scale": ("autoscaling", "v1", "Scale"), "eviction": ("policy", "v1", "Eviction"),
                 "binding": ("", "", "Binding"),
                 "token": ("authentication.k8s.io", "v1", "TokenRequest")}
_PROXIED = {"nodes": "NodeProxyOptions", "pods": "PodProxyOptions",
            "services": "ServiceProxyOptions"}
_PROXY_VERBS = ("create", "delete", "get", "patch", "update")
_STREAMS = {"attach": "PodAttachOptions", "exec": "PodExecOptions",
            "portforward": "PodPortForwardOptions"}
ONLY_CREATED = ("eviction", "binding", "token")
_ALL = frozenset(("pods", "services", "replicationcontrollers", "deployments", "replicasets",
                  "statefulsets", "daemonsets", "jobs", "cronjobs", "horizontalpodautoscalers"))
_CATEGORIES = {"customresourcedefinitions": ["api-extensions"], "apiservices": ["api-extensions"],
               "mutatingwebhookconfigurations": ["api-extensions"],
               "validatingwebhookconfigurations": ["api-extensions"],
               "validatingadmissionpolicies": ["api-extensions"],
               "validatingadmissionpolicybindings": ["api-extensions"]}
_GROUPS = ("apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io",
           "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io",
           "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
           "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io",
           "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io",
           "flowcontrol.apiserver.k8s.io")
"""The order in which a server of release 1.32 lists its groups; others follow by name."""
_OLDER_VERSIONS = {"autoscaling": ("v1",)}


class Served(NamedTuple):
    """A resource that is served; `schema` is that of a custom resource's version, else None."""

    resource: Resource
    schema: dict[str, Any] | None = None
    categories: tuple[str, ...] = ()
    singular: str = ""


BUILT_IN = tuple(Served(resource) for resource in RESOURCES
                 if resource.group != "metrics.k8s.io")


def verbs_of(resource: Resource) -> tuple[str, ...]:
    """What may be done with a resource."""
    if resource.group in _REVIEWS or resource.name == "bindings":
        return ("create",)
    if resource.name == "componentstatuses":
        return ("get", "list")
    if resource.custom:
        return _CUSTOM_VERBS
    if resource.name == "namespaces":
        return tuple(verb for verb in VERBS if verb != "deletecollection")
    return VERBS


def subresource_type(resource: Resource, name: str) -> tuple[str, str, str]:
    """Group, version and kind of what a subresource takes and answers."""
    if name == "binding":
        return "", "v1", "Binding"
    return _SUBRESOURCES.get(name, (resource.group, resource.version, resource.kind))


def document(path: str, served: tuple[Served, ...] = BUILT_IN,
             address: str = "127.0.0.1") -> dict[str, Any] | None:
    """The discovery document of a path, None when it has none. `address` is the server's own."""
    parts = [part for part in path.split("/") if part]
    if parts == ["version"]:
        return VERSION
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": address}]}
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1",
                "groups": [_group(name, served) for name in _groups(served)]}
    if parts == ["api", "v1"]:
        return _resources("", "v1", served)
    if len(parts) == 2 and parts[0] == "apis" and parts[1] in _groups(served):
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], served)}
    if len(parts) == 3 and parts[0] == "apis" and parts[2] in _versions(parts[1], served):
        return _resources(parts[1], parts[2], served)
    return None


def _groups(served: tuple[Served, ...]) -> list[str]:
    """Groups in the order of a real server."""
    known = dict.fromkeys(each.resource.group for each in served if each.resource.group)
    return [*(name for name in _GROUPS if name in known),
            *sorted(name for name in known if name not in _GROUPS)]


def _versions(group: str, served: tuple[Served, ...]) -> list[str]:
    found = [each.resource.version for each in served if each.resource.group == group]
    return list(dict.fromkeys((*found, *_OLDER_VERSIONS.get(group, ()))))


def group_versions(served: tuple[Served, ...]) -> list[str]:
    """Every `group/version` that is served, and `v1`."""
    return ["v1", *(f"{group}/{version}" for group in _groups(served)
                    for version in _versions(group, served))]


def _group(name: str, served: tuple[Served, ...]) -> dict[str, Any]:
    versions = [{"groupVersion": f"{name}/{version}", "version": version}
                for version in _versions(name, served)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _in(group: str, version: str, served: tuple[Served, ...]) -> list[Served]:
    """What a version of a group serves, by name."""
    found = [each for each in served
             if (each.resource.group, each.resource.version) == (group, version)]
    if group == "autoscaling" and version == "v1":
        found = [Served(each.resource._replace(version="v1")) for each in served
                 if each.resource.group == group]
    return found if group and found and found[0].resource.custom else sorted(
        found, key=lambda each: each.resource.name)


def _resources(group: str, version: str, served: tuple[Served, ...]) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for each in _in(group, version, served):
        resource = each.resource
        entry: dict[str, Any] = {
            "name": resource.name, "singularName": each.singular or resource.singular,
            "namespaced": resource.namespaced, "kind": resource.kind,
            "verbs": list(verbs_of(resource))}
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        categories = _categories(each)
        if categories:
            entry["categories"] = categories
        if "watch" in entry["verbs"]:
            entry["storageVersionHash"] = _storage_hash(resource)
        entries.append(entry)
        entries.extend(_subresource(resource, name) for name in _subresources(resource))
    head = {"kind": "APIResourceList", "apiVersion": "v1"} if group else {
        "kind": "APIResourceList"}
    return {**head, "groupVersion": f"{group}/{version}" if group else version,
            "resources": entries}


def _subresources(resource: Resource) -> list[str]:
    names = [name for name in resource.subresources if name != "resize"]  # alpha in 1.32: off
    if resource.name == "pods":
        names.extend((*_STREAMS, "proxy"))
    # Custom resources tell the status first, all others in the order of the alphabet.
    return sorted(names, reverse=resource.custom)


def _storage_hash(resource: Resource) -> str:
    """A digest of group, storage version and kind; see KEP-2339."""
    told = f"{resource.group}/{resource.version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(told.encode()).digest()[:8]).decode()


def _categories(each: Served) -> list[str]:
    if each.categories:
        return list(each.categories)
    name = each.resource.name
    if name in _ALL:
        return ["all"]
    return _CATEGORIES.get(name, [])


def _subresource(resource: Resource, name: str) -> dict[str, Any]:
    group, version, kind = _SUBRESOURCES.get(name, ("", "", resource.kind))
    verbs = ["create"] if name in ONLY_CREATED else ["get", "patch", "update"]
    if name == "proxy":
        kind, verbs = _PROXIED[resource.name], list(_PROXY_VERBS)
    elif name in _STREAMS:
        kind, verbs = _STREAMS[name], ["create", "get"]
    elif name == "log":
        verbs = ["get"]
    elif name == "finalize":
        verbs = ["update"]
    entry: dict[str, Any] = {
        "name": f"{resource.name}/{name}", "singularName": "", "namespaced": resource.namespaced}
    if group:
        entry["group"], entry["version"] = group, version
    return {**entry, "kind": kind, "verbs": verbs}


# -- aggregated discovery ------------------------------------------------------------------------

def aggregated(path: str, served: tuple[Served, ...] = BUILT_IN) -> dict[str, Any] | None:
    """Everything below /api or /apis in one document (KEP-3352), None for any other path."""
    if path.rstrip("/") == "/api":
        items = [_group_discovery("", served)]
    elif path.rstrip("/") == "/apis":
        items = [_group_discovery(name, served) for name in _groups(served)]
    else:
        return None
    return {"kind": AGGREGATED, "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
            "items": items}


def _group_discovery(name: str, served: tuple[Served, ...]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"creationTimestamp": None}
    if name:
        metadata = {"name": name, **metadata}
    versions = _versions(name, served) if name else ["v1"]
    return {"metadata": metadata, "versions": [
        {"version": version, "resources": _resource_discoveries(name, version, served),
         "freshness": "Current"} for version in versions]}


def _resource_discoveries(group: str, version: str,
                          served: tuple[Served, ...]) -> list[dict[str, Any]]:
    found = []
    for each in _in(group, version, served):
        resource = each.resource
        scope = "Namespaced" if resource.namespaced else "Cluster"
        entry: dict[str, Any] = {
            "resource": resource.name,
            "responseKind": {"group": group, "version": version, "kind": resource.kind},
            "scope": scope, "singularResource": each.singular or resource.singular,
            "verbs": list(verbs_of(resource))}
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        categories = _categories(each)
        if categories:
            entry["categories"] = categories
        inner = [_subresource(resource, name) for name in _subresources(resource)]
        if inner:
            entry["subresources"] = [
                {"subresource": each["name"].partition("/")[2],
                 "responseKind": {"group": each.get("group", group),
                                  "version": each.get("version", version), "kind": each["kind"]},
                 "verbs": each["verbs"]} for each in inner]
        found.append(entry)
    return found
