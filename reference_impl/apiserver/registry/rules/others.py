"""Rules of config maps, secrets, controllers, nodes, namespaces, quotas, limit ranges and roles.

Source: Kubernetes 1.32 API reference.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from model.api import selectors
from model.api.objects import (
    DeploymentSpec,
    ReplicaSetSpec,
    ReplicationControllerSpec,
    write,
)
from model.api.quantities import canonical, compare
from model.api.requests import (
    Cause,
    field_forbidden,
    field_invalid,
    field_required,
    field_unsupported,
)
from reference_impl.apiserver.registry.rules import common, pods
from reference_impl.apiserver.registry.rules.common import Causes, Document, Shown, one_of

_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')")
_IMMUTABLE = "field is immutable when `immutable` is set"


# -- data ----------------------------------------------------------------------------------------

def config_map(obj: Any) -> Causes:
    """Keys of data and binaryData."""
    binary = dict(obj.binary_data or ())
    causes: Causes = []
    for key, _ in obj.data or ():
        causes += _key(key, "data")
        if key in binary:
            causes.append(field_invalid(f"data[{key}]", key,
                                        "duplicate of key present in binaryData"))
    for key in binary:
        causes += _key(key, "binaryData")
    return causes


def _key(key: str, field: str) -> Causes:
    place = f"{field}[{key}]"
    if len(key) > 253:
        return [field_invalid(place, key, "must be no more than 253 characters")]
    if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
        return [field_invalid(place, key, _KEY_TEXT)]
    if key in (".", ".."):
        return [field_invalid(place, key, f"must not be '{key}'")]
    if key.startswith(".."):
        return [field_invalid(place, key, "must not start with '..'")]
    return []


def secret(obj: Any) -> Causes:
    """Keys, and what some types demand."""
    causes: Causes = []
    data = dict(obj.data or ())
    for key in data:
        causes += _key(key, "data")
    needed = _SECRET_KEYS.get(obj.type, ())
    if obj.type == "kubernetes.io/basic-auth":
        # One of the two is enough.
        needed = needed if not any(key in data for key in needed) else ()
    causes += [field_required(f"data[{key}]") for key in needed if key not in data]
    account = "kubernetes.io/service-account.name"
    if obj.type == "kubernetes.io/service-account-token" and not dict(
            obj.metadata.annotations or ()).get(account):
        causes.append(field_required(f"metadata.annotations[{account}]"))
    return causes


_SECRET_KEYS: dict[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"), "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/basic-auth": ("username", "password"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
"""Keys that a type of secret demands."""


def immutable_data(new: Any, old: Any) -> Causes:
    """A config map or secret that is marked immutable stays as it is."""
    if not old.immutable:
        return []
    causes: Causes = []
    if not new.immutable:
        causes.append(field_forbidden("immutable", _IMMUTABLE))
    if new.data != old.data:
        causes.append(field_forbidden("data", _IMMUTABLE))
    if getattr(new, "binary_data", None) != getattr(old, "binary_data", None):
        causes.append(field_forbidden("binaryData", _IMMUTABLE))
    return causes


# -- controllers of pods -------------------------------------------------------------------------

def controller(obj: Any) -> Causes:
    """ReplicationController, ReplicaSet, Deployment."""
    if obj.spec is None:
        return list(_controller_spec(obj.kind, _NO_SPEC[obj.kind]))
    return list(_controller_spec(obj.kind, obj.spec))


_NO_SPEC: dict[str, Any] = {"ReplicationController": ReplicationControllerSpec(replicas=1),
                            "ReplicaSet": ReplicaSetSpec(), "Deployment": DeploymentSpec()}


@lru_cache(maxsize=1024)
def _controller_spec(kind: str, spec: Any) -> tuple[Cause, ...]:
    document = write(spec)
    causes = common.at_least_zero(document.get("replicas"), "spec.replicas") if (
        kind == "Deployment") else []
    if kind == "ReplicationController":
        causes += common.at_least_zero(document.get("minReadySeconds"), "spec.minReadySeconds")
        if not document.get("selector"):
            causes.append(field_required("spec.selector"))
        causes += common.at_least_zero(document.get("replicas"), "spec.replicas")
    else:
        causes += _label_selector(document, kind)
        if kind == "ReplicaSet":
            causes = [*common.at_least_zero(document.get("replicas"), "spec.replicas"),
                      *common.at_least_zero(document.get("minReadySeconds"),
                                            "spec.minReadySeconds"), *causes]
    causes += _template(kind, spec, document)
    if kind == "Deployment":
        causes += _deployment(document)
    return tuple(causes)


def _label_selector(document: Document, kind: str) -> Causes:
    selector = document.get("selector")
    if selector is None:
        return [field_required("spec.selector")]
    causes = common.selector_faults(selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.append(field_invalid("spec.selector", common.go_selector(selector),
                                    f"empty selector is invalid for {kind.lower()}"))
    elif causes:
        causes.append(field_invalid("spec.selector", common.go_selector(selector),
                                    "invalid label selector"))
    return causes


def _template(kind: str, spec: Any, document: Document) -> Causes:
    template = document.get("template")
    if template is None:
        if kind == "ReplicationController":
            return [field_required("spec.template")]
        template = {"spec": {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}}
    labels = (template.get("metadata") or {}).get("labels")
    causes: Causes = []
    selector = (selectors.from_pairs(spec.selector) if kind == "ReplicationController"
                else _compiled(spec.selector))
    mismatch = selector is not None and not selectors.matches(
        selector, tuple(sorted((labels or {}).items())))
    if mismatch or (spec.selector is None and kind != "ReplicationController"):
        causes.append(field_invalid("spec.template.metadata.labels", common.go_map(labels),
                                    "`selector` does not match template `labels`"))
    causes += common.labels_faults(labels, "spec.template.labels")
    inner = template.get("spec") or {}
    causes += pods.document_faults(inner, "spec.template.spec", True)
    policy = inner.get("restartPolicy")
    if policy in ("OnFailure", "Never"):
        causes.append(field_unsupported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if inner.get("activeDeadlineSeconds") is not None:
        named = kind if kind == "ReplicationController" else "ReplicaSet"
        causes.append(field_forbidden("spec.template.spec.activeDeadlineSeconds",
                                      f"activeDeadlineSeconds in {named} is not Supported"))
    return causes


def _compiled(selector: Any) -> Any:
    """The selector, matching everything when it is invalid: that is reported by itself."""
    if selector is None or common.selector_faults(write(selector), ""):
        return ()
    return selectors.from_object(selector)


def _deployment(document: Document) -> Causes:
    strategy = document.get("strategy") or {}
    causes: Causes = []
    kind = strategy.get("type") or "RollingUpdate"
    if kind == "Recreate":
        if strategy.get("rollingUpdate") is not None:
            causes.append(field_forbidden("spec.strategy.rollingUpdate", "may not be specified "
                                          "when strategy `type` is 'Recreate'"))
    elif kind == "RollingUpdate":
        causes += _rolling(strategy.get("rollingUpdate") or {})
    else:
        rolling = common.POINTER if strategy.get("rollingUpdate") is not None else "nil"
        causes.append(Cause("FieldValueNotSupported", "Unsupported value: "
                            f'apps.DeploymentStrategy{{Type:"{kind}", RollingUpdate:'
                            f"(*apps.RollingUpdateDeployment)({rolling})}}: supported values: "
                            '"Recreate", "RollingUpdate"', "spec.strategy"))
    causes += common.at_least_zero(document.get("minReadySeconds"), "spec.minReadySeconds")
    causes += common.at_least_zero(document.get("revisionHistoryLimit"),
                                   "spec.revisionHistoryLimit")
    deadline, ready = document.get("progressDeadlineSeconds"), document.get("minReadySeconds") or 0
    if deadline is not None:
        causes += common.at_least_zero(deadline, "spec.progressDeadlineSeconds")
        if deadline <= ready:
            causes.append(field_invalid("spec.progressDeadlineSeconds", deadline,
                                        "must be greater than minReadySeconds"))
    return causes


def _rolling(rolling: Document) -> Causes:
    causes: Causes = []
    where = "spec.strategy.rollingUpdate"
    amounts = {}
    for field in ("maxUnavailable", "maxSurge"):
        value = rolling.get(field)
        amounts[field] = value
        causes += int_or_percent(value, f"{where}.{field}")
    if amounts["maxUnavailable"] in (0, "0%") and amounts["maxSurge"] in (0, "0%"):
        causes.append(field_invalid(f"{where}.maxUnavailable", _go_int_or_string(
            amounts["maxUnavailable"]), "may not be 0 when `maxSurge` is 0"))
    return causes + above_all(amounts["maxUnavailable"], f"{where}.maxUnavailable")


def int_or_percent(value: Any, where: str) -> Causes:
    if isinstance(value, int):
        return common.at_least_zero(value, where)
    if isinstance(value, str) and not re.fullmatch(r"[0-9]+%", value):
        return [field_invalid(where, _go_int_or_string(value), "a valid percent string must be a "
                              "numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
                              "regex used for validation is '[0-9]+%')")]
    return []


def _go_int_or_string(value: Any) -> Shown:
    if isinstance(value, int):
        return Shown(f'intstr.IntOrString{{Type:0, IntVal:{value}, StrVal:""}}')
    return Shown(f'intstr.IntOrString{{Type:1, IntVal:0, StrVal:"{value}"}}')


def budget(obj: Any) -> Causes:
    """A disruption budget says how many must stay, or how many may go, not both."""
    if obj.spec is None:
        return []
    spec = write(obj.spec)
    low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
    causes: Causes = []
    if low is not None and high is not None:
        causes.append(field_invalid("spec", _go_budget(spec),
                                    "minAvailable and maxUnavailable cannot be both set"))
    for field, value in (("minAvailable", low), ("maxUnavailable", high)):
        if value is not None:
            causes += int_or_percent(value, f"spec.{field}") + above_all(value, f"spec.{field}")
    if spec.get("selector") is not None:
        causes += common.selector_faults(spec["selector"], "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None:
        causes += one_of(policy, "spec.unhealthyPodEvictionPolicy",
                         ("AlwaysAllow", "IfHealthyBudget"))
    return causes


def _go_budget(spec: Document) -> Shown:
    shown = ", ".join(f"{name[0].upper()}{name[1:]}:(*{kind})("
                      f"{common.POINTER if spec.get(name) is not None else 'nil'})"
                      for name, kind in (("minAvailable", "intstr.IntOrString"),
                                         ("selector", "v1.LabelSelector"),
                                         ("maxUnavailable", "intstr.IntOrString"),
                                         ("unhealthyPodEvictionPolicy",
                                          "policy.UnhealthyPodEvictionPolicyType")))
    return Shown(f"policy.PodDisruptionBudgetSpec{{{shown}}}")


def above_all(value: Any, where: str) -> Causes:
    """A percentage of more than everything."""
    if isinstance(value, str) and re.fullmatch(r"\d+%", value) and int(value[:-1]) > 100:
        return [field_invalid(where, _go_int_or_string(value), "must not be greater than 100%")]
    return []


def immutable_selector(new: Any, old: Any) -> Causes:
    """The selector of a ReplicaSet or Deployment stays."""
    if new.spec is None or old.spec is None or new.spec.selector == old.spec.selector:
        return []
    shown = common.go_selector(write(new.spec.selector) if new.spec.selector is not None else None)
    return [field_invalid("spec.selector", shown, "field is immutable")]


# -- nodes, namespaces ---------------------------------------------------------------------------

def node(obj: Any) -> Causes:
    """Taints, networks, capacities."""
    causes: Causes = []
    spec, status = obj.spec, obj.status
    seen: list[tuple[Any, Any]] = []
    for at, taint in enumerate((spec.taints or ()) if spec is not None else ()):
        where = f"metadata.taints[{at}]"
        causes += common.qualified_faults(taint.key or "", f"{where}.key")
        if taint.value and not selectors.valid_label_value(taint.value):
            causes.append(field_invalid(f"{where}.value", taint.value, selectors.VALUE_TEXT))
        causes += one_of(taint.effect, f"{where}.effect",
                         ("NoSchedule", "PreferNoSchedule", "NoExecute")) if taint.effect else [
                             field_required(f"{where}.effect")]
        if (taint.key, taint.effect) in seen:
            causes.append(Cause("FieldValueDuplicate", "Duplicate value: core.Taint{"
                                f'Key:"{taint.key}", Value:"{taint.value or ""}", '
                                f'Effect:"{taint.effect}", TimeAdded:<nil>}}: taints must be '
                                "unique by key and effect pair", where))
        seen.append((taint.key, taint.effect))
    for group in ("capacity", "allocatable"):
        for name, amount in (getattr(status, group) or ()) if status is not None else ():
            place = f"status.{group}.{name}"
            if common.negative(amount):
                causes.append(field_invalid(place, canonical(amount), common.NEGATIVE_TEXT))
            elif (name == "pods" or "/" in name) and not common.whole(amount):
                causes.append(field_invalid(place, common.go_quantity(amount),
                                            "must be an integer"))
    networks = (spec.pod_cidrs or ()) if spec is not None else ()
    causes += [field_invalid(f"spec.podCIDRs[{at}]", each, common.CIDR_TEXT)
               for at, each in enumerate(networks) if not common.valid_cidr(each)]
    families = [":" in each for each in networks if common.valid_cidr(each)]
    if len(families) == len(networks) > len(set(families)):
        causes.append(field_invalid("spec.podCIDRs", common.go_list(networks), "may specify no "
                                    "more than one CIDR for each IP family"))
    return causes


def node_update(new: Any, old: Any) -> Causes:
    """podCIDR and providerID are set once."""
    causes: Causes = []
    before, after = old.spec, new.spec
    if before is None or after is None:
        return causes
    if before.pod_cidrs and before.pod_cidrs != after.pod_cidrs:
        causes.append(field_forbidden("spec.podCIDRs", "node updates may not change podCIDR "
                                      'except from "" to valid'))
    if before.provider_id and before.provider_id != after.provider_id:
        causes.append(field_forbidden("spec.providerID", "node updates may not change providerID "
                                      'except from "" to valid'))
    return causes


def namespace(obj: Any) -> Causes:
    """A namespace's own finalizers."""
    return [field_invalid("spec.finalizers", each, "name is neither a standard finalizer name nor "
                          "is it fully qualified")
            for each in ((obj.spec.finalizers or ()) if obj.spec is not None else ())
            if "/" not in each and each != "kubernetes"]


