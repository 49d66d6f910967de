"""The small compiler: its code computes what Python computes from the same source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.kernel.engines.native import compile_source

INTEGERS = st.integers(-(1 << 40), 1 << 40)

ARITHMETIC = """
def helper(a, b):
    if a < 0:
        return -a, b
    return a + 1, b * 2

def twice(a):
    return a * 2

def search(s, narrow, a, b, flag):
    s[0] = a + b * 3 - (a if a > b else b)
    s[1] = a // 7
    s[2] = a % 7
    s[3] = a % b
    s[4] = min(a, b) - max(a, 5)
    s[5] = (1 if a < b and not flag else 0) + (1 if a == b or flag else 0)
    s[6] = 1 if -5 <= a <= b else 0
    total = 0
    i = 0
    while True:
        i += 1
        if i % 2 == 0:
            continue
        if i > 9:
            break
        for k in range(i):
            if k == 4:
                break
            total += k * i
    s[7] = total
    s[8], s[9] = helper(a, b)
    one, other = helper(b, a)
    s[10] = one - other
    s[11] = (a & 1023) | (b & 7) ^ 5
    s[12] = (a & 65535) << 3
    s[13] = a >> 2
    narrow[1] = a & 4294967295
    s[14] = narrow[1]
    held = a > 0
    if held and b > 0:
        s[15] = twice(b)
    elif held:
        s[15] = 3
    else:
        s[15] = 4
    s[15] += 1
    found = False
    for k in range(2, 6):
        if k == (b & 7):
            found = True
    s[16] = 1 if found else 0
"""


@pytest.fixture(scope="module")
def both() -> Any:
    """The same source, compiled and run by Python."""
    space: dict[str, Any] = {}
    exec(ARITHMETIC, space)
    return compile_source(ARITHMETIC, {"s": 64, "narrow": 32}).search, space["search"]


@given(a=INTEGERS, b=st.integers(1, 1 << 40), flag=st.booleans())
@settings(max_examples=200, deadline=None)
def test_compiled_code_computes_what_python_computes(both: Any, a: int, b: int,
                                                     flag: bool) -> None:
    """Rounding of negative numbers, short circuits, loops, tuples, narrow arrays."""
    found, wanted = np.zeros(20, np.int64), [0] * 20
    compiled, python = both
    compiled(found, np.zeros(4, np.uint32), a, b, flag)
    python(wanted, [0] * 4, a, b, flag)
    assert found.tolist() == wanted


def test_nothing_on_the_right_gives_nothing(both: Any) -> None:
    """A remainder by 0, which a guard of the language forbids, neither traps nor differs in 0."""
    found = np.zeros(20, np.int64)
    both[0](found, np.zeros(4, np.uint32), 17, 0, False)
    assert found[3] == 0
