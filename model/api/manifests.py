"""Manifests: files of YAML or JSON with one or several objects, folders of them, standard input.

Everything wrong with a file is reported in one go, each fault with its line and the likely fix,
as `InputErrors`; nothing of a faulty set comes out. Source: `kubectl create -f` of Kubernetes
1.32, whose folder rule (*.json, *.yaml, *.yml, not deeper) and List expansion are the same.

Not modelled: fetching manifests from URLs, and kustomize folders; both need the world outside.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from model.api import misprints
from model.api.objects import RESOURCES, FieldError, freeze
from model.api.records import rest_fields, table
from model.api.resources import BY_KIND, BY_TYPE, GENERIC_BODIES, SUBRESOURCE_RECORDS
from model.api.yaml_reader import (
    Document,
    Fault,
    Spot,
    UnreadableError,
    decode,
    documents,
    join,
)
from model.kernel.errors import InputError, InputErrors

SUFFIXES = (".json", ".yaml", ".yml")
FAULTS_MAX = 50


class Manifest(NamedTuple):
    """One object of a file. `lines` maps field paths (`spec.replicas`) to lines of the file."""

    object: Any
    file: str
    line: int
    lines: Mapping[str, int]


def read(paths: Sequence[str], stdin: Callable[[], bytes] | None = None) -> tuple[Manifest, ...]:
    """The objects of files and folders, in order; `-` is standard input.

    InputErrors lists every fault of every file.
    """
    found: list[Manifest] = []
    errors: list[InputError] = []
    for name, data in sources(paths, stdin):
        try:
            found.extend(parse(data, name))
        except InputErrors as error:
            errors.extend(error.errors)
    if errors:
        raise InputErrors(tuple(errors))
    return tuple(found)


def sources(paths: Sequence[str],
            stdin: Callable[[], bytes] | None = None) -> tuple[tuple[str, bytes], ...]:
    """Names and contents of files and folders, in order. InputError when one is missing."""
    found: list[tuple[str, bytes]] = []
    for path in paths:
        if path == "-":
            found.append(("-", (stdin or sys.stdin.buffer.read)()))
            continue
        place = Path(path)
        files = [place]
        if place.is_dir():
            files = sorted(each for each in place.iterdir()
                           if each.suffix in SUFFIXES and each.is_file())
            if not files:
                raise InputError("the folder holds no manifest", where=path,
                                 fix=f"a file that ends in {', '.join(SUFFIXES)}")
        found.extend((str(file), _content(file)) for file in files)
    return tuple(found)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise InputError("there is no such file or folder", where=str(file)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None


def parse(data: bytes | str, file: str) -> tuple[Manifest, ...]:
    """The objects of one text. InputErrors lists every fault, in the order of lines."""
    faults: list[Fault] = []
    found: list[Manifest] = []
    text = ""
    try:
        text = data if isinstance(data, str) else decode(data)
        for document in documents(text):
            if document.value is None:
                continue
            faults.extend(document.faults)
            manifests, wrong = _objects(document, file)
            faults.extend(wrong)
            found.extend(manifests)
        if not found and not faults:
            faults.append(Fault(0, "the file holds no object",
                                "an object has apiVersion, kind and metadata"))
    except UnreadableError as error:
        faults.append(error.fault)
    if faults:
        raise InputErrors(tuple(_error(fault, file) for fault in _in_order(faults, text)))
    return tuple(found)


def _error(fault: Fault, file: str) -> InputError:
    where = f"{file}:{fault.line}" if fault.line else file
    return InputError(fault.what, where=where, fix=fault.fix)


def _in_order(faults: Iterable[Fault], text: str) -> list[Fault]:
    """All faults by line, misprints included; a misprint says more than what it led to."""
    printed = misprints.find(text)
    told = {fault.line for fault in printed}
    kept = [fault for fault in faults if fault.line not in told or fault.line == 0]
    return sorted([*kept, *printed], key=lambda fault: fault.line)[:FAULTS_MAX]


def _objects(document: Document, file: str) -> tuple[list[Manifest], list[Fault]]:
    value = document.value
    if not isinstance(value, dict):
        return [], [Fault(document.line, f"an object is a map, not {value!r:.40}",
                          "begin with apiVersion: and kind:")]
    if str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        found: list[Manifest] = []
        faults: list[Fault] = []
        for index, item in enumerate(value["items"]):
            manifest, wrong = _object(item, document, join("items", index), file)
            found.extend(manifest)
            faults.extend(wrong)
        return found, faults
    return _object(value, document, "", file)


def _object(value: Any, document: Document, at: str,
            file: str) -> tuple[list[Manifest], list[Fault]]:
    """The object at a place of a document, or what is wrong with it."""
    def line(path: str) -> int:
        """The line of a field, or of the nearest field around it."""
        place = f"{at}.{path}" if at and path else at or path
        while place and place not in document.spots:
            place = re.sub(r"(\[\d+\]|\.?[^.\[\]]+)$", "", place)
        return document.spots[place].line if place else document.line

    if not isinstance(value, dict):
        return [], [Fault(line(""), f"an object is a map, not {value!r:.40}")]
    faults = [fault._replace(line=line(path)) for path, fault in _heading_faults(value)]
    if faults and not _is_known(value):
        return [], faults
    lines = {path[len(at) + 1:] if at else path: spot.line
             for path, spot in document.spots.items() if path.startswith(at)}
    obj = None
    for _ in range(FAULTS_MAX):
        try:
            obj = freeze(value)
            break
        except FieldError as error:
            faults.append(Fault(line(error.path), error.what, error.fix))
            _remove(document.spots, f"{at}.{error.path}" if at else error.path)
        except InputError as error:
            faults.append(Fault(line(""), error.what, error.fix))
            break
    if obj is not None:
        faults.extend(Fault(line(path), what, fix)
                      for path, what, fix in _misplaced(obj, (), ""))
    if faults:
        return [], faults
    return [Manifest(obj, file, lines.get("kind", line("")), lines)], []


def _is_known(value: dict[str, Any]) -> bool:
    kind = value.get("apiVersion"), value.get("kind")
    return kind in BY_TYPE or kind in SUBRESOURCE_RECORDS or kind in GENERIC_BODIES


def _remove(spots: dict[str, Spot], path: str) -> None:
    """Take a faulty field out, so that the next fault of the same object can be found."""
    while path:
        spot = spots.get(path)
        if spot is not None and isinstance(spot.container, dict):
            spot.container.pop(spot.key, None)
            return
        path = re.sub(r"(\[\d+\]|\.?[^.\[\]]+)$", "", path)


def _heading_faults(value: dict[str, Any]) -> list[tuple[str, Fault]]:
    """What is wrong with apiVersion, kind and name; each with its field."""
    faults = []
    version, kind = value.get("apiVersion"), value.get("kind")
    for field, given in (("apiVersion", version), ("kind", kind)):
        if given is None:
            faults.append(("", Fault(0, f"the object has no {field}", f"add {field}:")))
        elif not isinstance(given, str):
            faults.append((field, Fault(0, f"{field} must be a string, not {given!r:.40}")))
    if isinstance(version, str) and isinstance(kind, str) and not _is_known(value):
        faults.extend(_type_faults(version, kind))
    metadata = value.get("metadata")
    if metadata is None:
        faults.append(("", Fault(0, "the object has no metadata", "add metadata: with a name:")))
    elif isinstance(metadata, dict):
        name = metadata.get("name")
        if name is None and not metadata.get("generateName"):
            faults.append(("metadata", Fault(0, "the object has no name", "add name:")))
        elif isinstance(name, str) and not _NAME.fullmatch(name):
            faults.append(("metadata.name", Fault(
                0, f"metadata.name: {name!r} is no name of an object",
                "lower case letters, digits, '-' and '.'")))
    return faults


_NAME = re.compile(r"[A-Za-z0-9]([\w.:-]*[A-Za-z0-9])?", re.ASCII)


def _type_faults(version: str, kind: str) -> list[tuple[str, Fault]]:
    """Why there is no such kind in such a version; none for kinds that users define."""
    versions = sorted({resource.api_version for resource in RESOURCES})
    likely_kind = misprints.close_to(kind, sorted(BY_KIND))
    likely_version = misprints.close_to(version, versions)
    if version not in versions:
        if likely_kind == kind:
            right = BY_KIND[kind].api_version
            return [("apiVersion", Fault(0, f"apiVersion {version}: there is no {kind} in it",
                                         f"did you mean {right}?"))]
        if likely_version or "." not in version:
            fix = f"did you mean {likely_version}?" if likely_version else "for example v1"
            return [("apiVersion", Fault(0, f"apiVersion {version} is not known", fix))]
        return []
    fix = f"did you mean {likely_kind}?" if likely_kind else ""
    if likely_kind == kind:
        fix = f"{kind} is in apiVersion {BY_KIND[kind].api_version}"
    return [("kind", Fault(0, f"kind {kind}: there is no such kind in {version}", fix))]


def _misplaced(record: Any, around: tuple[str, ...], path: str) -> list[tuple[str, str, str]]:
    """Fields that stand one level too deep: unknown here, but known in the record around."""
    if not hasattr(record, "_fields"):
        return []
    found = []
    if record.rest:
        for key in rest_fields(record):
            if key in around:
                place = join(path, key)
                found.append((place, f"{place}: there is no such field here, but there is one "
                              "level further out", "is it indented too deep?"))
            else:
                likely = misprints.known_field(key)
                if likely is not None and likely != key:
                    place = join(path, key)
                    found.append((place, f"{place}: there is no such field",
                                  f"did you mean {likely}?"))
    wires = table(type(record)).wires
    for wire, value in zip(wires, record, strict=False):
        place = join(path, wire)
        if hasattr(value, "_fields"):
            found.extend(_misplaced(value, wires, place))
        elif type(value) is tuple and value and hasattr(value[0], "_fields"):
            for index, item in enumerate(value):
                found.extend(_misplaced(item, wires, join(place, index)))
    return found