# -- quotas and limits ---------------------------------------------------------------------------

_QUOTA = ("cpu", "memory", "ephemeral-storage", "pods", "services", "secrets", "configmaps",
          "persistentvolumeclaims", "replicationcontrollers", "resourcequotas",
          "services.nodeports", "services.loadbalancers", "requests.cpu", "requests.memory",
          "requests.storage", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
          "limits.ephemeral-storage", "storage")
_COUNTED = ("pods", "services", "secrets", "configmaps", "persistentvolumeclaims",
            "replicationcontrollers", "resourcequotas", "services.nodeports",
            "services.loadbalancers")
_SCOPES = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "PriorityClass",
           "CrossNamespacePodAffinity")


def quota(obj: Any) -> Causes:
    """Amounts and scopes of a quota."""
    if obj.spec is None:
        return []
    return _quota_amounts(obj.spec.hard or (), "spec.hard") + _scope_faults(obj.spec) + \
        _scope_selector_faults(obj.spec)


def quota_status(obj: Any) -> Causes:
    """Amounts that the status of a quota tells."""
    return (_quota_amounts(obj.status.hard or (), "status.hard")
            + _quota_amounts(obj.status.used or (), "status.used"))


def _quota_amounts(amounts: Any, where: str) -> Causes:
    causes: Causes = []
    for name, amount in amounts:
        place = f"{where}[{name}]"
        known = name in _QUOTA or "/" in name or name.startswith(("hugepages-",
                                                                  "requests.hugepages-"))
        if "/" in name:
            causes += [field_invalid(place, Shown(name), text)
                       for text in selectors.qualified_texts(name)]
        elif not known:
            causes.append(field_invalid(place, Shown(name), "must be a standard resource type or "
                                        "fully qualified"))
            causes.append(field_invalid(place, Shown(name), "must be a standard resource for "
                                        "quota"))
        if common.negative(amount):
            causes.append(field_invalid(place, canonical(amount), common.NEGATIVE_TEXT))
        if (name in _COUNTED or name.startswith("count/")) and not common.whole(amount):
            causes.append(field_invalid(place, common.go_quantity(amount), "must be an integer"))
    return causes


