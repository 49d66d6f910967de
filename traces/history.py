"""A history on disk: text that a person can read and a diff can compare.

    kubeproof trace 1
    scenario {"name": "worked-example", ...}
    seed 17
    property every_pod_is_bound_at_most_once
    message default/mysql-1 is bound to node-1 and to node-2
    ---
    kubectl run "create -f mysql-rc.yaml"
    apiserver deliver "kubectl" "work"
    --- 5f1d0c77a90be2d4
    made by kubeproof 0.1.0

The header is versioned; its values are JSON or plain text to the end of the line. Each entry is one
action: actor, verb, and arguments as JSON. The line that closes the entries carries the digest of
all above it; what follows is provenance and takes no part in it. A recording that was killed has no
closing line: it loads as unfinished, without a last line that was cut in half.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from model.kernel.action import Action
from model.kernel.errors import InputError
from model.kernel.values import canonical_json, stable_digest

VERSION = 1
FIRST = "kubeproof trace "
FENCE = "---"
LIMIT_BYTES = 256 * 1024 * 1024
_FIELDS = ("scenario", "seed", "property", "message", "mutant")


class History(NamedTuple):
    """A run: what it started from, which property it broke ("" for none), and its actions.

    `scenario` is the scenario as a document (plain JSON values), complete: a trace needs no other
    file. `mutant` names the seeded bug that was installed. `finished` is False for a recording
    that was interrupted.
    """

    scenario: Mapping[str, Any]
    actions: tuple[Action, ...]
    seed: int = 0
    property: str = ""
    message: str = ""
    mutant: str = ""
    provenance: str = ""
    finished: bool = True


def entry(action: Action) -> str:
    """One action as a line."""
    args = (json.dumps(arg, ensure_ascii=False) for arg in action.args)
    return " ".join((action.actor, action.verb, *args))


def parse_entry(line: str, where: str = "") -> Action:
    """The action that `entry` wrote. InputError when the line is none."""
    head = line.split(" ", 2)
    if len(head) < 2 or not head[0] or not head[1]:
        raise InputError(f"{line!r} is no action", where=where,
                         fix="an action is: actor verb arguments, as in: clock advance")
    args: list[Any] = []
    rest, decoder, at = head[2] if len(head) == 3 else "", json.JSONDecoder(), 0
    while at < len(rest):
        try:
            value, at = decoder.raw_decode(rest, at)
        except json.JSONDecodeError:
            raise InputError(f"argument {len(args) + 1} is not JSON: {rest[at:at + 40]!r}",
                             where=where, fix='texts are quoted, as in "node-1"') from None
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise InputError(f"argument {len(args) + 1} is no text or integer: {value!r}",
                             where=where)
        args.append(value)
        at += 1
    return Action(head[0], head[1], tuple(args))


def header(history: History) -> str:
    """The lines before the first entry."""
    lines = [f"{FIRST}{VERSION}", f"scenario {canonical_json(dict(history.scenario))}",
             f"seed {history.seed}"]
    if history.property:
        lines.append(f"property {history.property}")
    if history.message:
        lines.append(f"message {' '.join(history.message.split())}")
    if history.mutant:
        lines.append(f"mutant {history.mutant}")
    lines.append(FENCE)
    return "\n".join(lines) + "\n"


def to_text(history: History) -> str:
    """The whole trace, as it stands on disk."""
    body = header(history) + "".join(entry(action) + "\n" for action in history.actions)
    if not history.finished:
        return body
    tail = history.provenance.rstrip("\n") + "\n" if history.provenance else ""
    return f"{body}{FENCE} {stable_digest(body)}\n{tail}"


def digest(history: History) -> str:
    """The digest over header and entries: equal for equal runs, in any process."""
    body = header(history) + "".join(entry(action) + "\n" for action in history.actions)
    return stable_digest(body)


def from_text(text: str, where: str = "trace") -> History:
    """The history that `to_text` wrote. InputError, with the line, for anything else."""
    if not text.startswith(FIRST):
        raise InputError("this is no kubeproof trace", where=f"{where}:1",
                         fix=f"a trace begins with the line {FIRST}{VERSION}")
    lines = text.split("\n")
    version = lines[0][len(FIRST):]
    if version != str(VERSION):
        raise InputError(f"trace format {version!r} is not known", where=f"{where}:1",
                         fix=f"this release reads format {VERSION}")
    fields, start = _fields(lines, where)
    actions: list[Action] = []
    for number in range(start, len(lines)):
        line = lines[number]
        if line.startswith(FENCE):
            _verify(text, lines, number, where)
            return _history(fields, actions, "\n".join(lines[number + 1:]), True)
        if number == len(lines) - 1:
            break  # what follows the last newline is empty, or an entry cut in half
        actions.append(parse_entry(line, f"{where}:{number + 1}"))
    return _history(fields, actions, "", False)


def _fields(lines: list[str], where: str) -> tuple[dict[str, Any], int]:
    fields: dict[str, Any] = {}
    for number, line in enumerate(lines[1:], 2):
        if number == len(lines):
            break  # behind the last newline, or a line cut in half
        if line == FENCE:
            if "scenario" not in fields:
                raise InputError("the header has no scenario", where=f"{where}:{number}")
            return fields, number
        name, _, value = line.partition(" ")
        if name not in _FIELDS:
            raise InputError(f"unknown header field {name!r}", where=f"{where}:{number}",
                             fix="one of " + ", ".join(_FIELDS))
        if name in fields:
            raise InputError(f"header field {name!r} stands twice", where=f"{where}:{number}")
        fields[name] = _value(name, value, f"{where}:{number}")
    raise InputError("the header is cut off", where=where, fix=f"it ends with a line {FENCE}")


def _value(name: str, value: str, where: str) -> Any:
    if name == "seed":
        if not value.removeprefix("-").isdigit():
            raise InputError(f"seed {value!r} is no integer", where=where)
        return int(value)
    if name == "scenario":
        try:
            document = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            raise InputError("the scenario is not JSON", where=where) from None
        if not isinstance(document, dict):
            raise InputError("the scenario is no JSON object", where=where)
        return document
    return value


def _verify(text: str, lines: list[str], number: int, where: str) -> None:
    body = text[:sum(len(line) + 1 for line in lines[:number])]
    stated = lines[number][len(FENCE):].strip()
    if stated != stable_digest(body):
        raise InputError("the digest does not fit: the trace was changed or is cut off",
                         where=f"{where}:{number + 1}",
                         fix="delete this line to load what is there as an unfinished recording")


def _history(fields: dict[str, Any], actions: list[Action], provenance: str,
             finished: bool) -> History:
    return History(fields["scenario"], tuple(actions), fields.get("seed", 0),
                   fields.get("property", ""), fields.get("message", ""),
                   fields.get("mutant", ""), provenance.strip("\n"), finished)


def load(path: Path) -> History:
    """Read a trace file. InputError when it cannot be read or is no trace."""
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise InputError("larger than any trace", where=str(path),
                             fix=f"at most {LIMIT_BYTES // 1024 // 1024} MiB")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise InputError("this is no kubeproof trace: it is not text", where=str(path)) from None
    return from_text(text, str(path))


def save(history: History, path: Path) -> None:
    """Write a trace; the file appears whole or not at all. InputError when it cannot be written."""
    write_whole(path, to_text(history).encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all. InputError on a full disk and the like."""
    scratch = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            scratch = Path(file.name)
            file.write(data)
        scratch.chmod(0o644)
        os.replace(scratch, path)
    except OSError as error:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", where=str(path),
                         fix="choose a folder that can be written and has room") from None
