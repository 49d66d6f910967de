"""Stage three: what a field becomes that the client left out.

Source: Kubernetes 1.32 API reference, the sentences "Defaults to ..." of each field. The rules work
on documents, since most of the fields are read by no component; the parts that repeat (a
controller's pods share one spec) are computed once.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from model.api.objects import (
    EventSource,
    PodSpec,
    ServiceSpec,
    canonical_json,
    put,
    read,
    thaw,
    with_labels,
    write,
)
from model.api.objects import freeze as frozen
from reference_impl.apiserver.registry import admission_objects, custom
from reference_impl.apiserver.registry.encoding import tidy

Document = dict[str, Any]


# -- pods ---------------------------------------------------------------------------------------

@lru_cache(maxsize=8192)
def pod_spec(spec: PodSpec, in_pod: bool) -> PodSpec:
    """The spec of a pod (or, with `in_pod` false, of a template) with its defaults."""
    document = write(spec)
    tidy(document)
    default_pod_spec(document, in_pod)
    return read(PodSpec, document)


def default_pod_spec(spec: Document, in_pod: bool) -> None:
    """Fill in the defaults of a pod's spec, in place."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    spec.setdefault("schedulerName", "default-scheduler")
    if in_pod:
        spec.setdefault("enableServiceLinks", True)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in _items(spec.get(group)):
            _default_container(container, in_pod, bool(spec.get("hostNetwork")))
    for volume in _items(spec.get("volumes")):
        _default_volume(volume)
    for constraint in _items(spec.get("topologySpreadConstraints")):
        constraint.setdefault("whenUnsatisfiable", "DoNotSchedule")
    if isinstance(spec.get("terminationGracePeriodSeconds"), int) and \
            spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1


def _items(value: Any) -> list[Document]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _default_container(container: Document, in_pod: bool, host_network: bool) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = container.get("image")
    if not container.get("imagePullPolicy") and isinstance(image, str):
        container["imagePullPolicy"] = pull_policy(image)
    resources = container.setdefault("resources", {})
    if in_pod and isinstance(resources, dict) and resources.get("limits"):
        requests = resources.get("requests") or {}
        resources["requests"] = {**resources["limits"], **requests}
    for port in _items(container.get("ports")):
        port.setdefault("protocol", "TCP")
        if host_network and not port.get("hostPort") and "containerPort" in port:
            port["hostPort"] = port["containerPort"]
    for variable in _items(container.get("env")):
        field = (variable.get("valueFrom") or {}).get("fieldRef")
        if isinstance(field, dict):
            field.setdefault("apiVersion", "v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(container.get(name), dict):
            _default_probe(container[name])
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        if isinstance(lifecycle.get(hook), dict):
            _default_http(lifecycle[hook].get("httpGet"))


def pull_policy(image: str) -> str:
    """Always for an image without a tag or with `latest`, else IfNotPresent."""
    name = image.rpartition("/")[2]
    if "@" in name:
        return "IfNotPresent"
    tag = name.partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_probe(probe: Document) -> None:
    for field, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1),
                         ("failureThreshold", 3)):
        if not probe.get(field):
            probe[field] = value
    _default_http(probe.get("httpGet"))
    if isinstance(probe.get("grpc"), dict):
        probe["grpc"].setdefault("service", "")


def _default_http(action: Any) -> None:
    if isinstance(action, dict):
        action.setdefault("path", "/")
        action.setdefault("scheme", "HTTP")


def _default_volume(volume: Document) -> None:
    sources = [key for key, value in volume.items() if key != "name" and value is not None]
    if not sources:
        volume["emptyDir"] = {}
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        source = volume.get(name)
        if isinstance(source, dict):
            source.setdefault("defaultMode", 420)
            for item in _items(source.get("items")):
                _default_field_ref(item)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    for source in _items((volume.get("projected") or {}).get("sources")):
        token = source.get("serviceAccountToken")
        if isinstance(token, dict):
            token.setdefault("expirationSeconds", 3600)
        for item in _items((source.get("downwardAPI") or {}).get("items")):
            _default_field_ref(item)


