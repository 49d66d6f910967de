"""Kubernetes' protobuf encoding of bodies: what typed clients send is what their JSON would say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeproof.http import protobuf
from kubeproof.http.protobuf import ProtobufError, document

# As the real client of release 1.32 sent it: `kubectl create secret generic s --from-literal=…`.
SENT = bytes.fromhex("6b3873000a0c0a0276311206536563726574122a0a110a01731200"
                     "1a0022002a0032003800420012130a0870617373776f7264120768756e74657232"
                     "1a001a002200")


def field(number: int, value: bytes | int) -> bytes:
    """One field of a message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value % (1 << 64))
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes((number & 127 | 128,))
        number >>= 7
    return found + bytes((number,))


def body(version: str, kind: str, raw: bytes) -> bytes:
    """A message in its envelope."""
    head = field(1, version.encode()) + field(2, kind.encode())
    return b"k8s\0" + field(1, head) + field(2, raw)


def test_what_the_real_client_sent() -> None:
    """Empty fields of Go are not there; bytes are base64."""
    assert document(SENT) == {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"},
                              "data": {"password": "aHVudGVyMg=="}}


def test_forms_of_their_own() -> None:
    """Quantities, ports by number or name, times, parts that stand in the enclosing object."""
    probe = field(1, field(2, field(2, field(1, 0) + field(2, 8080)))) + field(2, 3)
    container = (field(1, b"c") + field(8, field(2, field(1, b"cpu") + field(2, field(1, b"1"))))
                 + field(10, probe))
    volume = field(1, b"v") + field(2, field(2, b""))
    spec = field(1, volume) + field(2, container) + field(4, 0)
    meta = field(1, b"p") + field(8, field(1, 1_451_606_400))
    found = document(body("v1", "Pod", field(1, meta) + field(2, spec) + field(3, b"")))
    assert found["metadata"] == {"name": "p", "creationTimestamp": "2016-01-01T00:00:00Z"}
    assert found["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    only, = found["spec"]["containers"]
    assert only["resources"] == {"requests": {"cpu": "1"}}
    assert only["livenessProbe"] == {"httpGet": {"port": 8080}, "initialDelaySeconds": 3}
    assert found["spec"]["terminationGracePeriodSeconds"] == 0
    assert "status" not in found


def test_zero_is_kept_where_it_says_something() -> None:
    """`--replicas=0` is not the default of one."""
    found = document(body("apps/v1", "Deployment", field(2, field(1, 0) + field(5, 0))))
    assert found["spec"] == {"replicas": 0}


BAD = [(b"{}", "prefix"), (body("v1", "Nonsense", b""), "no kind"),
       (SENT[:-3], "unexpected EOF"), (body("v1", "Secret", field(1, 5)), "wireType"),
       (body("v1", "Secret", field(3, b"\xff")), "UTF-8"),
       (body("v1", "Secret", b"\x0b"), "illegal wireType")]


@pytest.mark.parametrize(("data", "text"), BAD, ids=range(len(BAD)))
def test_bad_bytes_are_named(data: bytes, text: str) -> None:
    """A refusal, never a traceback."""
    with pytest.raises(ProtobufError, match=text):
        document(data)


KINDS = sorted(name for name in protobuf._messages() if name.count(".") == 2)


@given(st.sampled_from(KINDS), st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(name: str, data: bytes) -> None:
    """No other error, whatever the bytes; what is read is JSON."""
    group, version, kind = name.rsplit(".", 2)
    shown: Any = None
    try:
        shown = document(body(f"{group}/{version}" if group != "core" else version, kind, data))
    except ProtobufError:
        return
    json.dumps(shown)
