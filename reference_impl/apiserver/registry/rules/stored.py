"""Rules of the kinds that are stored without a controller here, and what of them may change.

Not modelled: rules of single volume types, of scaling behaviour, of failure policies of jobs.
Source: Kubernetes 1.32 API reference (apps, batch, autoscaling, networking, storage, node,
scheduling, coordination).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from model.api import selectors
from model.api.metadata import LabelSelector
from model.api.objects import Generic, rest_fields, write
from model.api.records import read
from model.api.requests import (
    field_forbidden,
    field_invalid,
    field_required,
    field_unsupported,
)
from reference_impl.apiserver.registry.rules import common, pods
from reference_impl.apiserver.registry.rules.common import Causes, Document, Shown, items, one_of

_IMMUTABLE = "field is immutable"
_VOLUME_MODES = ("Block", "Filesystem")
_PRIORITY_MAX = 1_000_000_000
_RBAC = "rbac.authorization.k8s.io"


def body_of(obj: Any) -> Document:
    """The fields of an object besides its metadata."""
    return rest_fields(obj) if type(obj) is Generic else write(obj)


def _spec(obj: Any) -> Document:
    return body_of(obj).get("spec") or {}


# -- controllers of pods --------------------------------------------------------------------------

def stateful_set(obj: Any) -> Causes:
    """Selector, template and strategies."""
    spec = _spec(obj)
    policy, strategy = spec.get("podManagementPolicy"), spec.get("updateStrategy") or {}
    causes: Causes = []
    if policy not in ("OrderedReady", "Parallel"):
        causes.append(field_invalid("spec.podManagementPolicy", policy or "",
                                    "must be 'OrderedReady' or 'Parallel'"))
    if strategy.get("type") not in ("OnDelete", "RollingUpdate"):
        causes.append(field_invalid("spec.updateStrategy", Shown(str(strategy.get("type"))),
                                    "must be 'RollingUpdate' or 'OnDelete'"))
    partition = (strategy.get("rollingUpdate") or {}).get("partition")
    causes += common.at_least_zero(partition, "spec.updateStrategy.rollingUpdate.partition")
    for field in ("replicas", "minReadySeconds"):
        causes += common.at_least_zero(spec.get(field), f"spec.{field}")
    return causes + _selected_template(spec, "statefulset")


def daemon_set(obj: Any) -> Causes:
    """Selector, template and strategy."""
    spec = _spec(obj)
    causes = _selected_template(spec, "daemonset")
    strategy = spec.get("updateStrategy") or {}
    causes += one_of(strategy.get("type"), "spec.updateStrategy.type",
                     ("OnDelete", "RollingUpdate"))
    for field in ("minReadySeconds", "revisionHistoryLimit"):
        causes += common.at_least_zero(spec.get(field), f"spec.{field}")
    return causes


def _selected_template(spec: Document, kind: str) -> Causes:
    """A selector that is none too wide, and a template whose pods it selects."""
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None:
        causes = [field_required("spec.selector")]
    else:
        causes = common.selector_faults(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            causes.append(field_invalid("spec.selector", common.go_selector(selector),
                                        f"empty selector is invalid for {kind}"))
        elif not causes and not selectors.matches(selectors.from_object(
                read(LabelSelector, selector)), tuple(sorted(labels.items()))):
            causes.append(field_invalid("spec.template.metadata.labels", common.go_map(labels),
                                        "`selector` does not match template `labels`"))
    inner = template.get("spec") or {}
    causes += common.labels_faults(labels, "spec.template.labels")
    causes += pods.document_faults(inner, "spec.template.spec", True)
    if inner.get("restartPolicy") in ("OnFailure", "Never"):
        causes.append(field_unsupported("spec.template.spec.restartPolicy",
                                        inner["restartPolicy"], ("Always",)))
    return causes


def job(obj: Any) -> Causes:
    """Counts, and a template whose pods come to an end."""
    return job_spec(_spec(obj), "spec")


def job_spec(spec: Document, path: str) -> Causes:
    """The rules of a job, or of the jobs that a schedule makes."""
    causes: Causes = []
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
                  "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"):
        causes += common.at_least_zero(spec.get(field), f"{path}.{field}")
    mode = spec.get("completionMode")
    if mode is not None:
        causes += one_of(mode, f"{path}.completionMode", ("Indexed", "NonIndexed"))
        if mode == "Indexed" and spec.get("completions") is None:
            causes.append(field_required(f"{path}.completions",
                                         "when completion mode is Indexed"))
    inner = (spec.get("template") or {}).get("spec") or {}
    where = f"{path}.template.spec"
    causes += pods.document_faults(inner, where, True)
    policy = inner.get("restartPolicy")
    if policy == "Always":
        causes.append(field_required(f"{where}.restartPolicy",
                                     'valid values: "OnFailure", "Never"'))
    return causes


def cron_job(obj: Any) -> Causes:
    """The schedule, and the job that it makes."""
    spec = _spec(obj)
    causes: Causes = []
    schedule = spec.get("schedule") or ""
    if len(obj.metadata.name or "") > 52:
        causes.append(field_invalid("metadata.name", obj.metadata.name, "must be no more than 52 "
                                    "characters"))
    causes += _schedule(schedule) if schedule else [field_required("spec.schedule")]
    causes += common.at_least_zero(spec.get("startingDeadlineSeconds"),
                                   "spec.startingDeadlineSeconds")
    causes += one_of(spec.get("concurrencyPolicy"), "spec.concurrencyPolicy",
                     ("Allow", "Forbid", "Replace"))
    template = (spec.get("jobTemplate") or {}).get("spec") or {}
    causes += job_spec(template, "spec.jobTemplate.spec")
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        causes += common.at_least_zero(spec.get(field), f"spec.{field}")
    return causes


_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,?-]+")


def _schedule(text: str) -> Causes:
    if text.startswith("@"):
        return [] if re.fullmatch(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every "
                                  r".+)", text) else [
            field_invalid("spec.schedule", text, f"unrecognized descriptor: {text}")]
    if "TZ=" in text:
        return [field_invalid("spec.schedule", text, "cannot use TZ or CRON_TZ in schedule, use "
                              "timeZone field instead")]
    fields = text.split()
    if len(fields) != 5:
        shown = " ".join(fields)
        return [field_invalid("spec.schedule", text, "expected exactly 5 fields, found "
                              f"{len(fields)}: [{shown}]")]
    return [field_invalid("spec.schedule", text, f"failed to parse int from {each}: "
                          f'strconv.Atoi: parsing "{each}": invalid syntax')
            for each in fields if not _CRON_FIELD.fullmatch(each)][:1]


def autoscaler(obj: Any) -> Causes:
    """Bounds, and what is scaled."""
    spec = _spec(obj)
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    causes: Causes = []
    if low is not None and low < 1:
        causes.append(field_invalid("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        causes.append(field_invalid("spec.maxReplicas", high, "must be greater than 0"))
    if low is not None and high < low:
        causes.append(field_invalid("spec.maxReplicas", high,
                                    "must be greater than or equal to `minReplicas`"))
    target = spec.get("scaleTargetRef") or {}
    return causes + [field_required(f"spec.scaleTargetRef.{field}")
                     for field in ("kind", "name") if not target.get(field)]


# -- network ---------------------------------------------------------------------------------------

def ingress(obj: Any) -> Causes:
    """Rules with paths and backends."""
    spec = _spec(obj)
    rules = items(spec.get("rules"))
    causes: Causes = []
    if not rules and spec.get("defaultBackend") is None:
        causes.append(field_invalid("spec", Shown("[]networking.IngressRule(nil)"), "either "
                                    "`defaultBackend` or `rules` must be specified"))
    if spec.get("defaultBackend") is not None:
        causes += _backend(spec["defaultBackend"], "spec.defaultBackend")
    for at, rule in enumerate(rules):
        where = f"spec.rules[{at}]"
        host = rule.get("host") or ""
        if host and common.valid_ip(host):
            causes.append(field_invalid(f"{where}.host", host, "must be a DNS name, not an IP "
                                        "address"))
        elif host:
            causes += common.subdomain_faults(host.removeprefix("*."), f"{where}.host")
        paths = items((rule.get("http") or {}).get("paths"))
        if rule.get("http") is not None and not paths:
            causes.append(field_required(f"{where}.http.paths"))
        for index, path in enumerate(paths):
            causes += _path(path, f"{where}.http.paths[{index}]")
    return causes


def _path(path: Document, where: str) -> Causes:
    causes: Causes = []
    kind, text = path.get("pathType"), path.get("path") or ""
    if kind is None:
        causes.append(field_required(f"{where}.pathType", "pathType must be specified"))
    elif kind not in ("Exact", "ImplementationSpecific", "Prefix"):
        causes.append(field_unsupported(f"{where}.pathType", kind,
                                        ("Exact", "ImplementationSpecific", "Prefix")))
    if kind in ("Exact", "Prefix") and not text.startswith("/"):
        causes.append(field_invalid(f"{where}.path", text, "must be an absolute path"))
    return causes + _backend(path.get("backend") or {}, f"{where}.backend")


def _backend(backend: Document, where: str) -> Causes:
    service = backend.get("service")
    if service is None:
        return [] if backend.get("resource") is not None else [
            field_required(where, "resource or service backend is required")]
    if not service.get("name"):
        return [field_required(f"{where}.service.name")]
    port = service.get("port") or {}
    if not port.get("name") and not port.get("number"):
        return [field_required(where, "port name or number is required")]
    return [] if port.get("name") else common.port_faults(port["number"],
                                                          f"{where}.service.port.number")


def network_policy(obj: Any) -> Causes:
    """Whom a policy selects and which traffic it speaks of."""
    spec = _spec(obj)
    causes = common.selector_faults(spec.get("podSelector"), "spec.podSelector")
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        return [*causes, field_invalid("spec.policyTypes", common.go_list(
            kinds, "[]networking.PolicyType"), "may not specify more than two policyTypes")]
    return causes + [cause for at, kind in enumerate(kinds)
                     for cause in one_of(kind, f"spec.policyTypes[{at}]", ("Egress", "Ingress"))]


def endpoint_slice(obj: Any) -> Causes:
    """The family of addresses."""
    kind = body_of(obj).get("addressType")
    if not kind:
        return [field_required("addressType")]
    return one_of(kind, "addressType", ("FQDN", "IPv4", "IPv6"))


# -- storage ---------------------------------------------------------------------------------------

def volume(obj: Any) -> Causes:
    """Access, capacity and source of a persistent volume."""
    spec = _spec(obj)
    causes: Causes = []
    if not spec.get("accessModes"):
        causes.append(field_required("spec.accessModes"))
    causes += _access_modes(spec)
    capacity = spec.get("capacity") or {}
    if not capacity:
        causes.append(field_required("spec.capacity"))
    if set(capacity) != {"storage"}:
        shown = Shown("core.ResourceList(nil)") if not capacity else common.go_list(
            capacity, "core.ResourceList")
        causes.append(field_unsupported("spec.capacity", shown, ("storage",)))
    elif common.negative(capacity["storage"]) or not common.positive(capacity["storage"]):
        causes.append(field_invalid("spec.capacity[storage]", str(capacity["storage"]),
                                    "must be greater than zero"))
    causes += one_of(spec.get("persistentVolumeReclaimPolicy"),
                     "spec.persistentVolumeReclaimPolicy", ("Delete", "Recycle", "Retain"))
    if not any(isinstance(value, dict) for key, value in spec.items()
               if key not in ("capacity", "claimRef", "nodeAffinity")):
        causes.append(field_required("spec", "must specify a volume type"))
    return causes


def _access_modes(spec: Document) -> Causes:
    modes = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
    return [field_unsupported("spec.accessModes", mode, modes)
            for mode in spec.get("accessModes") or () if mode not in modes]


def claim(obj: Any) -> Causes:
    """Access and size of a claim."""
    spec = _spec(obj)
    causes = [] if spec.get("accessModes") else [
        field_required("spec.accessModes", "at least 1 access mode is required")]
    causes += _access_modes(spec)
    wanted = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in wanted:
        causes.append(field_required("spec.resources[storage]"))
    elif not common.positive(wanted["storage"]):
        causes.append(field_invalid("spec.resources[storage]", str(wanted["storage"]),
                                    "must be greater than zero"))
    mode = spec.get("volumeMode")
    return causes + (one_of(mode, "spec.volumeMode", _VOLUME_MODES) if mode is not None else [])


def storage_class(obj: Any) -> Causes:
    """Who provisions, and when."""
    body = body_of(obj)
    causes = common.qualified_faults(body["provisioner"].lower(), "provisioner") if body.get(
        "provisioner") else [field_required("provisioner")]
    causes += one_of(body.get("reclaimPolicy"), "reclaimPolicy", ("Delete", "Retain"))
    return causes + one_of(body.get("volumeBindingMode"), "volumeBindingMode",
                           ("Immediate", "WaitForFirstConsumer"))


# -- others ----------------------------------------------------------------------------------------

def priority_class(obj: Any) -> Causes:
    """Priorities of users stay below those of the system."""
    body = body_of(obj)
    value, name = body.get("value") or 0, obj.metadata.name or ""
    causes: Causes = []
    if name.startswith("system-") and name not in ("system-cluster-critical",
                                                   "system-node-critical"):
        causes.append(field_forbidden("metadata.name", "priority class names with 'system-' prefix "
                                      "are reserved for system use only. error: "
                                      f"{name} is not a known system priority class"))
    elif not name.startswith("system-") and value > _PRIORITY_MAX:
        causes.append(field_forbidden("value", "maximum allowed value of a user defined priority "
                                      f"is {_PRIORITY_MAX}"))
    policy = body.get("preemptionPolicy")
    return causes + ([] if policy is None else one_of(
        policy, "preemptionPolicy", ("Never", "PreemptLowerPriority")))


def runtime_class(obj: Any) -> Causes:
    """The handler's name."""
    return common.label_faults(body_of(obj).get("handler") or "", "handler")


