"""Resource quantities: exact amounts, the canonical text, arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.api import quantities as q
from model.kernel.errors import InputError

CANONICAL = [("1", "1"), ("0.5", "500m"), (".5", "500m"), ("5.", "5"), ("1000m", "1"),
             ("1500m", "1500m"), ("1.5Gi", "1536Mi"), ("1024Mi", "1Gi"), ("0.5Ki", "512"),
             ("100M", "100M"), ("1000k", "1M"), ("1e3", "1e3"), ("1E6", "1e6"), ("1E", "1E"),
             ("0", "0"), ("-1500m", "-1500m"), ("+2", "2"), ("1.1n", "2n"), ("0.0001", "100u"),
             ("12e-1", "1200e-3"), ("1Ei", "1Ei")]
SUFFIX = {"": 1, "m": Fraction(1, 1000), "k": 1000, "M": 10**6, "Ki": 1024, "Mi": 2**20,
          "e2": 100}
AMOUNTS = st.builds(lambda number, suffix: f"{number}{suffix}",
                    st.integers(0, 10**6), st.sampled_from(sorted(SUFFIX)))


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_canonical_text_keeps_the_family_and_has_no_fraction(text: str, canonical: str) -> None:
    assert q.canonical(text) == canonical
    assert q.parse(canonical).nano == q.parse(text).nano


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1gi", "1KB", "--1", "1.2.3", "0x10", "1e", " 1",
                                  "Gi", "１", "1_000"])
def test_what_is_no_quantity_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(InputError, match="quantities must match the regular expression"):
        q.parse(text)


@given(AMOUNTS, AMOUNTS)
def test_arithmetic_agrees_with_fractions(left: str, right: str) -> None:
    def exact(text: str) -> Fraction:
        suffix = text.lstrip("0123456789")
        return Fraction(text[:len(text) - len(suffix)]) * SUFFIX[suffix]
    nano = q.parse(q.add(left, right)).nano
    assert Fraction(nano, 10**9) == exact(left) + exact(right)
    assert Fraction(q.parse(q.subtract(left, right)).nano, 10**9) == exact(left) - exact(right)
    assert q.compare(left, right) == (exact(left) > exact(right)) - (exact(left) < exact(right))
    assert q.milli(left) == -(-exact(left) * 1000 // 1)
    assert q.units(left) == -(-exact(left) // 1)


def test_sums_are_written_in_the_family_of_the_first_that_is_not_zero() -> None:
    assert q.add("512Mi", "512Mi") == "1Gi"
    assert q.add("0", "512Mi") == "512Mi"
    assert q.from_milli(250) == "250m"
    assert q.from_units(2**30, "1Mi") == "1Gi"


def test_absurd_exponents_cost_nothing() -> None:
    assert q.parse("1e999999999").nano == q.parse("9e9999").nano
    assert q.parse("1e-999999999").nano == 1
