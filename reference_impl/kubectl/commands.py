"""Command lines: what a person typed, as a value. Nothing is asked of the server here."""

from __future__ import annotations

import argparse
import shlex
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from model.api.objects import BY_ALIAS, BY_NAME, Resource
from model.api.selectors import valid_label_key, valid_label_value
from model.kernel.errors import InputError

VERBS = ("create", "get", "describe", "scale", "set", "delete", "top", "patch", "replace",
         "label", "cordon", "uncordon", "apply", "rollout")
_NAMED = ("scale", "set", "patch", "label", "cordon", "uncordon", "rollout")
RECEIVED = "received"
OUTPUTS = ("", "wide", "yaml", "json", "name")
ALL = ("pods", "replicationcontrollers", "services", "daemonsets", "deployments", "replicasets",
       "statefulsets", "horizontalpodautoscalers", "cronjobs", "jobs")
"""What the word `all` stands for."""


class Target(NamedTuple):
    """One thing a command is about: a resource, and a name or "" for all of them."""

    resource: str
    name: str = ""


class Command(NamedTuple):
    """A parsed command line. `files` are what -f named; `stdin` is the text behind `-`; a label
    to take away has the value None; `raw` is the path of a URL to post the file to. `token` is
    what to be known by: `received` for the last token that the client was given, "" for its own
    credential."""

    verb: str
    targets: tuple[Target, ...] = ()
    many: bool = False
    files: tuple[str, ...] = ()
    stdin: str = ""
    namespace: str = ""
    all_namespaces: bool = False
    output: str = ""
    selector: str = ""
    field_selector: str = ""
    all_: bool = False
    show_labels: bool = False
    label_columns: tuple[str, ...] = ()
    no_headers: bool = False
    replicas: int = -1
    current_replicas: int = -1
    images: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str | None], ...] = ()
    overwrite: bool = False
    grace_period: int | None = None
    force: bool = False
    cascade: str = "background"
    wait: bool = True
    timeout_ms: int = 0
    ignore_not_found: bool = False
    patch_type: str = "strategic"
    patch: str = ""
    containers: bool = False
    raw: str = ""
    manager: str = ""
    server_side: bool = False
    token: str = ""


class _Parser(argparse.ArgumentParser):
    """Errors become InputError in kubectl's words."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message.replace("unrecognized arguments", "unknown flag"))


@lru_cache(maxsize=32)
def _parser(verb: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"kubectl {verb}", add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("words", nargs="*")
    add("-n", "--namespace", default="")
    add("-o", "--output", default="")
    add("--token", default="", choices=("", RECEIVED))
    if verb in ("create", "delete", "get", "describe", "replace", "scale", "apply"):
        add("-f", "--filename", action="append", default=[])
    if verb == "create":
        add("--raw", default="")
    if verb == "apply":
        add("--server-side", action="store_true")
        add("--force-conflicts", dest="force", action="store_true")
        add("--field-manager", default="kubectl")
    if verb in ("get", "describe", "delete", "top"):
        add("-l", "--selector", default="")
        add("--field-selector", default="")
    if verb in ("get", "top", "describe"):
        add("-A", "--all-namespaces", action="store_true")
        add("--no-headers", action="store_true")
    if verb == "get":
        add("--show-labels", action="store_true")
        add("-L", "--label-columns", action="append", default=[])
    if verb == "scale":
        add("--replicas", type=int, default=-1)
        add("--current-replicas", type=int, default=-1)
    if verb == "patch":
        add("-p", "--patch", default="")
        add("--type", default="strategic", choices=("strategic", "merge", "json"))
    if verb == "top":
        add("--containers", action="store_true")
    if verb == "label":
        add("--overwrite", action="store_true")
    if verb == "rollout":
        add("--timeout", default="0s")
    if verb == "delete":
        _add_delete(parser)
    return parser


def _add_delete(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--all", action="store_true")
    add("--grace-period", type=int, default=-1)
    add("--now", action="store_true")
    add("--force", action="store_true")
    add("--cascade", nargs="?", const="background", default="background")
    add("--wait", nargs="?", const="true", default="true", choices=("true", "false"))
    add("--timeout", default="0s")
    add("--ignore-not-found", nargs="?", const="true", default="false")


@lru_cache(maxsize=1024)
def parse(line: str, stdin: str = "") -> Command:
    """The command that a line means (without the word kubectl). InputError in kubectl's words."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"the line cannot be split into words: {error}") from None
    if words and words[0] == "kubectl":
        words = words[1:]
    if not words or words[0] not in VERBS:
        shown = words[0] if words else ""
        raise InputError(f'unknown command "{shown}" for "kubectl"',
                         fix="one of " + ", ".join(VERBS))
    verb, words = words[0], words[1:]
    if verb == "set":
        if words[:1] != ["image"]:
            raise InputError("set changes images only", fix="kubectl set image rc/web web=nginx:2")
        words = words[1:]
    if verb == "rollout":
        if words[:1] != ["status"]:
            raise InputError("rollout tells the status only",
                             fix="kubectl rollout status deployment/web")
        words = words[1:]
    parsed, unknown = _parser(verb).parse_known_intermixed_args(words)
    if unknown:
        raise InputError(f"unknown flag: {unknown[0]}")
    return _checked(_built(verb, parsed, stdin))