def _scope_selector_faults(spec: Any) -> Causes:
    """Scopes that a quota selects by an expression."""
    chosen = spec.scope_selector.match_expressions if spec.scope_selector is not None else None
    where = "spec.scopeSelector.matchExpressions"
    causes: Causes = []
    shown = _go_scope_selector(chosen or ())
    for each in chosen or ():
        scope, operator = each.scope_name or "", each.operator or ""
        if scope not in _SCOPES:
            causes.append(field_invalid(f"{where}.scopeName", Shown(scope), "unsupported scope"))
        causes += [field_invalid(where, shown, "unsupported scope applied to resource")
                   for name, _ in spec.hard or () if not _in_scope(scope, name)]
        if scope in ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating",
                     "CrossNamespacePodAffinity") and operator != "Exists":
            causes.append(field_invalid(f"{where}.operator", operator, "must be 'Exist' when scope "
                                        "is any of ResourceQuotaScopeTerminating, "
                                        "ResourceQuotaScopeNotTerminating, "
                                        "ResourceQuotaScopeBestEffort, "
                                        "ResourceQuotaScopeNotBestEffort or "
                                        "ResourceQuotaScopeCrossNamespacePodAffinity"))
        if operator in ("In", "NotIn"):
            if not each.values:
                causes.append(field_required(f"{where}.values", "must be at least one value when "
                                             "`operator` is 'In' or 'NotIn' for scope selector"))
        elif operator in ("Exists", "DoesNotExist"):
            if each.values:
                causes.append(field_invalid(f"{where}.values", common.go_list(each.values),
                                            "must be no value when `operator` is 'Exist' or "
                                            "'DoesNotExist' for scope selector"))
        else:
            causes.append(field_invalid(f"{where}.operator", operator,
                                        "not a valid selector operator"))
    return causes


