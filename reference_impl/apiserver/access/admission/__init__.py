"""Stage two, third: admission. Plug-ins change or refuse a write, in the documented order.

Source: Kubernetes documentation, "Admission Controllers" and the order of release 1.32's
`--enable-admission-plugins`. First come those that may change the object, then it is validated,
then come those that only judge. ResourceQuota is the last: it alone writes, so nothing may refuse
the request after it. Plug-ins are pure functions of what the server knows; each is one file.

Not modelled: CertificateApproval, CertificateSigning, CertificateSubjectRestriction and
ClusterTrustBundleAttest, which judge certificate requests (nothing here signs any), and the
plug-ins that are off by default, but for AlwaysPullImages.
"""

from __future__ import annotations

from typing import Any

from model.api.requests import Status
from model.kernel.values import FrozenMap
from reference_impl.apiserver.access import node_authorizer
from reference_impl.apiserver.access.admission import (
    always_pull_images,
    claim_resize,
    default_ingress_class,
    default_storage_class,
    default_toleration_seconds,
    limit_ranger,
    namespace_lifecycle,
    node_restriction,
    pod_security,
    priority,
    resource_quota,
    runtime_class,
    service_account,
    storage_in_use,
    taint_nodes_by_condition,
    validating_policy,
    webhooks,
)
from reference_impl.apiserver.access.admission.attributes import Attributes, LookUp, WaitFor
from reference_impl.apiserver.state import User

ORDER = (
    ("NamespaceLifecycle", namespace_lifecycle.admit),
    ("LimitRanger", limit_ranger.admit),
    ("ServiceAccount", service_account.admit),
    ("TaintNodesByCondition", taint_nodes_by_condition.admit),
    ("AlwaysPullImages", always_pull_images.admit),
    ("Priority", priority.admit),
    ("DefaultTolerationSeconds", default_toleration_seconds.admit),
    ("DefaultStorageClass", default_storage_class.admit),
    ("StorageObjectInUseProtection", storage_in_use.admit),
    ("RuntimeClass", runtime_class.admit),
    ("DefaultIngressClass", default_ingress_class.admit),
    ("MutatingAdmissionWebhook", webhooks.admit),
)
CHECKS = (
    ("LimitRanger", limit_ranger.validate),
    ("NodeRestriction", node_restriction.validate),
    ("PodSecurity", pod_security.validate),
    ("PersistentVolumeClaimResize", claim_resize.validate),
    ("ValidatingAdmissionPolicy", validating_policy.validate),
    ("ValidatingAdmissionWebhook", webhooks.validate),
)
"""What is looked at once the object is known to be valid."""
WARNERS = (("PodSecurity", pod_security.warnings),
           ("ValidatingAdmissionPolicy", validating_policy.warnings))
QUOTA = "ResourceQuota"
OFF_BY_DEFAULT = frozenset(("AlwaysPullImages",))
NAMES = (*dict.fromkeys(name for name, _ in (*ORDER, *CHECKS)), QUOTA)
WITHOUT_EFFECT = frozenset((
    "AlwaysAdmit", "AlwaysDeny", "CertificateApproval", "CertificateSigning",
    "CertificateSubjectRestriction", "ClusterTrustBundleAttest",
    "DenyServiceExternalIPs", "EventRateLimit", "ExtendedResourceToleration",
    "ImagePolicyWebhook", "LimitPodHardAntiAffinityTopology", "MutatingAdmissionPolicy",
    "NamespaceAutoProvision", "NamespaceExists", "OwnerReferencesPermissionEnforcement",
    "PodNodeSelector", "PodTolerationRestriction"))
"""Plug-ins of release 1.32 that are not there: turning one off changes nothing."""
DYNAMIC = ("validatingadmissionpolicies", "validatingwebhookconfigurations")
Verdict = Status | LookUp | WaitFor


def admitted(plugins: frozenset[str], attributes: Attributes, obj: Any) -> Any:
    """The object as the chain leaves it, or the first verdict that stops it."""
    for name, admit in ORDER:
        if name in plugins:
            obj = admit(attributes, obj)
            if type(obj) in _STOPS:
                return obj
    return obj


def checked(plugins: frozenset[str], attributes: Attributes, obj: Any) -> Status | None:
    """Why a valid object may not be stored, the first reason."""
    for name, check in CHECKS:
        if name in plugins:
            fault = check(attributes, obj)
            if fault is not None:
                return fault
    return None


def looks_at_all(user: User, cache: FrozenMap[str, FrozenMap[str, Any]]) -> bool:
    """Whether even writes of subresources must be judged: those of a kubelet, and all where an
    administrator stored rules of his own."""
    return bool(node_authorizer.node_of(user)) or any(cache.get(each) for each in DYNAMIC)


def warned(plugins: frozenset[str], attributes: Attributes, obj: Any) -> tuple[str, ...]:
    """What a client should be warned of, though it is let pass."""
    return tuple(text for name, warnings in WARNERS if name in plugins
                 for text in warnings(attributes, obj))


_STOPS = (Status, LookUp, WaitFor)
__all__ = ["NAMES", "OFF_BY_DEFAULT", "ORDER", "QUOTA", "WITHOUT_EFFECT", "Attributes", "LookUp",
           "Verdict", "WaitFor", "admitted", "checked", "looks_at_all", "resource_quota", "warned"]
