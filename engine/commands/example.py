"""``example``: the example configurations of the package."""

from __future__ import annotations

from typing import Annotated

import typer

from rbflex_evo.engine.configuration.examples import example_names, read_example
from rbflex_evo.engine.terminal.wording import columns


def example(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="An example's name; without it, all are listed.")] = None,
) -> None:
    """Print an example configuration, or list all of them.

    To copy one into a file: rbflex-evo example quickstart > my.yaml.
    """
    if name is not None:
        print(read_example(name), end="")
        return
    print("\n".join(columns([(known, _first_comment(read_example(known))) for known in example_names()])))


def _first_comment(text: str) -> str:
    return text.partition("\n")[0].removeprefix("#").strip()