def _go_scope_selector(chosen: Any) -> Shown:
    one = "core.ScopedResourceSelectorRequirement"
    shown = [f'{one}{{ScopeName:"{each.scope_name or ""}", Operator:"{each.operator or ""}", '
             f"Values:{common.go_list(each.values) if each.values else '[]string(nil)'}}}"
             for each in chosen]
    return Shown(f"core.ScopeSelector{{MatchExpressions:[]{one}{{" + ", ".join(shown) + "}}")


def _scope_faults(spec: Any) -> Causes:
    scopes = tuple(spec.scopes or ())
    if not scopes:
        return []
    shown = common.go_list(scopes, "[]core.ResourceQuotaScope")
    causes: Causes = []
    names = [name for name, _ in spec.hard or ()]
    for scope in scopes:
        if scope not in _SCOPES:
            causes.append(field_invalid("spec.scopes", shown, "unsupported scope"))
        for name in names:
            if not _in_scope(scope, name):
                causes.append(field_invalid("spec.scopes", shown, "unsupported scope applied to "
                                            "resource"))
    for pair in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if set(pair) <= set(scopes):
            causes.append(field_invalid("spec.scopes", shown, "conflicting scopes"))
    return causes


def _in_scope(scope: str, name: str) -> bool:
    if scope == "BestEffort":
        return name == "pods"
    if scope in ("NotBestEffort", "Terminating", "NotTerminating", "PriorityClass"):
        return name == "pods" or name.rpartition(".")[2] in ("cpu", "memory", "ephemeral-storage")
    return True


