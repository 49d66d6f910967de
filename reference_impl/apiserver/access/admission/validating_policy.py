"""ValidatingAdmissionPolicy: rules in CEL that an administrator stored as objects.

Source: Kubernetes documentation, "Validating Admission Policy": bindings, parameters, match
conditions, variables, failure policy, actions, message expressions, reasons. Expressions are
evaluated by the CEL library; nothing they can reach is outside what the server knows.

Not modelled: Kubernetes' own function libraries for CEL (quantities, addresses, regular expressions
beyond `matches`, the `authorizer`), the cost budget, type checking of stored policies, and the
action Audit beside its place in the audit log's terms. An expression that uses one of those fails,
and the failure policy decides, as it does for every error.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from model.api.objects import rest_fields, thaw
from model.api.requests import Cause, Status
from model.kernel.values import EMPTY
from reference_impl.apiserver.access.admission import rule_matching
from reference_impl.apiserver.access.admission.attributes import DELETE, Attributes

POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"
DENY, WARN = "Deny", "Warn"
CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}
Document = dict[str, Any]


class ExpressionError(Exception):
    """An expression that cannot be compiled or evaluated; the message says why."""


class Failed(NamedTuple):
    """A validation that did not hold, under one binding."""

    policy: str
    binding: str
    actions: tuple[str, ...]
    message: str
    reason: str


def validate(attributes: Attributes, obj: Any) -> Status | None:
    """The first denial of a policy, None when all let the write pass."""
    for each in _failures(attributes, obj):
        if DENY in each.actions:
            return _denial(attributes, obj, each)
    return None


def warnings(attributes: Attributes, obj: Any) -> tuple[str, ...]:
    """What policies warn of."""
    return tuple(f"Validation failed for ValidatingAdmissionPolicy '{each.policy}' with binding "
                 f"'{each.binding}': {each.message}"
                 for each in _failures(attributes, obj) if WARN in each.actions)


def _denial(attributes: Attributes, obj: Any, failed: Failed) -> Status:
    resource = attributes.resource
    name = attributes.request.name or obj.metadata.name or ""
    why = (f"ValidatingAdmissionPolicy '{failed.policy}' with binding '{failed.binding}' denied "
           f"request: {failed.message}")
    return Status(code=CODES.get(failed.reason, 422), reason=failed.reason, name=name,
                  group=resource.group, details_kind=resource.name,
                  causes=(Cause("", why, ""),),
                  message=f'{resource.group_resource} "{name}" is forbidden: {why}')


def _failures(attributes: Attributes, obj: Any) -> Iterator[Failed]:
    policies = attributes.cache.get(POLICIES, EMPTY)
    if not policies:
        return
    for binding in attributes.cache.get(BINDINGS, EMPTY).values():
        bound = rest_fields(binding).get("spec") or {}
        policy = policies.get(bound.get("policyName") or "")
        if policy is None:
            continue
        spec = rest_fields(policy).get("spec") or {}
        if not _concerns(spec.get("matchConstraints") or {}, attributes, obj) or (
                bound.get("matchResources") and not _concerns(
                    bound["matchResources"], attributes, obj, any_rule=True)):
            continue
        actions = tuple(bound.get("validationActions") or ())
        for message, reason in _judged(spec, bound, attributes, obj):
            yield Failed(policy.metadata.name, binding.metadata.name, actions, message, reason)


def _concerns(constraints: Document, attributes: Attributes, obj: Any,
              any_rule: bool = False) -> bool:
    rules = constraints.get("resourceRules") or ()
    if any_rule and not rules:
        rules = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"],
                  "resources": ["*", "*/*"]}]
    return rule_matching.concerned(
        list(rules), list(constraints.get("excludeResourceRules") or ()),
        constraints.get("namespaceSelector") or {}, constraints.get("objectSelector") or {},
        attributes, obj)


def _judged(spec: Document, bound: Document, attributes: Attributes,
            obj: Any) -> list[tuple[str, str]]:
    """Message and reason of every validation that does not hold."""
    strict = spec.get("failurePolicy", "Fail") == "Fail"
    faults: list[tuple[str, str]] = []
    try:
        parameters = _parameters(spec, bound, attributes)
    except ExpressionError as error:
        return [(str(error), "Invalid")] if strict else []
    for parameter in parameters:
        names = _names(attributes, obj, parameter)
        try:
            if not all(evaluated(condition["expression"], names)
                       for condition in spec.get("matchConditions") or ()):
                continue
            for variable in spec.get("variables") or ():
                names["variables"][variable["name"]] = evaluated(variable["expression"], names)
        except ExpressionError as error:
            if strict:
                faults.append((str(error), "Invalid"))
            continue
        faults.extend(_validations(spec, names, strict))
    return faults


def _validations(spec: Document, names: Document, strict: bool) -> list[tuple[str, str]]:
    faults = []
    for validation in spec.get("validations") or ():
        expression = validation["expression"]
        try:
            if evaluated(expression, names):
                continue
        except ExpressionError as error:
            if strict:
                faults.append((str(error), "Invalid"))
            continue
        faults.append((_message(validation, names), validation.get("reason") or "Invalid"))
    return faults


def _message(validation: Document, names: Document) -> str:
    if validation.get("messageExpression"):
        try:
            return str(evaluated(validation["messageExpression"], names))
        except ExpressionError:
            pass  # the fixed message stands in, as documented
    return validation.get("message") or f"failed expression: {validation['expression']}"


def _parameters(spec: Document, bound: Document, attributes: Attributes) -> list[Any]:
    """The parameter objects to judge with: one None where the policy has none."""
    kind = spec.get("paramKind")
    reference = bound.get("paramRef")
    if not kind or not reference:
        return [None]
    plural, namespaced = _resource_of(kind)
    where = reference.get("namespace") or (attributes.namespace if namespaced else "")
    stored = attributes.cache.get(plural, EMPTY)
    if reference.get("name"):
        key = f"{where}/{reference['name']}" if namespaced else reference["name"]
        found = [stored[key]] if key in stored else []
    else:
        found = [each for each in stored.values()
                 if (not namespaced or each.metadata.namespace == where)
                 and rule_matching.selects(reference.get("selector"), each.metadata.labels)]
    if not found:
        if reference.get("parameterNotFoundAction") == "Allow":
            return []
        raise ExpressionError("no params found for policy binding with `Deny` "
                              "parameterNotFoundAction")
    return [thaw(each) for each in found]


def _resource_of(kind: Document) -> tuple[str, bool]:
    from model.api.resources import BY_TYPE
    found = BY_TYPE.get((kind.get("apiVersion") or "", kind.get("kind") or ""))
    if found is None:
        raise ExpressionError(f"failed to find resource referenced by paramKind: "
                              f"'{kind.get('apiVersion')}, Kind={kind.get('kind')}'")
    return found.name, found.namespaced


def _names(attributes: Attributes, obj: Any, parameter: Any) -> Document:
    """What an expression can name."""
    request, resource, user = attributes.request, attributes.resource, attributes.user
    namespace = attributes.known("namespaces", attributes.namespace)
    deleting = attributes.operation == DELETE
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    plural = {"group": resource.group, "version": resource.version, "resource": resource.name}
    return {"object": None if deleting else thaw(obj),
            "oldObject": None if attributes.old is None else thaw(attributes.old),
            "params": parameter, "variables": {},
            "namespaceObject": None if namespace is None else thaw(namespace),
            "request": {
                "kind": kind, "resource": plural, "subResource": request.subresource,
                "requestKind": kind, "requestResource": plural,
                "requestSubResource": request.subresource,
                "name": request.name or obj.metadata.name or "",
                "namespace": attributes.namespace, "operation": attributes.operation,
                "userInfo": {"username": user.name, "uid": user.uid, "groups": list(user.groups),
                             "extra": {key: list(values) for key, values in user.extra}},
                "dryRun": request.options.dry_run}}


def evaluated(expression: str, names: Document) -> Any:
    """The value of an expression. ExpressionError when it has none."""
    program = _compiled(expression)
    if isinstance(program, str):
        raise ExpressionError(f"expression '{expression}' resulted in error: {program}")
    try:
        return program.execute(names)
    except KeyError as error:
        why = f"no such key: {error.args[0]}"
    except Exception as error:  # the library raises what its evaluation met, of any type
        why = str(error)
    raise ExpressionError(f"expression '{expression}' resulted in error: {why}")


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    """The program of an expression, or why there is none, as text."""
    import cel
    try:
        return cel.compile(expression)
    except ValueError as error:
        return f"compilation error: {error}"
