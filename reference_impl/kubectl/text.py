"""The short lines of kubectl: what was created, scaled, deleted; in both styles of naming."""

from __future__ import annotations

from typing import Any

from model.api.objects import Service, canonical_json, to_json
from model.api.requests import Status, lookup
from reference_impl.kubectl import output

SLASHED_SINCE = (1, 10)
"""Since this release a line names `kind/name`; before, `kind "name"`."""


def qualified(resource: str, release: tuple[int, int]) -> str:
    """A kind as lines name it: `pod`, `deployment.apps`."""
    found = lookup(resource)
    if found.group and release >= SLASHED_SINCE:
        return f"{found.singular}.{found.group}"
    return found.singular


def reference(resource: str, name: str, release: tuple[int, int]) -> str:
    """An object as `-o name` prints it."""
    return f"{qualified(resource, release)}/{name}"


def line(resource: str, name: str, word: str, release: tuple[int, int]) -> str:
    """What happened to one object."""
    if release >= SLASHED_SINCE:
        return f"{reference(resource, name, release)} {word}\n"
    return f'{qualified(resource, release)} "{name}" {word}\n'


def deleted(resource: str, name: str, word: str, release: tuple[int, int]) -> str:
    """A delete is told in the old style in every release."""
    return f'{qualified(resource, release)} "{name}" {word}\n'


def port_warning(obj: Any, release: tuple[int, int]) -> str:
    """What release 1.3 said when a service opened a port on all nodes."""
    if release >= SLASHED_SINCE or not isinstance(obj, Service) or obj.spec is None \
            or obj.spec.type != "NodePort":
        return ""
    ports = ",".join(f"{(port.protocol or 'TCP').lower()}:{port.node_port}"
                     for port in obj.spec.ports or () if port.node_port)
    return ("You have exposed your service on an external port on all nodes in your\n"
            "cluster. If you want to expose this service to the external internet, you may\n"
            f"need to set up firewall rules for the service port(s) ({ports}) to serve traffic.\n"
            f"See http://releases.k8s.io/release-{release[0]}.{release[1]}"
            "/docs/user-guide/services-firewalls.md\nfor more details.\n")


def answered(body: Any) -> str:
    """An answer as it came over the wire."""
    if isinstance(body, Status):
        document = {"apiVersion": "v1", "code": body.code or 200, "kind": "Status", "metadata": {},
                    "status": "Success"}
        return canonical_json(document).decode() + "\n"
    return to_json(body).decode() + "\n"


def written(obj: Any, form: str) -> str:
    """One object as YAML, JSON or its name."""
    if form == "yaml":
        return output.to_yaml(output.document(obj))
    if form == "json":
        return output.to_json(output.document(obj))
    return f"{obj.kind.lower()}/{obj.metadata.name}\n"