def quota_update(new: Any, old: Any) -> Causes:
    """Scopes stay."""
    before = tuple(old.spec.scopes or ()) if old.spec is not None else ()
    after = tuple(new.spec.scopes or ()) if new.spec is not None else ()
    if sorted(before) == sorted(after):
        return []
    shown = common.go_list(after, "[]core.ResourceQuotaScope") if after else Shown(
        "[]core.ResourceQuotaScope(nil)")
    return [field_invalid("spec.scopes", shown, "field is immutable")]


def limit_range(obj: Any) -> Causes:
    """Bounds in order: min, default request, default, max."""
    causes: Causes = []
    for at, item in enumerate((obj.spec.limits or ()) if obj.spec is not None else ()):
        where = f"spec.limits[{at}]"
        low, high = dict(item.min or ()), dict(item.max or ())
        request, limit = dict(item.default_request or ()), dict(item.default or ())
        for name in sorted({*low, *high, *request, *limit}):
            causes += _bounds(where, name, low.get(name), high.get(name), request.get(name),
                              limit.get(name))
    return causes


def _bounds(where: str, name: str, low: str | None, high: str | None, request: str | None,
            limit: str | None) -> Causes:
    causes: Causes = []
    for field, smaller, bigger, text in (
            ("min", low, high, "min value {} is greater than max value {}"),
            ("defaultRequest", low, request, "min value {} is greater than default request value "
             "{}"),
            ("defaultRequest", request, high, "default request value {} is greater than max value "
             "{}"),
            ("defaultRequest", request, limit, "default request value {} is greater than default "
             "limit value {}"),
            ("default", low, limit, "min value {} is greater than default value {}"),
            ("default", limit, high, "default value {} is greater than max value {}")):
        if smaller is not None and bigger is not None and compare(smaller, bigger) > 0:
            value = {"min": low, "defaultRequest": request, "default": limit}[field]
            if field == "default" and smaller is low:
                # The server shows the lower bound here.
                value = low
            causes.append(field_invalid(f"{where}.{field}[{name}]", common.go_quantity(str(value)),
                                        text.format(smaller, bigger)))
    return causes


