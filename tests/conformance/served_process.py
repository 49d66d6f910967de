"""A `kubeproof serve` process on a free loopback port, for tests that need a real one."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

TOKEN = "of-the-test"
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """The process, from ready to stopped; `http` is a client with an administrator's token."""

    def __init__(self, folder: Path, *flags: str, secure: bool = False,
                 ready: bool = True) -> None:
        self.port = free_port()
        self.kubeconfig = folder / "kubeconfig"
        tokens = folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n')
        self.url = f"{'https' if secure else 'http'}://127.0.0.1:{self.port}"
        self.log = folder / "served.log"
        command = [sys.executable, "-m", "kubeproof.cli", "serve", "--port", str(self.port),
                   "--token-auth-file", str(tokens), "--kubeconfig", str(self.kubeconfig),
                   *(() if secure else ("--insecure",)), *flags]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT,
                                            env={**os.environ, "PYTHONPATH": str(ROOT)})
        verify: Any = ssl._create_unverified_context() if secure else True
        self.http = httpx.Client(base_url=self.url, verify=verify, timeout=30,
                                 headers={"Authorization": f"Bearer {TOKEN}"})
        self._wait(200 if ready else 0)

    def _wait(self, code: int) -> None:
        """Until the server is ready; with code 0: until it answers at all."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.http.get("/readyz").status_code == code or not code:
                    return
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """Interrupt it as a person would; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.stop()


def config_map(name: str, **data: str) -> bytes:
    """A ConfigMap as a body."""
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                       "data": data}).encode()
