"""Access over HTTP, in process: bearer strings and signed tokens at the door, the audit log."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from model.kernel.errors import InputError
from model.kernel.system import System
from model.kernel.values import FrozenMap
from reference_impl.apiserver.component import ApiServer, config_of
from reference_impl.apiserver.outside import Outside
from reference_impl.apiserver.state import User
from reference_impl.controllers.token import Tokens as TokenController
from reference_impl.etcd.member import Etcd

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
REVIEWS = "/apis/authentication.k8s.io/v1"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the audit log goes."""
    return tmp_path / "audit.log"


@pytest.fixture
def door(log: Path) -> Iterator[Any]:
    """A client of a server with two users and an audit log; it sends no token by itself."""
    with warnings.catch_warnings():
        # The test client prefers a successor of httpx that the environment does not have.
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    from kubeproof.http.app import App
    from kubeproof.http.audit import Audit
    from kubeproof.http.engine import Engine
    from kubeproof.http.tokens import Tokens
    from model.api.scenario import Scenario

    tokens = Tokens([("secret", User("root", "1", ("system:masters",))),
                     ("other", User("alice", "2", ("dev",)))])
    server = ApiServer(config_of(Scenario("http")), FrozenMap(tokens.users.items()))
    system = System((server, Etcd(), TokenController(False), Outside()))
    with TestClient(Audit(App(Engine(system), tokens), log)) as made:
        yield made


def bearer(token: str, **more: str) -> dict[str, str]:
    """Headers with a token."""
    return {"Authorization": f"Bearer {token}", **more}


ROOT = bearer("secret")


def account_token(door: Any) -> str:
    """A token of the account `robot`, which is made."""
    door.post(ACCOUNTS, json={"apiVersion": "v1", "kind": "ServiceAccount",
                              "metadata": {"name": "robot"}}, headers=ROOT)
    reply = door.post(f"{ACCOUNTS}/robot/token", headers=ROOT, json={
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    assert reply.status_code == 201
    token: str = reply.json()["status"]["token"]
    return token


def who(door: Any, token: str) -> Any:
    """What the server takes the holder of a token for."""
    return door.post(f"{REVIEWS}/selfsubjectreviews", headers=bearer(token), json={
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})


def test_an_account_token_is_signed_and_checked(door: Any) -> None:
    """Its claims can be checked with the published keys; a changed one is refused."""
    token = account_token(door)
    keys = jwt.PyJWKSet.from_dict(door.get("/openid/v1/jwks", headers=ROOT).json())
    claims = jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]].key, ["RS256"],
                        audience="https://kubernetes.default.svc.cluster.local",
                        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False})
    assert claims["sub"] == "system:serviceaccount:default:robot"
    told = who(door, token).json()["status"]["userInfo"]
    assert told["username"] == claims["sub"]
    assert told["extra"] == {"authentication.kubernetes.io/credential-id": [
        f"JTI={claims['jti']}"]}
    head, body, mark = token.split(".")
    forged = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged["sub"] = "system:admin"
    changed = base64.urlsafe_b64encode(json.dumps(forged).encode()).rstrip(b"=").decode()
    assert who(door, f"{head}.{changed}.{mark}").status_code == 401
    unsigned = jwt.encode(claims, "", "none")
    assert who(door, unsigned).status_code == 401
    door.delete(f"{ACCOUNTS}/robot", headers=ROOT)
    assert who(door, token).status_code == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic secret", "secret", "Bearer t1",
                                    "Bearer jwt:{}", "Bearer secre", "Bearer secret2"])
def test_malformed_and_unknown_credentials_are_refused(door: Any, header: str) -> None:
    """The ids that stand for tokens inside are no tokens outside."""
    assert door.get("/version", headers={"Authorization": header}).status_code == 401


