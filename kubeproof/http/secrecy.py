"""What a recording may not hold: the data of Secrets, replaced by salted placeholders.

A placeholder is the same for the same value within one recording, so that what changed and what
did not can still be told; without the salt, which is never stored, a value cannot be guessed and
compared. Shapes are kept (base64 stays base64, JSON stays JSON, empty stays empty), so that a
replay takes the same way through validation. Bearer tokens never get this far.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from typing import Any

from model.kernel.action import Action
from reference_impl.apiserver.access.authentication import OUTSIDE

STORE = "etcd"
_STORED = "/registry/secrets/"
_DATA = ("data", "stringData")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Veil:
    """Rewrites the actions of one recording."""

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = secrets.token_bytes(16) if salt is None else salt

    def __call__(self, action: Action) -> Action:
        """The action without the data of Secrets."""
        if action.actor == STORE and action.verb == "reply":
            return self._reply(action)
        if action.actor != OUTSIDE or action.verb != "request":
            return action
        text = str(action.args[1])
        if '"secrets"' not in text:
            return action
        fields = json.loads(text)
        if fields.get("resource") != "secrets":
            return action
        if "body" in fields:
            fields["body"] = self._object(fields["body"])
        if "patch" in fields:
            kind, document = fields["patch"]
            fields["patch"] = [kind, self._patch(document)]
        return action._replace(args=(action.args[0], json.dumps(
            fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)))

    def _reply(self, action: Action) -> Action:
        """What a store outside the world told."""
        text = str(action.args[1])
        if _STORED not in text:
            return action
        return action._replace(args=(action.args[0], json.dumps(
            self._stored(json.loads(text)), sort_keys=True, ensure_ascii=False)))

    def _stored(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._stored(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "value" in value and str(value.get("key", "")).startswith(_STORED):
            return {**value, "value": self._object(value["value"])}
        return {name: self._stored(each) for name, each in value.items()}

    def _patch(self, text: str) -> str:
        try:
            document = json.loads(text)
        except ValueError:
            return json.dumps(self._placeholder(text))
        if isinstance(document, list):
            return json.dumps([self._operation(each) for each in document])
        return json.dumps(self._object(document))

    def _operation(self, operation: Any) -> Any:
        """One operation of a JSON patch: whatever it carries may be data."""
        if not isinstance(operation, dict) or "value" not in operation:
            return operation
        parts = str(operation.get("path", "")).split("/")[1:]
        value = operation["value"]
        if parts and parts[0] in _DATA:
            hidden = self._values(value, parts[0] == "data")
        elif parts[:2] == ["metadata", "annotations"]:
            hidden = self._annotations(value) if len(parts) == 2 else self._applied(value)
        elif parts[:1] == ["metadata"]:
            hidden = self._object({"metadata": value})["metadata"] if len(parts) == 1 else value
        else:
            hidden = self._object(value)
        return {**operation, "value": hidden}

    def _object(self, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        hidden = dict(document)
        for field in _DATA:
            if field in hidden:
                hidden[field] = self._values(hidden[field], field == "data")
        metadata = hidden.get("metadata")
        if isinstance(metadata, dict) and "annotations" in metadata:
            hidden["metadata"] = {**metadata,
                                  "annotations": self._annotations(metadata["annotations"])}
        return hidden

    def _annotations(self, value: Any) -> Any:
        if not isinstance(value, dict) or _APPLIED not in value:
            return value
        return {**value, _APPLIED: self._applied(value[_APPLIED])}

    def _applied(self, value: Any) -> Any:
        """The configuration that a client applied last, which repeats the data."""
        if not isinstance(value, str):
            return value
        try:
            document = json.loads(value)
        except ValueError:
            return value
        return json.dumps(self._object(document)) if isinstance(document, dict) else value

    def _values(self, value: Any, encoded: bool) -> Any:
        if isinstance(value, dict):
            return {key: self._values(each, encoded) for key, each in value.items()}
        if not isinstance(value, str) or not value:
            return value
        return self._encoded(value) if encoded else self._shaped(value)

    def _encoded(self, value: str) -> str:
        try:
            inner = base64.b64decode(value, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return "!" + self._placeholder(value)  # was no base64, and still is none
        return base64.b64encode(self._shaped(inner).encode()).decode()

    def _shaped(self, value: str) -> str:
        hidden = self._placeholder(value)
        try:
            document = json.loads(value)
        except ValueError:
            return hidden
        return json.dumps({"hidden": hidden} if isinstance(document, dict) else hidden)

    def _placeholder(self, value: str) -> str:
        return "hidden-" + hashlib.blake2b(value.encode(), key=self._salt,
                                           digest_size=12).hexdigest()
