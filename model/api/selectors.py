"""Label selectors (equality and set-based) and field selectors: parse once, match fast.

Source: Kubernetes documentation, "Labels and Selectors" and "Field Selectors". A selector is a
tuple of requirements that must all hold; the empty one matches everything, None matches nothing
(what an absent LabelSelector means in most places). Texts and objects' selectors are compiled
through caches, so matching one object costs a few dictionary look-ups.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from model.api.metadata import LabelSelector
from model.api.records import Pairs, write
from model.kernel.errors import InputError

IN, NOT_IN, EXISTS, ABSENT = "in", "notin", "exists", "!"
GREATER, LESS = "gt", "lt"


class Requirement(NamedTuple):
    """One condition on one key. `values` is in order and has exactly one entry for gt and lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == ABSENT:
            return f"!{self.key}"
        if self.operator in (GREATER, LESS):
            return f"{self.key}{'>' if self.operator == GREATER else '<'}{self.values[0]}"
        if len(self.values) == 1 and self.operator == IN:
            return f"{self.key}={self.values[0]}"
        if len(self.values) == 1:
            return f"{self.key}!={self.values[0]}"
        return f"{self.key} {self.operator} ({','.join(self.values)})"


Selector = tuple[Requirement, ...]
EVERYTHING: Selector = ()

_TOKEN = re.compile(r"\s*(?:(==|!=|=|!|\(|\)|,|>|<)|([^\s=!(),<>]+))")


def _tokens(text: str) -> list[str]:
    found = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unparsable(text, f"found {text[position:].strip()[0]!r}")
        found.append(match.group(1) or match.group(2))
        position = match.end()
    return found


def _unparsable(text: str, why: str) -> InputError:
    return InputError(f"unable to parse requirement: {why}", where=f"selector {text!r}",
                      fix="for example app=web, tier!=db, app in (a,b), !legacy")


@lru_cache(maxsize=4096)
def parse_labels(text: str) -> Selector:
    """A selector from its text, as in `-l` and `labelSelector=`. InputError when it is none."""
    tokens = _tokens(text)
    requirements: list[Requirement] = []
    position = 0
    while position < len(tokens):
        requirement, position = _requirement(text, tokens, position)
        requirements.append(requirement)
        if position < len(tokens):
            if tokens[position] != ",":
                raise _unparsable(text, f"found {tokens[position]!r}, expected: ',' or the end")
            position += 1
            if position == len(tokens):
                raise _unparsable(text, "found '', expected: identifier after ','")
    return tuple(sorted(requirements))


_PUNCTUATION = frozenset(("==", "!=", "=", "!", "(", ")", ",", ">", "<"))


def _word(text: str, tokens: list[str], position: int) -> str:
    if position >= len(tokens) or tokens[position] in _PUNCTUATION:
        found = tokens[position] if position < len(tokens) else ""
        raise _unparsable(text, f"found {found!r}, expected: identifier")
    return tokens[position]


def _requirement(text: str, tokens: list[str], position: int) -> tuple[Requirement, int]:
    if tokens[position] == "!":
        key = _word(text, tokens, position + 1)
        _check_key(key)
        return Requirement(key, ABSENT), position + 2
    key = _word(text, tokens, position)
    _check_key(key)
    position += 1
    operator = tokens[position] if position < len(tokens) else ","
    if operator == ",":
        return Requirement(key, EXISTS), position
    if operator in ("=", "==", "!=", ">", "<"):
        after = tokens[position + 1] if position + 1 < len(tokens) else ","
        value = "" if after == "," else _word(text, tokens, position + 1)
        _check_value(value)
        chosen = {"!=": NOT_IN, ">": GREATER, "<": LESS}.get(operator, IN)
        return Requirement(key, chosen, (value,)), position + (1 if after == "," else 2)
    if operator in (IN, NOT_IN):
        values, position = _values(text, tokens, position + 1)
        return Requirement(key, operator, values), position
    raise _unparsable(text, f"found {operator!r}, expected: in, notin, =, ==, !=, gt, lt")


def _values(text: str, tokens: list[str], position: int) -> tuple[tuple[str, ...], int]:
    if position >= len(tokens) or tokens[position] != "(":
        raise _unparsable(text, "expected: '('")
    position += 1
    values: dict[str, None] = {}
    expect_value = True
    while position < len(tokens) and tokens[position] != ")":
        token = tokens[position]
        if token == ",":
            if expect_value:
                values[""] = None
            expect_value = True
        elif expect_value:
            value = _word(text, tokens, position)
            _check_value(value)
            values[value] = None
            expect_value = False
        else:
            raise _unparsable(text, f"found {token!r}, expected: ',' or ')'")
        position += 1
    if position >= len(tokens):
        raise _unparsable(text, "expected: ')'")
    if expect_value:
        values[""] = None
    return tuple(sorted(values)), position + 1