def _built(verb: str, parsed: Any, stdin: str) -> Command:
    given = vars(parsed)
    words = list(parsed.words)
    images: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str | None], ...] = ()
    if verb == "set":
        pairs = [word.split("=", 1) for word in words if "=" in word]
        images = tuple((name, image) for name, image in pairs)
        words = [word for word in words if "=" not in word]
    if verb == "label":
        labels, words = _labels(words)
    grace = given.get("grace_period", -1)
    force = given.get("force", False)
    if given.get("now"):
        grace = 1
    if force and grace < 0:
        grace = 0
    targets, many = _all_targets(verb, words)
    return Command(
        verb, targets, many, tuple(given.get("filename") or ()), stdin, parsed.namespace,
        given.get("all_namespaces", False), parsed.output, given.get("selector", ""),
        given.get("field_selector", ""), given.get("all", False),
        given.get("show_labels", False),
        tuple(label for text in given.get("label_columns") or () for label in text.split(",")),
        given.get("no_headers", False), given.get("replicas", -1),
        given.get("current_replicas", -1), images, labels,
        given.get("overwrite", False), grace if grace >= 0 else None, force,
        _cascade(given.get("cascade", "background")), given.get("wait", "true") == "true",
        _milliseconds(given.get("timeout", "0s")), given.get("ignore_not_found") == "true",
        given.get("type", "strategic"), given.get("patch", ""), given.get("containers", False),
        given.get("raw", ""), given.get("field_manager", ""), given.get("server_side", False),
        given.get("token", ""))


def _labels(words: list[str]) -> tuple[tuple[tuple[str, str | None], ...], list[str]]:
    """The labels to set (`a=b`) and to take away (`a-`), and the other words."""
    found: list[tuple[str, str | None]] = []
    others = []
    for at, word in enumerate(words):
        name, mark, value = word.partition("=")
        if mark:
            found.append((name, value))
        elif word.endswith("-") and at:
            found.append((word[:-1], None))
        else:
            others.append(word)
    for key_, wish in found:
        if not valid_label_key(key_) or not valid_label_value(wish or ""):
            raise InputError(f"invalid label: {key_}={wish or ''}")
    return tuple(found), others


def _all_targets(verb: str, words: list[str]) -> tuple[tuple[Target, ...], bool]:
    if verb == "top":
        return _top_targets(words)
    if verb in ("cordon", "uncordon"):
        names = [word.removeprefix("nodes/").removeprefix("node/") for word in words]
        return tuple(Target("nodes", name) for name in names), False
    return _targets(words)


def _cascade(text: str) -> str:
    chosen = {"true": "background", "false": "orphan"}.get(text, text)
    if chosen not in ("background", "foreground", "orphan"):
        raise InputError(f"invalid cascade value ({text}).",
                         fix='Must be "background", "foreground", or "orphan"')
    return chosen


