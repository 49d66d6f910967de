"""AlwaysPullImages: every container's image is pulled anew, so that a tag is never trusted.

Source: Kubernetes documentation, "Admission Controllers". Off unless it is asked for.
"""

from __future__ import annotations

from typing import Any

from model.api.objects import put
from reference_impl.apiserver.access.admission.attributes import Attributes


def admit(attributes: Attributes, obj: Any) -> Any:
    """A pod whose containers all have the pull policy Always."""
    if obj.kind != "Pod" or obj.spec is None or attributes.request.subresource:
        return obj
    spec = obj.spec
    return put(obj, "spec", spec._replace(containers=_always(spec.containers),
                                          init_containers=_always(spec.init_containers)))


def _always(containers: Any) -> Any:
    if not containers:
        return containers
    return tuple(put(each, "image_pull_policy", "Always") for each in containers)
