"""`kubeproof serve`: the API server over HTTP, with the simulated cluster behind it."""

from __future__ import annotations

import argparse
import contextlib
import csv
import ipaddress
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.kernel.errors import InputError

if TYPE_CHECKING:
    from kubeproof.http.engine import Engine
    from kubeproof.http.real_etcd import Gateway
    from model.api.scenario import Scenario

HELP = "serve the API over HTTP, with the simulated cluster behind it, for real clients"
PARTS = ("apiserver", "etcd", "controllers", "scheduler", "kubelet", "proxy", "cloud",
         "no-anonymous")
CONTROL_PLANE_ADDRESS = "192.168.100.10"
"""Where the simulated machines would find the API server."""
DEFAULT_PARTS = "apiserver,etcd,controllers,scheduler,kubelet,proxy,cloud"
SPEEDS = ("real", "max", "step")
# A witness shows that exploration gets somewhere; a goal is judged once faults have ended.
NOT_JUDGED = ("sometimes", "leads_to")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--components", dest="parts", default=DEFAULT_PARTS, metavar="PART,…",
                        help=f"which of {', '.join(PARTS)} run")
    parser.add_argument("--nodes", type=int, metavar="N", help="how many machines")
    parser.add_argument("--scenario", default="worked-example", metavar="FILE")
    parser.add_argument("--speed", choices=SPEEDS, default="real",
                        help="real: as fast as the wall clock; max: nobody waits for a timer; "
                        "step: only by command (default real)")
    parser.add_argument("--record", type=Path, metavar="TRACE",
                        help="write all that happens to a trace that `kubeproof replay` takes")
    parser.add_argument("--record-secrets", action="store_true",
                        help="with the data of Secrets, instead of placeholders")
    parser.add_argument("--no-check", dest="check", action="store_false",
                        help="do not check the properties while serving")
    parser.add_argument("--etcd", metavar="URL",
                        help="keep the objects in a real etcd, through its v3 JSON API")
    parser.add_argument("--token-auth-file", type=Path, metavar="CSV",
                        help='lines of token,user,uid,"group,group"; without it one administrator '
                        "is made up")
    parser.add_argument("--service-account-signing-key-file", type=Path, metavar="PEM",
                        help="the RSA key that signs service account tokens (default: a new one)")
    parser.add_argument("--audit-log", type=Path, metavar="FILE",
                        help="append who asked what to this file, one JSON object a line")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE",
                        help="write what a client needs to be the first user")
    parser.add_argument("--insecure", action="store_true",
                        help="HTTP without encryption; kubectl sends no token over it")
    parser.add_argument("--cert-dir", type=Path, metavar="DIR",
                        help="serve with apiserver.crt and apiserver.key of this folder; made "
                             "there, self-signed, when missing (default: made for this run)")
    parser.add_argument("--disable-admission-plugins", default="", metavar="NAME,…")
    parser.add_argument("--enable-admission-plugins", default="", metavar="NAME,…")
    parser.add_argument("--release", default="1.32")


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted. 1 when a property was violated meanwhile."""
    import uvicorn

    from kubeproof.http import wire
    from kubeproof.http.app import App
    from kubeproof.http.real_etcd import Gateway
    from kubeproof.http.tokens import Signer, Tokens

    parts = _parts(options.parts)
    entries = _tokens(options.token_auth_file) or [_administrator()]
    _refuse_open_door(options, parts)
    _refuse_unknown_plugins(options)
    tokens = Tokens(entries, Signer(options.service_account_signing_key_file))
    scenario = _scenario(options, parts, tokens.users)
    pair = None if options.insecure else _certificate(options.cert_dir, options.host)
    wires = wire.Wires()
    # The store outside brings its replies to an engine that asks it from its first step on.
    gateway = None if options.etcd is None else Gateway(
        _store(options.etcd), lambda action: engine.take(action))
    engine = _engine(options, scenario, gateway)
    app = App(engine, tokens, "no-anonymous" not in parts, cut=wires.cut, gateway=gateway)
    front: Any = app
    if options.audit_log is not None:
        from kubeproof.http.audit import Audit
        front = Audit(app, options.audit_log)
    config = uvicorn.Config(front, host=options.host, port=options.port, log_level="warning",
                            access_log=False, timeout_graceful_shutdown=1, http=wires.protocol(),
                            ssl_certfile=pair and pair[0], ssl_keyfile=pair and pair[1])
    config.load()
    authority = pair[0].read_bytes() if pair is not None else b""
    if pair is not None and options.cert_dir is None:
        shutil.rmtree(pair[0].parent)  # read by now; what was made for this run is not kept
    url = f"{'http' if pair is None else 'https'}://{_shown(options.host)}:{options.port}"
    if options.kubeconfig is not None:
        wire.write_kubeconfig(options.kubeconfig, url, entries[0][0], authority)
    _welcome(options, parts, url, entries[0][0])
    # Both signals end a server in the usual way: the recording is sealed, the verdict is given.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run()
    finally:
        _farewell(engine, options)
    return 1 if engine.violated else 0


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in parts:
        if part not in PARTS:
            raise InputError(f"there is no component {part!r}", where="--components",
                             fix="one or more of " + ", ".join(PARTS))
    return parts


def _refuse_unknown_plugins(options: argparse.Namespace) -> None:
    """A misspelt plug-in would silently stay as it is."""
    from reference_impl.apiserver.access import admission
    for flag, known in (("--disable-admission-plugins", (*admission.NAMES,
                                                         *admission.WITHOUT_EFFECT)),
                        ("--enable-admission-plugins", admission.NAMES)):
        text = getattr(options, flag[2:].replace("-", "_"))
        for name in filter(None, (part.strip() for part in text.split(","))):
            if name not in known:
                raise InputError(f"there is no admission plug-in {name!r}", where=flag,
                                 fix="one or more of " + ", ".join(sorted(known)))


def _refuse_open_door(options: argparse.Namespace, parts: tuple[str, ...]) -> None:
    """Beyond this machine, only those with a token may enter, and only encrypted."""
    try:
        inside = options.host == "localhost" or ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        inside = False
    if inside:
        return
    if "no-anonymous" not in parts or options.token_auth_file is None:
        raise InputError(f"{options.host} can be reached from other machines", where="--host",
                         fix="require tokens: --components …,no-anonymous --token-auth-file CSV")
    if options.insecure:
        raise InputError("tokens would travel unencrypted", where="--insecure",
                         fix="leave it out, or listen on 127.0.0.1")


def _store(url: str) -> str:
    """The address of an etcd. InputError when it is none."""
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url!r} is no address of an etcd", where="--etcd",
                         fix="for example http://127.0.0.1:2379")
    return url


def _administrator() -> tuple[str, Any]:
    import secrets

    from reference_impl.apiserver.state import User
    return secrets.token_urlsafe(24), User("kubernetes-admin", "", ("system:masters",))


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


def _certificate(folder: Path | None, host: str) -> tuple[Path, Path]:
    """The certificate and key to serve with. InputError when one of them is missing or the folder
    cannot be used."""
    from kubeproof.http.certificate import self_signed
    if folder is None:
        return self_signed(Path(tempfile.mkdtemp(prefix="kubeproof-")), host)
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


def _scenario(options: argparse.Namespace, parts: tuple[str, ...],
              users: dict[str, Any]) -> Scenario:
    """The scenario with the chosen components and users, beginning now."""
    from kubeproof.http import served
    from kubeproof.options import load_scenario
    from model.api.objects import EPOCH

    scenario = load_scenario(options.scenario)
    if options.nodes is not None:
        scenario = scenario.with_nodes(options.nodes)
    off = options.disable_admission_plugins
    if "scheduler" in parts and "controllers" not in parts:
        # Nobody would make the accounts, and nobody would take the taints away.
        off += ",ServiceAccount,TaintNodesByCondition"
    scenario = replace(scenario, release=options.release,
                       service_range="10.96.0.0/16" if options.release != "1.3"
                       else scenario.service_range)
    started = int((datetime.now(UTC) - EPOCH).total_seconds() * 1000)
    store = {}
    if options.etcd is not None:
        # A server that comes back to its objects must not give their names and uids again.
        scenario = replace(scenario, seed=started)
        store = {"serve-etcd": "outside"}
    return served.scenario_of(scenario, parts, users, started, {
        **store, "disable-admission-plugins": off,
        "enable-admission-plugins": options.enable_admission_plugins,
        "watch-cache-size": "1000", "scheduler-scores": "kept",
        "field-management": "yes", "pod-removal": "marked",
        "advertise-address": CONTROL_PLANE_ADDRESS})


def _engine(options: argparse.Namespace, scenario: Scenario, gateway: Gateway | None) -> Engine:
    """The running system, checked and recorded as the flags say."""
    from kubeproof.http import served
    from kubeproof.http.engine import Engine
    from kubeproof.http.secrecy import Veil
    from model.api.scenario_file import to_document
    from model.kernel.property import Checker, Violation
    from traces.history import History
    from traces.record import Recorder

    def report(violation: Violation) -> None:
        replay = f"\n  replay it: kubeproof replay {options.record}" if options.record else ""
        print(f"VIOLATED: {violation.property.replace('_', ' ')}\n  {violation.message}{replay}",
              file=sys.stderr, flush=True)

    system = served.build(scenario)
    checker = None
    if options.check:
        from kubeproof.explorer import all_properties
        checker = Checker(system, served.judged(
            (p for p in all_properties() if p.kind not in NOT_JUDGED), scenario.settings))
    record = None
    if options.record is not None:
        start = History(to_document(scenario), ())
        record = (Recorder(options.record, start) if options.record_secrets
                  else Recorder(options.record, start, veil=Veil()))
    return Engine(system, speed=options.speed, checker=checker, record=record, report=report,
                  abroad=None if gateway is None else gateway.heard)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _welcome(options: argparse.Namespace, parts: tuple[str, ...], url: str, token: str) -> None:
    print(f"serving {', '.join(parts)} on {url}")
    if options.kubeconfig is not None:
        print(f"  kubectl --kubeconfig {options.kubeconfig} get nodes")
    elif options.token_auth_file is None:
        # Made up for this run, and shown this once: nobody could use it otherwise.
        skip = "" if options.insecure else " --insecure-skip-tls-verify"
        print(f"  kubectl --server {url} --token {token}{skip} get nodes")
    if options.token_auth_file is None:
        print(f"  {url}/ui#token={token}")
    sys.stdout.flush()


def _farewell(engine: Engine, options: argparse.Namespace) -> None:
    """Seal the recording, and say what was violated."""
    from kubeproof.failures import provenance
    engine.stop(provenance())
    for name, times in sorted(engine.violated.items()):
        print(f"violated {times} times: {name.replace('_', ' ')}", file=sys.stderr)
    if engine.violated and options.record is not None:
        print(f"replay it: kubeproof replay {options.record}", file=sys.stderr)