# -- access rules --------------------------------------------------------------------------------

def role(obj: Any) -> Causes:
    """Rules of roles and cluster roles."""
    causes: Causes = []
    for at, rule in enumerate(obj.rules or ()):
        where = f"rules[{at}]"
        if not rule.verbs:
            causes.append(field_required(f"{where}.verbs", "verbs must contain at least one "
                                         "value"))
        if rule.non_resource_urls:
            shown = common.go_list(rule.non_resource_urls)
            if obj.kind == "Role":
                causes.append(field_invalid(f"{where}.nonResourceURLs", shown, "namespaced rules "
                                            "cannot apply to non-resource URLs"))
            if rule.api_groups or rule.resources or rule.resource_names:
                causes.append(field_invalid(f"{where}.nonResourceURLs", shown, "rules cannot "
                                            "apply to both regular resources and non-resource "
                                            "URLs"))
            continue
        if not rule.api_groups:
            causes.append(field_required(f"{where}.apiGroups", "resource rules must supply at "
                                         "least one api group"))
        if not rule.resources:
            causes.append(field_required(f"{where}.resources", "resource rules must supply at "
                                         "least one resource"))
    return causes


def role_binding_update(new: Any, old: Any) -> Causes:
    """What a binding grants stays."""
    if new.role_ref == old.role_ref or new.role_ref is None:
        return []
    reference = new.role_ref
    shown = Shown(f'rbac.RoleRef{{APIGroup:"{reference.api_group}", Kind:"{reference.kind}", '
                  f'Name:"{reference.name}"}}')
    return [field_invalid("roleRef", shown, "cannot change roleRef")]


def event(obj: Any) -> Causes:
    """The namespace of what an event is about."""
    about = obj.involved_object
    if about is not None and about.namespace and about.namespace != obj.metadata.namespace:
        return [field_invalid("involvedObject.namespace", about.namespace,
                              "does not match event.namespace")]
    return []

