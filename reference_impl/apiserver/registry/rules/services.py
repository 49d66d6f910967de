"""Rules of services and endpoints. Source: Kubernetes 1.32 API reference, core/v1."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from model.api.objects import ServiceSpec, write
from model.api.requests import (
    Cause,
    field_duplicate,
    field_forbidden,
    field_invalid,
    field_required,
)
from reference_impl.apiserver.registry.rules import common
from reference_impl.apiserver.registry.rules.common import Causes, Document, Shown, items, one_of

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")


@lru_cache(maxsize=1024)
def spec_faults(spec: ServiceSpec) -> tuple[Cause, ...]:
    """Every fault of a service's spec, before anything is allocated."""
    document = write(spec)
    return tuple(_ports(document) + _kind(document) + _addresses(document) + _policies(document)
                 + _balancer(document))


def _ports(spec: Document) -> Causes:
    causes: Causes = []
    ports = items(spec.get("ports"))
    kind = spec.get("type")
    if not ports and spec.get("clusterIP") != "None" and kind != "ExternalName":
        causes.append(field_required("spec.ports"))
    names: list[str] = []
    for at, port in enumerate(ports):
        causes += _port(port, f"spec.ports[{at}]", len(ports) > 1, names)
    causes += common.labels_faults(spec.get("selector"), "spec.selector")
    seen: list[tuple[Any, Any]] = []
    for at, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            causes.append(Cause("FieldValueDuplicate", "Duplicate value: " + str(_go_port(port)),
                                f"spec.ports[{at}]"))
        seen.append(key)
        if kind == "ClusterIP" and port.get("nodePort"):
            causes.append(field_forbidden(f"spec.ports[{at}].nodePort", "may not be used when "
                                          "`type` is 'ClusterIP'"))
    return causes


def _go_port(port: Document) -> Shown:
    return Shown('core.ServicePort{Name:"", Protocol:"' + str(port.get("protocol")) + '", '
                 "AppProtocol:(*string)(nil), Port:" + str(port.get("port")) +
                 ', TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}')


def _port(port: Document, where: str, named: bool, names: list[str]) -> Causes:
    causes: Causes = []
    name = port.get("name") or ""
    if name:
        causes += common.label_faults(name, f"{where}.name")
        if name in names:
            causes.append(field_duplicate(f"{where}.name", name))
        names.append(name)
    elif named:
        causes.append(field_required(f"{where}.name"))
    causes += common.port_faults(port.get("port"), f"{where}.port")
    causes += one_of(port.get("protocol"), f"{where}.protocol", ("SCTP", "TCP", "UDP"))
    target = port.get("targetPort")
    if isinstance(target, int):
        causes += common.port_faults(target, f"{where}.targetPort")
    elif isinstance(target, str):
        causes += [field_invalid(f"{where}.targetPort", target, text)
                   for text in common.port_name_texts(target)]
    if port.get("appProtocol"):
        causes += common.qualified_faults(port["appProtocol"], f"{where}.appProtocol")
    return causes


