"""A real browser, if one is installed, that shows a page."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

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


class Tab:
    """A page that stays open, spoken to by Chromium's debugging protocol over a pipe.

    Args:
        url: Address of the page.
        profile: Folder for the browser's files.
    """

    def __init__(self, url: str, profile: Path, *options: str) -> None:
        self.messages: list[dict[str, Any]] = []
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [str(BROWSER), *QUIET, f"--user-data-dir={profile}", "--remote-debugging-pipe", *options, "about:blank"]

        def arranged() -> None:
            """Gives the browser descriptors 3, which it reads, and 4, which it writes."""
            reads, writes = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        self._process = subprocess.Popen(
            command, close_fds=False, preexec_fn=arranged, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._unread, self._number, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Log.enable")
        self.call("Runtime.enable")
        self.call("Page.enable")
        self.call("Page.navigate", url=url)
        while not any(message.get("method") == "Page.loadEventFired" for message in self.messages):
            self._read()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Returns the browser's answer to a command."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._out, json.dumps(command).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def run(self, script: str) -> Any:
        """Returns the value of an expression in the page, which is waited for if it is a promise."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[dict[str, Any]]:
        """Returns errors of scripts and refused resources so far."""
        return [
            m for m in self.messages if m.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        ]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            piece = os.read(self._in, 2**16)
            assert piece, "the browser has ended"
            self._unread += piece
        text, _, self._unread = self._unread.partition(b"\0")
        message = json.loads(text)
        self.messages.append(message)
        return message

    def __enter__(self) -> "Tab":
        return self

    def __exit__(self, *exception: object) -> None:
        self._session = None
        self.call("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._in)
        os.close(self._out)
