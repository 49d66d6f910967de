"""Bearer tokens at the front door: secrets come in, ids go on; claims come out, signed, as tokens.

Nothing behind this file sees a bearer string or a signing key. A token of the token file becomes
the id of its line; a service account's token is checked against the key and becomes the text of its
claims, which the simulated server judges (see `reference_impl...service_account_tokens`). On the
way out the claims in a TokenRequest, and the credential in a service account's Secret, are replaced
by a signed token.

Source: Kubernetes documentation, "Authenticating" and "Managing Service Accounts"; RFC 7519.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from model.api.objects import Generic, put, rest_fields, with_rest
from model.api.requests import Impersonation, Patch, Request, Status, unauthorized
from model.kernel.errors import InputError
from model.kernel.values import FrozenMap
from reference_impl.apiserver.access import (
    authentication,
    impersonation,
    service_account_tokens,
)
from reference_impl.apiserver.access.known import Known
from reference_impl.apiserver.state import User

UNKNOWN_TOKEN = "?"
VERIFIED_MAX = 4096
KEY_BITS = 2048
ALGORITHM = "RS256"
JWKS_PATH = "/openid/v1/jwks"
DISCOVERY_PATH = "/.well-known/openid-configuration"
_EXTRA = "impersonate-extra-"


class Caller(NamedTuple):
    """Who sends a request: the id of its token ("" for none), and whom it acts for."""

    token: str = ""
    impersonate: Impersonation | None = None


class Signer:
    """The key that signs service account tokens: read from a PEM file, or made on first use."""

    def __init__(self, file: Path | None = None) -> None:
        self._key: Any = None if file is None else _read_key(file)

    @property
    def key(self) -> Any:
        """The private key."""
        if self._key is None:
            from cryptography.hazmat.primitives.asymmetric import rsa
            self._key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        return self._key

    @property
    def key_id(self) -> str:
        """The name of the key in the head of a token: a digest of its public part."""
        from cryptography.hazmat.primitives import serialization
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return _url_text(hashlib.sha256(public).digest())

    def sign(self, claims: dict[str, Any]) -> str:
        """A signed token."""
        import jwt
        return jwt.encode(claims, self.key, ALGORITHM, {"kid": self.key_id, "typ": None})

    def verified(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that this key has signed. Whether they are still good is not
        looked at here: the cluster has a clock of its own."""
        import jwt
        try:
            found: dict[str, Any] = jwt.decode(token, self.key.public_key(), [ALGORITHM], options={
                "verify_exp": False, "verify_nbf": False, "verify_iat": False,
                "verify_aud": False, "verify_iss": False})
        except jwt.PyJWTError:
            return None
        return found

    def key_set(self) -> dict[str, Any]:
        """The public key as a JSON web key set."""
        numbers = self.key.public_key().public_numbers()
        return {"keys": [{"use": "sig", "kty": "RSA", "kid": self.key_id, "alg": ALGORITHM,
                          "n": _url_number(numbers.n), "e": _url_number(numbers.e)}]}


