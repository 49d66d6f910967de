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
_PUNCTUATION = frozenset(("==", "!=", "=", "!", "(", ")", ",", ">", "<"))
END = ""
_OPERATOR_WORDS = "in, notin, =, ==, !=, gt, lt"


class _Tokens:
    """The words of a selector, read one by one; after the last one comes the empty text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found = [word or sign for sign, word in _TOKEN.findall(text)]
        self.at = 0

    def next(self) -> str:
        """The next word, left where it is."""
        return self.found[self.at] if self.at < len(self.found) else END

    def take(self) -> str:
        """The next word, taken."""
        word = self.next()
        self.at += 1
        return word

    def refused(self, why: str, within: bool = True) -> InputError:
        """The refusal of the text, in the words of Kubernetes."""
        head = "unable to parse requirement: " if within else ""
        return InputError(head + why, where=f"selector {self.text!r}",
                          fix="for example app=web, tier!=db, app in (a,b), !legacy")


def _is_word(token: str) -> bool:
    return token != END and token not in _PUNCTUATION


@lru_cache(maxsize=4096)
def parse_labels(text: str) -> Selector:
    """A selector from its text, as in `-l` and `labelSelector=`. InputError when it is none."""
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    while tokens.next() != END:
        if not _is_word(tokens.next()) and tokens.next() != "!":
            raise tokens.refused(f"found '{tokens.next()}', expected: !, identifier, or 'end of "
                                 "string'", False)
        requirements.append(_requirement(tokens))
        after = tokens.take()
        if after == END:
            break
        if after != ",":
            raise tokens.refused(f"found '{after}', expected: ',' or 'end of string'", False)
        if not _is_word(tokens.next()) and tokens.next() != "!":
            raise tokens.refused(f"found '{tokens.next()}', expected: identifier after ','", False)
    return tuple(sorted(requirements))


def _requirement(tokens: _Tokens) -> Requirement:
    absent = tokens.next() == "!"
    if absent:
        tokens.take()
    key = tokens.take()
    if not _is_word(key):
        raise tokens.refused(f"found '{key}', expected: identifier")
    faults = qualified_texts(key)
    if faults:
        raise tokens.refused(f'<nil>: Invalid value: "{key}": {"; ".join(faults)}')
    if tokens.next() in (END, ","):
        return Requirement(key, ABSENT if absent else EXISTS)
    operator = tokens.take()
    if operator in (IN, NOT_IN):
        return Requirement(key, operator, _checked(tokens, key, _values(tokens)))
    if operator not in _EXACT:
        raise tokens.refused(f"found '{operator}', expected: {_OPERATOR_WORDS}")
    value = END
    if tokens.next() not in (END, ","):
        value = tokens.take()
        if not _is_word(value):
            raise tokens.refused(f"found '{value}', expected: identifier")
    if operator in (">", "<") and not re.fullmatch(r"[-+]?[0-9]+", value):
        raise tokens.refused(f'values[0]: Invalid value: "{value}": for \'Gt\', \'Lt\' operators, '
                             "the value must be an integer")
    return Requirement(key, _EXACT[operator], _checked(tokens, key, (value,)))


_EXACT = {"=": IN, "==": IN, "!=": NOT_IN, ">": GREATER, "<": LESS}


def _checked(tokens: _Tokens, key: str, values: tuple[str, ...]) -> tuple[str, ...]:
    for at, value in enumerate(values):
        faults = label_value_texts(value)
        if faults:
            raise tokens.refused(f'values[{at}][{key}]: Invalid value: "{value}": '
                                 f'{"; ".join(faults)}')
    return values


def _values(tokens: _Tokens) -> tuple[str, ...]:
    """The list in brackets, in order; an empty place in it means the empty value."""
    opening = tokens.take()
    if opening != "(":
        raise tokens.refused(f"found '{opening}' expected: '('")
    values: dict[str, None] = {}
    first = tokens.next()
    if first == ")":
        tokens.take()
        return ("",)
    if not _is_word(first) and first != ",":
        raise tokens.refused(f"found '{first}', expected: ',', ')' or identifier")
    while True:
        token = tokens.take()
        if _is_word(token):
            values[token] = None
            if tokens.next() not in (",", ")"):
                raise tokens.refused(f"found '{tokens.next()}', expected: ',' or ')'")
        elif token == ",":
            if not values or tokens.next() in (",", ")"):
                values[""] = None
        elif token == ")":
            return tuple(sorted(values))
        else:
            raise tokens.refused(f"found '{token}', expected: ',', or identifier")


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


QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def qualified_texts(key: str) -> list[str]:
    """What is wrong with a name that may have a DNS prefix, in the words of Kubernetes."""
    parts = key.split("/")
    faults = []
    if len(parts) > 2:
        return ["a qualified " + QUALIFIED_TEXT.replace("name part", "name") + " with an optional "
                "DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    name = parts[-1]
    if len(parts) == 2 and not parts[0]:
        faults.append("prefix part must be non-empty")
    elif len(parts) == 2:
        if len(parts[0]) > 253:
            faults.append("prefix part must be no more than 253 characters")
        if not _PREFIX.fullmatch(parts[0]):
            faults.append(f"prefix part {SUBDOMAIN_TEXT}")
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 characters")
    if not _QUALIFIED.fullmatch(name):
        faults.append(QUALIFIED_TEXT)
    return faults


def label_value_texts(value: str) -> list[str]:
    """What is wrong with the value of a label, in the words of Kubernetes."""
    faults = [] if len(value) <= 63 else ["must be no more than 63 characters"]
    if value and not _QUALIFIED.fullmatch(value):
        faults.append(VALUE_TEXT)
    return faults


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
    "Job": ("status.successful",),
    "Service": ("spec.clusterIP", "spec.type"),
    "CertificateSigningRequest": ("spec.signerName",),
}
"""The fields that a kind may be selected by, besides its name and namespace."""


def check_fields(kind: str, requirements: tuple[FieldRequirement, ...]) -> None:
    """InputError, in the server's words, when a kind cannot be selected by one of the fields."""
    own = FIELDS.get(kind)
    allowed = (*_COMMON, *(own or ()))
    for requirement in requirements:
        if requirement.path not in allowed:
            known = '"metadata.name", "metadata.namespace"'
            what = (f"field label not supported: {requirement.path}" if own is not None else
                    f'"{requirement.path}" is not a known field selector: only {known}')
            raise InputError(what, fix=f"one of {', '.join(allowed)}")


def check_custom_fields(requirements: tuple[FieldRequirement, ...]) -> None:
    """InputError when custom resources cannot be selected by one of the fields."""
    for requirement in requirements:
        if requirement.path not in _COMMON:
            raise InputError(f"field label not supported: {requirement.path}",
                             fix=f"one of {', '.join(_COMMON)}")


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