def _default_field_ref(item: Document) -> None:
    if isinstance(item.get("fieldRef"), dict):
        item["fieldRef"].setdefault("apiVersion", "v1")


def default_template(template: Any) -> None:
    """Fill in the defaults of a pod template, in place."""
    if isinstance(template, dict):
        metadata = template.get("metadata") or {}
        metadata.setdefault("creationTimestamp", None)
        template["metadata"] = metadata
        spec = template.get("spec")
        if not isinstance(spec, dict):
            spec = {}
        default_pod_spec(spec, in_pod=False)
        template["spec"] = spec


# -- services -----------------------------------------------------------------------------------

@lru_cache(maxsize=1024)
def service_spec(spec: ServiceSpec) -> ServiceSpec:
    """The spec of a service with the defaults that need no allocation."""
    document = write(spec)
    tidy(document)
    default_service_spec(document)
    return read(ServiceSpec, document)


def default_service_spec(spec: Document) -> None:
    """Fill in the defaults of a service's spec, in place."""
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP" and not spec.get("sessionAffinityConfig"):
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    kind = spec.get("type") or "ClusterIP"
    spec["type"] = kind
    for port in _items(spec.get("ports")):
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, "") and "port" in port:
            port["targetPort"] = port["port"]
    if kind in ("NodePort", "LoadBalancer") and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if kind != "ExternalName" and not spec.get("internalTrafficPolicy"):
        spec["internalTrafficPolicy"] = "Cluster"
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        spec["allocateLoadBalancerNodePorts"] = True
    if kind != "ExternalName":
        if spec.get("clusterIP") == "None" and not spec.get("clusterIPs"):
            spec["clusterIPs"] = ["None"]
        if is_of_any_family(spec) and not spec.get("ipFamilies") and not spec.get(
                "ipFamilyPolicy"):
            # Whoever writes the endpoints may write addresses of both families.
            spec["ipFamilies"], spec["ipFamilyPolicy"] = ["IPv4", "IPv6"], "RequireDualStack"
        if not spec.get("ipFamilies"):
            spec["ipFamilies"] = ["IPv4"]
        if not spec.get("ipFamilyPolicy"):
            spec["ipFamilyPolicy"] = "SingleStack"


def is_of_any_family(spec: Document) -> bool:
    """Whether a service has neither an address nor pods of its own choice."""
    return spec.get("clusterIP") == "None" and not spec.get("selector")


# -- whole objects ------------------------------------------------------------------------------

def defaulted(obj: Any) -> Any:
    """The object as decoding leaves it: every absent field with a default is set."""
    kind = obj.kind
    quick = _QUICK.get(kind)
    if quick is not None:
        return quick(obj)
    return _by_document(kind, obj) if kind in _DOCUMENTS else obj


def _pod(pod: Any) -> Any:
    return put(pod, "spec", pod_spec(pod.spec, True)) if pod.spec is not None else pod


def _service(service: Any) -> Any:
    if service.spec is None:
        return service
    return put(service, "spec", service_spec(service.spec))


def _endpoints(endpoints: Any) -> Any:
    for subset in endpoints.subsets or ():
        if any(not port.protocol for port in subset.ports or ()):
            return _by_document("Endpoints", endpoints)
    return endpoints


def _secret(secret: Any) -> Any:
    return secret if secret.type else put(secret, "type", "Opaque")


def _event(event: Any) -> Any:
    rest = _event_rest(event.rest, event.first_timestamp is None, event.last_timestamp is None)
    source = EventSource() if event.source is None else event.source
    return event._replace(source=source, rest=rest)


@lru_cache(maxsize=256)
def _event_rest(rest: bytes, no_first: bool, no_last: bool) -> bytes:
    """What an event's untyped fields become: they are written out even when they are empty."""
    fields = json.loads(rest) if rest else {}
    fields.setdefault("eventTime", None)
    fields.setdefault("reportingComponent", "")
    fields.setdefault("reportingInstance", "")
    if no_first:
        fields["firstTimestamp"] = None
    if no_last:
        fields["lastTimestamp"] = None
    return canonical_json(fields)


