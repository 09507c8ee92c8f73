"""The table of exit codes in docs/guide/commands.md, by commands that end in each of them; disk errors have the file's name."""

from __future__ import annotations

import errno
import json
import multiprocessing
import multiprocessing.synchronize as synchronize
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.config import as_values
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.fitness.measuring.executors.executor import WorkerError
from rbflex_evo.spaces import FailedError, file_error
from tests.support.instant import toy_config
from tests.support.interrupted import spawn, wait_for_bytes

Write = Callable[..., str]
COMMAND = [sys.executable, "-m", "rbflex_evo"]


@pytest.fixture
def config(tmp_path: Path) -> Write:
    """Writes a small, runnable configuration with changes and returns its path."""

    def write(**changes: Any) -> str:
        small: dict[str, Any] = {"space": "toy", "budget": {"evaluations": 4}, "strategy": "random"}
        values = as_values(toy_config(tmp_path / "runs")) | small | changes
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write


def ends(capsys: pytest.CaptureFixture[str], code: int, arguments: list[str], *parts: str) -> None:
    """Runs a command that must end with a code and one or two lines that hold `parts`."""
    capsys.readouterr()
    got = run(arguments)
    err = capsys.readouterr().err
    assert got == code, err
    assert "Traceback" not in err and len(err.strip().splitlines()) <= 2, err
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *((number, 2) for number in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENAMETOOLONG, errno.EISDIR)),
        *((number, 1) for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENOMEM)),
    ],
)
def test_a_disk_error_has_the_files_name_and_says_whether_trying_again_helps(number: int, code: int) -> None:
    error = file_error(OSError(number, os.strerror(number), "some/file"))
    assert str(error).startswith(f"some/file cannot be written: {os.strerror(number)}")
    assert error.exit_code == code
    assert ("again" in str(error)) == (code == 1)
    assert str(file_error(OSError(number, os.strerror(number)), "named", "read")).startswith("named cannot be read: ")


