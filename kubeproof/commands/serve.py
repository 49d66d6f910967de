"""`kubeproof serve`: the API server over HTTP, with the simulated cluster behind it."""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.kernel.errors import InputError

HELP = "serve the API over HTTP, with the simulated cluster behind it, for real clients"
PARTS = ("apiserver", "etcd", "controllers", "scheduler", "kubelet", "proxy", "cloud",
         "no-anonymous")
CRASHES_MAX = 1_000_000
DEFAULT_PARTS = "apiserver,etcd,controllers,scheduler,kubelet,proxy,cloud"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--components", dest="parts", default=DEFAULT_PARTS, metavar="PART,…",
                        help=f"which of {', '.join(PARTS)} run")
    parser.add_argument("--nodes", type=int, metavar="N", help="how many machines")
    parser.add_argument("--scenario", default="worked-example", metavar="FILE")
    parser.add_argument("--token-auth-file", type=Path, metavar="CSV",
                        help='lines of token,user,uid,"group,group"')
    parser.add_argument("--cert-dir", type=Path, metavar="DIR",
                        help="serve HTTPS with apiserver.crt and apiserver.key of this folder; "
                             "made there, self-signed, when missing (kubectl sends tokens over "
                             "HTTPS only)")
    parser.add_argument("--disable-admission-plugins", default="", metavar="NAME,…")
    parser.add_argument("--enable-admission-plugins", default="", metavar="NAME,…")
    parser.add_argument("--release", default="1.32")


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    import uvicorn

    from kubeproof.http.app import App, Tokens
    from kubeproof.http.engine import Engine

    parts = _parts(options.parts)
    tokens = Tokens(_tokens(options.token_auth_file))
    anonymous = "no-anonymous" not in parts
    engine = Engine(_system(options, parts, tokens.users, anonymous), wall=time.monotonic)
    app = App(engine, tokens, anonymous)
    certificate, key = _certificate(options.cert_dir, options.host)
    scheme = "https" if certificate else "http"
    print(f"serving {', '.join(parts)} on {scheme}://{options.host}:{options.port}", flush=True)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning",
                access_log=False, timeout_graceful_shutdown=1,
                ssl_certfile=certificate, ssl_keyfile=key)
    return 0


def _certificate(folder: Path | None, host: str) -> tuple[Path | None, Path | None]:
    """The certificate and key to serve with, or none. InputError when one of them is missing or
    the folder cannot be used."""
    from kubeproof.http.certificate import self_signed
    if folder is None:
        return None, None
    pair = folder / "apiserver.crt", folder / "apiserver.key"
    there = [path.exists() for path in pair]
    if any(there) and not all(there):
        raise InputError("a certificate and its key belong together", where=str(folder),
                         fix="both apiserver.crt and apiserver.key, or neither: they are made then")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return pair if all(there) else self_signed(folder, host)
    except OSError as error:
        raise InputError(f"cannot be used: {error.strerror}", where=str(folder)) from None


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in parts:
        if part not in PARTS:
            raise InputError(f"there is no component {part!r}", where="--components",
                             fix="one or more of " + ", ".join(PARTS))
    return parts


def _tokens(path: Path | None) -> list[tuple[str, Any]]:
    """The users of a token file. InputError when a line has fewer than three columns."""
    from reference_impl.apiserver.state import User
    if path is None:
        return []
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    found = []
    for number, row in enumerate(lines, 1):
        if not row:
            continue
        if len(row) < 3:
            raise InputError("a line has a token, a user and a uid", where=f"{path}:{number}",
                             fix='token,user,uid,"group1,group2"')
        groups = tuple(group.strip() for group in row[3].split(",")) if len(row) > 3 else ()
        found.append((row[0], User(row[1], row[2], tuple(group for group in groups if group))))
    return found


def _system(options: argparse.Namespace, parts: tuple[str, ...], users: dict[str, Any],
            anonymous: bool) -> Any:
    """The scenario's system with the chosen components, and a door for outside clients."""
    from kubeproof.options import load_scenario
    from model.api.objects import EPOCH
    from model.kernel.fault import FaultPlan
    from model.kernel.system import System
    from model.kernel.values import FrozenMap
    from reference_impl.apiserver.component import ApiServer, config_of
    from reference_impl.apiserver.outside import Outside
    from reference_impl.cluster import build

    scenario = load_scenario(options.scenario)
    if options.nodes is not None:
        scenario = scenario.with_nodes(options.nodes)
    off = options.disable_admission_plugins
    if "scheduler" in parts and "controllers" not in parts:
        # Nobody would make the accounts, and nobody would take the taints away.
        off += ",ServiceAccount,TaintNodesByCondition"
    settings = {**dict(scenario.settings), "disable-admission-plugins": off,
                "enable-admission-plugins": options.enable_admission_plugins,
                "watch-cache-size": "1000", "scheduler-scores": "kept",
                "workloads": "yes" if "controllers" in parts else "no"}
    scenario = replace(scenario, release=options.release, script=(),
                       service_range="10.96.0.0/16" if options.release != "1.3"
                       else scenario.service_range, settings=tuple(sorted(settings.items())))
    server = ApiServer(config_of(scenario), FrozenMap(users.items()), anonymous)
    chosen = [server if component.name == "apiserver" else component
              for component in build(scenario).components if _runs(component.name, parts)]
    now = datetime.now(UTC)
    # A component that fails is restarted by the fault that stands for a crash.
    crashes = FaultPlan((("crash", CRASHES_MAX),))
    return System((*chosen, Outside()), (), crashes,
                  int((now - EPOCH).total_seconds() * 1000))


def _runs(name: str, parts: tuple[str, ...]) -> bool:
    family = name.partition("/")[0]
    if family in ("apiserver", "etcd"):
        return True
    if family in ("controllers", "cloud"):
        return "controllers" in parts
    return {"kube-proxy": "proxy"}.get(family, family) in parts
