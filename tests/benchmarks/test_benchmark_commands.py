"""`python -m benchmarks` lists every command and runs each by its short name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import main

FOLDER = Path(benchmarks.__file__ or "").parent
FILES = [path for path in FOLDER.glob("*/*.py") if path.name != "__init__.py"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=FOLDER.parent, capture_output=True, text=True, check=False)


def test_the_list_names_every_command_with_a_sentence(capsys):
    assert main([]) == 0
    usage, empty, *lines = capsys.readouterr().out.splitlines()
    assert (usage, empty) == ("usage: python -m benchmarks NAME [arguments]", "")
    expected = {path.stem for path in FILES if '__name__ == "__main__"' in path.read_text(encoding="utf-8")}
    listed = dict(line.split(maxsplit=1) for line in lines)
    assert set(listed) == expected
    assert all(sentence.endswith(".") for sentence in listed.values())
    assert max(map(len, lines)) <= 132


def test_every_file_has_a_name_of_its_own():
    assert len({path.stem for path in FILES}) == len(FILES)


def test_the_list_imports_no_command():
    code = "import sys; from benchmarks.__main__ import main; main(['--help']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_refused_with_a_suggestion(capsys):
    assert main(["sped", "--quick"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "no benchmark 'sped'; did you mean 'speed'?\n"


@pytest.mark.parametrize("command", [["benchmarks", "speed"], ["benchmarks.machine.speed"]], ids=" ".join)
def test_a_command_runs_by_its_short_name_and_by_its_module(command):
    done = run(*command, "--help")
    assert done.returncode == 0, done.stderr
    assert "python -m benchmarks speed [--quick]" in done.stdout


def test_the_exit_code_is_that_of_the_command():
    done = run("benchmarks", "overhead", "--evaluations", "1")
    assert done.returncode == 2
    assert "--evaluations must be at least 100" in done.stderr and "usage: python -m benchmarks overhead" in done.stderr