def test_runs_folders_that_cannot_be_are_for_the_user_to_change(
    config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for runs in (tmp_path / "file", tmp_path / ("n" * 300), Path("/proc/nowhere")):
        ends(capsys, 2, ["search", config(runs=str(runs))], str(runs), "cannot be written", "--set runs=")


@pytest.mark.parametrize("name", ["journal.jsonl", "config.yaml", "result.json", "snapshot.json"])
def test_a_folder_in_place_of_a_file_is_named(config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    folder = tmp_path / "runs" / "run"
    (folder / name).mkdir(parents=True)
    # What is in the way is named, whether the folder then counts as a run's or not.
    ends(capsys, 2, ["search", config()], name)


def test_a_folder_in_use_may_be_tried_again(config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "runs" / "run").mkdir(parents=True)
    with open(tmp_path / "runs" / "run" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ends(capsys, 1, ["search", config()], "in use by another process; wait until it is done")
    assert FailedError.exit_code == 1
    assert WorkerError.exit_code == 1


def test_workers_need_no_shared_memory(config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(synchronize._multiprocessing, "SemLock", refused)
    assert run(["search", config(workers=2, cache="off")]) == 0


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.ENOENT, 2), (errno.EACCES, 2)])
def test_full_or_missing_shared_memory_is_named(monkeypatch: pytest.MonkeyPatch, number: int, code: int) -> None:
    def refused(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(synchronize._multiprocessing, "SemLock", refused)
    # Code of a space may use it.
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        multiprocessing.get_context("spawn").Event()
    found = file_error(caught.value)
    assert str(found).startswith("shared memory (/dev/shm) cannot be written: ") and "workers: 1" in str(found)
    assert found.exit_code == code


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit of file sizes here")
def test_a_disk_that_fills_up_ends_in_one_line_and_the_run_goes_on_from_there(config: Write, tmp_path: Path) -> None:
    path = config(budget={"evaluations": 30})
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500)); "
        "from rbflex_evo.engine.commands.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program, "search", path], capture_output=True, text=True)
    journal = tmp_path / "runs" / "run" / "journal.jsonl"
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"error: {journal} cannot be written: File too large; ") and len(done.stderr.splitlines()) == 1
    kept = len(read_journal(journal).evaluations)
    assert 0 < kept < 30
    assert run(["search", path]) == 0
    assert len(read_journal(journal).evaluations) == 30


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell closes the files")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_standard_files_end_no_run_and_nothing_else_is_written_into_its_files(
    config: Write, tmp_path: Path, closed: str
) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "search", config()]
    assert subprocess.run(command, check=False).returncode == 0
    assert len(read_journal(tmp_path / "runs" / "run" / "journal.jsonl").evaluations) == 4


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("output", "code"), [("> /dev/full", 1), ("| true", 0)])
def test_an_output_that_is_full_is_an_error_and_a_reader_that_went_away_is_none(unbuffered: str, output: str, code: int) -> None:
    shell = f'("$@"; echo $? >&3) {output}'
    done = subprocess.run(
        ["sh", "-c", f"exec 3>&2; {shell}", "sh", *COMMAND, "list", "spaces", "--json"],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = done.stderr.splitlines()
    assert lines[-1] == str(code)
    assert lines[:-1] == ([] if code == 0 else [lines[0]])
    assert code == 0 or lines[0].startswith("error: standard output cannot be written: No space left on device")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signals here")
@pytest.mark.parametrize(("name", "workers"), [("SIGTERM", 2), ("SIGUSR1", 1), ("SIGHUP", 2)])
def test_a_signal_to_the_whole_group_saves_and_leaves_no_warning(config: Write, tmp_path: Path, name: str, workers: int) -> None:
    number = getattr(signal, name)
    path = config(budget={"evaluations": 100_000}, space={"name": "toy", "genes": 12, "choices": 4}, workers=workers)
    process = spawn([*COMMAND, "search", path])
    journal = tmp_path / "runs" / "run" / "journal.jsonl"
    wait_for_bytes(process, journal, 20_000)
    # Schedulers send a signal to every process of a job, and some of them send it twice.
    os.killpg(process.pid, number)
    os.killpg(process.pid, number)
    out, err = process.communicate()
    assert process.returncode == 128 + number, err
    done = len(read_journal(journal).evaluations)
    assert out == ""
    assert err.strip().splitlines() == [
        f"{name}: stopping after this evaluation",
        f"stopped after {done} evaluations, all saved; go on with: rbflex-evo resume {journal.parent}",
        f"(a report of these: rbflex-evo report {journal.parent})",
    ]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal here")
@pytest.mark.parametrize("command", ["tabulate", "correlate", "compare"])
def test_tabulate_correlate_and_compare_stop_with_the_code_of_the_signal(
    config: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    from rbflex_evo.engine.terminal.progress import Progress

    before, steps = signal.signal(signal.SIGHUP, signal.SIG_DFL), []
    advance = Progress.advance

    def step(self: Progress, *arguments: Any) -> None:
        steps.append(self.title)
        if len(steps) == 1:
            signal.raise_signal(signal.SIGHUP)
        advance(self, *arguments)

    (tmp_path / "known.csv").write_text("notation,accuracy\n" + f"{'|'.join(['skip+skip'] * 3)},50\n")
    table = {"source": "csv", "path": str(tmp_path / "known.csv"), "dataset": "known"}
    changes = {"sample": {"size": 40}} if command != "compare" else {"compare": {"strategies": ["random", "genetic"], "seeds": 2}}
    changes |= {"table": table} if command == "correlate" else {}
    monkeypatch.setattr(Progress, "advance", step)
    try:
        ends(capsys, 129, [command, config(**changes)], "the same command resumes")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_json_output_is_json_alone(config: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", config(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finished"] is True