def _kind(spec: Document) -> Causes:
    causes = one_of(spec.get("sessionAffinity"), "spec.sessionAffinity", ("ClientIP", "None"))
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get(
        "timeoutSeconds")
    if spec.get("sessionAffinity") == "ClientIP" and seconds is not None and \
            not 0 < seconds <= 86400:
        causes.append(field_invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds,
                                    "must be greater than 0 and less than 86400"))
    kind = spec.get("type")
    causes += one_of(kind, "spec.type", TYPES)
    if kind in ("NodePort", "LoadBalancer") and spec.get("clusterIP") == "None":
        causes.append(field_invalid("spec.clusterIPs[0]", "None",
                                    f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        if spec.get("clusterIP"):
            causes.append(field_forbidden("spec.clusterIPs", "may not be set for ExternalName "
                                          "services"))
        name = (spec.get("externalName") or "").rstrip(".")
        causes += common.subdomain_faults(name, "spec.externalName") if name else [
            field_required("spec.externalName")]
    return causes


def _addresses(spec: Document) -> Causes:
    causes: Causes = []
    if spec.get("type") == "ExternalName":
        return causes
    first, all_ = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    shown = common.go_list(all_)
    if all_ and not first:
        causes.append(field_invalid("spec.clusterIPs", shown, "must be empty when `clusterIP` is "
                                    "not specified"))
    elif all_ and first != all_[0]:
        causes.append(field_invalid("spec.clusterIPs", shown, "first value must match "
                                    "`clusterIP`"))
    if len(all_) > 1 and all(common.valid_ip(each) for each in all_):
        causes.append(field_invalid("spec.clusterIPs", shown, "may specify no more than one IP "
                                    "for each IP family"))
    if first and first != "None" and not common.valid_ip(first):
        causes += common.ip_faults(first, "spec.clusterIPs[0]")
    policy = spec.get("ipFamilyPolicy")
    free = first == "None" and not spec.get("selector")
    if policy == "RequireDualStack" and not free:
        causes.append(field_invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured "
                                    "for dual-stack services"))
    else:
        causes += one_of(policy, "spec.ipFamilyPolicy",
                         ("PreferDualStack", "RequireDualStack", "SingleStack"))
    families = spec.get("ipFamilies") or []
    for at, family in enumerate(families):
        if family != "IPv4" and not free:
            if first and common.valid_ip(first) and ":" not in first:
                causes.append(field_invalid("spec.clusterIPs[0]", first, f"expected an {family} "
                                            "value as indicated by `ipFamilies[0]`"))
            else:
                causes.append(field_invalid(f"spec.ipFamilies[{at}]", family,
                                            "not configured on this cluster"))
    for at, address in enumerate(spec.get("externalIPs") or []):
        where = f"spec.externalIPs[{at}]"
        causes += common.ip_faults(address, where) or common.special_ip_faults(address, where)
    return causes


def _policies(spec: Document) -> Causes:
    causes: Causes = []
    outside = spec.get("externalTrafficPolicy")
    kind = spec.get("type")
    if outside:
        if kind in ("NodePort", "LoadBalancer") or spec.get("externalIPs"):
            causes += one_of(outside, "spec.externalTrafficPolicy", _POLICIES)
        else:
            causes.append(field_invalid("spec.externalTrafficPolicy", outside, "may only be set "
                                        "for externally-accessible services"))
    inside = spec.get("internalTrafficPolicy")
    if inside:
        causes += one_of(inside, "spec.internalTrafficPolicy", _POLICIES)
    return causes


def _balancer(spec: Document) -> Causes:
    causes: Causes = []
    balanced = spec.get("type") == "LoadBalancer"
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and not balanced:
        causes.append(field_forbidden("spec.LoadBalancerSourceRanges", _ONLY_BALANCER))
    elif ranges:
        causes += [field_invalid(f"spec.LoadBalancerSourceRanges[{at}]", each, common.CIDR_TEXT)
                   for at, each in enumerate(ranges) if not common.valid_cidr(each.strip())]
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        causes.append(field_forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCER))
    if spec.get("loadBalancerClass") and not balanced:
        causes.append(field_forbidden("spec.loadBalancerClass", _ONLY_BALANCER))
    check = spec.get("healthCheckNodePort")
    if check and not (balanced and spec.get("externalTrafficPolicy") == "Local"):
        causes.append(field_invalid("spec.healthCheckNodePort", check, "may only be set when "
                                    "`type` is 'LoadBalancer' and `externalTrafficPolicy` is "
                                    "'Local'"))
    return causes


_ONLY_BALANCER = "may only be used when `type` is 'LoadBalancer'"


# -- endpoints -----------------------------------------------------------------------------------

def endpoints_faults(endpoints: Any) -> Causes:
    """Every fault of an Endpoints object."""
    causes: Causes = []
    for at, subset in enumerate(endpoints.subsets or ()):
        where = f"subsets[{at}]"
        if not subset.addresses and not subset.not_ready_addresses:
            causes.append(field_required(where, "must specify `addresses` or "
                                         "`notReadyAddresses`"))
        for group, addresses in (("addresses", subset.addresses),
                                 ("notReadyAddresses", subset.not_ready_addresses)):
            for index, address in enumerate(addresses or ()):
                causes += _endpoint_address(address, f"{where}.{group}[{index}]")
        ports = subset.ports or ()
        for index, port in enumerate(ports):
            causes += _endpoint_port(port, f"{where}.ports[{index}]", len(ports) > 1)
    return causes


@lru_cache(maxsize=8192)
def _address_faults(ip: str, where: str) -> tuple[Cause, ...]:
    causes = common.ip_faults(ip, where)
    if causes:
        return (*causes, field_invalid(where, ip, "must be a valid IP address"))
    return tuple(common.special_ip_faults(ip, where))


def _endpoint_address(address: Any, where: str) -> Causes:
    causes: Causes = list(_address_faults(address.ip or "", f"{where}.ip"))
    if address.hostname:
        causes += common.label_faults(address.hostname, f"{where}.hostname")
    if address.node_name:
        causes += common.subdomain_faults(address.node_name, f"{where}.nodeName")
    return causes


def _endpoint_port(port: Any, where: str, named: bool) -> Causes:
    causes: Causes = []
    if named and not port.name:
        causes.append(field_required(f"{where}.name"))
    elif port.name:
        causes += common.label_faults(port.name, f"{where}.name")
    causes += common.port_faults(port.port or 0, f"{where}.port")
    causes += one_of(port.protocol, f"{where}.protocol", ("SCTP", "TCP", "UDP"))
    if port.app_protocol:
        causes += common.qualified_faults(port.app_protocol, f"{where}.appProtocol")
    return causes
