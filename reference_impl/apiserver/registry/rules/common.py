"""Rules that several kinds share: names, ports, addresses, selectors, quantities.

Source: Kubernetes 1.32 API reference; the texts are those of that release's refusals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from model.api.quantities import canonical, compare, parse
from model.api.requests import (
    Cause,
    field_invalid,
    field_required,
    field_unsupported,
)
from model.api.selectors import SUBDOMAIN_TEXT, label_value_texts, qualified_texts

Document = dict[str, Any]
Causes = list[Cause]

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')")
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')")
PORT_TEXT = "must be between 1 and 65535, inclusive"
NEGATIVE_TEXT = "must be greater than or equal to 0"
IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
POINTER = "0xc000000000"
"""What stands for the address of a value where Go prints pointers."""
CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


class Shown:
    """A value that error texts show as written here."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def go_list(values: Iterable[str], kind: str = "[]string") -> Shown:
    """A list as Go prints it."""
    return Shown(kind + "{" + ", ".join(f'"{each}"' for each in values) + "}")


def go_map(values: Any) -> Shown:
    """A map of strings as Go prints it."""
    if not values:
        return Shown("map[string]string(nil)")
    inner = ", ".join(f'"{key}":"{value}"' for key, value in sorted(dict(values).items()))
    return Shown("map[string]string{" + inner + "}")


def go_selector(selector: Any) -> Shown:
    """A label selector as Go prints it."""
    selector = selector or {}
    shown = []
    for each in items(selector.get("matchExpressions")):
        values = each.get("values")
        listed = go_list(values) if values else "[]string(nil)"
        shown.append('v1.LabelSelectorRequirement{Key:"' + (each.get("key") or "")
                     + '", Operator:"' + (each.get("operator") or "") + f'", Values:{listed}' + "}")
    expressions = ("[]v1.LabelSelectorRequirement{" + ", ".join(shown) + "}" if shown
                   else "[]v1.LabelSelectorRequirement(nil)")
    labels = go_map(selector.get("matchLabels"))
    return Shown(f"v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:{expressions}}}")


def go_quantity(text: str) -> Shown:
    """A quantity as Go prints its structure; the amount as digits and a power of ten."""
    found = parse(text)
    digits, scale = found.nano, -9
    while scale < 0 and digits % 10 == 0:
        digits //= 10
        scale += 1
    kept = canonical(text) if not re.search(r"\.\d", text) else ""
    value = digits
    if kept.endswith("m"):
        value, scale = int(kept[:-1]), -3
    family = "BinarySI" if found.family == "binary" else "DecimalSI"
    return Shown("resource.Quantity{i:resource.int64Amount{value:" + f"{value}, scale:{scale}" +
                 "}, d:resource.infDecAmount{Dec:(*inf.Dec)(nil)}, s:" + f'"{kept}", Format:'
                 f'"{family}"' + "}")