_QUICK = {"Pod": _pod, "Service": _service, "Endpoints": _endpoints, "Secret": _secret,
          "Event": _event, custom.KIND: custom.completed}


def _by_document(kind: str, obj: Any) -> Any:
    if kind in _SPEC_ONLY and obj.spec is not None:
        spec = _spec_by_document(kind, obj.spec)
        template = spec.template if kind == "ReplicationController" else None
        if template is not None and template.metadata is not None and not obj.metadata.labels:
            obj = with_labels(obj, template.metadata.labels)
        return put(obj, "spec", spec)
    document = thaw(obj)
    tidy(document)
    _DOCUMENTS[kind](document)
    return frozen(document)


@lru_cache(maxsize=4096)
def _spec_by_document(kind: str, spec: Any) -> Any:
    document = {"spec": write(spec)}
    tidy(document)
    _DOCUMENTS[kind](document)
    return read(type(spec), document["spec"])


def _replicated(document: Document) -> None:
    spec = document.get("spec")
    if isinstance(spec, dict):
        if spec.get("replicas") is None:
            spec["replicas"] = 1
        default_template(spec.get("template"))


def _replication_controller(document: Document) -> None:
    _replicated(document)
    spec = document.get("spec")
    template = spec.get("template") if isinstance(spec, dict) else None
    labels = ((template or {}).get("metadata") or {}).get("labels")
    if isinstance(spec, dict) and labels and not spec.get("selector"):
        spec["selector"] = dict(labels)


def _deployment(document: Document) -> None:
    _replicated(document)
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return
    strategy = spec.get("strategy") or {}
    spec["strategy"] = strategy
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        strategy["rollingUpdate"] = rolling
        for field in ("maxUnavailable", "maxSurge"):
            if rolling.get(field) is None:
                rolling[field] = "25%"
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    if spec.get("progressDeadlineSeconds") is None:
        spec["progressDeadlineSeconds"] = 600


def _endpoints_document(document: Document) -> None:
    for subset in _items(document.get("subsets")):
        for port in _items(subset.get("ports")):
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _limit_range(document: Document) -> None:
    spec = document.get("spec")
    if isinstance(spec, dict) and not spec.get("limits"):
        spec["limits"] = None  # an empty list is shown as none at all
    for item in _items((document.get("spec") or {}).get("limits")):
        if item.get("type") != "Container":
            continue
        limits = {**(item.get("max") or {}), **(item.get("default") or {})}
        if limits:
            item["default"] = limits
        requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
        if requests:
            item["defaultRequest"] = requests


def _role_binding(document: Document) -> None:
    reference = document.get("roleRef")
    if isinstance(reference, dict) and not reference.get("apiGroup"):
        reference["apiGroup"] = "rbac.authorization.k8s.io"
    for subject in _items(document.get("subjects")):
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = "rbac.authorization.k8s.io"


def _stateful_set(document: Document) -> None:
    _replicated(document)
    spec = document.get("spec")
    if isinstance(spec, dict):
        spec.setdefault("podManagementPolicy", "OrderedReady")
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("partition", 0)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("persistentVolumeClaimRetentionPolicy",
                        {"whenDeleted": "Retain", "whenScaled": "Retain"})


def _daemon_set(document: Document) -> None:
    spec = document.get("spec")
    if isinstance(spec, dict):
        default_template(spec.get("template"))
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", 1)
            rolling.setdefault("maxSurge", 0)
        spec.setdefault("revisionHistoryLimit", 10)


def _network_policy(document: Document) -> None:
    spec = document.get("spec")
    if isinstance(spec, dict) and not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _storage_class(document: Document) -> None:
    document.setdefault("reclaimPolicy", "Delete")
    document.setdefault("volumeBindingMode", "Immediate")