_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def valid_label_key(key: str) -> bool:
    """Whether a text may be the key of a label: an optional DNS prefix, `/`, a name."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (_PREFIX.fullmatch(prefix) and len(prefix) <= 253):
        return False
    return _NAME.fullmatch(name) is not None


def valid_label_value(value: str) -> bool:
    """Whether a text may be the value of a label: empty or a name of at most 63 characters."""
    return value == "" or _NAME.fullmatch(value) is not None


def _check_key(key: str) -> None:
    if not valid_label_key(key):
        raise InputError(f"{key!r} is no label key", fix="letters, digits, '-', '_', '.', at most "
                         "63, and before it, where wanted, a DNS name and '/'")


def _check_value(value: str) -> None:
    if not valid_label_value(value):
        raise InputError(f"{value!r} is no label value",
                         fix="letters, digits, '-', '_', '.', at most 63")


def from_pairs(wanted: Pairs | None) -> Selector | None:
    """The selector that a plain map means (Service, ReplicationController). None stays None."""
    return None if wanted is None else _from_pairs(wanted)


@lru_cache(maxsize=4096)
def _from_pairs(wanted: Pairs) -> Selector:
    return tuple(Requirement(key, IN, (value,)) for key, value in wanted)


def from_object(selector: LabelSelector | None) -> Selector | None:
    """The selector that a LabelSelector means. None, which matches nothing, when it is absent."""
    return None if selector is None else _from_object(selector)


_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": ABSENT}


@lru_cache(maxsize=4096)
def _from_object(selector: LabelSelector) -> Selector:
    requirements = [Requirement(key, IN, (value,)) for key, value in selector.match_labels or ()]
    for expression in selector.match_expressions or ():
        operator = _OPERATORS.get(expression.operator or "")
        if operator is None:
            raise InputError(f"{expression.operator!r} is not a valid label selector operator",
                             fix="one of In, NotIn, Exists, DoesNotExist")
        values = tuple(sorted(expression.values or ()))
        requirements.append(Requirement(expression.key or "", operator, values))
    return tuple(sorted(requirements))


def matches(selector: Selector | None, labels: Pairs | None) -> bool:
    """Whether labels satisfy every requirement."""
    if not selector:
        return selector is not None
    carried = dict(labels) if labels else {}
    return all(_holds(requirement, carried) for requirement in selector)


def _holds(requirement: Requirement, carried: dict[str, str]) -> bool:
    key, operator, values = requirement
    value = carried.get(key)
    if operator == IN:
        return value is not None and value in values
    if operator == NOT_IN:
        return value is None or value not in values
    if operator == EXISTS:
        return value is not None
    if operator == ABSENT:
        return value is None
    try:
        return value is not None and (int(value) > int(values[0]) if operator == GREATER
                                      else int(value) < int(values[0]))
    except ValueError:
        return False


def selects(wanted: Pairs | None, labels: Pairs | None) -> bool:
    """Whether labels carry every pair of a plain map; an absent or empty map selects nothing.

    This is the rule of Services and of ReplicationControllers, whose empty selector is invalid.
    """
    if not wanted or not labels:
        return False
    return all(pair in labels for pair in wanted)


def label_text(selector: Selector) -> str:
    """The selector as text, as `kubectl get -o wide` prints it."""
    return ",".join(str(requirement) for requirement in selector)


class FieldRequirement(NamedTuple):
    """One condition on a field: equal, or not equal where `negated`."""

    path: str
    value: str
    negated: bool = False


@lru_cache(maxsize=4096)
def parse_fields(text: str) -> tuple[FieldRequirement, ...]:
    """A field selector from its text: `metadata.name=a,status.phase!=Running`."""
    requirements = []
    for part in re.split(r"(?<!\\),", text):
        if not part:
            continue
        match = re.match(r"((?:\\.|[^\\=!])*)(!=|==|=)(.*)", part, re.DOTALL)
        if match is None:
            raise InputError(f"invalid selector: '{text}'; can't understand '{part}'",
                             fix="for example metadata.name=web or status.phase!=Running")
        path, operator, value = match.groups()
        plain = re.sub(r"\\([\\,=])", r"\1", value)
        requirements.append(FieldRequirement(path, plain, operator == "!="))
    return tuple(requirements)


_COMMON = ("metadata.name", "metadata.namespace")
FIELDS: dict[str, tuple[str, ...]] = {
    "Pod": ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName",
            "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP",
            "status.podIPs", "status.nominatedNodeName"),
    "Event": ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
              "involvedObject.uid", "involvedObject.apiVersion",
              "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
              "reportingComponent", "source", "type"),
    "Secret": ("type",),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "ReplicationController": ("status.replicas",),
    "ReplicaSet": ("status.replicas",),
    "Job": ("status.successful",),
    "Service": ("spec.clusterIP", "spec.type"),
    "CertificateSigningRequest": ("spec.signerName",),
}
"""The fields that a kind may be selected by, besides its name and namespace."""


def check_fields(kind: str, requirements: tuple[FieldRequirement, ...]) -> None:
    """InputError, in the server's words, when a kind cannot be selected by one of the fields."""
    allowed = (*_COMMON, *FIELDS.get(kind, ()))
    for requirement in requirements:
        if requirement.path not in allowed:
            raise InputError(f"field label not supported: {requirement.path}",
                             fix=f"one of {', '.join(allowed)}")


def matches_fields(requirements: tuple[FieldRequirement, ...], obj: Any) -> bool:
    """Whether an object satisfies every requirement; an absent field counts as ""."""
    for path, value, negated in requirements:
        if (field_value(obj, path) == value) is negated:
            return False
    return True


def field_value(obj: Any, path: str) -> str:
    """The text of a field of an object for field selectors; "" when it is absent."""
    metadata = obj.metadata
    if path == "metadata.name":
        return metadata.name or ""
    if path == "metadata.namespace":
        return metadata.namespace or ""
    if path == "spec.nodeName" and obj.kind == "Pod":
        return (obj.spec.node_name or "") if obj.spec else ""
    value: Any = write(obj)
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if path == "source" and isinstance(value, dict):
        value = value.get("component")
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return _ABSENT_TEXT.get(path, "")
    return str(value)


_ABSENT_TEXT = {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0"}
