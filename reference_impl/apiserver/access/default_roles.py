"""The roles and bindings that every cluster has before anybody writes, as a table.

Source: Kubernetes documentation, "Using RBAC Authorization" (default roles and role bindings), and
the policy of release 1.32. A rule is text: verbs; API groups (`core` for the unnamed one);
resources; names, if only some. A rule with two fields is about paths that are no resource.

The rules of admin, edit and view are not written here: they are aggregated from the roles whose
labels say so.
"""

from __future__ import annotations

from functools import cache

from model.api.cluster import (
    AggregationRule,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    RoleRef,
    Subject,
)
from model.api.metadata import LabelSelector, Metadata
from model.api.records import Pairs, pairs
from reference_impl.lib.aggregation import aggregated

RBAC = "rbac.authorization.k8s.io"
LABELS: Pairs = (("kubernetes.io/bootstrapping", "rbac-defaults"),)
ANNOTATIONS: Pairs = (("rbac.authorization.kubernetes.io/autoupdate", "true"),)
AGGREGATED = ("admin", "edit", "view")
"""Roles that collect the rules of those labelled `aggregate-to-NAME`."""
JOINS = {"edit": "admin", "view": "edit", "system:aggregate-to-admin": "admin",
         "system:aggregate-to-edit": "edit", "system:aggregate-to-view": "view"}
"""Which role a role is part of."""

