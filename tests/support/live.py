"""A watched run, its server, and requests to it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rbflex_evo.engine.live_report.page import LivePage
from rbflex_evo.engine.live_report.server import LiveServer
from rbflex_evo.engine.run.journal import encode, evaluation_line
from tests.support.runs import evaluations

TOLD = evaluations()


def append(folder: Path, number: int) -> None:
    """Appends one evaluation to the journal, as a search does."""
    with open(folder / "journal.jsonl", "ab") as journal:
        journal.write(encode(evaluation_line("evaluation", number, TOLD[number], 5.0 + number)))


@contextmanager
def served(folder: Path) -> Iterator[LiveServer]:
    with LiveServer(LivePage(folder)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: LiveServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Returns the status, the headers and the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    connection.close()
    return found
