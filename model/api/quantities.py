"""Resource quantities: `500m`, `2Gi`, `1e3`; exact, in whole milli-units.

Source: the Kubernetes documentation of `resource.Quantity`: a decimal number with a suffix from
one of three families (binary Ki..Ei, decimal n u m k M G T P E, exponent e3). The canonical form
keeps the family, has no fraction and the largest suffix that needs none. Digits finer than a
milli-unit are rounded up when a quantity is used (`milli`, `units`), as the API server does when
it compares; `canonical` keeps nano digits.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from model.kernel.errors import InputError

_GRAMMAR = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
                      r"([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i|)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_NANO_MAX = (2**63 - 1) * 10**9


class Quantity(NamedTuple):
    """`nano` is the amount in billionths; `family` is "binary", "decimal" or "exponent"."""

    nano: int
    family: str


@lru_cache(maxsize=65536)
def parse(text: str) -> Quantity:
    """The quantity that a text means. InputError when it is none."""
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise InputError(
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'", where=repr(text), fix=_likely(text))
    sign, digits, suffix = match.groups()
    whole, _, fraction = digits.partition(".")
    mantissa = int((whole + fraction) or "0")
    if suffix in _BINARY:
        family, numerator, power = "binary", mantissa << _BINARY[suffix], 0
    elif suffix[:1] in ("e", "E") and len(suffix) > 1:
        family, numerator, power = "exponent", mantissa, int(suffix[1:])
    else:
        family, numerator, power = "decimal", mantissa, _DECIMAL[suffix]
    nano = _scaled(numerator, power - len(fraction) + 9)
    return Quantity(-nano if sign == "-" else nano, family)


def _scaled(number: int, power: int) -> int:
    """number * 10**power, rounded up to a whole billionth and capped at the largest amount."""
    if number == 0:
        return 0
    if power >= 0:
        return min(number * int("1" + "0" * min(power, 40)), _NANO_MAX)
    return -(-number // int("1" + "0" * min(-power, 4000)))


def _likely(text: str) -> str:
    bare = text.strip()
    if bare != text:
        return f"remove the blanks: {bare}"
    if re.fullmatch(r"[\d.]+\s*[kmgtp]i?b?", bare, re.IGNORECASE):
        return "suffixes are m k M G T P E and Ki Mi Gi Ti Pi Ei, for example 500m or 2Gi"
    return "for example 500m, 2 or 2Gi"


@lru_cache(maxsize=65536)
def milli(text: str) -> int:
    """The amount in thousandths, rounded up (milli-cores for cpu)."""
    return -(-parse(text).nano // 10**6)


@lru_cache(maxsize=65536)
def units(text: str) -> int:
    """The amount in whole units, rounded up (bytes for memory)."""
    return -(-parse(text).nano // 10**9)


@lru_cache(maxsize=65536)
def canonical(text: str) -> str:
    """The text as the API server writes it back."""
    nano, family = parse(text)
    return _written(nano, family)


def _written(nano: int, family: str) -> str:
    if nano == 0:
        return "0"
    sign, size = ("-", -nano) if nano < 0 else ("", nano)
    if family == "binary" and size >= 1024 * 10**9 and size % 10**9 == 0:
        amount, best = size // 10**9, ""
        for suffix, shift in _BINARY.items():
            if amount % (1 << shift) == 0:
                best = suffix
        return f"{sign}{amount >> _BINARY.get(best, 0)}{best}"
    power = -9
    while size % 1000 == 0 and power < 18:
        size //= 1000
        power += 3
    if family == "exponent":
        return f"{sign}{size}e{power}" if power else f"{sign}{size}"
    return f"{sign}{size}{_DECIMAL_SUFFIX[power]}"


def from_milli(amount: int, like: str = "0") -> str:
    """The canonical text of an amount in thousandths, in the family of the text `like`."""
    return _written(amount * 10**6, parse(like).family)


def from_units(amount: int, like: str = "0") -> str:
    """The canonical text of an amount in whole units, in the family of the text `like`."""
    return _written(amount * 10**9, parse(like).family)


def add(left: str, right: str) -> str:
    """The sum; it is written in the family of the left one unless that is zero."""
    first, second = parse(left), parse(right)
    family = first.family if first.nano else second.family
    return _written(first.nano + second.nano, family)


def subtract(left: str, right: str) -> str:
    """The difference; it is written in the family of the left one unless that is zero."""
    first, second = parse(left), parse(right)
    family = first.family if first.nano else second.family
    return _written(first.nano - second.nano, family)


def compare(left: str, right: str) -> int:
    """-1, 0 or 1 as left is less than, equal to or more than right."""
    first, second = parse(left).nano, parse(right).nano
    return (first > second) - (first < second)