def _read_key(file: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    except (ValueError, TypeError):
        raise InputError("is no private key in PEM form without a password", where=str(file),
                         fix="openssl genrsa -out FILE 2048") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InputError("is no RSA key", where=str(file), fix="openssl genrsa -out FILE 2048")
    return key


def _url_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _url_number(number: int) -> str:
    return _url_text(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def discovery() -> dict[str, Any]:
    """What tells a relying party where the keys are."""
    issuer = service_account_tokens.ISSUER
    return {"issuer": issuer, "jwks_uri": f"{issuer}{JWKS_PATH}",
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM]}


class Tokens:
    """See the head of this file. `entries`: the tokens of the file with their users."""

    def __init__(self, entries: list[tuple[str, User]], signer: Signer | None = None) -> None:
        self._digests = [_digest(token) for token, _ in entries]
        self.users = {f"t{at}": user for at, (_, user) in enumerate(entries, 1)}
        self.signer = signer or Signer()
        self._verified: OrderedDict[str, str] = OrderedDict()
        self._signed: OrderedDict[str, str] = OrderedDict()
        self._credentials: OrderedDict[str, str] = OrderedDict()

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who sends a request with these headers, as `add_header` put them together."""
        header = headers.get("authorization", "")
        token = self.id_of(header) if header else ""
        return Caller(token, impersonation_of(headers))

    def id_of(self, header: str) -> str:
        """The id that stands for an Authorization header: "" without one."""
        if not header:
            return ""
        kind, _, token = header.partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            return UNKNOWN_TOKEN
        return self.id_of_token(token)

    def id_of_token(self, token: str) -> str:
        """The id that stands for a bearer string. Every entry of the file is compared, so that the
        time tells nothing."""
        digest = _digest(token)
        found = 0
        for at, each in enumerate(self._digests, 1):
            found |= at * hmac.compare_digest(each, digest)
        if found:
            return f"t{found}"
        known = self._verified.get(digest.hex())
        if known is None:
            claims = self.signer.verified(token) if token.count(".") == 2 else None
            if claims is None:
                return UNKNOWN_TOKEN
            known = service_account_tokens.text_of(claims)
            _remember(self._verified, digest.hex(), known)
        return known

    def user_of(self, caller: Caller, anonymous: bool, known: Known) -> User | Status:
        """The user that a caller is judged as by the front door itself, or why it is refused."""
        found = authentication.authenticate(authentication.OUTSIDE, "", caller.token,
                                            FrozenMap(self.users.items()), anonymous, known)
        if not isinstance(found, User):
            return unauthorized()
        if caller.impersonate is None:
            return found
        return impersonation.acting_as(found, caller.impersonate, known)

    def document(self, path: str) -> dict[str, Any] | None:
        """The documents by which others can check tokens, None for any other path."""
        if path == JWKS_PATH:
            return self.signer.key_set()
        return discovery() if path == DISCOVERY_PATH else None

    # -- bodies -----------------------------------------------------------------------------------

    def inward(self, request: Request) -> tuple[Request, str]:
        """A request without bearer strings in its body, and the one that a token review named."""
        body = request.body
        if request.resource == "tokenreviews" and isinstance(body, Generic):
            spec = rest_fields(body).get("spec")
            if isinstance(spec, dict) and isinstance(spec.get("token"), str) and spec["token"]:
                sent = spec["token"]
                swapped = with_rest(body, spec={**spec, "token": self.id_of_token(sent)})
                return request._replace(body=swapped), sent
        if request.resource == "secrets" and self._credentials:
            return request._replace(body=self._without_credential(body)), ""
        return request, ""

    def _without_credential(self, body: Any) -> Any:
        """A Secret, or a patch of one, with what the cluster stores in place of what it showed."""
        if isinstance(body, Patch):
            text = body.document.decode("utf-8", "replace")
            for shown, kept in self._credentials.items():
                text = text.replace(shown, kept)
            return body._replace(document=text.encode())
        data = getattr(body, "data", None)
        if not data:
            return body
        return put(body, "data", tuple((key, self._credentials.get(text, text))
                                       for key, text in data))

    def outward(self, body: Any, sent: str = "") -> Any:
        """An object or a list as it leaves, with signed tokens; `sent` is the bearer string that a
        token review asked about."""
        kind = body.kind
        if kind == "Secret":
            return self._with_credential(body)
        if kind == "SecretList":
            return body._replace(items=tuple(map(self._with_credential, body.items)))
        if kind == "TokenRequest":
            status = rest_fields(body).get("status") or {}
            claims = service_account_tokens.claims_of(status.get("token") or "")
            if claims is not None:
                return with_rest(body, status={**status, "token": self._sign(claims)})
        if kind == "TokenReview" and sent:
            return with_rest(body, spec={**rest_fields(body)["spec"], "token": sent})
        return body

    def _with_credential(self, secret: Any) -> Any:
        data, metadata = dict(secret.data or ()), secret.metadata
        if secret.type != service_account_tokens.SECRET_TYPE or "token" not in data:
            return secret
        claims = service_account_tokens.legacy_claims(
            metadata.namespace or "", metadata.name or "", dict(metadata.annotations or ()))
        shown = base64.b64encode(self._sign(claims).encode()).decode()
        _remember(self._credentials, shown, data["token"])
        data["token"] = shown
        return put(secret, "data", tuple(sorted(data.items())))

    def _sign(self, claims: dict[str, Any]) -> str:
        text = service_account_tokens.text_of(claims)
        signed = self._signed.get(text)
        if signed is None:
            signed = self.signer.sign(claims)
            _remember(self._signed, text, signed)
        return signed


def _digest(token: str) -> bytes:
    return hashlib.blake2b(token.encode(), digest_size=32).digest()


def _remember(table: OrderedDict[str, str], key: str, value: str) -> None:
    table[key] = value
    if len(table) > VERIFIED_MAX:
        table.popitem(last=False)


def impersonation_of(headers: Mapping[str, str]) -> Impersonation | None:
    """Whom the Impersonate headers name, None without any."""
    names = [name for name in headers if name.startswith("impersonate-")]
    if not names:
        return None
    groups = _values(headers, "impersonate-group")
    extra = tuple((unquote(name[len(_EXTRA):]), _values(headers, name))
                  for name in sorted(set(names)) if name.startswith(_EXTRA))
    return Impersonation(headers.get("impersonate-user", ""), groups,
                         headers.get("impersonate-uid", ""), extra)


def add_header(headers: dict[str, str], name: str, value: str) -> None:
    """Note one header. Those about impersonation may be repeated: their values stand in lines,
    which no value can contain. Of all others the last counts."""
    if name in headers and name.startswith("impersonate-"):
        value = f"{headers[name]}\n{value}"
    headers[name] = value


def _values(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(headers[name].split("\n")) if name in headers else ()