def items(value: Any) -> list[Document]:
    """The objects of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def one_of(value: Any, path: str, supported: tuple[str, ...]) -> Causes:
    """A word out of a finite set."""
    return [] if value in supported else [field_unsupported(path, value, supported)]


def dns_label_texts(value: str) -> list[str]:
    """What is wrong with a DNS label; of a longer name it is said that it has dots."""
    texts = [] if len(value) <= 63 else ["must be no more than 63 characters"]
    if LABEL.fullmatch(value):
        return texts
    dotted = "." in value and SUBDOMAIN.fullmatch(value)
    return [*texts, "must not contain dots" if dotted else LABEL_TEXT]


def label_faults(value: str, path: str) -> Causes:
    """A DNS label."""
    causes = [] if len(value) <= 63 else [
        field_invalid(path, value, "must be no more than 63 characters")]
    return causes if LABEL.fullmatch(value) else [*causes, field_invalid(path, value, LABEL_TEXT)]


def subdomain_faults(value: str, path: str) -> Causes:
    """A DNS name."""
    causes = [] if len(value) <= 253 else [
        field_invalid(path, value, "must be no more than 253 characters")]
    return causes if SUBDOMAIN.fullmatch(value) else [
        *causes, field_invalid(path, value, SUBDOMAIN_TEXT)]


def qualified_faults(value: str, path: str) -> Causes:
    """A qualified name."""
    return [field_invalid(path, value, why) for why in qualified_texts(value)]


def labels_faults(labels: Any, path: str) -> Causes:
    """Keys and values of labels."""
    causes: Causes = []
    for key, value in sorted(dict(labels or {}).items()):
        causes.extend(qualified_faults(key, path))
        causes.extend(field_invalid(path, value, why) for why in label_value_texts(value))
    return causes


def selector_faults(selector: Any, path: str) -> Causes:
    """A label selector of an object."""
    causes = labels_faults((selector or {}).get("matchLabels"), f"{path}.matchLabels")
    for at, each in enumerate(items((selector or {}).get("matchExpressions"))):
        where = f"{path}.matchExpressions[{at}]"
        operator, values = each.get("operator"), each.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                causes.append(field_required(f"{where}.values", "must be specified when "
                                             "`operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                causes.append(Cause("FieldValueForbidden", "Forbidden: may not be specified when "
                                    "`operator` is 'Exists' or 'DoesNotExist'", f"{where}.values"))
        else:
            causes.append(field_invalid(f"{where}.operator", operator or "",
                                        "not a valid selector operator"))
        causes.extend(qualified_faults(each.get("key") or "", f"{where}.key"))
    return causes


def ip_faults(text: str, path: str) -> Causes:
    """An IP address."""
    return [] if valid_ip(text) else [field_invalid(path, text, IP_TEXT)]


def valid_ip(text: str) -> bool:
    """Whether a text is an IP address; leading zeros pass, as they did before Go 1.17."""
    try:
        ip_address(re.sub(r"(^|\.)0+(?=\d)", r"\1", text))
    except ValueError:
        return False
    return True


def special_ip_faults(text: str, path: str) -> Causes:
    """Addresses that cannot be an endpoint."""
    address = ip_address(re.sub(r"(^|\.)0+(?=\d)", r"\1", text))
    if address.is_unspecified:
        return [field_invalid(path, text, f"may not be unspecified ({text})")]
    causes: Causes = []
    if address.is_loopback:
        causes.append(field_invalid(path, text, "may not be in the loopback range (127.0.0.0/8, "
                                    "::1/128)"))
    if address.is_link_local:
        causes.append(field_invalid(path, text, "may not be in the link-local range "
                                    "(169.254.0.0/16, fe80::/10)"))
    if address.version == 4 and address in ip_network("224.0.0.0/24"):
        causes.append(field_invalid(path, text, "may not be in the link-local multicast range "
                                    "(224.0.0.0/24, ff02::/10)"))
    return causes


def valid_cidr(text: str) -> bool:
    """Whether a text is a network, host bits allowed."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def port_faults(port: Any, path: str) -> Causes:
    """A port number."""
    if isinstance(port, int) and 1 <= port <= 65535:
        return []
    return [field_invalid(path, port if port is not None else 0, PORT_TEXT)]


def port_name_texts(name: str) -> list[str]:
    """What is wrong with the IANA name of a port."""
    texts = []
    if len(name) > 15:
        texts.append("must be no more than 15 characters")
    if not re.fullmatch(r"[-a-z0-9]+", name):
        texts.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", name):
        texts.append("must contain at least one letter (a-z)")
    if "--" in name:
        texts.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        texts.append("must not begin or end with a hyphen")
    return texts


def negative(text: Any) -> bool:
    """Whether a quantity is below zero."""
    return compare(str(text), "0") < 0


def positive(text: Any) -> bool:
    """Whether a quantity is above zero."""
    return compare(str(text), "0") > 0


def whole(text: Any) -> bool:
    """Whether a quantity is an integer."""
    return parse(str(text)).nano % 10**9 == 0


def at_least_zero(value: Any, path: str) -> Causes:
    """A number that may not be negative."""
    if isinstance(value, int) and value < 0:
        return [field_invalid(path, value, NEGATIVE_TEXT)]
    return []