def _claim(document: Document) -> None:
    spec = document.get("spec")
    if isinstance(spec, dict):
        spec.setdefault("volumeMode", "Filesystem")
    status = document.setdefault("status", {})
    status.setdefault("phase", "Pending")


def _volume(document: Document) -> None:
    spec = document.get("spec")
    if isinstance(spec, dict):
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")
        if isinstance(spec.get("hostPath"), dict):
            spec["hostPath"].setdefault("type", "")
    status = document.setdefault("status", {})
    status.setdefault("phase", "Pending")


def _priority_class(document: Document) -> None:
    document.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _job(document: Document) -> None:
    spec = document.get("spec")
    if isinstance(spec, dict):
        default_job_spec(spec)


def default_job_spec(spec: Document) -> None:
    """Fill in the defaults of a job's spec, in place. An index or a template leaves them open."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    for field, value in (("parallelism", 1), ("backoffLimit", 6), ("manualSelector", False),
                         ("completionMode", "NonIndexed"), ("suspend", False),
                         ("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy")
                          else "TerminatingOrFailed")):
        if spec.get(field) is None:
            spec[field] = value
    for rule in _items((spec.get("podFailurePolicy") or {}).get("rules")):
        for condition in _items(rule.get("onPodConditions")):
            condition.setdefault("status", "True")
    default_template(spec.get("template"))


def _cron_job(document: Document) -> None:
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return
    for field, value in (("concurrencyPolicy", "Allow"), ("suspend", False),
                         ("successfulJobsHistoryLimit", 3), ("failedJobsHistoryLimit", 1)):
        if spec.get(field) is None:
            spec[field] = value
    template = spec.get("jobTemplate")
    if isinstance(template, dict):
        template["metadata"] = {"creationTimestamp": None, **(template.get("metadata") or {})}
        default_template((template.get("spec") or {}).get("template"))


def _autoscaler(document: Document) -> None:
    spec = document.get("spec")
    if isinstance(spec, dict):
        if spec.get("minReplicas") is None:
            spec["minReplicas"] = 1
        if not spec.get("metrics"):
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": {
                "type": "Utilization", "averageUtilization": 80}}}]


def _role(document: Document) -> None:
    document["rules"] = document.get("rules") or None


def _quota(document: Document) -> None:
    spec = document.get("spec") or {}
    document["spec"] = spec
    if spec.get("hard") == {}:
        del spec["hard"]


def _node(document: Document) -> None:
    # The field is kept by the type only so that old objects can be read.
    (document.get("spec") or {}).pop("configSource", None)


def _as_sent(document: Document) -> None:
    """A kind without defaults, whose zeros go all the same."""


_DOCUMENTS = {
    "ReplicationController": _replication_controller, "ReplicaSet": _replicated,
    "Deployment": _deployment, "StatefulSet": _stateful_set, "DaemonSet": _daemon_set,
    "Endpoints": _endpoints_document, "LimitRange": _limit_range,
    "RoleBinding": _role_binding, "ClusterRoleBinding": _role_binding,
    "NetworkPolicy": _network_policy, "StorageClass": _storage_class,
    "PersistentVolumeClaim": _claim, "PersistentVolume": _volume,
    "PriorityClass": _priority_class, "Job": _job, "CronJob": _cron_job,
    "HorizontalPodAutoscaler": _autoscaler, "Role": _role, "ClusterRole": _role,
    "ResourceQuota": _quota, "Node": _node, "ServiceAccount": _as_sent, "RuntimeClass": _as_sent,
    "PodDisruptionBudget": _as_sent, "Ingress": _as_sent,
    "ValidatingAdmissionPolicy": admission_objects.default_policy,
    "ValidatingAdmissionPolicyBinding": admission_objects.default_policy_binding,
    "ValidatingWebhookConfiguration": admission_objects.default_webhooks,
    "MutatingWebhookConfiguration": admission_objects.default_webhooks,
}
_SPEC_ONLY = ("ReplicationController", "ReplicaSet", "Deployment", "LimitRange")
