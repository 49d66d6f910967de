"""The words for texts that are no JSON, and for selectors that are none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeproof.http.json_fault import END, fault
from model.api.selectors import parse_labels
from model.kernel.errors import InputError


@pytest.mark.parametrize(("text", "words"), [
    ("", END), ("{", END), ('{"a"', END), ("[1,", END), ('"a', END), ("-", END),
    ("{bad", "invalid character 'b' looking for beginning of object key string"),
    ("{1:2}", "invalid character '1' looking for beginning of object key string"),
    ('{"a" 1}', "invalid character '1' after object key"),
    ('{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
    ("[1 2]", "invalid character '2' after array element"),
    ("1 2", "invalid character '2' after top-level value"),
    ("nope", "invalid character 'o' in literal null (expecting 'u')"),
    ("trap", "invalid character 'a' in literal true (expecting 'u')"),
    ("1.x", "invalid character 'x' after decimal point in numeric literal"),
    ("1e+", END), ("-a", "invalid character 'a' in numeric literal"),
    ('"\\x"', "invalid character 'x' in string escape code"),
    ('"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
    ('"a\nb"', "invalid character '\\n' in string literal"),
    ("[}", "invalid character '}' looking for beginning of value"),
])
def test_a_text_that_is_no_json_is_refused_in_the_decoders_words(text: str, words: str) -> None:
    assert fault(text) == words


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
                    | st.integers() | st.text(), lambda inner: st.lists(inner)
                    | st.dictionaries(st.text(), inner), max_leaves=8))
def test_json_has_no_fault(value: object) -> None:
    assert fault(json.dumps(value)) == ""


@given(st.text(alphabet='{}[]",:01eE+-.\\utrfn a', max_size=12))
def test_the_scanner_and_a_json_parser_refuse_the_same_texts(text: str) -> None:
    try:
        json.loads(text)
        parses = True
    except ValueError:
        parses = False
    assert (fault(text) == "") is parses


@pytest.mark.parametrize(("text", "words"), [
    ("=x", "found '=', expected: !, identifier, or 'end of string'"),
    ("a=b=c", "found '=', expected: ',' or 'end of string'"),
    ("a,", "found '', expected: identifier after ','"),
    ("a in", "unable to parse requirement: found '' expected: '('"),
    ("a in (b,", "unable to parse requirement: found '', expected: ',', or identifier"),
    ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
    ("a ~ b", "unable to parse requirement: found '~', expected: in, notin, =, ==, !=, gt, lt"),
    ("a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' "
            "operators, the value must be an integer"),
])
def test_a_selector_is_refused_in_the_servers_words(text: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_labels(text)
    assert refused.value.what == words
