"""FrozenMap behaves as a dict that is copied on write, whatever its size and history."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from model.kernel.values import EMPTY, FrozenMap, canonical_json, stable_digest

keys = st.one_of(st.integers(0, 120))


class AsDict(RuleBasedStateMachine):
    """Random writes, compared with a dict after each; old versions stay what they were."""

    def __init__(self) -> None:
        super().__init__()
        self.map: FrozenMap[int, int] = EMPTY
        self.model: dict[int, int] = {}
        self.kept: list[tuple[FrozenMap[int, int], dict[int, int]]] = []

    @rule(key=keys, value=st.integers(0, 3))
    def set_one(self, key: int, value: int) -> None:
        self.map = self.map.set(key, value)
        self.model[key] = value

    @rule(key=keys)
    def drop_one(self, key: int) -> None:
        self.map = self.map.drop(key)
        self.model.pop(key, None)

    @rule(first=st.integers(0, 60), count=st.integers(1, 70))
    def set_many(self, first: int, count: int) -> None:
        self.map = self.map.update((key, 9) for key in range(first, first + count))
        self.model.update((key, 9) for key in range(first, first + count))

    @rule()
    def keep(self) -> None:
        hash(self.map)
        self.kept.append((self.map, dict(self.model)))

    @invariant()
    def agrees(self) -> None:
        assert list(self.map.items()) == sorted(self.model.items())
        assert len(self.map) == len(self.model)
        assert self.map == FrozenMap(self.model.items())
        assert hash(self.map) == hash(FrozenMap(self.model.items()))

    @invariant()
    def old_versions_and_differences(self) -> None:
        for old, model in self.kept[-3:]:
            assert dict(old.items()) == model
            expected = [(key, model.get(key), self.model.get(key))
                        for key in sorted(model.keys() | self.model.keys())
                        if model.get(key) != self.model.get(key)]
            assert old.diff(self.map) == expected


TestAsDict = AsDict.TestCase


@given(st.dictionaries(st.text(max_size=3), st.integers()))
def test_a_map_survives_pickling_and_ignores_the_order_of_insertion(data: dict[str, int]) -> None:
    """Equal content is one value, hash and iteration included."""
    one, two = FrozenMap(data.items()), FrozenMap(reversed(list(data.items())))
    assert one == two
    assert hash(one) == hash(two)
    assert list(one) == list(two) == sorted(data)
    assert pickle.loads(pickle.dumps(one)) == one


def test_canonical_text_is_one_text_for_equal_values() -> None:
    """The digest of files is a pure function, with a pinned value."""
    assert canonical_json({"b": 1, "a": [True, None]}) == '{"a":[true,null],"b":1}'
    assert stable_digest("kubeproof") == stable_digest("kubeproof")
    assert stable_digest("kubeproof") != stable_digest("kubeproof ")