def lease(obj: Any) -> Causes:
    """How long a lease is held."""
    spec = _spec(obj)
    causes: Causes = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        causes.append(field_invalid("spec.leaseDurationSeconds", seconds,
                                    "must be greater than 0"))
    return causes + common.at_least_zero(spec.get("leaseTransitions"), "spec.leaseTransitions")


def role_binding(obj: Any) -> Causes:
    """What is granted, and to whom."""
    body = body_of(obj)
    reference = body.get("roleRef") or {}
    causes = one_of(reference.get("apiGroup") or "", "roleRef.apiGroup", (_RBAC,))
    kinds = ("ClusterRole",) if obj.kind == "ClusterRoleBinding" else ("ClusterRole", "Role")
    causes += one_of(reference.get("kind") or "", "roleRef.kind", kinds)
    if not reference.get("name"):
        causes.append(field_required("roleRef.name"))
    for at, subject in enumerate(items(body.get("subjects"))):
        where = f"subjects[{at}]"
        if not subject.get("name"):
            causes.append(field_required(f"{where}.name"))
        causes += one_of(subject.get("kind") or "", f"{where}.kind",
                         ("Group", "ServiceAccount", "User"))
        if obj.kind == "ClusterRoleBinding" and subject.get("kind") == "ServiceAccount" and \
                not subject.get("namespace"):
            causes.append(field_required(f"{where}.namespace"))
    return causes


