"""What the README shows works as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.slow
def test_the_example_of_a_space_passes_its_checks_and_is_searched(tmp_path):
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "DepthEncoding" in block)
    script = tmp_path / "depths.py"
    smaller = f'"name=depths", "runs={tmp_path}", "cache=off", "data.n=6", "data.shape=[3,8,8]",'
    script.write_text(code.replace('"name=depths",', smaller))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=Path(__file__).parent.parent, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"k\d(-k\d)*", done.stdout.strip())
    assert (tmp_path / "depths" / "report.html").exists()


def test_every_command_and_configuration_that_it_names_exists():
    from engine.cli import app

    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    known |= {command.callback.__name__ for command in app.registered_commands}
    for command in re.findall(r"`rbflex-evo (\w+)", README):
        assert command in known
    for path in re.findall(r"\((configs/\w+\.yaml)\)", README):
        assert (Path(__file__).parent.parent / path).exists()
    for module in re.findall(r"benchmarks\.(\w+)", README):
        assert (Path(__file__).parent.parent / "benchmarks" / f"{module}.py").exists()
