"""YAML and JSON text to plain values, with the line of every field, within bounds.

Differences from a plain YAML loader, all for the sake of people's files: duplicate keys are
faults, depth and alias expansion are bounded (a "YAML bomb" is refused before it grows), only
values that JSON knows come out (timestamps and base-60 numbers stay text, as in Kubernetes), and
every fault says its line. Source: YAML 1.1 as read by Kubernetes' own tools.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

DEPTH_MAX = 100
VALUES_MAX = 2_000_000
BYTES_MAX = 64 * 1024 * 1024


class Fault(NamedTuple):
    """One thing wrong with a text: line (from 1, 0 for the whole file), what, and the fix."""

    line: int
    what: str
    fix: str = ""


class UnreadableError(Exception):
    """The text cannot be read to its end; `fault` says where and why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


class Spot(NamedTuple):
    """Where a field is: its line, and the container and key that hold it."""

    line: int
    container: Any
    key: Any


class Document(NamedTuple):
    """One document. `spots` maps paths such as `spec.ports[0].port` to where they are."""

    value: Any
    line: int
    spots: dict[str, Spot]
    faults: tuple[Fault, ...]


def decode(data: bytes) -> str:
    """The text of a file. UnreadableError when it is binary, too large or not UTF-8."""
    if len(data) > BYTES_MAX:
        raise UnreadableError(Fault(0, f"the file has {len(data)} bytes, more than {BYTES_MAX}"))
    at = data.find(b"\0")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at, text = error.start, ""
    if at >= 0:
        line = data.count(b"\n", 0, at) + 1
        what = f"the file is no text: byte 0x{data[at]:02x} at offset {at}"
        raise UnreadableError(Fault(line, what, "manifests are YAML or JSON in UTF-8"))
    return text


def documents(text: str) -> list[Document]:
    """All documents of a text. UnreadableError where it stops being YAML or JSON."""
    if text.lstrip()[:1] in ("{", "["):
        found = _json_document(text)
        if found is not None:
            return [found]
    return list(_yaml_documents(text))


# ---- JSON --------------------------------------------------------------------------------------


def _json_document(text: str) -> Document | None:
    """The text as JSON; None when it is none (flow-style YAML looks alike)."""
    faults: list[Fault] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                faults.append(Fault(0, f"duplicate key {key!r}", "keep one of them"))
            made[key] = value
        return made

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant)
    except ValueError:
        return None
    except RecursionError:
        raise UnreadableError(Fault(0, "the JSON is nested too deeply", _DEPTH_FIX)) from None
    spots: dict[str, Spot] = {}
    _index(value, spots)
    return Document(value, 1, spots, tuple(faults))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_DEPTH_FIX = f"at most {DEPTH_MAX} levels"


def _index(value: Any, spots: dict[str, Spot]) -> None:
    """Spots of a JSON value; its lines are unknown."""
    pending = [("", value, 1)]
    while pending:
        path, each, depth = pending.pop()
        if depth > DEPTH_MAX:
            raise UnreadableError(Fault(0, "the JSON is nested too deeply", _DEPTH_FIX))
        entries: Iterator[tuple[Any, Any]] = iter(())
        if isinstance(each, dict):
            entries = iter(each.items())
        elif isinstance(each, list):
            entries = iter(enumerate(each))
        for key, child in entries:
            place = join(path, key)
            spots[place] = Spot(0, each, key)
            pending.append((place, child, depth + 1))


