"""The page for people, in a real browser: live objects, routes, history, and stepping."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served_process import TOKEN, Served

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: Any, served: Served, width: int = 1280) -> tuple[Any, list[str]]:
    """The page with a token, and the errors that it has."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(f"{served.url}/ui#token={TOKEN}")
    return page, errors


def pod(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "web:1",
                                     "ports": [{"containerPort": 80}]}]}}


def test_the_page_follows_the_cluster(browser: Any, tmp_path: Path) -> None:
    """A pod and the route to it appear while the page is open, and fit small windows."""
    with Served(tmp_path, "--nodes", "2") as served:
        page, errors = opened(browser, served)
        page.locator(".node h3", has_text="node-2").wait_for()
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
                   "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
        assert served.http.post("/api/v1/namespaces/default/services",
                                json=service).status_code == 201
        page.get_by_text("refused: no ready end").wait_for()
        assert served.http.post(PODS, json=pod("web-1")).status_code == 201
        page.locator(".pod.running", has_text="web-1").wait_for(timeout=15_000)
        page.locator(".end", has_text="web-1").wait_for(timeout=15_000)
        assert "100 %" in page.locator(".end", has_text="web-1").inner_text()
        assert page.get_by_text("all properties hold").is_visible()
        assert page.locator("#lanes circle").count() > 20
        assert "scheduler" in page.locator("#lanes").inner_text()
        assert not page.locator("#steps").is_visible()
        assert TOKEN not in page.url
        page.set_viewport_size({"width": 400, "height": 800})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 400
        assert errors == []


def test_the_page_steps_the_cluster(browser: Any, tmp_path: Path) -> None:
    """With speed `step` nothing moves by itself; buttons move it, step by step or until quiet."""
    from playwright.sync_api import expect
    with Served(tmp_path, "--components", "apiserver,etcd", "--speed", "step",
                ready=False) as served:
        page, errors = opened(browser, served)
        button = page.get_by_role("button", name="Step", exact=True)
        button.wait_for()
        before = int(page.locator("#count").inner_text())
        button.click()
        expect(page.locator("#count")).to_have_text(str(before + 1))
        assert served.http.get("/readyz").status_code == 500
        page.get_by_role("button", name="Until nothing is ready").click()
        expect(page.locator("#ready")).to_have_text("0")
        assert served.http.get("/readyz").status_code == 200
        assert errors == []


def test_without_a_token_the_page_asks(browser: Any, tmp_path: Path) -> None:
    """It shows nothing to those who may not see it, and lets them say who they are."""
    with Served(tmp_path, "--components", "apiserver,etcd") as served:
        assert served.http.get("/debug/state", headers={"Authorization": ""}).status_code == 403
        page = browser.new_page()
        page.goto(f"{served.url}/ui")
        page.get_by_text("Who are you?").wait_for()
        assert not page.locator("#main").is_visible()
        page.get_by_label("Bearer token").fill(TOKEN)
        page.get_by_role("button", name="Show the cluster").click()
        page.locator(".service h3", has_text="kubernetes").wait_for()


def test_stepping_by_request(tmp_path: Path) -> None:
    """`POST /debug/step` takes steps and says how many; bad counts and other speeds are refused."""
    with Served(tmp_path, "--components", "apiserver,etcd") as served:
        refused = served.http.post("/debug/step?count=1")
        assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")
    with Served(tmp_path, "--components", "apiserver,etcd", "--speed", "step",
                ready=False) as served:
        for bad in ("", "?count=0", "?count=x", "?count=10001", "?count=-1"):
            assert served.http.post(f"/debug/step{bad}").status_code == 400
        assert served.http.get("/debug/step").status_code == 405
        assert served.http.post("/debug/step?count=2").json() == {"taken": 2}
        while served.http.post("/debug/step?count=100&clock=no").json()["taken"]:
            pass
        state = served.http.get("/debug/state?since=0").json()
        assert (state["speed"], state["ready"]) == ("step", 0)
        assert [entry["step"] for entry in state["timeline"]] == list(
            range(1, len(state["timeline"]) + 1))
