"""Stage three: what the server accepts but warns of.

Not modelled: warnings of deprecated labels, annotations and volume types; they change no answer but
its Warning headers. Source: Kubernetes documentation, "Warning: Helpful Warnings Ahead"; the texts
are those of release 1.32.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import Generic, rest_fields, write
from reference_impl.apiserver.registry.rules import common
from reference_impl.apiserver.registry.rules.common import Document, items

_TEMPLATES = frozenset(("ReplicationController", "ReplicaSet", "Deployment", "StatefulSet",
                        "DaemonSet", "Job"))
_IN_HOSTNAME = ("metadata.name: this is used in {}, which can result in surprising behavior; a DNS "
                "label is recommended: [{}]")


def of(new: Any, old: Any) -> tuple[str, ...]:
    """The warnings of storing `new`; `old` is what it replaces, None at a creation."""
    kind = new.kind
    if kind == "Pod":
        if old is not None or new.spec is None:
            return ()
        return (*_name(new, "the Pod's hostname"), *_pod_spec(write(new.spec), "spec"))
    if kind in _TEMPLATES:
        return _templated(new, old)
    if kind == "Service" and new.spec is not None:
        return () if old is not None and old.spec == new.spec else _service(write(new.spec))
    if kind == "Node" and new.spec is not None and rest_fields(new.spec).get("externalID"):
        return ("spec.externalID: this field is deprecated, and is unused by Kubernetes",)
    return ()


def _name(obj: Any, use: str) -> tuple[str, ...]:
    texts = common.dns_label_texts(obj.metadata.name or "")
    return (_IN_HOSTNAME.format(use, " ".join(texts)),) if texts else ()


def _templated(new: Any, old: Any) -> tuple[str, ...]:
    """Of a controller: its template is looked at when its wish is new."""
    if old is not None and old.metadata.generation == new.metadata.generation:
        return ()
    if type(new) is Generic:
        spec = rest_fields(new).get("spec") or {}
    else:
        spec = write(new.spec) if new.spec is not None else {}
    inner = (spec.get("template") or {}).get("spec") or {}
    named = _name(new, "Pod names and hostnames") if old is None else ()
    return (*named, *_pod_spec(inner, "spec.template.spec"))


def _pod_spec(spec: Document, path: str) -> tuple[str, ...]:
    found = [f'{path}.imagePullSecrets[{at}].name: invalid empty name ""'
             for at, each in enumerate(items(spec.get("imagePullSecrets"))) if not each.get("name")]
    for group in ("initContainers", "containers"):
        for at, container in enumerate(items(spec.get(group))):
            found += _hidden_variables(container, f"{path}.{group}[{at}]")
    return (*found, *_repeated_ports(spec, path))


def _hidden_variables(container: Document, path: str) -> list[str]:
    names: set[str] = set()
    found = []
    for at, variable in enumerate(items(container.get("env"))):
        name = str(variable.get("name"))
        if name in names:
            found.append(f'{path}.env[{at}]: hides previous definition of "{name}", which may be '
                         "dropped when using apply")
        names.add(name)
    return found


def _repeated_ports(spec: Document, path: str) -> list[str]:
    first: dict[tuple[Any, ...], str] = {}
    found = []
    for at, container in enumerate(items(spec.get("containers"))):
        for index, port in enumerate(items(container.get("ports"))):
            where = f"{path}.containers[{at}].ports[{index}]"
            key = tuple(port.get(field) for field in ("containerPort", "protocol", "hostPort",
                                                      "hostIP"))
            if key in first:
                found.append(f"{where}: duplicate port definition with {first[key]}")
            else:
                first[key] = where
    return found


def _service(spec: Document) -> tuple[str, ...]:
    found = []
    if spec.get("type") == "ExternalName" and spec.get("externalIPs"):
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("type") != "ExternalName" and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    return tuple(found)
