"""Which kinds there are: kind, plural, group and version, scope, short names.

Source: `kubectl api-resources` of Kubernetes 1.32. Kinds with a record class are those that some
component reads; every other kind is stored as `Generic`.
"""

from __future__ import annotations

from typing import NamedTuple

from model.api import cluster, nodes, pods, services, workloads


class Resource(NamedTuple):
    """One resource. `name` is the plural that stands in paths; `record` is None for Generic.
    `custom`: a CustomResourceDefinition made it."""

    kind: str
    name: str
    group: str
    version: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    record: type | None = None
    subresources: tuple[str, ...] = ()
    custom: bool = False

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`, as documents write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """`pods` or `deployments.apps`, as messages write it."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def singular(self) -> str:
        """The name that people may use for one object on a command line."""
        return self.kind.lower()


_STATUS = ("status",)
_SCALED = ("scale", "status")
_REVIEWS = "authorization.k8s.io"
_NETWORK = "networking.k8s.io"
_STORAGE = "storage.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"

RESOURCES: tuple[Resource, ...] = (
    Resource("Binding", "bindings", "", "v1", True, (), pods.Binding),
    Resource("ComponentStatus", "componentstatuses", "", "v1", False, ("cs",)),
    Resource("ConfigMap", "configmaps", "", "v1", True, ("cm",), cluster.ConfigMap),
    Resource("Endpoints", "endpoints", "", "v1", True, ("ep",), services.Endpoints),
    Resource("Event", "events", "", "v1", True, ("ev",), cluster.Event),
    Resource("LimitRange", "limitranges", "", "v1", True, ("limits",), cluster.LimitRange),
    Resource("Namespace", "namespaces", "", "v1", False, ("ns",), cluster.Namespace,
             ("finalize", "status")),
    Resource("Node", "nodes", "", "v1", False, ("no",), nodes.Node, ("proxy", "status")),
    Resource("PersistentVolumeClaim", "persistentvolumeclaims", "", "v1", True, ("pvc",),
             None, _STATUS),
    Resource("PersistentVolume", "persistentvolumes", "", "v1", False, ("pv",), None, _STATUS),
    Resource("Pod", "pods", "", "v1", True, ("po",), pods.Pod,
             ("binding", "ephemeralcontainers", "eviction", "log", "resize", "status")),
    Resource("PodTemplate", "podtemplates", "", "v1", True),
    Resource("ReplicationController", "replicationcontrollers", "", "v1", True, ("rc",),
             workloads.ReplicationController, _SCALED),
    Resource("ResourceQuota", "resourcequotas", "", "v1", True, ("quota",),
             cluster.ResourceQuota, _STATUS),
    Resource("Secret", "secrets", "", "v1", True, (), cluster.Secret),
    Resource("ServiceAccount", "serviceaccounts", "", "v1", True, ("sa",),
             cluster.ServiceAccount, ("token",)),
    Resource("Service", "services", "", "v1", True, ("svc",), services.Service,
             ("proxy", "status")),
    Resource("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", _ADMISSION, "v1",
             False),
    Resource("ValidatingAdmissionPolicy", "validatingadmissionpolicies", _ADMISSION, "v1",
             False, (), None, _STATUS),
    Resource("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", _ADMISSION,
             "v1", False),
    Resource("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", _ADMISSION,
             "v1", False),
    Resource("CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io",
             "v1", False, ("crd", "crds"), None, _STATUS),
    Resource("APIService", "apiservices", "apiregistration.k8s.io", "v1", False, (), None,
             _STATUS),
    Resource("ControllerRevision", "controllerrevisions", "apps", "v1", True),
    Resource("DaemonSet", "daemonsets", "apps", "v1", True, ("ds",), None, _STATUS),
    Resource("Deployment", "deployments", "apps", "v1", True, ("deploy",), workloads.Deployment,
             _SCALED),
    Resource("ReplicaSet", "replicasets", "apps", "v1", True, ("rs",), workloads.ReplicaSet,
             _SCALED),
    Resource("StatefulSet", "statefulsets", "apps", "v1", True, ("sts",), None, _SCALED),
    Resource("SelfSubjectReview", "selfsubjectreviews", "authentication.k8s.io", "v1", False),
    Resource("TokenReview", "tokenreviews", "authentication.k8s.io", "v1", False),
    Resource("LocalSubjectAccessReview", "localsubjectaccessreviews", _REVIEWS, "v1", True),
    Resource("SelfSubjectAccessReview", "selfsubjectaccessreviews", _REVIEWS, "v1", False),
    Resource("SelfSubjectRulesReview", "selfsubjectrulesreviews", _REVIEWS, "v1", False),
    Resource("SubjectAccessReview", "subjectaccessreviews", _REVIEWS, "v1", False),
    Resource("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", "v2", True,
             ("hpa",), None, _STATUS),
    Resource("CronJob", "cronjobs", "batch", "v1", True, ("cj",), None, _STATUS),
    Resource("Job", "jobs", "batch", "v1", True, (), None, _STATUS),
    Resource("CertificateSigningRequest", "certificatesigningrequests", "certificates.k8s.io",
             "v1", False, ("csr",), None, ("approval", "status")),
    Resource("Lease", "leases", "coordination.k8s.io", "v1", True, (), nodes.Lease),
    Resource("EndpointSlice", "endpointslices", "discovery.k8s.io", "v1", True, (),
             services.EndpointSlice),
    Resource("Event", "events", "events.k8s.io", "v1", True, ("ev",)),
    Resource("FlowSchema", "flowschemas", _FLOW, "v1", False, (), None, _STATUS),
    Resource("PriorityLevelConfiguration", "prioritylevelconfigurations", _FLOW, "v1", False,
             (), None, _STATUS),
    Resource("IngressClass", "ingressclasses", _NETWORK, "v1", False),
    Resource("Ingress", "ingresses", _NETWORK, "v1", True, ("ing",), None, _STATUS),
    Resource("NetworkPolicy", "networkpolicies", _NETWORK, "v1", True, ("netpol",)),
    Resource("RuntimeClass", "runtimeclasses", "node.k8s.io", "v1", False),
    Resource("PodDisruptionBudget", "poddisruptionbudgets", "policy", "v1", True, ("pdb",),
             workloads.PodDisruptionBudget, _STATUS),
    Resource("ClusterRoleBinding", "clusterrolebindings", _RBAC, "v1", False, (),
             cluster.ClusterRoleBinding),
    Resource("ClusterRole", "clusterroles", _RBAC, "v1", False, (), cluster.ClusterRole),
    Resource("RoleBinding", "rolebindings", _RBAC, "v1", True, (), cluster.RoleBinding),
    Resource("Role", "roles", _RBAC, "v1", True, (), cluster.Role),
    Resource("PriorityClass", "priorityclasses", "scheduling.k8s.io", "v1", False, ("pc",),
             cluster.PriorityClass),
    Resource("CSIDriver", "csidrivers", _STORAGE, "v1", False),
    Resource("CSINode", "csinodes", _STORAGE, "v1", False),
    Resource("CSIStorageCapacity", "csistoragecapacities", _STORAGE, "v1", True),
    Resource("StorageClass", "storageclasses", _STORAGE, "v1", False, ("sc",)),
    Resource("VolumeAttachment", "volumeattachments", _STORAGE, "v1", False, (), None, _STATUS),
    Resource("NodeMetrics", "nodes", "metrics.k8s.io", "v1beta1", False, (), nodes.NodeMetrics),
    Resource("PodMetrics", "pods", "metrics.k8s.io", "v1beta1", True, (), nodes.PodMetrics),
)

SUBRESOURCE_RECORDS: dict[tuple[str, str], type] = {
    ("autoscaling/v1", "Scale"): workloads.Scale,
    ("policy/v1", "Eviction"): pods.Eviction,
    ("v1", "DeleteOptions"): pods.DeleteOptions,
}
"""Record classes of bodies that have no resource of their own."""
GENERIC_BODIES = frozenset((("authentication.k8s.io/v1", "TokenRequest"),))
"""Further such bodies, without a record class."""


def _index(*keys: str) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for resource in RESOURCES:
        names = [getattr(resource, key) for key in keys]
        for name in names:
            for each in name if isinstance(name, tuple) else (name,):
                found.setdefault(each, resource)
    return found


BY_NAME: dict[str, Resource] = _index("name")
"""Plural to resource; core `events` before `events.k8s.io`."""
BY_GROUP_RESOURCE: dict[str, Resource] = _index("group_resource")
BY_KIND: dict[str, Resource] = _index("kind")
"""Kind to resource, for kinds as objects carry them; see `BY_TYPE` where groups matter."""
BY_TYPE: dict[tuple[str, str], Resource] = {(r.api_version, r.kind): r for r in RESOURCES}
"""(apiVersion, kind) to resource."""
BY_ALIAS: dict[str, Resource] = _index("name", "singular", "short_names", "group_resource")
"""Any name that a person may type: plural, singular, short, `plural.group`."""