def _milliseconds(text: str) -> int:
    for suffix, size in (("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)):
        number = text.removesuffix(suffix)
        if number != text and number.isdigit():
            return int(number) * size
    raise InputError(f'invalid argument "{text}" for "--timeout" flag', fix="for example 30s")


def resource(word: str) -> Resource:
    """The resource that a word means. InputError in kubectl's words when there is none."""
    found = BY_ALIAS.get(word.lower())
    if found is None:
        raise InputError(f'the server doesn\'t have a resource type "{word}"')
    return found


def key(found: Resource) -> str:
    """How requests name a resource."""
    return found.name if BY_NAME[found.name] is found else found.group_resource


def _targets(words: list[str]) -> tuple[tuple[Target, ...], bool]:
    """The targets of a command, and whether it names several types."""
    if not words:
        return (), False
    if "/" in words[0]:
        found = []
        for word in words:
            kind, slash, name = word.partition("/")
            if not slash:
                raise InputError("there is no need to specify a resource type as a separate "
                                 "argument when passing arguments in resource/name form (e.g. "
                                 "'kubectl get resource/<resource_name>' instead of 'kubectl get "
                                 "resource resource/<resource_name>'")
            if "/" in name or not name:
                raise InputError("arguments in resource/name form may not have more than one "
                                 "slash")
            found.append(Target(key(resource(kind)), name))
        return tuple(found), len({target.resource for target in found}) > 1
    types: list[str] = []
    for word in words[0].split(","):
        types.extend(ALL if word == "all" else [key(resource(word))])
    names = words[1:] or [""]
    return tuple(Target(kind, name) for kind in types for name in names), \
        len(types) > 1 or words[0] == "all"


def _top_targets(words: list[str]) -> tuple[tuple[Target, ...], bool]:
    kinds = {"pod": "pods", "pods": "pods", "po": "pods", "node": "nodes", "nodes": "nodes",
             "no": "nodes"}
    if not words or words[0] not in kinds:
        raise InputError("top shows pods or nodes", fix="kubectl top nodes")
    name = f"{kinds[words[0]]}.metrics.k8s.io"
    return tuple(Target(name, each) for each in words[1:] or [""]), False


def _checked(command: Command) -> Command:
    verb = command.verb
    if command.output not in OUTPUTS or (command.output == "wide" and verb != "get"):
        raise InputError(f'unable to match a printer suitable for the output format '
                         f'"{command.output}", allowed formats are: json,name,wide,yaml')
    if command.raw and len(command.files) != 1:
        raise InputError("--raw can only use a single local file or stdin")
    if verb == "apply" and not command.server_side:
        raise InputError("this client applies on the server's side only", fix="--server-side")
    if verb in ("create", "replace", "apply") and not command.files:
        raise InputError("must specify one of -f and -k")
    if verb in ("get", "describe") and not command.targets and not command.files:
        raise InputError("You must specify the type of resource to get.",
                         fix='for example "kubectl get pods"')
    if verb == "scale" and command.replicas < 0:
        raise InputError("The --replicas=COUNT flag is required, and COUNT must be greater than "
                         "or equal to 0")
    if verb == "set" and not command.images:
        raise InputError("at least one image update is required")
    if verb == "patch" and not command.patch:
        raise InputError("must specify -p to patch")
    if verb == "label" and not command.labels:
        raise InputError("at least one label update is required")
    if verb in _NAMED and not command.targets and not command.files:
        raise InputError("one or more resources must be specified as <resource> <name> or "
                         "<resource>/<name>")
    if verb in _NAMED and any(not each.name for each in command.targets):
        raise InputError("resource(s) were provided, but no name was specified")
    if verb == "delete":
        _check_delete(command)
    return command


def _check_delete(command: Command) -> None:
    if command.all_ and command.selector:
        raise InputError("setting 'all' parameter but found a non empty selector. ")
    if command.files:
        return
    if not command.targets:
        raise InputError("You must provide one or more resources by argument or filename.")
    if any(not each.name for each in command.targets) and not (
            command.all_ or command.selector or command.field_selector):
        raise InputError("resource(s) were provided, but no name was specified")
