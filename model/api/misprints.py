"""Misprints in manifests: what a person most likely meant, line by line.

Run only on a text that was already found wrong, so that a rule may be bold. Each rule looks at
one line (and the next); together they name every fault of a badly printed file in one go, where
a YAML parser stops at the first.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Any, get_args, get_type_hints

from model.api.records import wire_name
from model.api.resources import RESOURCES
from model.api.yaml_reader import Fault

_OTHER_FIELDS = ("apiVersion", "kind", "items", "livenessProbe", "readinessProbe", "startupProbe",
                 "securityContext", "envFrom", "valueFrom", "hostPath", "emptyDir", "configMap",
                 "workingDir", "lifecycle")
_FREE_TEXT = frozenset(("value", "command", "args", "message", "description", "data"))
_LINE = re.compile(r"""(?P<indent>\s*)(?P<dash>-?)(?P<gap>[ ]*)
                       (?P<key>[A-Za-z][\w./-]*)(?P<blank>[ ]*):(?P<value>.*)""", re.VERBOSE)
_MAPS_OF_NAMES = ("labels", "selector", "matchLabels", "annotations", "nodeSelector")


@cache
def field_names() -> frozenset[str]:
    """The wire names of all typed fields, and of a few others that people write."""
    names = set(_OTHER_FIELDS)
    pending: list[Any] = [r.record for r in RESOURCES if r.record is not None]
    seen: set[Any] = set()
    while pending:
        record = pending.pop()
        if record in seen or not hasattr(record, "_fields"):
            pending.extend(get_args(record))
            continue
        seen.add(record)
        for field, annotation in get_type_hints(record).items():
            names.add(wire_name(field))
            pending.extend(get_args(annotation))
    return frozenset(names - {"rest"})


@cache
def _by_lower_case() -> dict[str, str]:
    return {name.lower(): name for name in sorted(field_names())}


def known_field(name: str) -> str | None:
    """The field that a name means when only the case of letters is ignored."""
    return _by_lower_case().get(name.lower())


def find(text: str) -> list[Fault]:
    """The misprints of a text, in the order of its lines."""
    lines = text.splitlines()
    faults = []
    owner = ""
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "---", "...")):
            continue
        following = next((later for later in lines[number:]
                          if later.strip() and not later.strip().startswith("#")), "")
        faults.extend(_faults_of(line, number, owner, following))
        match = _LINE.fullmatch(line)
        owner = match["key"] if match and not _without_comment(match["value"]) else owner
    return faults


def _faults_of(line: str, number: int, owner: str, following: str) -> list[Fault]:
    if line[:len(line) - len(line.lstrip())].count("\t"):
        return [Fault(number, "a tab indents this line", "indent with blanks, not with tabs")]
    match = _LINE.fullmatch(line)
    if match is None:
        return []
    key, value = match["key"], match["value"]
    name = known_field(key)
    if name is None and owner not in _MAPS_OF_NAMES:
        return []
    wrong = []
    if match["dash"] and not match["gap"]:
        wrong.append(f'"-{key}" needs a blank after the dash')
    if value and not value.startswith(" "):
        wrong.append(f'"{key}:{_shown(value)}" needs a space after the colon')
    if name is not None and name != key and name.lower() == key.lower():
        wrong.append(f'there is no field {key}: did you mean {name}?')
    if name not in _FREE_TEXT and re.search(r"[^\s]#", value) \
            and not _quoted(value):
        wrong.append('"#" begins a comment only after a blank')
    faults = _heading(key, _without_comment(value), number)
    if wrong:
        faults.append(Fault(number, "; ".join(wrong), f"write: {_repaired(match, name)}"))
    if name is not None and not _without_comment(value) and following:
        faults.extend(_empty_block(match, name, number, following))
    return faults


def _heading(key: str, value: str, number: int) -> list[Fault]:
    """A fault when apiVersion or kind is almost a known one."""
    known = {"apiVersion": sorted({resource.api_version for resource in RESOURCES}),
             "kind": [*sorted({resource.kind for resource in RESOURCES}), "List"]}.get(key)
    if known is None or not value or value in known:
        return []
    likely = close_to(value, known)
    return [Fault(number, f"{key} {value} is not known", f"did you mean {likely}?")] \
        if likely else []


_BLOCKS = frozenset(("metadata", "spec", "template", "selector", "labels", "matchLabels",
                     "annotations", "containers", "ports", "env", "nodeSelector", "resources",
                     "limits", "requests"))


def _empty_block(match: re.Match[str], name: str, number: int, following: str) -> list[Fault]:
    """A fault when the lines that seem to belong to a block are not indented deeper than it."""
    own = len(match["indent"]) + len(match["dash"]) + len(match["gap"])
    indent = len(following) - len(following.lstrip())
    if name not in _BLOCKS or indent > own:
        return []
    if indent == own and following.lstrip().startswith("-"):
        return []
    return [Fault(number, f"{name} has no content: the next line is not indented deeper",
                  f"indent what belongs to {name} by {own + 2} blanks")]


def _quoted(value: str) -> bool:
    return value.strip()[:1] in ('"', "'", "|", ">", "[", "{")


def _without_comment(value: str) -> str:
    if _quoted(value):
        return value
    return re.split(r"(?:^|\s)#|(?<=\S)#", value, maxsplit=1)[0].strip()


def _shown(value: str) -> str:
    return _without_comment(value)[:30] or value[:1]


def _repaired(match: re.Match[str], name: str | None) -> str:
    dash = "- " if match["dash"] else ""
    value = match["value"] if _quoted(match["value"]) else _without_comment(match["value"])
    return f"{dash}{name or match['key']}: {value.strip()}".rstrip()


def close_to(word: str, known: list[str]) -> str:
    """The known word that is most like `word`, "" when none is."""
    by_lower = {each.lower(): each for each in sorted(known, reverse=True)}
    if word.lower() in by_lower:
        return by_lower[word.lower()]
    found = difflib.get_close_matches(word.lower(), sorted(by_lower), 1, 0.75)
    return by_lower[found[0]] if found else ""
