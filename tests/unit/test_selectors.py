"""Label and field selectors: parsing, matching, the words of refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.api import objects as api
from model.api import selectors as s
from model.kernel.errors import InputError

LABELS = api.pairs({"app": "web", "tier": "front", "n": "5"})


@pytest.mark.parametrize(("text", "holds"), [
    ("", True), ("app=web", True), ("app==web", True), ("app=db", False), ("app!=db", True),
    ("none!=x", True), ("app", True), ("none", False), ("!none", True), ("!app", False),
    ("app in (web,db)", True), ("app in (db)", False), ("app notin (db)", True),
    ("none notin (db)", True), ("app=web,tier=front", True), ("app=web,tier=back", False),
    ("n>4", True), ("n<5", False), ("app>4", False), ("app=", False), ("none=", False),
    (" app = web , tier in ( front ) ", True), ("example.com/x!=1", True),
])
def test_a_selector_matches_as_documented(text: str, holds: bool) -> None:
    assert s.matches(s.parse_labels(text), LABELS) is holds


@pytest.mark.parametrize("text", ["a b", "=x", "app in (", "app in", "app=web,", "a,,b", "app in x",
                                  "app=we b", "-a=b", "a=_", "a" * 64, "a/b/c=d", "app=(x)"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        s.parse_labels(text)


VALUES = st.sampled_from(["", "a", "b", "c"])
REQUIREMENTS = st.lists(st.builds(
    lambda key, operator, values: s.Requirement(
        key, operator, tuple(sorted(set(values))) if operator in (s.IN, s.NOT_IN) else ()),
    st.sampled_from(["k", "l"]), st.sampled_from([s.IN, s.NOT_IN, s.EXISTS, s.ABSENT]),
    st.lists(VALUES, min_size=1, max_size=3)), max_size=3)


@given(REQUIREMENTS, st.dictionaries(st.sampled_from(["k", "l", "m"]), VALUES))
def test_text_of_a_selector_reads_back_as_the_same_rule(
        requirements: list[s.Requirement], labels: dict[str, str]) -> None:
    selector = tuple(sorted(requirements))
    again = s.parse_labels(s.label_text(selector))
    assert s.matches(again, api.pairs(labels)) is s.matches(selector, api.pairs(labels))


def test_an_absent_selector_matches_nothing_and_an_empty_one_everything() -> None:
    assert not s.matches(s.from_object(None), LABELS)
    assert s.matches(s.from_object(api.LabelSelector()), None)
    assert not s.selects((), LABELS)
    assert s.selects((("app", "web"),), LABELS)
    assert not s.selects((("app", "web"), ("x", "y")), LABELS)


def test_selectors_of_objects_combine_labels_and_expressions() -> None:
    wanted = api.LabelSelector((("app", "web"),), (
        api.LabelSelectorRequirement("tier", "In", ("back", "front")),
        api.LabelSelectorRequirement("old", "DoesNotExist")))
    assert s.matches(s.from_object(wanted), LABELS)
    assert not s.matches(s.from_object(wanted), (*LABELS, ("old", "")))
    with pytest.raises(InputError, match="not a valid label selector operator"):
        s.from_object(api.LabelSelector(None, (api.LabelSelectorRequirement("a", "Like"),)))


def test_field_selectors_read_any_field_and_absent_counts_as_empty() -> None:
    pod = api.freeze({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
                      "spec": {"nodeName": "n"}, "status": {"phase": "Running"}})
    for text, holds in (("metadata.name=p", True), ("spec.nodeName!=n", False),
                        ("status.phase=Running,spec.nodeName=n", True), ("status.podIP=", True),
                        ("spec.hostNetwork=false", True), ("metadata.name==q", False)):
        assert s.matches_fields(s.parse_fields(text), pod) is holds
    s.check_fields("Pod", s.parse_fields("spec.nodeName=n"))
    with pytest.raises(InputError, match="field label not supported: spec"):
        s.check_fields("Pod", s.parse_fields("spec.foo=1"))
    with pytest.raises(InputError, match="invalid selector"):
        s.parse_fields("nonsense")
