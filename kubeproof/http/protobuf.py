"""Bodies in Kubernetes' protobuf encoding, as typed clients such as `kubectl create` send them.

`protobuf.json` is a table of facts, drawn from the message descriptors of release 1.32: for each
message its fields by number, with the JSON name and the type (`[` repeated, `{` a map by name, `=`
a part whose fields stand in the enclosing object). Go writes zero values of plain fields too, which
its JSON would leave out; so they are dropped here, but for fields that are pointers in Go, where
zero says something. Source: Kubernetes documentation, "Kubernetes API Concepts" (protobuf
encoding), and the encoding's own documentation.

Not modelled: answers in protobuf (clients that ask for them accept JSON as well), and kinds that no
typed client sends (custom resources and their definitions).
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from model.kernel.errors import InputError

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_DEPTH_MAX = 100
_SIGN = 1 << 63
# Zero is a value of these: they are pointers in Go, or its JSON always writes them.
_ZERO_COUNTS = frozenset((
    "replicas", "terminationGracePeriodSeconds", "activeDeadlineSeconds", "tolerationSeconds",
    "revisionHistoryLimit", "progressDeadlineSeconds", "parallelism", "completions", "backoffLimit",
    "gracePeriodSeconds", "orphanDependents", "expirationSeconds", "priority", "value", "mode",
    "automountServiceAccountToken", "enableServiceLinks", "optional", "runAsUser", "runAsGroup",
    "fsGroup", "runAsNonRoot", "privileged", "readOnlyRootFilesystem", "allowPrivilegeEscalation",
    "immutable", "suspend", "controller", "blockOwnerDeletion", "defaultMode",
    "shareProcessNamespace", "ttlSecondsAfterFinished", "manualSelector", "minReplicas",
    "successfulJobsHistoryLimit", "failedJobsHistoryLimit", "startingDeadlineSeconds", "partition",
    "deletionGracePeriodSeconds"))
_EMPTY_COUNTS = frozenset(("emptyDir", "podSelector", "namespaceSelector", "securityContext"))


class ProtobufError(InputError):
    """Bytes that are no message of the kind that they claim to be."""


@cache
def _messages() -> dict[str, dict[str, list[str]]]:
    path = Path(__file__).with_name("protobuf.json")
    tables: dict[str, dict[str, list[str]]] = json.loads(path.read_text(encoding="utf-8"))
    return tables


def document(data: bytes) -> dict[str, Any]:
    """The JSON document that a body means. ProtobufError when it is none."""
    if not data.startswith(_MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected "
                            "prefix [107 56 115 0]")
    unknown = _read("runtime.Unknown", data[len(_MAGIC):], 0)
    head = unknown.get("typeMeta", {})
    version, kind = head.get("apiVersion", ""), head.get("kind", "")
    group, _, number = version.rpartition("/")
    name = f"{(group or 'core').partition('.')[0]}.{number}.{kind}"
    if name not in _messages() and kind == "DeleteOptions":
        name = "meta.v1.DeleteOptions"
    if name not in _messages():
        raise ProtobufError(f'no kind "{kind}" is registered for version "{version}" in protobuf')
    raw = base64.b64decode(unknown.get("raw", ""))
    return {"kind": kind, "apiVersion": version, **_read(name, raw, 0)}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufError("proto: unexpected EOF")
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at


def _entries(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message as they stand: number, and an integer or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        form = key & 7
        if form == 0:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        if form == 2:
            length, at = _varint(data, at)
        elif form in (1, 5):
            length = 8 if form == 1 else 4
        else:
            raise ProtobufError(f"proto: illegal wireType {form}")
        if at + length > len(data):
            raise ProtobufError("proto: unexpected EOF")
        yield key >> 3, data[at:at + length]
        at += length


def _read(name: str, data: bytes, depth: int) -> dict[str, Any]:
    """A message as a document, without what Go's JSON would leave out."""
    if depth > _DEPTH_MAX:
        raise ProtobufError("proto: message is nested too deeply")
    fields = _messages()[name]
    result: dict[str, Any] = {}
    for number, value in _entries(data):
        known = fields.get(str(number))
        if known is None:
            continue
        field, kind = known
        if kind.startswith("="):
            result.update(_read(kind[1:], _bytes(value), depth + 1))
        elif kind.startswith("["):
            result.setdefault(field, []).append(_value(kind[1:], value, depth))
        elif kind.startswith("{"):
            entry = dict(_entries(_bytes(value)))
            inner = entry.get(2, 0 if kind[1:] in ("int", "bool") else b"")
            result.setdefault(field, {})[_text(entry.get(1, b""))] = _value(kind[1:], inner, depth)
        else:
            shown = _value(kind, value, depth)
            if _says_something(field, shown):
                result[field] = shown
    return result


def _says_something(field: str, shown: Any) -> bool:
    if shown is None or shown == "":
        return False
    if shown == {}:
        return field in _EMPTY_COUNTS
    if shown is False or (shown == 0 and isinstance(shown, int)):
        return field in _ZERO_COUNTS
    return True


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtobufError("proto: wrong wireType")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise ProtobufError("proto: field contains invalid UTF-8") from None


def _value(kind: str, value: int | bytes, depth: int) -> Any:
    if kind == "string":
        return _text(value)
    if kind == "bytes":
        return base64.b64encode(_bytes(value)).decode()
    if kind == "double":
        data = _bytes(value)
        return struct.unpack("<d" if len(data) == 8 else "<f", data)[0]
    if kind in ("int", "bool"):
        if not isinstance(value, int):
            raise ProtobufError("proto: wrong wireType")
        if kind == "bool":
            return bool(value)
        return value - 2 * _SIGN if value >= _SIGN else value
    return _message(kind, _bytes(value), depth)


def _message(kind: str, data: bytes, depth: int) -> Any:
    """A part that has a form of its own in JSON, or an object."""
    if kind in ("meta.v1.Time", "meta.v1.MicroTime"):
        return _time(data, kind == "meta.v1.MicroTime")
    parts: dict[int, Any] = {}
    if kind == "api.resource.Quantity":
        parts.update(_entries(data))
        return _text(parts.get(1, b""))
    if kind == "util.intstr.IntOrString":
        parts.update(_entries(data))
        if parts.get(1, 0):
            return _text(parts.get(3, b""))
        return _value("int", parts.get(2, 0), depth)
    if kind in ("runtime.RawExtension", "meta.v1.FieldsV1"):
        parts.update(_entries(data))
        try:
            return json.loads(_bytes(parts.get(1, b"null")))
        except ValueError:
            raise ProtobufError("an embedded object is no JSON") from None
    if kind.endswith(".ExtraValue"):
        return [_text(value) for _, value in _entries(data)]
    return _read(kind, data, depth + 1)


def _time(data: bytes, fine: bool) -> str | None:
    parts = dict(_entries(data))
    if not parts:
        return None
    seconds = _value("int", parts.get(1, 0), 0)
    nanos = _value("int", parts.get(2, 0), 0)
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds,
                                                              microseconds=nanos // 1000)
    except OverflowError:
        raise ProtobufError("a time is out of range") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if fine else "%Y-%m-%dT%H:%M:%SZ")
