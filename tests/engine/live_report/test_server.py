"""The watched report: what it shows before, during and after a search, who may read it, and that it writes nothing."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.live_report.page import LivePage
from rbflex_evo.engine.live_report.server import LiveServer
from rbflex_evo.engine.run.folder import LOCK
from rbflex_evo.spaces import ConfigError, RunError
from tests.support.interrupted import spawn
from tests.support.live import TOLD, append, ask, served
from tests.support.runs import write_run


def test_the_page_follows_a_run_from_before_its_first_evaluation_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOCK).touch()
    states = []
    with served(folder) as server:

        def look(*words: str) -> None:
            _, _, html = ask(server, "/")
            states.append(ask(server, "/state")[2])
            assert f'data-state="{states[-1]}"' in html
            for word in words:
                assert word in html, word

        look("The search has not written anything yet")
        write_run(folder, [], finished=False, table=False)
        look("This run is unfinished", "Nothing was evaluated")
        append(folder, 0)
        look("This run is unfinished", "<b>1</b> architecture scored", "Best rbflex so far")
        append(folder, 1)
        look("<b>2</b> architectures scored")
        write_run(folder, TOLD, table=False)
        look("finished", "Found architecture")
        (folder / "config.yaml").unlink()
        look("The search has not written anything yet")
    assert len(set(states)) == len(states)


def test_nothing_changes_while_the_folder_does_not_and_nothing_is_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", TOLD, table=False)
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())}
    page = LivePage(folder)
    assert page.html() is page.html()
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())} == before


def test_a_damaged_file_is_said_on_the_page_and_the_page_recovers(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", TOLD, table=False)
    page, text = LivePage(folder), (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(b"{}\n" + text)
    assert "journal.jsonl, line 1 is damaged" in page.html()
    (folder / "journal.jsonl").write_bytes(text)
    assert "Found architecture" in page.html()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with served(write_run(tmp_path_factory.mktemp("served") / "run", TOLD, table=False)) as server:
        yield server


def test_the_server_listens_on_this_machine_only(server: LiveServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}", ""])
def test_a_request_by_another_name_of_this_machine_is_refused(server: LiveServer, host: str) -> None:
    for path in ("/", "/state"):
        status, _, body = ask(server, path, Host=host.format(port=server.server_port))
        assert status == 403 and "report" not in body and not body.isdigit()


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}"])
def test_this_machine_may_read(server: LiveServer, host: str) -> None:
    assert ask(server, "/state", Host=host.format(port=server.server_port))[0] == 200


def test_a_request_without_a_host_is_refused(server: LiveServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest("GET", "/state", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status == 403
    connection.close()


PATHS = ["/config.yaml", "/journal.jsonl", "/report.html", "/../config.yaml", "/..%2fconfig.yaml", "//etc/passwd", "/etc/passwd"]
PATHS += ["/%2e%2e/%2e%2e/etc/passwd", "/state/..", "/?x=../config.yaml", "..", "/./"]


@pytest.mark.parametrize("path", PATHS)
def test_no_file_has_an_address(server: LiveServer, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_only_reading_is_answered(server: LiveServer, method: str) -> None:
    assert ask(server, "/", method)[0] == 501


def test_head_gives_the_headers_of_get_without_the_body(server: LiveServer) -> None:
    got, headed = ask(server, "/state"), ask(server, "/state", "HEAD")
    assert headed[0] == 200 and headed[2] == "" != got[2]
    assert {**headed[1], "date": ""} == {**got[1], "date": ""}


def test_other_sites_can_neither_embed_nor_read_the_page(server: LiveServer) -> None:
    _, headers, html = ask(server, "/")
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
    assert not any(name.startswith("access-control-") for name in headers)
    assert "default-src 'none'" in html and "connect-src 'self'" in html


def test_a_failure_while_drawing_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise ValueError("no page today")

    monkeypatch.setattr("rbflex_evo.engine.live_report.page.report_contents", refused)
    with served(write_run(tmp_path / "run", TOLD, table=False)) as server:
        with pytest.raises(http.client.RemoteDisconnected):
            ask(server, "/")
        assert ask(server, "/state")[0] == 200
    assert capsys.readouterr().err == "failed: ValueError: no page today\n"


def test_a_port_in_use_is_named_with_the_way_out(server: LiveServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run", TOLD, table=False)
    with pytest.raises(ConfigError, match=f"port {server.server_port} of 127.0.0.1 cannot be used: .*by --port"):
        LiveServer(LivePage(folder), server.server_port)
    assert run(["watch", str(folder), "--port", str(server.server_port)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_run_that_does_not_exist_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["watch", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err == (
        f"error: there is no run folder {str(tmp_path / 'nothing')!r}; start one with: rbflex-evo search CONFIG\n"
    )
    (tmp_path / "other").mkdir()
    with pytest.raises(RunError, match=r"is not a run folder: it has no config\.yaml"):
        LivePage(tmp_path / "other")


def test_the_command_prints_its_address_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", TOLD, table=False)
    process: subprocess.Popen[str] = spawn([sys.executable, "-m", "rbflex_evo", "watch", str(folder), "--port", "0"])
    assert process.stdout is not None
    said = process.stdout.readline()
    port = int(said.partition("http://127.0.0.1:")[2].partition("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/state")
    assert connection.getresponse().read().isdigit()
    connection.close()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, "interrupted\n")
    assert said == f"{folder} is shown at http://127.0.0.1:{port}/ until Ctrl-C\n"
