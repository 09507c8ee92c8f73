"""What the README shows works as it is printed."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.__main__ import commands

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_every_command_and_configuration_that_it_names_exists():
    from rbflex_evo.engine.commands.app import app

    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    known |= {command.callback.__name__ for command in app.registered_commands}
    for command in re.findall(r"`rbflex-evo (\w+)", README):
        assert command in known
    for path in re.findall(r"\(((?:configs|examples)/[\w./]+)\)", README):
        assert (Path(__file__).parent.parent / path).exists()
    for name in re.findall(r"python -m benchmarks ([a-z]\w+)", README):
        assert name in commands()
