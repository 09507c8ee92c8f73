"""The journal: what is written reads back, a torn last line is dropped, any other damage is an error that names its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.engine.run.journal import Journal, checksum, encode, evaluation_line, header_line, read_journal
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import RunError

SCORES = st.dictionaries(st.sampled_from(["rbflex", "naswot"]), st.floats(allow_nan=False, allow_infinity=False), max_size=2)


def evaluations(count: int) -> list[Evaluation]:
    return [Evaluation((i, 1), f"key {i}", {"naswot": i / 3}, {}, 0.25) for i in range(count)]


def write(path: Path, count: int = 3) -> bytes:
    with Journal(path, 0) as journal:
        journal.append(header_line(identity="x"))
        for number, evaluation in enumerate(evaluations(count)):
            journal.append(evaluation_line("evaluation", number, evaluation, float(number)))
        journal.sync()
    return path.read_bytes()


def test_what_was_written_reads_back(tmp_path: Path) -> None:
    data = write(tmp_path / "journal.jsonl")
    content = read_journal(tmp_path / "journal.jsonl")
    assert content.header is not None
    assert content.header["identity"] == "x"
    assert content.evaluations == evaluations(3)
    assert (content.seconds, content.end) == (2.0, len(data))


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    content = read_journal(tmp_path / "journal.jsonl")
    assert (content.header, content.evaluations, content.end) == (None, [], 0)


@given(scores=SCORES, key=st.text(max_size=20), reason=st.text(max_size=20), elapsed=st.floats(0, 1e6))
def test_any_evaluation_survives_its_line(scores: dict[str, float], key: str, reason: str, elapsed: float) -> None:
    evaluation = Evaluation((0, 3), key, scores, {"synflow": reason}, 0.5)
    line = json.loads(encode(evaluation_line("evaluation", 0, evaluation, elapsed)))
    assert (line["key"], line["scores"], line["failures"]) == (key, scores, {"synflow": reason})
    assert line["crc"] == checksum(line)


def test_the_checksum_leaves_out_times_and_nothing_else() -> None:
    line = evaluation_line("evaluation", 0, evaluations(1)[0], 1.0)
    assert checksum({**line, "time_elapsed": 9.0, "crc": 3}) == checksum(line)
    for name in line:
        if not name.startswith("time_"):
            assert checksum({**line, name: "other"}) != checksum(line)


def test_a_line_cut_anywhere_is_dropped_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    whole = write(path)
    start = whole[:-1].rindex(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        content = read_journal(path)
        assert len(content.evaluations) == 2
        with Journal(path, content.end) as journal:
            journal.append(evaluation_line("evaluation", 2, evaluations(3)[2], 2.0))
        assert path.read_bytes() == whole


def test_a_torn_first_line_leaves_an_empty_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(write(path)[:20])
    assert read_journal(path).header is None


@given(position=st.integers(0, 3), offset=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_flipped_byte_changes_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, position: int, offset: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "journal.jsonl"
    lines = write(path).split(b"\n")[:-1]
    line = bytearray(lines[position])
    line[offset % len(line)] ^= flip
    lines[position] = bytes(line)
    path.write_bytes(b"\n".join(lines) + b"\n")
    content, message = None, ""
    try:
        content = read_journal(path)
    except RunError as error:
        message = str(error)
    if content is None:
        assert str(path) in message
        assert len(message.splitlines()) <= 2
    else:
        # Times and white space are not covered by the checksum; everything else must be as it was.
        expected = evaluations(3)
        assert [(e.genotype, e.key, e.scores) for e in content.evaluations] == [(e.genotype, e.key, e.scores) for e in expected]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: [lines[0], b"{not json", *lines[2:]], "line 2 is damaged: it is not JSON"),
        (lambda lines: [lines[0], b"[1]", *lines[2:]], "line 2 is damaged: it has no kind"),
        (lambda lines: [lines[0], *lines[2:]], "line 2 is damaged: it should have number 0, but it has 1"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "line 2 is damaged: it should have number 0"),
        (lambda lines: lines[1:], "line 1 is damaged: the first line"),
        (lambda lines: [*lines, lines[0]], "line 5 is damaged: the first line"),
        (lambda lines: [lines[0], b"", *lines[1:]], "line 2 is damaged"),
        (lambda lines: [lines[0], lines[1].replace(b"key 0", b"key 1")], "line 2 is damaged: its checksum is wrong"),
        (lambda lines: [encode({"kind": "run", "version": 2})[:-1]], "version 2, but this program reads version 1"),
        (lambda lines: [lines[0], encode({"kind": "other"})[:-1]], "kind 'other' is unknown"),
        (lambda lines: [lines[0], encode({"kind": "evaluation", "number": 0})[:-1]], "a field is missing"),
    ],
)
def test_damage_is_an_error_that_names_the_line_and_the_way_out(tmp_path: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "journal.jsonl"
    lines = write(path).split(b"\n")[:-1]
    path.write_bytes(b"\n".join(damage(lines)) + b"\n")
    with pytest.raises(RunError, match=message) as raised:
        read_journal(path)
    assert len(str(raised.value).splitlines()) <= 2


def test_a_journal_that_cannot_be_written_is_an_error_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be written"):
        Journal(tmp_path / "nowhere" / "journal.jsonl", 0)