RULES: dict[str, tuple[str, ...]] = {
    "cluster-admin": (
        "*; *; *",
        "*; *",
    ),
    "system:aggregate-to-admin": (
        "create; authorization.k8s.io; localsubjectaccessreviews",
        "create delete deletecollection get list patch update watch; "
        "rbac.authorization.k8s.io; rolebindings roles",
    ),
    "system:aggregate-to-edit": (
        "get list watch; core; pods/attach pods/exec pods/portforward pods/proxy secrets "
        "services/proxy",
        "impersonate; core; serviceaccounts",
        "create delete deletecollection patch update; core; pods pods/attach pods/exec "
        "pods/portforward pods/proxy",
        "create; core; pods/eviction",
        "create delete deletecollection patch update; core; configmaps endpoints events "
        "persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
        "create; core; serviceaccounts/token",
        "create delete deletecollection patch update; apps; daemonsets deployments "
        "deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
        "create delete deletecollection patch update; autoscaling; horizontalpodautoscalers",
        "create delete deletecollection patch update; batch; cronjobs jobs",
        "create delete deletecollection patch update; extensions; daemonsets deployments "
        "deployments/rollback deployments/scale ingresses networkpolicies replicasets "
        "replicasets/scale replicationcontrollers/scale",
        "create delete deletecollection patch update; policy; poddisruptionbudgets",
        "create delete deletecollection patch update; networking.k8s.io; ingresses "
        "networkpolicies",
        "create delete deletecollection get list patch update watch; coordination.k8s.io; "
        "leases",
    ),
    "system:aggregate-to-view": (
        "get list watch; core; configmaps endpoints persistentvolumeclaims "
        "persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
        "get list watch; core; bindings events limitranges namespaces/status pods/log "
        "pods/status replicationcontrollers/status resourcequotas resourcequotas/status",
        "get list watch; core; namespaces",
        "get list watch; discovery.k8s.io; endpointslices",
        "get list watch; apps; controllerrevisions daemonsets daemonsets/status deployments "
        "deployments/scale deployments/status replicasets replicasets/scale "
        "replicasets/status statefulsets statefulsets/scale statefulsets/status",
        "get list watch; autoscaling; horizontalpodautoscalers horizontalpodautoscalers/status",
        "get list watch; batch; cronjobs cronjobs/status jobs jobs/status",
        "get list watch; extensions; daemonsets daemonsets/status deployments "
        "deployments/scale deployments/status ingresses ingresses/status networkpolicies "
        "replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
        "get list watch; policy; poddisruptionbudgets poddisruptionbudgets/status",
        "get list watch; networking.k8s.io; ingresses ingresses/status networkpolicies",
    ),
    "system:auth-delegator": (
        "create; authentication.k8s.io; tokenreviews",
        "create; authorization.k8s.io; subjectaccessreviews",
    ),
    "system:basic-user": (
        "create; authorization.k8s.io; selfsubjectaccessreviews selfsubjectrulesreviews",
        "create; authentication.k8s.io; selfsubjectreviews",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        "create; certificates.k8s.io; certificatesigningrequests/nodeclient",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        "create; certificates.k8s.io; certificatesigningrequests/selfnodeclient",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        "approve; certificates.k8s.io; signers; kubernetes.io/kube-apiserver-client",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        "approve; certificates.k8s.io; signers; kubernetes.io/kube-apiserver-client-kubelet",
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": (
        "approve; certificates.k8s.io; signers; kubernetes.io/kubelet-serving",
    ),
    "system:certificates.k8s.io:legacy-unknown-approver": (
        "approve; certificates.k8s.io; signers; kubernetes.io/legacy-unknown",
    ),
    "system:controller:attachdetach-controller": (
        "list watch; core; persistentvolumeclaims persistentvolumes",
        "get list watch; core; nodes",
        "patch update; core; nodes/status",
        "list watch; core; pods",
        "create patch update; core events.k8s.io; events",
        "create delete get list watch; storage.k8s.io; volumeattachments",
        "get list watch; storage.k8s.io; csidrivers",
        "get list watch; storage.k8s.io; csinodes",
    ),
    "system:controller:certificate-controller": (
        "delete get list watch; certificates.k8s.io; certificatesigningrequests",
        "update; certificates.k8s.io; certificatesigningrequests/approval "
        "certificatesigningrequests/status",
        "approve; certificates.k8s.io; signers; kubernetes.io/kube-apiserver-client-kubelet",
        "sign; certificates.k8s.io; signers; kubernetes.io/kube-apiserver-client "
        "kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving "
        "kubernetes.io/legacy-unknown",
        "create; authorization.k8s.io; subjectaccessreviews",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:clusterrole-aggregation-controller": (
        "escalate get list patch update watch; rbac.authorization.k8s.io; clusterroles",
    ),
    "system:controller:cronjob-controller": (
        "get list update watch; batch; cronjobs",
        "create delete get list patch update watch; batch; jobs",
        "update; batch; cronjobs/status",
        "update; batch; cronjobs/finalizers",
        "delete list watch; core; pods",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:daemon-set-controller": (
        "get list watch; apps extensions; daemonsets",
        "update; apps extensions; daemonsets/status",
        "update; apps extensions; daemonsets/finalizers",
        "list watch; core; nodes",
        "create delete list patch watch; core; pods",
        "create; core; pods/binding",
        "create delete get list patch update watch; apps; controllerrevisions",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:deployment-controller": (
        "get list update watch; apps extensions; deployments",
        "update; apps extensions; deployments/status",
        "update; apps extensions; deployments/finalizers",
        "create delete get list patch update watch; apps extensions; replicasets",
        "get list update watch; core; pods",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:disruption-controller": (
        "get list watch; apps extensions; deployments",
        "get list watch; apps extensions; replicasets",
        "get list watch; core; replicationcontrollers",
        "get list watch; policy; poddisruptionbudgets",
        "get list watch; apps; statefulsets",
        "update; policy; poddisruptionbudgets/status",
        "patch update; core; pods/status",
        "get; *; */scale",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:endpoint-controller": (
        "get list watch; core; pods services",
        "create delete get list update watch; core; endpoints",
        "create; core; endpoints/restricted",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:endpointslice-controller": (
        "get list watch; core; nodes pods services",
        "update; core; services/finalizers",
        "create delete get list update watch; discovery.k8s.io; endpointslices",
        "create; discovery.k8s.io; endpointslices/restricted",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:endpointslicemirroring-controller": (
        "get list watch; core; endpoints services",
        "update; core; services/finalizers",
        "update; core; endpoints/finalizers",
        "create delete get list update watch; discovery.k8s.io; endpointslices",
        "create; discovery.k8s.io; endpointslices/restricted",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:ephemeral-volume-controller": (
        "get list watch; core; pods",
        "update; core; pods/finalizers",
        "create get list watch; core; persistentvolumeclaims",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:expand-controller": (
        "get list patch update watch; core; persistentvolumes",
        "patch update; core; persistentvolumeclaims/status",
        "get list watch; core; persistentvolumeclaims",
        "create patch update; core events.k8s.io; events",
        "get; core; services",
    ),
    "system:controller:generic-garbage-collector": (
        "delete get list patch update watch; *; *",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:horizontal-pod-autoscaler": (
        "get list watch; autoscaling; horizontalpodautoscalers",
        "update; autoscaling; horizontalpodautoscalers/status",
        "get update; *; */scale",
        "list watch; core; pods",
        "list watch; metrics.k8s.io; pods",
        "get list watch; custom.metrics.k8s.io; *",
        "get list watch; external.metrics.k8s.io; *",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:job-controller": (
        "get list patch update watch; batch; jobs",
        "update; batch; jobs/status",
        "update; batch; jobs/finalizers",
        "create delete list patch watch; core; pods",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:legacy-service-account-token-cleaner": (
        "get; core; configmaps; kube-apiserver-legacy-service-account-token-tracking",
        "delete patch; core; secrets",
    ),
    "system:controller:namespace-controller": (
        "delete get list watch; core; namespaces",
        "update; core; namespaces/finalize namespaces/status",
        "delete deletecollection get list watch; *; *",
    ),
    "system:controller:node-controller": (
        "delete get list patch update watch; core; nodes",
        "patch update; core; nodes/status",
        "patch update; core; pods/status",
        "delete get list watch; core; pods",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:persistent-volume-binder": (
        "create delete get list update watch; core; persistentvolumes",
        "update; core; persistentvolumes/status",
        "get list update watch; core; persistentvolumeclaims",
        "update; core; persistentvolumeclaims/status",
        "create delete get list watch; core; pods",
        "get list watch; storage.k8s.io; storageclasses",
        "list watch; core; nodes",
        "create patch update; core events.k8s.io; events",
        "watch; core; events",
        "get; core; services",
    ),
    "system:controller:pod-garbage-collector": (
        "delete list watch; core; pods",
        "get list watch; core; nodes",
        "patch; core; pods/status",
    ),
    "system:controller:pv-protection-controller": (
        "get list update watch; core; persistentvolumes",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:pvc-protection-controller": (
        "get list update watch; core; persistentvolumeclaims",
        "get list watch; core; pods",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:replicaset-controller": (
        "get list update watch; apps extensions; replicasets",
        "update; apps extensions; replicasets/status",
        "update; apps extensions; replicasets/finalizers",
        "create delete list patch watch; core; pods",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:replication-controller": (
        "get list update watch; core; replicationcontrollers",
        "update; core; replicationcontrollers/status",
        "update; core; replicationcontrollers/finalizers",
        "create delete list patch watch; core; pods",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:resourcequota-controller": (
        "list watch; *; *",
        "update; core; resourcequotas/status",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:root-ca-cert-publisher": (
        "create update; core; configmaps",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:route-controller": (
        "list watch; core; nodes",
        "patch; core; nodes/status",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:service-account-controller": (
        "create; core; serviceaccounts",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:service-ca-cert-publisher": (
        "create update; core; configmaps",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:service-controller": (
        "get list watch; core; services",
        "patch update; core; services/status",
        "list watch; core; nodes",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:statefulset-controller": (
        "list watch; core; pods",
        "get list watch; apps; statefulsets",
        "update; apps; statefulsets/status",
        "update; apps; statefulsets/finalizers",
        "create delete get patch update; core; pods",
        "create delete get list patch update watch; apps; controllerrevisions",
        "create get list watch; core; persistentvolumeclaims",
        "create patch update; core events.k8s.io; events",
        "delete update; core; persistentvolumeclaims",
        "update; core; pods/finalizers",
    ),
    "system:controller:ttl-after-finished-controller": (
        "delete get list watch; batch; jobs",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:ttl-controller": (
        "list patch update watch; core; nodes",
        "create patch update; core events.k8s.io; events",
    ),
    "system:controller:validatingadmissionpolicy-status-controller": (
        "get list watch; admissionregistration.k8s.io; validatingadmissionpolicies",
        "get patch update; admissionregistration.k8s.io; validatingadmissionpolicies/status",
        "create patch update; core events.k8s.io; events",
    ),
    "system:discovery": (
        "get; /api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version "
        "/version/",
    ),
    "system:heapster": (
        "get list watch; core; events namespaces nodes pods",
        "get list watch; extensions; deployments",
    ),
    "system:kube-aggregator": (
        "get list watch; core; endpoints services",
    ),
    "system:kube-controller-manager": (
        "create patch update; core events.k8s.io; events",
        "create; coordination.k8s.io; leases",
        "get update; coordination.k8s.io; leases; kube-controller-manager",
        "create; core; secrets serviceaccounts",
        "delete; core; secrets",
        "get; core; configmaps namespaces secrets serviceaccounts",
        "update; core; secrets serviceaccounts",
        "create; authentication.k8s.io; tokenreviews",
        "create; authorization.k8s.io; subjectaccessreviews",
        "list watch; *; *",
        "create; core; serviceaccounts/token",
    ),
    "system:kube-dns": (
        "list watch; core; endpoints services",
    ),
    "system:kube-scheduler": (
        "create patch update; core events.k8s.io; events",
        "create; coordination.k8s.io; leases",
        "get list update watch; coordination.k8s.io; leases; kube-scheduler",
        "create delete deletecollection get list patch update watch; coordination.k8s.io; "
        "leasecandidates",
        "get list watch; core; nodes",
        "delete get list watch; core; pods",
        "create; core; bindings pods/binding",
        "patch update; core; pods/status",
        "get list watch; core; replicationcontrollers services",
        "get list watch; apps extensions; replicasets",
        "get list watch; apps; statefulsets",
        "get list watch; policy; poddisruptionbudgets",
        "get list watch; core; persistentvolumeclaims persistentvolumes",
        "create; authentication.k8s.io; tokenreviews",
        "create; authorization.k8s.io; subjectaccessreviews",
        "get list watch; storage.k8s.io; csinodes",
        "get list watch; storage.k8s.io; volumeattachments",
        "get list watch; core; namespaces",
        "get list watch; storage.k8s.io; csidrivers",
        "get list watch; storage.k8s.io; csistoragecapacities",
    ),
    "system:kubelet-api-admin": (
        "get list watch; core; nodes",
        "proxy; core; nodes",
        "*; core; nodes/log nodes/metrics nodes/proxy nodes/stats",
    ),
    "system:monitoring": (
        "get; /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
    ),
    "system:node": (
        "create; authentication.k8s.io; tokenreviews",
        "create; authorization.k8s.io; localsubjectaccessreviews subjectaccessreviews",
        "get list watch; core; services",
        "create get list watch; core; nodes",
        "patch update; core; nodes/status",
        "patch update; core; nodes",
        "create patch update; core; events",
        "get list watch; core; pods",
        "create delete; core; pods",
        "patch update; core; pods/status",
        "create; core; pods/eviction",
        "get list watch; core; configmaps secrets",
        "get; core; persistentvolumeclaims persistentvolumes",
        "get; core; endpoints",
        "create get list watch; certificates.k8s.io; certificatesigningrequests",
        "create delete get patch update; coordination.k8s.io; leases",
        "get; storage.k8s.io; volumeattachments",
        "create; core; serviceaccounts/token",
        "get patch update; core; persistentvolumeclaims/status",
        "get list watch; storage.k8s.io; csidrivers",
        "create delete get patch update; storage.k8s.io; csinodes",
        "get list watch; node.k8s.io; runtimeclasses",
    ),
    "system:node-bootstrapper": (
        "create get list watch; certificates.k8s.io; certificatesigningrequests",
    ),
    "system:node-problem-detector": (
        "get; core; nodes",
        "patch; core; nodes/status",
        "create patch update; core events.k8s.io; events",
    ),
    "system:node-proxier": (
        "list watch; core; endpoints services",
        "get list watch; core; nodes",
        "create patch update; core events.k8s.io; events",
        "list watch; discovery.k8s.io; endpointslices",
    ),
    "system:persistent-volume-provisioner": (
        "create delete get list watch; core; persistentvolumes",
        "get list update watch; core; persistentvolumeclaims",
        "get list watch; storage.k8s.io; storageclasses",
        "watch; core; events",
        "create patch update; core events.k8s.io; events",
    ),
    "system:public-info-viewer": (
        "get; /healthz /livez /readyz /version /version/",
    ),
    "system:service-account-issuer-discovery": (
        "get; /.well-known/openid-configuration /.well-known/openid-configuration/ "
        "/openid/v1/jwks /openid/v1/jwks/",
    ),
    "system:volume-scheduler": (
        "get list patch update watch; core; persistentvolumes",
        "get list watch; storage.k8s.io; storageclasses",
        "get list patch update watch; core; persistentvolumeclaims",
    ),
}

BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("Group system:masters",),
    "system:basic-user": ("Group system:authenticated",),
    "system:discovery": ("Group system:authenticated",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:kube-dns": ("ServiceAccount kube-dns",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:monitoring": ("Group system:monitoring",),
    "system:node": (),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
}
"""Role -> who is bound to it in the whole cluster; each controller is bound to its own as well."""
CONTROLLER = "system:controller:"


@cache
def rules_of(name: str) -> tuple[PolicyRule, ...]:
    """The rules of a default role that the table spells out."""
    return tuple(_rule(text) for text in RULES[name])


def _rule(text: str) -> PolicyRule:
    verbs, *others = (tuple(field.split()) for field in text.split(";"))
    if len(others) == 1:
        return PolicyRule(verbs, non_resource_urls=others[0])
    groups = tuple("" if group == "core" else group for group in others[0])
    return PolicyRule(verbs, groups, others[1], others[2] if len(others) > 2 else None)


@cache
def roles() -> tuple[ClusterRole, ...]:
    """Every default role with its labels and rules, in the order of names."""
    found = {name: ClusterRole(metadata=_metadata(name), rules=rules_of(name)) for name in RULES}
    for name in sorted(AGGREGATED, reverse=True):
        selector = LabelSelector(match_labels=((f"{RBAC}/aggregate-to-{name}", "true"),))
        role = ClusterRole(metadata=_metadata(name),
                           aggregation_rule=AggregationRule((selector,)))
        found[name] = role._replace(rules=aggregated(role, tuple(found.values())))
    return tuple(found[name] for name in sorted(found))


@cache
def bindings() -> tuple[ClusterRoleBinding, ...]:
    """Every default binding, in the order of names."""
    subjects = dict(BINDINGS)
    for name in RULES:
        if name.startswith(CONTROLLER):
            subjects[name] = (f"ServiceAccount {name.removeprefix(CONTROLLER)}",)
    return tuple(ClusterRoleBinding(
        metadata=_metadata(name)._replace(labels=LABELS),
        subjects=tuple(_subject(text) for text in subjects[name]) or None,
        role_ref=RoleRef(RBAC, "ClusterRole", name)) for name in sorted(subjects))


def _subject(text: str) -> Subject:
    kind, _, name = text.partition(" ")
    if kind == "ServiceAccount":
        return Subject(kind, None, name, "kube-system")
    return Subject(kind, RBAC, name)


def _metadata(name: str) -> Metadata:
    labels = dict(LABELS)
    if name in JOINS:
        labels[f"{RBAC}/aggregate-to-{JOINS[name]}"] = "true"
    return Metadata(name=name, labels=pairs(labels), annotations=ANNOTATIONS)
