"""The hash of a pod template, as the names of ReplicaSets and the label pod-template-hash carry it.

Kubernetes 1.32 (`controller.ComputeHash`) writes the template out as Go's spew package prints the
typed value (every field in the order of its struct, with types, unset ones too), takes the 32-bit
FNV-1a of that text, and spells its decimal digits with letters that make no words. A client that
compares names with those of a real cluster finds the same ones only if the text is the same, so
`STRUCTS` lists the structs of core/v1 with their fields in order.

Not modelled: volumes of network storage and of other plug-ins in detail; a template that uses one
is hashed by its canonical JSON: as good a name, only not the one that Kubernetes finds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from model.api.quantities import parse
from model.kernel.values import canonical_json

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
STRUCTS = """
v1.PodTemplateSpec: ObjectMeta=v1.ObjectMeta Spec=v1.PodSpec
v1.ObjectMeta: Name GenerateName Namespace SelfLink UID=types.UID ResourceVersion Generation=int64 \
CreationTimestamp=v1.Time DeletionTimestamp=*v1.Time DeletionGracePeriodSeconds=*int64 \
Labels=map[string]string Annotations=map[string]string OwnerReferences=[]v1.OwnerReference \
Finalizers=[]string ManagedFields=[]v1.ManagedFieldsEntry
v1.PodSpec: Volumes=[]v1.Volume InitContainers=[]v1.Container Containers=[]v1.Container \
EphemeralContainers=[]v1.EphemeralContainer RestartPolicy=v1.RestartPolicy \
TerminationGracePeriodSeconds=*int64 ActiveDeadlineSeconds=*int64 DNSPolicy=v1.DNSPolicy \
NodeSelector=map[string]string ServiceAccountName DeprecatedServiceAccount \
AutomountServiceAccountToken=*bool NodeName HostNetwork=bool HostPID=bool HostIPC=bool \
ShareProcessNamespace=*bool SecurityContext=*v1.PodSecurityContext \
ImagePullSecrets=[]v1.LocalObjectReference Hostname Subdomain Affinity=*v1.Affinity SchedulerName \
Tolerations=[]v1.Toleration HostAliases=[]v1.HostAlias PriorityClassName Priority=*int32 \
DNSConfig=*v1.PodDNSConfig ReadinessGates=[]v1.PodReadinessGate RuntimeClassName=*string \
EnableServiceLinks=*bool PreemptionPolicy=*v1.PreemptionPolicy Overhead=v1.ResourceList \
TopologySpreadConstraints=[]v1.TopologySpreadConstraint SetHostnameAsFQDN=*bool OS=*v1.PodOS \
HostUsers=*bool SchedulingGates=[]v1.PodSchedulingGate ResourceClaims=[]v1.PodResourceClaim \
Resources=*v1.ResourceRequirements
v1.Container: Name Image Command=[]string Args=[]string WorkingDir Ports=[]v1.ContainerPort \
EnvFrom=[]v1.EnvFromSource Env=[]v1.EnvVar Resources=v1.ResourceRequirements \
ResizePolicy=[]v1.ContainerResizePolicy RestartPolicy=*v1.ContainerRestartPolicy \
VolumeMounts=[]v1.VolumeMount VolumeDevices=[]v1.VolumeDevice LivenessProbe=*v1.Probe \
ReadinessProbe=*v1.Probe StartupProbe=*v1.Probe Lifecycle=*v1.Lifecycle TerminationMessagePath \
TerminationMessagePolicy=v1.TerminationMessagePolicy ImagePullPolicy=v1.PullPolicy \
SecurityContext=*v1.SecurityContext Stdin=bool StdinOnce=bool TTY=bool
v1.ContainerPort: Name HostPort=int32 ContainerPort=int32 Protocol=v1.Protocol HostIP
v1.EnvFromSource: Prefix ConfigMapRef=*v1.ConfigMapEnvSource SecretRef=*v1.SecretEnvSource
v1.ConfigMapEnvSource: +LocalObjectReference=v1.LocalObjectReference Optional=*bool
v1.SecretEnvSource: +LocalObjectReference=v1.LocalObjectReference Optional=*bool
v1.EnvVar: Name Value ValueFrom=*v1.EnvVarSource
v1.EnvVarSource: FieldRef=*v1.ObjectFieldSelector ResourceFieldRef=*v1.ResourceFieldSelector \
ConfigMapKeyRef=*v1.ConfigMapKeySelector SecretKeyRef=*v1.SecretKeySelector
v1.ObjectFieldSelector: APIVersion FieldPath
v1.ResourceFieldSelector: ContainerName Resource Divisor=resource.Quantity
v1.ConfigMapKeySelector: +LocalObjectReference=v1.LocalObjectReference Key Optional=*bool
v1.SecretKeySelector: +LocalObjectReference=v1.LocalObjectReference Key Optional=*bool
v1.LocalObjectReference: Name
v1.ResourceRequirements: Limits=v1.ResourceList Requests=v1.ResourceList Claims=[]v1.ResourceClaim
v1.ResourceClaim: Name Request
v1.ContainerResizePolicy: ResourceName=v1.ResourceName RestartPolicy=v1.ResourceResizeRestartPolicy
v1.VolumeMount: Name ReadOnly=bool RecursiveReadOnly=*v1.RecursiveReadOnlyMode MountPath SubPath \
MountPropagation=*v1.MountPropagationMode SubPathExpr
v1.VolumeDevice: Name DevicePath
v1.Probe: +ProbeHandler=v1.ProbeHandler InitialDelaySeconds=int32 TimeoutSeconds=int32 \
PeriodSeconds=int32 SuccessThreshold=int32 FailureThreshold=int32 \
TerminationGracePeriodSeconds=*int64
v1.ProbeHandler: Exec=*v1.ExecAction HTTPGet=*v1.HTTPGetAction TCPSocket=*v1.TCPSocketAction \
GRPC=*v1.GRPCAction
v1.ExecAction: Command=[]string
v1.HTTPGetAction: Path Port=intstr.IntOrString Host Scheme=v1.URIScheme HTTPHeaders=[]v1.HTTPHeader
v1.HTTPHeader: Name Value
v1.TCPSocketAction: Port=intstr.IntOrString Host
v1.GRPCAction: Port=int32 Service=*string
v1.Lifecycle: PostStart=*v1.LifecycleHandler PreStop=*v1.LifecycleHandler
v1.LifecycleHandler: Exec=*v1.ExecAction HTTPGet=*v1.HTTPGetAction TCPSocket=*v1.TCPSocketAction \
Sleep=*v1.SleepAction
v1.SleepAction: Seconds=int64
v1.SecurityContext: Capabilities=*v1.Capabilities Privileged=*bool \
SELinuxOptions=*v1.SELinuxOptions WindowsOptions=*v1.WindowsSecurityContextOptions \
RunAsUser=*int64 RunAsGroup=*int64 RunAsNonRoot=*bool ReadOnlyRootFilesystem=*bool \
AllowPrivilegeEscalation=*bool ProcMount=*v1.ProcMountType SeccompProfile=*v1.SeccompProfile \
AppArmorProfile=*v1.AppArmorProfile
v1.Capabilities: Add=[]v1.Capability Drop=[]v1.Capability
v1.SELinuxOptions: User Role Type Level
v1.SeccompProfile: Type=v1.SeccompProfileType LocalhostProfile=*string
v1.AppArmorProfile: Type=v1.AppArmorProfileType LocalhostProfile=*string
v1.PodSecurityContext: SELinuxOptions=*v1.SELinuxOptions \
WindowsOptions=*v1.WindowsSecurityContextOptions RunAsUser=*int64 RunAsGroup=*int64 \
RunAsNonRoot=*bool SupplementalGroups=[]int64 \
SupplementalGroupsPolicy=*v1.SupplementalGroupsPolicy FSGroup=*int64 Sysctls=[]v1.Sysctl \
FSGroupChangePolicy=*v1.PodFSGroupChangePolicy SeccompProfile=*v1.SeccompProfile \
AppArmorProfile=*v1.AppArmorProfile SELinuxChangePolicy=*v1.PodSELinuxChangePolicy
v1.Sysctl: Name Value
v1.Volume: Name +VolumeSource=v1.VolumeSource
v1.VolumeSource: HostPath=*v1.HostPathVolumeSource EmptyDir=*v1.EmptyDirVolumeSource \
GCEPersistentDisk=*v1.GCEPersistentDiskVolumeSource \
AWSElasticBlockStore=*v1.AWSElasticBlockStoreVolumeSource GitRepo=*v1.GitRepoVolumeSource \
Secret=*v1.SecretVolumeSource NFS=*v1.NFSVolumeSource ISCSI=*v1.ISCSIVolumeSource \
Glusterfs=*v1.GlusterfsVolumeSource PersistentVolumeClaim=*v1.PersistentVolumeClaimVolumeSource \
RBD=*v1.RBDVolumeSource FlexVolume=*v1.FlexVolumeSource Cinder=*v1.CinderVolumeSource \
CephFS=*v1.CephFSVolumeSource Flocker=*v1.FlockerVolumeSource \
DownwardAPI=*v1.DownwardAPIVolumeSource FC=*v1.FCVolumeSource AzureFile=*v1.AzureFileVolumeSource \
ConfigMap=*v1.ConfigMapVolumeSource VsphereVolume=*v1.VsphereVirtualDiskVolumeSource \
Quobyte=*v1.QuobyteVolumeSource AzureDisk=*v1.AzureDiskVolumeSource \
PhotonPersistentDisk=*v1.PhotonPersistentDiskVolumeSource Projected=*v1.ProjectedVolumeSource \
PortworxVolume=*v1.PortworxVolumeSource ScaleIO=*v1.ScaleIOVolumeSource \
StorageOS=*v1.StorageOSVolumeSource CSI=*v1.CSIVolumeSource Ephemeral=*v1.EphemeralVolumeSource \
Image=*v1.ImageVolumeSource
v1.HostPathVolumeSource: Path Type=*v1.HostPathType
v1.EmptyDirVolumeSource: Medium=v1.StorageMedium SizeLimit=*resource.Quantity
v1.NFSVolumeSource: Server Path ReadOnly=bool
v1.SecretVolumeSource: SecretName Items=[]v1.KeyToPath DefaultMode=*int32 Optional=*bool
v1.ConfigMapVolumeSource: +LocalObjectReference=v1.LocalObjectReference Items=[]v1.KeyToPath \
DefaultMode=*int32 Optional=*bool
v1.KeyToPath: Key Path Mode=*int32
v1.PersistentVolumeClaimVolumeSource: ClaimName ReadOnly=bool
v1.Affinity: NodeAffinity=*v1.NodeAffinity PodAffinity=*v1.PodAffinity \
PodAntiAffinity=*v1.PodAntiAffinity
v1.NodeAffinity: RequiredDuringSchedulingIgnoredDuringExecution=*v1.NodeSelector \
PreferredDuringSchedulingIgnoredDuringExecution=[]v1.PreferredSchedulingTerm
v1.NodeSelector: NodeSelectorTerms=[]v1.NodeSelectorTerm
v1.NodeSelectorTerm: MatchExpressions=[]v1.NodeSelectorRequirement \
MatchFields=[]v1.NodeSelectorRequirement
v1.NodeSelectorRequirement: Key Operator=v1.NodeSelectorOperator Values=[]string
v1.PreferredSchedulingTerm: Weight=int32 Preference=v1.NodeSelectorTerm
v1.PodAffinity: RequiredDuringSchedulingIgnoredDuringExecution=[]v1.PodAffinityTerm \
PreferredDuringSchedulingIgnoredDuringExecution=[]v1.WeightedPodAffinityTerm
v1.PodAntiAffinity: RequiredDuringSchedulingIgnoredDuringExecution=[]v1.PodAffinityTerm \
PreferredDuringSchedulingIgnoredDuringExecution=[]v1.WeightedPodAffinityTerm
v1.WeightedPodAffinityTerm: Weight=int32 PodAffinityTerm=v1.PodAffinityTerm
v1.PodAffinityTerm: LabelSelector=*v1.LabelSelector Namespaces=[]string TopologyKey \
NamespaceSelector=*v1.LabelSelector MatchLabelKeys=[]string MismatchLabelKeys=[]string
v1.LabelSelector: MatchLabels=map[string]string MatchExpressions=[]v1.LabelSelectorRequirement
v1.LabelSelectorRequirement: Key Operator=v1.LabelSelectorOperator Values=[]string
v1.Toleration: Key Operator=v1.TolerationOperator Value Effect=v1.TaintEffect \
TolerationSeconds=*int64
v1.HostAlias: IP Hostnames=[]string
v1.PodDNSConfig: Nameservers=[]string Searches=[]string Options=[]v1.PodDNSConfigOption
v1.PodDNSConfigOption: Name Value=*string
v1.PodReadinessGate: ConditionType=v1.PodConditionType
v1.TopologySpreadConstraint: MaxSkew=int32 TopologyKey \
WhenUnsatisfiable=v1.UnsatisfiableConstraintAction LabelSelector=*v1.LabelSelector \
MinDomains=*int32 NodeAffinityPolicy=*v1.NodeInclusionPolicy \
NodeTaintsPolicy=*v1.NodeInclusionPolicy MatchLabelKeys=[]string
v1.PodOS: Name=v1.OSName
v1.PodSchedulingGate: Name
"""
WIRE_NAMES = {"ObjectMeta": "metadata", "DeprecatedServiceAccount": "serviceAccount",
              "CephFS": "cephfs", "StorageOS": "storageos"}
NO_TIME = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"


class Field(NamedTuple):
    """A field of a struct: its name, its name on the wire ("" for an embedded struct), its type."""

    name: str
    wire: str
    type: str


class NotListedError(Exception):
    """The template has a part whose struct is not in the table."""


@lru_cache(maxsize=1)
def structs() -> dict[str, tuple[Field, ...]]:
    """Struct -> its fields in order."""
    found = {}
    for line in STRUCTS.strip().splitlines():
        name, _, text = line.partition(": ")
        found[name] = tuple(_field(each) for each in text.split())
    return found


def _field(text: str) -> Field:
    name, _, type_ = text.partition("=")
    if name.startswith("+"):
        return Field(name[1:], "", type_)
    return Field(name, WIRE_NAMES.get(name) or wire_name(name), type_ or "string")


def wire_name(name: str) -> str:
    """A Go field's usual name in JSON: its leading capitals small, but for the one that begins the
    next word."""
    capitals = next((at for at, letter in enumerate(name) if not letter.isupper()), len(name))
    small = capitals if capitals in (1, len(name)) else capitals - 1
    return name[:small].lower() + name[small:]


def template_hash(template: dict[str, Any], collisions: int | None) -> str:
    """The hash of a template's document (without the hash's own label), made another one by a
    count of collisions."""
    try:
        data = typed("v1.PodTemplateSpec", template).encode()
    except NotListedError:
        data = canonical_json(template).encode()
    if collisions is not None:
        data += collisions.to_bytes(8, "little")
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(value))


def typed(type_: str, value: Any) -> str:
    """A value with its type in front. A pointer names what it points to."""
    if type_.startswith("*"):
        return f"({type_})" + ("<nil>" if value is None else plain(type_[1:], value))
    return f"({type_}){plain(type_, value)}"


def plain(type_: str, value: Any) -> str:
    """A value without its type: an element of a list or map, or after the type was named."""
    special = _SPECIAL.get(type_)
    if special is not None:
        return special(value)
    if type_.startswith("[]"):
        if not value:
            return "<nil>"
        return "[" + " ".join(plain(type_[2:], each) for each in value) + "]"
    if type_.startswith("map[") or type_ == "v1.ResourceList":
        return _map(value, "resource.Quantity" if type_ == "v1.ResourceList" else "string")
    fields = structs().get(type_)
    if fields is not None:
        return _struct(fields, value or {})
    if isinstance(value, dict):
        raise NotListedError
    if type_ in ("int32", "int64"):
        return str(value or 0)
    if type_ == "bool":
        return "true" if value else "false"
    return str(value or "")


def _struct(fields: tuple[Field, ...], value: dict[str, Any]) -> str:
    return "{" + " ".join(
        f"{field.name}:{typed(field.type, value.get(field.wire) if field.wire else value)}"
        for field in fields) + "}"


def _map(value: dict[str, Any] | None, of: str) -> str:
    if not value:
        return "<nil>"
    return "map[" + " ".join(f"{key}:{plain(of, value[key])}" for key in sorted(value)) + "]"


def _quantity(value: Any) -> str:
    """As the number is kept: digits and a power of ten, or in whole for binary suffixes; with the
    text where it is canonical."""
    text = "0" if value is None else str(value)
    amount, suffix = text.rstrip("numkMGTPEi"), text.lstrip("-+0123456789.")
    if amount == "" or "." in amount or "e" in text:
        raise NotListedError
    number, scale, form = int(amount), 0, "DecimalSI"
    if suffix.endswith("i"):
        number, form = parse(text).nano // 10**9, "BinarySI"
    else:
        scale = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15,
                 "E": 18}[suffix]
    kept = int(amount) & 7 if form == "BinarySI" else (
        not amount.endswith("000") and not amount.startswith("0"))
    return (f"{{i:(resource.int64Amount){{value:(int64){number} scale:(resource.Scale){scale}}} "
            f"d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){text if kept else ''} "
            f"Format:(resource.Format){form}}}")


def _int_or_string(value: Any) -> str:
    number = value if isinstance(value, int) else 0
    text = value if isinstance(value, str) else ""
    return (f"{{Type:(intstr.Type){int(isinstance(value, str))} IntVal:(int32){number} "
            f"StrVal:(string){text}}}")


def _time(value: Any) -> str:
    if value is not None:
        raise NotListedError
    return NO_TIME


_SPECIAL: dict[str, Callable[[Any], str]] = {
    "resource.Quantity": _quantity, "intstr.IntOrString": _int_or_string, "v1.Time": _time}
