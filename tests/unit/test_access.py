"""Who may do what: roles, nodes, impersonation, tokens, and what nobody may give away."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_client import Cluster

from model.api.objects import freeze, rest_fields
from model.api.requests import Impersonation, Patch, Request, create, delete, get, list_, patch
from reference_impl.apiserver.access import (
    authentication,
    authorization,
    default_roles,
    rbac,
    service_account_tokens,
)
from reference_impl.apiserver.access.known import Known
from reference_impl.apiserver.access.rbac import Attributes
from reference_impl.apiserver.outside import decode, encode
from reference_impl.apiserver.state import User

RBAC = "rbac.authorization.k8s.io/v1"
ALICE = Impersonation("alice", ("dev",))


def role(name: str, *rules: dict[str, list[str]], kind: str = "Role") -> Any:
    """A role in `default`, or a cluster role."""
    metadata = {"name": name} | ({"namespace": "default"} if kind == "Role" else {})
    return freeze({"apiVersion": RBAC, "kind": kind, "metadata": metadata, "rules": list(rules)})


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> dict[str, list[str]]:
    """A rule about resources of one group."""
    made = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return made | ({"resourceNames": names.split()} if names else {})


def binding(name: str, of: str, user: str, kind: str = "Role") -> Any:
    """A binding of a user to a role in `default`."""
    return freeze({"apiVersion": RBAC, "kind": "RoleBinding",
                   "metadata": {"name": name, "namespace": "default"},
                   "subjects": [{"kind": "User", "name": user,
                                 "apiGroup": "rbac.authorization.k8s.io"}],
                   "roleRef": {"kind": kind, "name": of,
                               "apiGroup": "rbac.authorization.k8s.io"}})


def acting(request: Request, who: Impersonation = ALICE) -> Request:
    """The request, made for somebody else."""
    return request._replace(impersonate=who)


MANAGER = (rule("create get list patch", "roles rolebindings", "rbac.authorization.k8s.io"),
           rule("get list", "pods"))


@pytest.fixture
def cluster() -> Cluster:
    """A cluster in which alice hands out roles in `default`."""
    made = Cluster()
    assert made.ask(create(role("manager", *MANAGER))).code == 201
    assert made.ask(create(binding("alice", "manager", "alice"))).code == 201
    return made


# ---- roles -------------------------------------------------------------------------------------


def test_the_default_roles_are_those_of_the_release() -> None:
    """As many as release 1.32 has; the aggregated ones hold what their parts give."""
    roles = {each.metadata.name: each for each in default_roles.roles()}
    assert (len(roles), len(default_roles.bindings())) == (65, 46)
    parts = [set(roles[name].rules or ()) for name in ("view", "edit", "admin")]
    assert parts[0] < parts[1] < parts[2]
    assert [len(roles[name].rules or ()) for name in ("view", "edit", "admin")] == [10, 23, 25]


def test_a_role_joins_the_aggregated_ones(cluster: Cluster) -> None:
    """What is labelled for `view` is in view, edit and admin, and leaves with its role."""
    extra = role("things", rule("get", "things", "example.com"), kind="ClusterRole")
    labels = (("rbac.authorization.k8s.io/aggregate-to-view", "true"),)
    cluster.ask(create(extra._replace(metadata=extra.metadata._replace(labels=labels))))
    for name in ("view", "edit", "admin"):
        assert set(extra.rules) <= set(cluster.cache["clusterroles"][name].rules)
    cluster.ask(delete("clusterroles", "", "things"))
    for name in ("view", "edit", "admin"):
        assert not set(extra.rules) & set(cluster.cache["clusterroles"][name].rules)


COVERING = [
    (rule("get", "pods"), rule("*", "*", "*"), ""),
    (rule("*", "pods"), rule("get list", "pods"), '{APIGroups:[""], Resources:["pods"], '
                                                   'Verbs:["*"]}'),
    (rule("get list", "pods secrets"), rule("get list", "pods"),
     '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'),
    (rule("get", "pods/log"), rule("get", "*/log"), ""),
    (rule("get", "pods"), rule("get", "pods", names="a"),
     '{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'),
    (rule("get", "pods", names="a b"), rule("get", "pods", names="a"),
     '{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}'),
]


@pytest.mark.parametrize(("wanted", "owned", "missing"), COVERING)
def test_which_rules_cover_which(wanted: Any, owned: Any, missing: str) -> None:
    """What is missing is told in the smallest pieces, verbs of one thing together."""
    rules = [role("r", each).rules for each in (wanted, owned)]
    assert rbac.compact(rbac.uncovered(*rules)) == ([missing] if missing else [])


def test_nobody_gives_away_what_he_does_not_have(cluster: Cluster) -> None:
    """Neither by a new role nor by a changed one nor by a binding; what he has he may."""
    greedy = cluster.ask(acting(create(role("greedy", rule("get", "secrets")))))
    assert greedy.code == 403
    assert greedy.body.message == (
        'roles.rbac.authorization.k8s.io "greedy" is forbidden: user "alice" (groups=["dev" '
        '"system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}')
    assert cluster.ask(acting(create(role("modest", rule("get", "pods"))))).code == 201
    grown = Patch("json", b'[{"op":"add","path":"/rules/0/resources/-","value":"secrets"}]')
    assert cluster.ask(acting(patch("roles", "default", "modest", grown))).code == 403
    assert cluster.ask(acting(create(binding("b", "modest", "bob")))).code == 201
    assert cluster.ask(acting(create(binding("c", "edit", "bob", "ClusterRole")))).code == 403
    missing = cluster.ask(acting(create(binding("d", "nosuch", "bob"))))
    assert (missing.code, missing.body.message) == (
        404, 'role.rbac.authorization.k8s.io "nosuch" not found')


def test_the_verbs_escalate_and_bind_lift_the_ban(cluster: Cluster) -> None:
    """Whoever has them may give away more than he has."""
    more = role("more", rule("escalate", "roles", "rbac.authorization.k8s.io"),
                rule("bind", "clusterroles", "rbac.authorization.k8s.io", "edit"))
    assert cluster.ask(create(more)).code == 201
    assert cluster.ask(create(binding("alice-more", "more", "alice"))).code == 201
    assert cluster.ask(acting(create(role("greedy", rule("get", "secrets"))))).code == 201
    assert cluster.ask(acting(create(binding("c", "edit", "bob", "ClusterRole")))).code == 201
    assert cluster.ask(acting(create(binding("d", "admin", "bob", "ClusterRole")))).code == 403


def test_a_binding_to_a_role_that_is_missing_is_told(cluster: Cluster) -> None:
    """The refusal says which role does not exist."""
    cluster.ask(create(binding("lost", "nosuch", "carol")))
    refused = cluster.ask(acting(list_("pods", "default"), Impersonation("carol")))
    assert refused.body.message.endswith(
        'in the namespace "default": RBAC: role.rbac.authorization.k8s.io "nosuch" not found')


# ---- acting for others -------------------------------------------------------------------------


def test_only_who_may_impersonate_does(cluster: Cluster) -> None:
    """The right is asked for the user, then for each group."""
    asked = acting(list_("pods", "default"))
    assert cluster.ask(asked).code == 200
    stranger = Cluster("kubectl/mallory")
    refused = stranger.ask(asked)
    assert refused.body.message == ('users "alice" is forbidden: User "mallory" cannot impersonate '
                                    'resource "users" in API group "" at the cluster scope')
    nobody = cluster.ask(acting(list_("pods"), Impersonation("", ("dev",))))
    assert nobody.code == 500


def test_an_impersonated_account_has_its_groups() -> None:
    """As if it had authenticated itself."""
    found = authentication.impersonated(Impersonation("system:serviceaccount:team:robot"))
    assert isinstance(found, User)
    assert found.groups == ("system:serviceaccounts", "system:serviceaccounts:team",
                            "system:authenticated")


def test_an_impersonation_survives_its_text() -> None:
    """What a trace holds is the same request."""
    wish = Impersonation("alice", ("a", "b"), "7", (("scopes", ("x", "y")),))
    request = acting(list_("pods"), wish)
    assert decode(encode(request)) == request


# ---- nodes -------------------------------------------------------------------------------------


def bound_pod(name: str = "web") -> Any:
    """A pod on node-1 that names a secret, a config map and a claim."""
    return freeze({"apiVersion": "v1", "kind": "Pod",
                   "metadata": {"name": name, "namespace": "default"},
                   "spec": {"nodeName": "node-1", "serviceAccountName": "robot", "containers": [{
                       "name": "c", "image": "i", "env": [{"name": "E", "valueFrom": {
                           "secretKeyRef": {"name": "named", "key": "k"}}}]}],
                       "imagePullSecrets": [{"name": "pull"}],
                       "volumes": [{"name": "v", "configMap": {"name": "settings"}},
                                   {"name": "w", "persistentVolumeClaim": {
                                       "claimName": "disk"}}]}})


NODE_ASKS = [
    (Attributes("get", "", "secrets", "default", "named"), True),
    (Attributes("get", "", "secrets", "default", "pull"), True),
    (Attributes("get", "", "secrets", "default", "other"), False),
    (Attributes("get", "", "secrets", "team", "named"), False),
    (Attributes("list", "", "secrets", "default"), False),
    (Attributes("get", "", "configmaps", "default", "settings"), True),
    (Attributes("get", "", "persistentvolumeclaims", "default", "disk"), True),
    (Attributes("create", "", "serviceaccounts/token", "default", "robot"), True),
    (Attributes("create", "", "serviceaccounts/token", "default", "default"), False),
    (Attributes("get", "", "pods", "default", "web"), True),
    (Attributes("get", "", "pods", "default", "elsewhere"), False),
    (Attributes("list", "", "pods", "", "", "", "spec.nodeName=node-1"), True),
    (Attributes("list", "", "pods", "", "", "", "spec.nodeName=node-2"), False),
    (Attributes("list", "", "pods"), False),
    (Attributes("get", "", "nodes", "", "node-1"), True),
    (Attributes("get", "", "nodes", "", "node-2"), False),
    (Attributes("delete", "", "nodes", "", "node-1"), False),
    (Attributes("update", "coordination.k8s.io", "leases", "kube-node-lease", "node-1"), True),
    (Attributes("update", "coordination.k8s.io", "leases", "kube-node-lease", "node-2"), False),
    (Attributes("update", "coordination.k8s.io", "leases", "default", "node-1"), False),
    (Attributes("list", "", "services"), True),
    (Attributes("create", "apps", "deployments", "default"), False),
]


@pytest.fixture(scope="module")
def pods_of_a_node() -> Any:
    """The cache of a server that knows one bound pod."""
    cluster = Cluster(disable_admission_plugins="ServiceAccount")
    assert cluster.ask(create(bound_pod())).code == 201
    return cluster.cache


@pytest.mark.parametrize(("asked", "answer"), NODE_ASKS)
def test_a_kubelet_touches_only_what_is_its_own(pods_of_a_node: Any, asked: Attributes,
                                                answer: bool) -> None:
    """Its node, its pods, and what those name."""
    kubelet = authentication.component("kubelet/node-1", asked.verb)
    assert authorization.decide(kubelet, asked, pods_of_a_node).allowed is answer


# ---- tokens of accounts ------------------------------------------------------------------------


def account(name: str = "robot") -> Any:
    """A service account in `default`."""
    return freeze({"apiVersion": "v1", "kind": "ServiceAccount",
                   "metadata": {"name": name, "namespace": "default"}})


def asked_token(cluster: Cluster, **spec: Any) -> Any:
    """The reply to a request for a token of `robot`."""
    body = freeze({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
    return cluster.ask(Request("create", "serviceaccounts", "default", "robot", "token", body))


def token_of(reply: Any) -> str:
    """The token in a reply."""
    assert reply.code == 201, reply.body
    token: str = rest_fields(reply.body)["status"]["token"]
    return token


def code_with(cluster: Cluster, token: str) -> int:
    """What a request under a token comes to: 401, or 403 because the account may do nothing."""
    code: int = cluster.ask(list_("pods", "default")._replace(token=token)).code
    return code


def test_a_token_ends_with_its_account() -> None:
    """Another account of the same name does not bring it back."""
    cluster = Cluster()
    cluster.ask(create(account()))
    token = token_of(asked_token(cluster))
    assert code_with(cluster, token) == 403
    cluster.ask(delete("serviceaccounts", "default", "robot"))
    assert code_with(cluster, token) == 401
    cluster.ask(create(account()))
    assert code_with(cluster, token) == 401
    assert code_with(cluster, token_of(asked_token(cluster))) == 403


def test_a_token_is_good_at_once_though_the_cache_lags() -> None:
    """What the cache lacks is asked of the store."""
    cluster = Cluster()
    cluster.ask(create(account()))
    token = token_of(asked_token(cluster))
    claims = service_account_tokens.claims_of(token)
    assert claims is not None
    nothing = Known(cluster.cache.set("serviceaccounts", cluster.cache["serviceaccounts"].drop(
        "default/robot")), cluster.world.now)
    wanted = service_account_tokens.holder(token, nothing)
    assert wanted == ("serviceaccounts", "default/robot")


def test_a_bound_token_ends_with_what_it_is_bound_to() -> None:
    """A pod that is gone, or is another one, makes its token useless."""
    cluster = Cluster(disable_admission_plugins="ServiceAccount")
    cluster.ask(create(account()))
    cluster.ask(create(bound_pod()))
    token = token_of(asked_token(cluster, boundObjectRef={
        "kind": "Pod", "apiVersion": "v1", "name": "web"}))
    assert code_with(cluster, token) == 403
    cluster.ask(delete("pods", "default", "web", grace_period_seconds=0))
    assert code_with(cluster, token) == 401


def test_a_token_ends_in_time() -> None:
    """By the clock of the cluster."""
    cluster = Cluster()
    cluster.ask(create(account()))
    token = token_of(asked_token(cluster, expirationSeconds=600))
    cluster.world = cluster.system.at_time(cluster.world, cluster.world.now + 599_000)
    assert code_with(cluster, token) == 403
    cluster.world = cluster.system.at_time(cluster.world, cluster.world.now + 2_000)
    assert code_with(cluster, token) == 401


REFUSED_TOKENS: list[tuple[dict[str, Any], int, str]] = [
    ({"expirationSeconds": 599}, 422,
     'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value'),
    ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
    ({"expirationSeconds": 2**32 + 1}, 422, "may not specify a duration larger than 2^32 seconds"),
    ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "no"}}, 404, "not found"),
    ({"boundObjectRef": {"kind": "Service", "apiVersion": "v1", "name": "no"}}, 400,
     "cannot bind token to object of type v1, Kind=Service"),
]


@pytest.mark.parametrize(("spec", "code", "text"), REFUSED_TOKENS)
def test_tokens_that_are_not_made(spec: dict[str, Any], code: int, text: str) -> None:
    """Too short, too long, bound to nothing."""
    cluster = Cluster()
    cluster.ask(create(account()))
    reply = asked_token(cluster, **spec)
    assert reply.code == code
    assert text in reply.body.message


def test_a_token_for_others_is_not_for_the_server() -> None:
    """An audience that is not the server's own: 401, but a review for that audience accepts it."""
    cluster = Cluster()
    cluster.ask(create(account()))
    token = token_of(asked_token(cluster, audiences=["vault"]))
    assert code_with(cluster, token) == 401
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
              "spec": {"token": token, "audiences": ["vault", "other"]}}
    status = rest_fields(cluster.ask(create(freeze(review))).body)["status"]
    assert status["authenticated"]
    assert status["audiences"] == ["vault"]
    assert status["user"]["username"] == "system:serviceaccount:default:robot"


@pytest.mark.parametrize("token", ["jwt:{}", "jwt:[]", "jwt:x", 'jwt:{"aud":1,"nbf":0,"exp":9}',
                                   'jwt:{"iss":"kubernetes/serviceaccount"}', "t9", "?"])
def test_what_is_no_token_is_refused(token: str) -> None:
    """401, and the server goes on."""
    cluster = Cluster()
    assert code_with(cluster, token) == 401
    assert cluster.ask(get("namespaces", "", "default")).code == 200


def test_the_rules_of_a_user_are_listed(cluster: Cluster) -> None:
    """Those of the cluster and those of the namespace, as they are written."""
    body = freeze({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
                   "spec": {"namespace": "default"}})
    reply = cluster.ask(acting(create(body)))
    assert reply.code == 201
    status = rest_fields(reply.body)["status"]
    assert {"verbs": ["get", "list"], "apiGroups": [""],
            "resources": ["pods"]} in status["resourceRules"]
    assert not status["incomplete"]
