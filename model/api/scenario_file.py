"""Scenario files: a folder with `scenario.yaml` and the manifests that its client can name.

    name: worked-example
    release: "1.3"
    nodes: 2                      # or a list: {name, address, capacity, labels, taints}
    files: [mysql-rc.yaml]        # default: every manifest beside the file
    script:                       # sessions; an entry is a client command or [actor, verb, args]
    - - create -f mysql-rc.yaml
    faults: {crash: 1}            # how many of each kind a history may contain
    crash: [controllers/]         # which components may crash (prefixes)
    harm: [node-]                 # which hosts may be harmed (prefixes)
    start: booted                 # or cold, or settled: the script has been played
    settings: {pod-eviction-timeout-seconds: "300"}

The manifests may also stand in the file itself, under `manifests`: a map of file name to text.
All faults of a file are reported in one go, with their lines.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.api import manifests
from model.api.nodes import Taint
from model.api.quantities import parse as parse_quantity
from model.api.records import pairs
from model.api.records import read as read_record
from model.api.scenario import (
    DEFAULT_CAPACITY,
    NodeShape,
    Scenario,
    node_shape,
    service_range_of,
)
from model.api.yaml_reader import Document, UnreadableError, decode, documents
from model.kernel.action import Action, from_json
from model.kernel.errors import InputError, InputErrors
from model.kernel.fault import KINDS, FaultPlan
from model.kernel.values import canonical_json

_STRICT = ConfigDict(extra="forbid", strict=True)
NODES_MAX = 5000
Quantity = str | int | float


class _Node(BaseModel):
    model_config = _STRICT
    name: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    address: str | None = Field(default=None, pattern=r"^\d+\.\d+\.\d+\.\d+$")
    capacity: dict[str, Quantity] = {}
    labels: dict[str, str] = {}
    taints: list[dict[str, str]] = []


class _File(BaseModel):
    model_config = _STRICT
    name: str = Field(min_length=1)
    release: str = Field(default="1.32", pattern=r"^\d+\.\d+$")
    nodes: int | list[_Node] = 2
    files: list[str] | None = None
    manifests: dict[str, str] = {}
    script: list[list[str | list[str | int]]] = []
    faults: dict[str, int] = {}
    crash: list[str] = []
    harm: list[str] = []
    start: Literal["booted", "cold", "settled"] = "booted"
    seed: int = 0
    service_range: str | None = Field(default=None, pattern=r"^\d+\.\d+\.\d+\.\d+/\d+$")
    pod_range: str = Field(default="10.244.0.0/16", pattern=r"^\d+\.\d+\.\d+\.\d+/\d+$")
    node_ports: list[int] = Field(default=[30000, 32767], min_length=2, max_length=2)
    settings: dict[str, str | int] = {}


def load(path: str | Path) -> Scenario:
    """The scenario of a file, or of the `scenario.yaml` in a folder.

    InputErrors lists every fault of the file and of the manifests that it names.
    """
    place = Path(path)
    file = place / "scenario.yaml" if place.is_dir() else place
    (name, data), = manifests.sources([str(file)])
    beside: dict[str, str] = {}
    for other in sorted(file.parent.iterdir()):
        if other.suffix in manifests.SUFFIXES and other != file and other.is_file():
            beside[other.name] = other.read_text("utf-8", "replace")
    return parse(data, name, beside)


def parse(data: bytes | str, file: str, beside: dict[str, str]) -> Scenario:
    """The scenario of a text; `beside` holds the manifests that lie next to it."""
    document = _document(data, file)
    try:
        read = _File.model_validate(document.value)
    except ValidationError as error:
        raise InputErrors(tuple(_told(each, document, file) for each in error.errors())) from None
    errors: list[InputError] = []
    files = _files(read, beside, document, file, errors)
    script = tuple(tuple(_entry(entry, document, file, f"script[{s}][{e}]", errors)
                         for e, entry in enumerate(session))
                   for s, session in enumerate(read.script))
    nodes = _nodes(read, document, file, errors)
    for kind, amount in read.faults.items():
        if kind not in KINDS:
            errors.append(_error(document, file, f"faults.{kind}", f"there is no fault {kind!r}",
                                 "one of " + ", ".join(KINDS)))
        elif amount < 0:
            errors.append(_error(document, file, f"faults.{kind}", f"{amount} faults", "0 or more"))
    errors.extend(_ranges(read, document, file))
    if errors:
        raise InputErrors(tuple(errors))
    budget = tuple((kind, read.faults[kind]) for kind in KINDS if kind in read.faults)
    return Scenario(
        name=read.name, release=read.release, nodes=nodes, files=files, script=script,
        faults=FaultPlan(budget, tuple(read.crash), tuple(read.harm)), start=read.start,
        seed=read.seed, service_range=read.service_range or service_range_of(read.release),
        pod_range=read.pod_range, node_ports=(read.node_ports[0], read.node_ports[1]),
        settings=pairs({key: str(value) for key, value in read.settings.items()}))


def _ranges(read: _File, document: Document, file: str) -> list[InputError]:
    """What is wrong with the ranges of addresses and ports."""
    errors = []
    for field, text in (("service_range", read.service_range), ("pod_range", read.pod_range)):
        try:
            ipaddress.IPv4Network(text or "10.96.0.0/16")
        except ValueError as error:
            errors.append(_error(document, file, field, str(error), "for example 10.96.0.0/16"))
    low, high = read.node_ports
    if not 1 <= low <= high <= 65535:
        errors.append(_error(document, file, "node_ports", f"{low} to {high} is no range of ports",
                             "for example [30000, 32767]"))
    return errors


def to_document(scenario: Scenario) -> dict[str, Any]:
    """The scenario as plain values, complete: `parse` of its JSON text gives it back."""
    def taint(each: Taint) -> dict[str, str]:
        fields = {"key": each.key, "value": each.value, "effect": each.effect}
        return {name: text for name, text in fields.items() if text is not None}

    nodes = [{"name": shape.name, "address": shape.address, "capacity": dict(shape.capacity),
              "labels": dict(shape.labels), "taints": [taint(each) for each in shape.taints]}
             for shape in scenario.nodes]
    return {
        "name": scenario.name, "release": scenario.release, "nodes": nodes,
        "manifests": dict(scenario.files), "files": [],
        "script": [[[action.actor, action.verb, *action.args] for action in session]
                   for session in scenario.script],
        "faults": dict(scenario.faults.budget), "crash": list(scenario.faults.components),
        "harm": list(scenario.faults.hosts), "start": scenario.start, "seed": scenario.seed,
        "service_range": scenario.service_range, "pod_range": scenario.pod_range,
        "node_ports": list(scenario.node_ports), "settings": dict(scenario.settings)}


def from_document(document: Mapping[str, Any], where: str) -> Scenario:
    """The scenario that `to_document` wrote. InputErrors when it is none."""
    return parse(canonical_json(dict(document)), where, {})


def _document(data: bytes | str, file: str) -> Document:
    try:
        found = documents(data if isinstance(data, str) else decode(data))
    except UnreadableError as error:
        raise _plain(file, error.fault.line, error.fault.what, error.fault.fix) from None
    if len(found) != 1 or not isinstance(found[0].value, dict):
        raise _plain(file, 0, "a scenario is one YAML map", "begin with name:")
    if found[0].faults:
        raise InputErrors(tuple(_plain(file, each.line, each.what, each.fix).errors[0]
                                for each in found[0].faults))
    return found[0]


def _plain(file: str, line: int, what: str, fix: str) -> InputErrors:
    where = f"{file}:{line}" if line else file
    return InputErrors((InputError(what, where=where, fix=fix),))


def _error(document: Document, file: str, path: str, what: str, fix: str = "") -> InputError:
    """A fault at a field, or at the nearest field around it that the file has."""
    place = path
    while place and place not in document.spots:
        place = place.rpartition("[" if place.endswith("]") else ".")[0]
    line = document.spots[place].line if place else document.line
    return InputError(f"{path}: {what}" if path else what, where=f"{file}:{line}", fix=fix)


def _told(error: Any, document: Document, file: str) -> InputError:
    """A fault that pydantic found, at its line and in our words."""
    path = ""
    for step in error["loc"]:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step not in ("int", "str") and not step.startswith(("list[", "function-")):
            path += f".{step}" if path else step
    fix = ""
    if error["type"] == "extra_forbidden":
        known = ", ".join(sorted(_File.model_fields)) if "." not in path else ""
        return _error(document, file, path, "there is no such field", f"known: {known}"
                      if known else "")
    if error["type"] == "string_type":
        fix = f'quote it: "{error["input"]}"'
    return _error(document, file, path, error["msg"][0].lower() + error["msg"][1:], fix)


def _files(read: _File, beside: dict[str, str], document: Document, file: str,
           errors: list[InputError]) -> tuple[tuple[str, str], ...]:
    chosen = {**beside, **read.manifests}
    if read.files is not None:
        for index, name in enumerate(read.files):
            if name not in chosen:
                errors.append(_error(document, file, f"files[{index}]",
                                     f"there is no manifest {name!r} beside the scenario"))
        chosen = {name: text for name, text in chosen.items()
                  if name in read.files or name in read.manifests}
    for name, text in sorted(chosen.items()):
        try:
            manifests.parse(text, name)
        except InputErrors as error:
            errors.extend(error.errors)
    return tuple(sorted(chosen.items()))


def _entry(entry: str | list[str | int], document: Document, file: str, path: str,
           errors: list[InputError]) -> Action:
    if isinstance(entry, str):
        line = entry.removeprefix("kubectl ").strip()
        if not line:
            errors.append(_error(document, file, path, "an empty command"))
        return Action("kubectl", "run", (line,))
    try:
        return from_json(entry, path)
    except InputError as error:
        errors.append(_error(document, file, path, error.what, error.fix))
        return Action("kubectl", "run", ("",))


def _nodes(read: _File, document: Document, file: str,
           errors: list[InputError]) -> tuple[NodeShape, ...]:
    count = read.nodes if isinstance(read.nodes, int) else len(read.nodes)
    if not 0 <= count <= NODES_MAX:
        errors.append(_error(document, file, "nodes", f"{count} nodes", f"0 to {NODES_MAX}"))
        return ()
    if isinstance(read.nodes, int):
        return tuple(node_shape(number) for number in range(1, count + 1))
    shapes = []
    for index, node in enumerate(read.nodes):
        usual = node_shape(index + 1)
        capacity = {**dict(DEFAULT_CAPACITY), **{k: str(v) for k, v in node.capacity.items()}}
        taints = []
        try:
            for amount in capacity.values():
                parse_quantity(amount)
            taints = [read_record(Taint, taint) for taint in node.taints]
        except InputError as error:
            errors.append(_error(document, file, f"nodes[{index}]", str(error)))
        shapes.append(NodeShape(node.name or usual.name, node.address or usual.address,
                                pairs(capacity), pairs(node.labels), tuple(taints)))
    for field in ("name", "address"):
        values = [getattr(shape, field) for shape in shapes]
        if len(set(values)) < len(values):
            errors.append(_error(document, file, "nodes", f"two nodes have the same {field}"))
    return tuple(shapes)