def test_a_token_review_names_the_user_and_echoes_the_token(door: Any) -> None:
    """The token stands in the answer as it was sent; an unknown one authenticates nobody."""
    for token, name in (("other", "alice"), (account_token(door),
                                             "system:serviceaccount:default:robot")):
        reply = door.post(f"{REVIEWS}/tokenreviews", headers=ROOT, json={
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token}}).json()
        assert (reply["spec"]["token"], reply["status"]["authenticated"]) == (token, True)
        assert reply["status"]["user"]["username"] == name
    lost = door.post(f"{REVIEWS}/tokenreviews", headers=ROOT, json={
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": "nonsense"}}).json()
    assert "authenticated" not in lost["status"]


def test_the_secret_of_an_account_carries_a_token_that_works(door: Any) -> None:
    """Until the Secret is deleted; a client that writes back what it read changes nothing."""
    account_token(door)
    secrets = "/api/v1/namespaces/default/secrets"
    door.post(secrets, headers=ROOT, json={
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "old", "annotations": {
            "kubernetes.io/service-account.name": "robot"}}})
    shown = door.get(f"{secrets}/old", headers=ROOT).json()
    token = base64.b64decode(shown["data"]["token"]).decode()
    assert who(door, token).json()["status"]["userInfo"]["username"] == (
        "system:serviceaccount:default:robot")
    listed = door.get(secrets, headers=ROOT).json()["items"]
    assert [each["data"]["token"] for each in listed] == [shown["data"]["token"]]
    again = door.put(f"{secrets}/old", headers=ROOT, json=shown).json()
    assert again["metadata"]["resourceVersion"] == shown["metadata"]["resourceVersion"]
    door.delete(f"{secrets}/old", headers=ROOT)
    assert who(door, token).status_code == 401


def test_headers_of_impersonation(door: Any) -> None:
    """Several groups, extra fields; a 403 for who may not."""
    told = door.post(f"{REVIEWS}/selfsubjectreviews", headers=[
        ("Authorization", "Bearer secret"), ("Impersonate-User", "carol"),
        ("Impersonate-Group", "a"), ("Impersonate-Group", "b"), ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-example.com%2fscope", "x")], json={
            "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).json()
    assert told["status"]["userInfo"] == {
        "username": "carol", "uid": "7", "groups": ["a", "b", "system:authenticated"],
        "extra": {"example.com/scope": ["x"]}}
    refused = door.get("/api", headers=bearer("other", **{"Impersonate-User": "root"}))
    assert refused.status_code == 403


def test_the_audit_log_tells_who_did_what_and_no_secret(door: Any, log: Path) -> None:
    """One line a request, with user, object and code; no bearer string, no data of a Secret."""
    token = account_token(door)
    door.post("/api/v1/namespaces/default/secrets", headers=ROOT, json={
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "stringData": {"password": "hunter2"}})
    door.get("/api/v1/namespaces/default/secrets/s", headers=bearer("other"))
    door.get("/api/v1/pods", headers=bearer("secret", **{"Impersonate-User": "carol"}))
    who(door, token)
    text = log.read_text()
    for hidden in ("secret ", "Bearer", token.split(".")[2], "hunter2", "aHVudGVyMg"):
        assert hidden not in text
    entries = [json.loads(line) for line in text.splitlines()]
    refused = entries[-3]
    assert (refused["verb"], refused["user"]["username"]) == ("get", "alice")
    assert refused["responseStatus"]["code"] == 403
    assert refused["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert refused["objectRef"] == {"resource": "secrets", "namespace": "default", "name": "s",
                                    "apiVersion": "v1"}
    assert entries[-2]["impersonatedUser"]["username"] == "carol"
    assert entries[-1]["user"]["username"] == "system:serviceaccount:default:robot"
    assert len({each["auditID"] for each in entries}) == len(entries) == 6


def test_a_signing_key_may_be_given(tmp_path: Path) -> None:
    """Two servers with one key accept each other's tokens; what is no key is refused."""
    from cryptography.hazmat.primitives import serialization

    from kubeproof.http.tokens import Signer
    first = Signer()
    file = tmp_path / "key.pem"
    file.write_bytes(first.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption()))
    assert Signer(file).verified(first.sign({"sub": "x"})) == {"sub": "x"}
    assert Signer().verified(first.sign({"sub": "x"})) is None
    file.write_text("no key")
    with pytest.raises(InputError, match="is no private key"):
        Signer(file)
    with pytest.raises(InputError, match="cannot be read"):
        Signer(tmp_path / "missing.pem")


@pytest.mark.parametrize("flag", ["--disable-admission-plugins", "--enable-admission-plugins"])
def test_a_misspelt_plugin_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, with the names that there are."""
    from kubeproof.cli import main
    assert main(["serve", "--port", "1", flag, "ResourceQota"]) == 2
    assert "there is no admission plug-in 'ResourceQota'" in capsys.readouterr().err
