"""The watched report in a real browser; skipped where no Chromium is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import BROWSER, Tab
from tests.support.live import TOLD, append, served
from tests.support.runs import write_run

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

# Promises that are kept when the contents of the page are replaced, and when the page shows that the watch has ended.
REPLACED = """next = new Promise(done => new MutationObserver((_, observer) => {
  observer.disconnect();
  done(document.querySelector("main").innerText);
}).observe(document.body, {childList: true})); 0"""
ENDED = """next = new Promise(done => new MutationObserver(() => done(document.querySelector("main").innerText))
  .observe(document.getElementById("watch"), {attributes: true})); 0"""


@pytest.mark.slow
def test_an_open_page_shows_new_evaluations_without_being_scrolled_and_says_when_the_watch_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Asks every second, however long the drawing takes here.
    monkeypatch.setattr("rbflex_evo.engine.live_report.page.LARGEST_SHARE", 1000.0)
    folder = write_run(tmp_path / "run", TOLD[:1], finished=False, table=False)
    with served(folder) as server, Tab(server.url, tmp_path / "profile", "--window-size=900,500") as tab:
        assert "1 architecture scored" in tab.run("document.querySelector('main').innerText")
        tab.run("document.querySelector('details').open = true; scrollTo(0, 300)")
        tab.run(REPLACED)
        append(folder, 1)
        assert "2 architectures scored" in tab.run("next")
        assert tab.run("scrollY") == 300
        assert tab.run("document.querySelector('details').open") is True
        tab.run(REPLACED)
        write_run(folder, TOLD, table=False)
        assert "Found architecture" in tab.run("next")
        assert tab.run("document.querySelector('button[data-copy]').hidden") is False
        assert tab.run("document.getElementById('watch').hidden") is True
        assert tab.complaints() == []
        tab.run(ENDED)
        server.shutdown()
        server.server_close()
        assert "no longer renewed" in tab.run("next").lower()
