"""Takes the pictures of the documentation: `make pictures`. Needs Chromium; the pages that it
shows are those of a server that runs the worked example.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "conformance"))
EXAMPLE = ROOT / "reference_impl" / "scenarios" / "worked-example"
FILES = ("mysql-rc", "mysql-svc", "myweb-rc", "myweb-svc")
PLURALS = {"ReplicationController": "replicationcontrollers", "Service": "services"}
WIDTH, HEIGHT = 1280, 860


def populate(url: str, token: str) -> None:
    """Create the worked example's objects."""
    import yaml
    for name in FILES:
        document = yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text())
        request = urllib.request.Request(
            f"{url}/api/v1/namespaces/default/{PLURALS[document['kind']]}",
            json.dumps(document).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        urllib.request.urlopen(request).close()


def take(url: str, token: str, place: Path) -> None:
    """Show the page to a browser and keep what it sees."""
    from playwright.sync_api import sync_playwright
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"),
                                       args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"{url}/ui#token={token}")
        page.get_by_text("Running").nth(2).wait_for(timeout=30_000)
        page.wait_for_timeout(1_500)
        page.screenshot(path=place)
        browser.close()


def main() -> int:
    """Take them all; 2 when there is no browser."""
    if shutil.which("chromium") is None:
        sys.stderr.write("pictures: chromium is not installed; the pictures stay as they are\n")
        return 2
    import tempfile

    from served_process import TOKEN, Served
    with tempfile.TemporaryDirectory() as folder, Served(Path(folder), "--nodes", "3") as served:
        populate(served.url, TOKEN)
        time.sleep(3)
        take(served.url, TOKEN, ROOT / "docs" / "pictures" / "ui.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
