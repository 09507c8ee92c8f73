"""A real browser, if one is installed, that shows a page."""

import shutil
import subprocess
from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--hide-scrollbars",
]


def browse(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess:
    command = [str(BROWSER), *QUIET, f"--user-data-dir={profile}", *options, page.as_uri()]
    shown = subprocess.run(command, capture_output=True, timeout=60, text=True, encoding="utf-8", check=True)
    # Scripts' errors and refused resources are written to the console.
    assert "CONSOLE" not in shown.stderr
    return shown