KINDS: dict[str, Callable[[Any], Causes]] = {
    "StatefulSet": stateful_set, "DaemonSet": daemon_set, "Job": job, "CronJob": cron_job,
    "HorizontalPodAutoscaler": autoscaler, "Ingress": ingress, "NetworkPolicy": network_policy,
    "EndpointSlice": endpoint_slice, "PersistentVolume": volume, "PersistentVolumeClaim": claim,
    "StorageClass": storage_class, "PriorityClass": priority_class,
    "RuntimeClass": runtime_class, "Lease": lease, "RoleBinding": role_binding,
    "ClusterRoleBinding": role_binding,
}


# -- updates ---------------------------------------------------------------------------------------

_SET_MAY_CHANGE = ("replicas", "ordinals", "template", "updateStrategy", "minReadySeconds",
                   "persistentVolumeClaimRetentionPolicy", "revisionHistoryLimit")


def stateful_set_update(new: Any, old: Any) -> Causes:
    """Most of a set stays as it was made."""
    after, before = _spec(new), _spec(old)
    changed = [field for field in {**after, **before} if after.get(field) != before.get(field)
               and field not in _SET_MAY_CHANGE]
    return [field_forbidden("spec", "updates to statefulset spec for fields other than "
                            "'replicas', 'ordinals', 'template', 'updateStrategy', "
                            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
                            "forbidden")] if changed else []


