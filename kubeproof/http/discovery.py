"""What the server serves, in the words of the discovery API.

Source: Kubernetes documentation, "Kubernetes API Concepts" and "The Kubernetes API" (discovery).
"""

from __future__ import annotations

from typing import Any

from model.api.resources import RESOURCES, Resource

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VERSION = {"major": "1", "minor": "32", "gitVersion": "v1.32.13", "gitCommit": "",
           "gitTreeState": "clean", "buildDate": "2025-01-01T00:00:00Z", "goVersion": "go1.23",
           "compiler": "gc", "platform": "linux/amd64"}
HEALTH = ("/healthz", "/livez", "/readyz")
_REVIEWS = ("authorization.k8s.io", "authentication.k8s.io")
_SUBRESOURCES = {"scale": ("autoscaling", "v1", "Scale"), "eviction": ("policy", "v1", "Eviction"),
                 "binding": ("", "", "Binding"),
                 "token": ("authentication.k8s.io", "v1", "TokenRequest")}
_ONLY_CREATED = ("eviction", "binding", "token")


def served() -> tuple[Resource, ...]:
    """The resources that the server has a handler for."""
    return tuple(r for r in RESOURCES if r.name not in ("bindings", "componentstatuses"))


def document(path: str) -> dict[str, Any] | None:
    """The discovery document of a path, None when it has none."""
    parts = [part for part in path.split("/") if part]
    if parts == ["version"]:
        return VERSION
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1",
                "groups": [_group(name) for name in _groups()]}
    if parts == ["api", "v1"]:
        return _resources("", "v1")
    if len(parts) == 2 and parts[0] == "apis" and parts[1] in _groups():
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1])}
    if len(parts) == 3 and parts[0] == "apis" and parts[2] in _versions(parts[1]):
        return _resources(parts[1], parts[2])
    return None


def _groups() -> list[str]:
    return list(dict.fromkeys(r.group for r in served() if r.group))


def _versions(group: str) -> list[str]:
    return list(dict.fromkeys(r.version for r in served() if r.group == group))


def _group(name: str) -> dict[str, Any]:
    versions = [{"groupVersion": f"{name}/{version}", "version": version}
                for version in _versions(name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resources(group: str, version: str) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for resource in served():
        if (resource.group, resource.version) != (group, version):
            continue
        entry: dict[str, Any] = {
            "name": resource.name, "singularName": resource.singular,
            "namespaced": resource.namespaced, "kind": resource.kind,
            "verbs": ["create"] if group in _REVIEWS else VERBS}
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.name in ("pods", "services", "replicationcontrollers", "deployments",
                             "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs"):
            entry["categories"] = ["all"]
        entries.append(entry)
        entries.extend(_subresource(resource, name) for name in resource.subresources)
    return {"kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version, "resources": entries}


def _subresource(resource: Resource, name: str) -> dict[str, Any]:
    group, version, kind = _SUBRESOURCES.get(name, ("", "", resource.kind))
    entry: dict[str, Any] = {
        "name": f"{resource.name}/{name}", "singularName": "", "namespaced": resource.namespaced,
        "kind": kind, "verbs": ["create"] if name in _ONLY_CREATED else ["get", "patch", "update"]}
    if group:
        entry["group"], entry["version"] = group, version
    return entry