def join(path: str, key: Any) -> str:
    """The path of an entry, as Kubernetes writes it."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


# ---- YAML --------------------------------------------------------------------------------------


_NO_TAGS = "write plain values, lists and maps"


class _Frame:
    """A mapping or sequence that is being read."""

    __slots__ = ("anchor", "container", "key", "key_line", "merges", "path", "seen", "size")

    def __init__(self, container: Any, path: str, anchor: str | None) -> None:
        self.container = container
        self.path = path
        self.anchor = anchor
        self.key: str | None = None
        self.key_line = 0
        self.seen: dict[str, int] = {}
        self.merges: list[Any] = []
        self.size = 1


def _yaml_documents(text: str) -> Iterator[Document]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder: _Builder | None = None
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.DocumentStartEvent):
                builder = _Builder()
            elif isinstance(event, yaml.DocumentEndEvent):
                if builder is not None and builder.root is not None:
                    yield Document(builder.root, builder.line, builder.spots,
                                   tuple(builder.faults))
            elif builder is not None:
                builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        raise UnreadableError(Fault(line, f"this is no YAML: {error.problem or error.context}",
                               _yaml_fix(str(error.problem)))) from None
    except yaml.YAMLError as error:
        fault = Fault(_reader_line(text, error), f"this is no YAML: {error}")
        raise UnreadableError(fault) from None


def _reader_line(text: str, error: Any) -> int:
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 0


def _yaml_fix(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return "is this line indented as the line above, and does the line above end its value?"
    if "could not find expected ':'" in problem:
        return 'a key is followed by ": ", with a blank'
    if "character '\\t'" in problem or "'\\t'" in problem:
        return "indent with blanks, not with tabs"
    if "expected <block end>" in problem or "did not find expected key" in problem:
        return "indent entries of one block alike"
    if "end of stream" in problem or "unexpected end" in problem:
        return "the file seems to be cut off"
    return ""


class _Builder:
    """Builds one document from YAML events, without recursion."""

    def __init__(self) -> None:
        self.root: Any = None
        self.line = 0
        self.spots: dict[str, Spot] = {}
        self.faults: list[Fault] = []
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.values = 0

    def take(self, event: Any) -> None:
        """One event of the parser."""
        import yaml

        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, line)
            if self.stack and isinstance(self.stack[-1].container, dict) \
                    and self.stack[-1].key is None:
                self._key(event.value if isinstance(value, (str, float)) else _key_text(value),
                          line)
                return
            if event.anchor:
                self.anchors[event.anchor] = (value, 1)
            self._put(value, line, 1)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor or "", line)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
                self.faults.append(Fault(line, f"the tag {event.tag} is not known here", _NO_TAGS))
            self._open({} if isinstance(event, yaml.MappingStartEvent) else [], event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(line)

    def _open(self, container: Any, event: Any, line: int) -> None:
        if len(self.stack) >= DEPTH_MAX:
            raise UnreadableError(Fault(line, "the document is nested too deeply", _DEPTH_FIX))
        frame = self.stack[-1] if self.stack else None
        if frame is None:
            path = ""
            self.root, self.line = container, line
        elif isinstance(frame.container, dict):
            if frame.key is None:
                raise UnreadableError(Fault(line, "a map or a list cannot be a key",
                                       "keys are plain text"))
            path = join(frame.path, frame.key)
            self._attach(frame, container, frame.key_line)
        else:
            path = join(frame.path, len(frame.container))
            self._attach(frame, container, line)
        self.stack.append(_Frame(container, path, event.anchor))

    def _close(self, line: int) -> None:
        frame = self.stack.pop()
        for source in frame.merges:
            for key, value in source.items():
                frame.container.setdefault(key, value)
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.container, frame.size)
        if self.stack:
            self._grow(self.stack[-1], frame.size, line)

    def _grow(self, frame: _Frame, size: int, line: int) -> None:
        frame.size += size
        if frame.size > VALUES_MAX:
            what = f"the document expands to more than {VALUES_MAX} values"
            raise UnreadableError(Fault(line, what, "aliases multiply; write the values out"))

    def _alias(self, name: str, line: int) -> None:
        if name not in self.anchors:
            raise UnreadableError(Fault(line, f"alias *{name} has no anchor &{name} before it"))
        value, size = self.anchors[name]
        if self.stack and isinstance(self.stack[-1].container, dict) \
                and self.stack[-1].key is None:
            self._key(_key_text(value), line)
            return
        self._put(value, line, size)

    def _key(self, key: str, line: int) -> None:
        frame = self.stack[-1]
        if key in frame.seen:
            where = join(frame.path, key)
            self.faults.append(Fault(line, f"duplicate key: {where} stands in line "
                                     f"{frame.seen[key]} already", "keep one of them"))
        frame.seen[key] = line
        frame.key, frame.key_line = key, line

    def _put(self, value: Any, line: int, size: int) -> None:
        if not self.stack:
            self.root, self.line = value, line
            return
        frame = self.stack[-1]
        keyed = isinstance(frame.container, dict)
        self._attach(frame, value, frame.key_line if keyed else line)
        self._grow(frame, size, line)

    def _attach(self, frame: _Frame, value: Any, line: int) -> None:
        if not isinstance(frame.container, dict):
            key: Any = len(frame.container)
            frame.container.append(value)
        else:
            key = frame.key
            frame.key = None
            if key == "<<":
                self._merge(frame, value, line)
                return
            frame.container[key] = value
        self.spots[join(frame.path, key)] = Spot(line, frame.container, key)

    def _merge(self, frame: _Frame, value: Any, line: int) -> None:
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                self.faults.append(Fault(line, "<< takes a map or a list of maps"))
            else:
                frame.merges.append(source)

    def _scalar(self, event: Any, line: int) -> Any:
        tag = event.tag
        if tag in (None, "!") and not event.implicit[0]:
            return event.value
        if tag in (None, "!"):
            return self._plain(event.value, line)
        if tag == "tag:yaml.org,2002:str":
            return event.value
        if tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool",
                   "tag:yaml.org,2002:null"):
            return self._plain(event.value, line)
        self.faults.append(Fault(line, f"the tag {tag} is not known here", _NO_TAGS))
        return event.value

    def _plain(self, text: str, line: int) -> Any:
        value = plain_value(text)
        if isinstance(value, float) and not math.isfinite(value):
            self.faults.append(Fault(line, f"{text} is no number that JSON can carry",
                                     f'quote it: "{text}"'))
            return text
        return value


def _key_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)"
                    r"|\.(nan|NaN|NAN)")


def plain_value(text: str) -> Any:
    """The value of a plain (unquoted) scalar, by the rules of YAML 1.1 without its base-60."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INTEGER.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _integer(text: str) -> Any:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-").lower()
    if len(digits) > 40:
        return float(text)
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    if digits.startswith("0") and len(digits) > 1:
        return sign * int(digits, 8)
    return sign * int(digits)
