"""A JupyterLab on this computer alone, and a Chromium that opens it. Needs the extra "browser" and a Chromium."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from pictures import FLAGS, find_chromium

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "artifacts" / "browser"
NOTEBOOKS = ("05_alignment.ipynb", "09_lc_rec.ipynb", "11_workbench.ipynb")
_QUIET = {  # JupyterLab's settings: no question about news, and outputs stay in the page when they scroll away
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


def pytest_addoption(parser):
    parser.addoption("--preset", default="fast", help="preset of the notebooks in the browser: fast (default) or tiny")


@pytest.fixture(scope="session")
def preset(request) -> str:
    """The preset that takes the place of the notebooks' own."""
    return request.config.getoption("--preset", "fast")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The system's Chromium; whoever lacks it, or playwright, sees why these tests are skipped."""
    pytest.importorskip("playwright", reason="playwright is missing: pip install -e '.[browser]', or make browser")
    found = find_chromium()
    if found is None:
        pytest.skip("no Chromium was found: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def folder(chromium, preset):
    """Copies of the notebooks with the preset put in; inside the checkout, so that artifacts are shared."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SHOTS, prefix="work-") as place:
        for name in NOTEBOOKS:
            notebook = json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                source = "".join(cell["source"])
                cell["source"] = f'PRESET = "{preset}"' if source.startswith("PRESET =") else source
            (Path(place) / name).write_text(json.dumps(notebook), encoding="utf-8")
        yield Path(place)


@pytest.fixture(scope="session")
def lab(folder):
    """The address of a JupyterLab that runs until the last test is done."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as own:
        log = SHOTS / "jupyterlab.log"
        with log.open("w") as out:
            server = subprocess.Popen(_command(folder, port), stdout=out, stderr=out, env=_environment(Path(own)))
        try:
            _wait(server, f"http://127.0.0.1:{port}/api", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(30)
            server.kill()


def _command(folder: Path, port: int) -> list[str]:
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    values = {"ip": "127.0.0.1", "port": port, "port_retries": 0, "root_dir": folder, "open_browser": False}
    options = [f"--ServerApp.{name}={value}" for name, value in values.items()]
    return [sys.executable, "-m", "jupyterlab", *root, *options, "--IdentityProvider.token="]


def _environment(own: Path) -> dict[str, str]:
    """Nothing of the user's own settings is read or written."""
    for name, values in _QUIET.items():
        path = own / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    names = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    names |= {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data"}
    return os.environ | {name: str(own / place) for name, place in names.items()}


def _wait(server: subprocess.Popen, address: str, log: Path, seconds: int = 90) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start; its last words:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def browser(chromium):
    """One Chromium for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def run_notebook(lab, browser):
    """``run_notebook(name)``: open it, run all its cells, and give the page when the last one is done. The list of
    files is shut, unless ``files`` asks for it."""
    pages = []

    def run(name: str, files: bool = False, width: int = 1500, height: int = 1500):
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.set_default_timeout(30_000)
        page.goto(f"{lab}/lab/workspaces/{Path(name).stem}/tree/{name}")  # else the tabs of the test before come back
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=90_000)
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=90_000)
        if not files:
            page.keyboard.press("Control+b")  # it takes room
        _run_all(page)
        page.wait_for_function(_DONE, timeout=600_000)
        problems = page.locator('[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts()
        assert not problems, problems
        return page

    yield run
    for page in pages:
        page.close()


def _run_all(page) -> None:
    """By the menu; a click that comes before the kernel is connected makes JupyterLab ask for one."""
    from playwright.sync_api import TimeoutError as Late

    page.get_by_text("| Idle").wait_for()
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with contextlib.suppress(Late):
            page.wait_for_function(_STARTED, timeout=6_000)
            return
        if page.locator(".jp-Dialog").is_visible():
            page.locator(".jp-Dialog button.jp-mod-accept").click()
            page.get_by_text("| Idle").wait_for()
    page.screenshot(path=SHOTS / "not_started.png")
    pytest.fail("no cell started; see artifacts/browser/not_started.png")


_STARTED = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
    .some(prompt => /\\[(\\*|\\d+)\\]/.test(prompt.innerText))"""
_DONE = """() => {
    if (document.querySelector('[data-mime-type="application/vnd.jupyter.error"]')) return true
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.innerText)
    return prompts.length > 3 && prompts.every(text => /\\[\\d+\\]/.test(text))
}"""
