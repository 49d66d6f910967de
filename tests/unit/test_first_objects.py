"""What a new cluster holds before anybody writes."""

from __future__ import annotations

from typing import Any

from reference_impl.apiserver.access import bootstrap
from reference_impl.apiserver.registry.allocators import Limits

LIMITS = Limits("10.96.0.0/16", (30000, 32767))


def config_maps(advertised: str) -> dict[str, Any]:
    """Data of the ConfigMaps of a new cluster, by key in etcd."""
    made = bootstrap.objects(0, 0, LIMITS, advertised)
    return {key: dict(obj.data) for key, obj in made if "/configmaps/" in key}


def test_a_server_with_an_address_says_who_signs_and_since_when_it_marks_tokens() -> None:
    """Two ConfigMaps in kube-system, as Kubernetes 1.32 writes them when it starts."""
    made = config_maps("192.168.1.1")
    prefix = "/registry/configmaps/kube-system/"
    assert sorted(made) == [f"{prefix}extension-apiserver-authentication",
                            f"{prefix}kube-apiserver-legacy-service-account-token-tracking"]
    signer, since = (made[key] for key in sorted(made))
    assert list(signer) == ["client-ca-file"]
    assert signer["client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")
    assert since == {"since": "2016-07-01"}


def test_a_server_with_an_address_has_a_lease_that_names_it() -> None:
    """The name is the hash of the host, the holder the name and a unique id."""
    made = dict(bootstrap.objects(0, 0, LIMITS, "192.168.1.1"))
    (key,) = (key for key in made if "/leases/" in key)
    name = key.rpartition("/")[2]
    assert key.startswith("/registry/leases/kube-system/apiserver-")
    assert len(name) == len("apiserver-") + 26
    assert made[key].metadata.name == name
    assert made[key].spec.holder_identity.startswith(f"{name}_")
    assert made[key].spec.renew_time == "2016-07-01T00:00:00.000000Z"


def test_worlds_without_an_address_stay_small() -> None:
    """Nobody reads these there."""
    assert config_maps("") == {}
