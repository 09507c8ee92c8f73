"""``watch``: the report of a run as a local page that renews itself."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import RunPath

PORT = 8765


def watch(
    run: RunPath,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes any free one.")] = PORT,
) -> None:
    """Show the report of a run in the browser while the search runs.

    Serves one page at 127.0.0.1 and prints its address; the page renews itself when the journal grows. Nothing is written. Ctrl-C
    ends it.
    """
    from rbflex_evo.engine.live_report.page import LivePage
    from rbflex_evo.engine.live_report.server import LiveServer

    with LiveServer(LivePage(run), port) as server:
        print(f"{run} is shown at {server.url} until Ctrl-C", flush=True)
        server.serve_forever()