def daemon_set_update(new: Any, old: Any) -> Causes:
    """The selector stays."""
    selector = _spec(new).get("selector")
    return [] if selector == _spec(old).get("selector") else [
        field_invalid("spec.selector", common.go_selector(selector), _IMMUTABLE)]


def job_update(new: Any, old: Any) -> Causes:
    """What a job runs stays."""
    after, before = _spec(new), _spec(old)
    return [field_invalid(f"spec.{field}", Shown(str(after.get(field))), _IMMUTABLE)
            for field in ("completions", "selector", "template", "completionMode")
            if after.get(field) != before.get(field)]


def claim_update(new: Any, old: Any) -> Causes:
    """Of a claim the wanted size alone may change."""
    def frozen(obj: Any) -> Document:
        spec = dict(_spec(obj))
        spec.pop("resources", None)
        if not _spec(old).get("volumeName"):
            spec.pop("volumeName", None)
        return spec
    return [] if frozen(new) == frozen(old) else [field_forbidden(
        "spec", "spec is immutable after creation except resources.requests and "
        "volumeAttributesClassName for bound claims")]


def storage_class_update(new: Any, old: Any) -> Causes:
    """What a class provisions stays."""
    after, before = body_of(new), body_of(old)
    return [field_forbidden(field, f"updates to {field} are forbidden.")
            for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
            if after.get(field) != before.get(field)]


def priority_class_update(new: Any, old: Any) -> Causes:
    """The number of a class stays."""
    after, before = body_of(new), body_of(old)
    return [field_forbidden(field, "may not be changed in an update.")
            for field in ("value", "preemptionPolicy") if after.get(field) != before.get(field)]


def runtime_class_update(new: Any, old: Any) -> Causes:
    """The handler stays."""
    after = body_of(new).get("handler")
    return [] if after == body_of(old).get("handler") else [
        field_invalid("handler", after or "", _IMMUTABLE)]


UPDATES: dict[str, Callable[[Any, Any], Causes]] = {
    "StatefulSet": stateful_set_update, "DaemonSet": daemon_set_update, "Job": job_update,
    "PersistentVolumeClaim": claim_update, "StorageClass": storage_class_update,
    "PriorityClass": priority_class_update, "RuntimeClass": runtime_class_update,
}
