"""Objects as YAML and JSON text, in the layout of kubectl."""

from __future__ import annotations

import json
import re
from typing import Any

from model.api.objects import thaw
from model.api.yaml_reader import plain_value

_PLAIN = re.compile(r"(?:[A-Za-z0-9_./$(+~\\]|-(?=[^\s-]))[^\n#:]*"
                    r"(?:(?::(?=\S)|(?<=\S)#)[^\n#:]*)*")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ].*)?")


def document(obj: Any) -> dict[str, Any]:
    """An object as `get -o` shows it: without the records of field managers."""
    shown = thaw(obj)
    metadata = shown.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return shown


def listed(objects: tuple[Any, ...]) -> dict[str, Any]:
    """Several objects as one List."""
    return {"apiVersion": "v1", "items": [document(obj) for obj in objects], "kind": "List",
            "metadata": {"resourceVersion": ""}}


def to_json(value: Any) -> str:
    """JSON, keys sorted, indented by four."""
    text = json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text + "\n"


def to_yaml(value: Any) -> str:
    """YAML, keys sorted, lists not indented under their key."""
    lines: list[str] = []
    if isinstance(value, dict) and value:
        _mapping(value, "", lines)
    elif isinstance(value, list) and value:
        _sequence(value, "", lines)
    else:
        lines.append(_inline(value))
    return "\n".join(lines) + "\n"


def _mapping(value: dict[str, Any], indent: str, lines: list[str], first: str = "") -> None:
    """The entries of a map; `first` is what stands before the first one (`- ` of a list)."""
    lead = first or indent
    for key in sorted(value):
        entry = value[key]
        head = f"{lead}{_scalar(key, indent)}:"
        lead = indent
        if isinstance(entry, dict) and entry:
            lines.append(head)
            _mapping(entry, indent + "  ", lines)
        elif isinstance(entry, list) and entry:
            lines.append(head)
            _sequence(entry, indent, lines)
        elif isinstance(entry, str) and "\n" in entry:
            lines.extend(_block(head, entry, indent + "  "))
        else:
            lines.append(f"{head} {_inline(entry)}")


def _sequence(value: list[Any], indent: str, lines: list[str], first: str = "") -> None:
    lead = first or indent
    for entry in value:
        head = f"{lead}- "
        lead = indent
        if isinstance(entry, dict) and entry:
            _mapping(entry, indent + "  ", lines, head)
        elif isinstance(entry, list) and entry:
            _sequence(entry, indent + "  ", lines, head)
        elif isinstance(entry, str) and "\n" in entry:
            lines.extend(_block(head.rstrip(), entry, indent + "  "))
        else:
            lines.append(f"{head}{_inline(entry)}")


def _block(head: str, text: str, indent: str) -> list[str]:
    """A text of several lines as a literal block, or quoted where a block cannot hold it."""
    if text[0] in " \n" or any(ord(c) < 32 and c != "\n" for c in text) or text.strip() == "":
        return [f"{head} {json.dumps(text, ensure_ascii=False)}"]
    kept = len(text) - len(text.rstrip("\n"))
    mark = "|-" if kept == 0 else "|" if kept == 1 else "|+"
    body = text[:-1] if kept else text
    return [f"{head} {mark}", *(f"{indent}{line}" if line else "" for line in body.split("\n"))]


def _inline(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    if isinstance(value, str):
        return _scalar(value, "")
    return json.dumps(value)


def _scalar(text: str, indent: str) -> str:
    """A text in the lightest quoting that reads back as the same text."""
    if not isinstance(plain_value(text), str) or _DATE.fullmatch(text) or text in ("<<", "="):
        return json.dumps(text, ensure_ascii=False)
    if any(ord(character) < 32 for character in text):
        return json.dumps(text, ensure_ascii=False)
    if _PLAIN.fullmatch(text) and not text.endswith((" ", ":")):
        return text
    return "'" + text.replace("'", "''") + "'"
