"""ServiceAccount: every pod runs as an account of its namespace, and carries its credential.

Source: Kubernetes documentation, "Managing Service Accounts". The account must exist; the default
one is waited for, because a controller makes it soon after its namespace. From release 1.24 on the
credential is a projected volume; before, it is the account's token secret.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import (
    PodSpec,
    SecretVolumeSource,
    Volume,
    VolumeMount,
    canonical_json,
    put,
)
from model.api.requests import forbidden
from reference_impl.apiserver.access.admission.attributes import (
    CREATE,
    Attributes,
    LookUp,
    WaitFor,
)

DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
MIRROR = "kubernetes.io/config.mirror"
PROJECTED_SINCE = (1, 24)
# Admission comes after defaulting: what it adds carries its defaults already.
_DEFAULT_MODE = canonical_json({"defaultMode": 420})
_PROJECTED = canonical_json({"projected": {"defaultMode": 420, "sources": [
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
    {"downwardAPI": {"items": [{"fieldRef": {"apiVersion": "v1",
                                             "fieldPath": "metadata.namespace"},
                                "path": "namespace"}]}}]}})


def admit(attributes: Attributes, obj: Any) -> Any:
    """A pod with its account and its credential, or why it is refused."""
    if obj.kind != "Pod" or attributes.operation != CREATE or obj.spec is None:
        return obj
    if any(name == MIRROR for name, _ in obj.metadata.annotations or ()):
        return obj
    name = obj.spec.service_account_name or DEFAULT
    key = f"{attributes.namespace}/{name}"
    account = attributes.known("serviceaccounts", key)
    if account is None:
        if attributes.looked_up is None or attributes.looked_up[:2] != ("serviceaccounts", key):
            wanted = WaitFor if name == DEFAULT else LookUp
            return wanted("serviceaccounts", key)
        return forbidden("pods", obj.metadata.name or "", f"error looking up service account "
                         f'{key}: serviceaccount "{name}" not found')
    spec = obj.spec._replace(service_account_name=name, service_account=name)
    if account.image_pull_secrets and not spec.image_pull_secrets:
        spec = spec._replace(image_pull_secrets=account.image_pull_secrets)
    if _automounts(spec, account):
        spec = _with_credential(spec, account, attributes)
    return put(obj, "spec", spec)


def _automounts(spec: PodSpec, account: Any) -> bool:
    if spec.automount_service_account_token is not None:
        return spec.automount_service_account_token
    return account.automount_service_account_token is not False


def _with_credential(spec: PodSpec, account: Any, attributes: Attributes) -> PodSpec:
    if attributes.release >= PROJECTED_SINCE:
        volume = Volume(f"kube-api-access-{attributes.suffix}", rest=_PROJECTED)
    else:
        secrets = [each.name for each in account.secrets or ()]
        if not secrets:
            return spec
        volume = Volume(secrets[0], SecretVolumeSource(secrets[0], _DEFAULT_MODE))
    mount = VolumeMount(volume.name, True, MOUNT_PATH)
    containers = _mounted(spec.containers, mount)
    init_containers = _mounted(spec.init_containers, mount)
    if containers is spec.containers and init_containers is spec.init_containers:
        return spec
    return spec._replace(volumes=(*(spec.volumes or ()), volume), containers=containers,
                         init_containers=init_containers)


def _mounted(containers: Any, mount: VolumeMount) -> Any:
    if not containers or all(_has_credential(each) for each in containers):
        return containers
    return tuple(each if _has_credential(each)
                 else put(each, "volume_mounts", (*(each.volume_mounts or ()), mount))
                 for each in containers)


def _has_credential(container: Any) -> bool:
    return any(mount.mount_path == MOUNT_PATH for mount in container.volume_mounts or ())


