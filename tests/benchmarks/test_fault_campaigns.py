"""A few trials of each kind of the fault campaigns; that a campaign goes on where it was; and that it can fail."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults import children, damage, small_runs
from benchmarks.faults.children import Ended, calling, problem, run
from benchmarks.faults.faults import campaign, kinds, run_trial
from benchmarks.faults.mutations import DAMAGES, damaged, odd_value
from benchmarks.faults.small_runs import configuration, first_difference, reference
from benchmarks.faults.trials import Found, Outcome, Place, append_trial, generator, read_trials, table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched as Linux does")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign's folder, whose reference runs all tests share."""
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "shared").mkdir()
    return folder


def outcomes(kind: str, numbers: range, folder: Path, seconds: float = 1.0) -> list[tuple[str, str]]:
    """Returns outcome and detail of the trials whose outcome is bad."""
    function = kinds(seconds)[kind]
    trials = [run_trial(function, folder, 0, kind, number) for number in numbers]
    return [(trial.outcome, trial.detail) for trial in trials if Outcome(trial.outcome).bad]


@pytest.mark.slow
def test_damaged_files_end_in_the_same_journal_or_a_clear_line(folder: Path) -> None:
    assert outcomes("damage", range(12), folder) == []


@pytest.mark.slow
def test_random_content_is_accepted_or_refused_in_a_few_lines(folder: Path) -> None:
    assert outcomes("fuzz", range(20), folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 5, 8])
def test_a_killed_run_resumes_to_the_same_journal(number: int, folder: Path) -> None:
    assert outcomes("kills", range(number, number + 1), folder) == []


@pytest.mark.slow
def test_a_run_with_a_killed_worker_resumes_to_the_same_journal(folder: Path) -> None:
    assert outcomes("kills", range(2, 3), folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["disk", "memory", "clock"])
def test_a_run_without_room_or_with_another_time_resumes_to_the_same_journal(kind: str, folder: Path) -> None:
    assert outcomes(kind, range(3), folder) == []


@pytest.mark.slow
def test_processes_that_share_a_cache_get_the_scores_of_an_empty_one(folder: Path) -> None:
    assert outcomes("sharing", range(1), folder, seconds=3.0) == []


def counting(rng: np.random.Generator, place: Place) -> Found:
    assert list(place.work.iterdir()) == []
    return Found(Outcome.SAME, str(rng.integers(2**40)))


def test_a_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    first = campaign({"a": counting}, tmp_path / "x", 2, seed=3)
    with open(tmp_path / "x" / "trials.jsonl", "ab") as file:
        file.write(b'{"seed": 3, "kind": "a", "num')
    both = campaign({"a": counting, "b": counting}, tmp_path / "x", 4, seed=3)
    whole = campaign({"a": counting, "b": counting}, tmp_path / "y", 4, seed=3)
    assert both[:2] == first
    key = lambda trial: (trial.kind, trial.number, trial.detail)  # noqa: E731
    assert sorted(map(key, both)) == sorted(map(key, whole))
    assert campaign({"a": counting}, tmp_path / "x", 4, seed=3) == both
    assert len({trial.detail for trial in whole}) == 8


def test_a_campaign_stops_when_its_time_is_over(tmp_path: Path) -> None:
    assert campaign({"a": counting}, tmp_path, 3, seed=0, minutes=-1) == []


def test_the_table_counts_each_outcome(tmp_path: Path) -> None:
    def wrong(rng: np.random.Generator, place: Place) -> Found:
        (place.work / "evidence").touch()
        return Found(Outcome.WRONG_SCORE, "", 2)

    trials = campaign({"a": counting, "b": wrong}, tmp_path, 2, seed=0)
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(trials).splitlines()]
    counts = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["kind"], row["trials"], row["faults"], row["same"], row["WRONG SCORE"]) for row in counts] == [
        ("a", "2", "2", "2", "0"),
        ("b", "2", "4", "0", "2"),
    ]
    assert len(list((tmp_path / "bad").glob("b-0-*/evidence"))) == 2
    assert list((tmp_path / "work").iterdir()) == []


def test_trials_are_read_back(tmp_path: Path) -> None:
    trial = run_trial(counting, tmp_path, 0, "a", 1)
    append_trial(tmp_path / "trials.jsonl", trial)
    assert read_trials(tmp_path / "trials.jsonl") == [trial]


def fails(text: str, code: int = 1) -> Outcome | None:
    found = problem(Ended(code, text))
    return None if found is None else found.outcome


def test_ends_are_told_apart() -> None:
    assert fails("error: the file x is damaged; remove it") is None
    assert fails("failed: OSError: no space") is Outcome.TRACEBACK
    assert problem(Ended(1, "failed: OSError: no space on x"), ("OSError",)) is None
    assert fails("Traceback (most recent call last):\n  File\nKeyError: 1") is Outcome.TRACEBACK
    assert fails("failed: KeyError: 'x'\n(--debug shows where)") is Outcome.TRACEBACK
    assert fails("") is Outcome.UNCLEAR
    assert fails("error: " + "x" * 5000) is Outcome.UNCLEAR
    assert fails("", -11) is Outcome.TRACEBACK
    assert problem(Ended(None, "")) == Found(Outcome.HANG, "")
    assert fails("", 0) is None


@pytest.mark.parametrize(
    ("work", "outcome"),
    [
        (lambda: [].pop(), Outcome.TRACEBACK),
        (lambda: children.time_to_waste(), Outcome.TRACEBACK),
        (lambda: children.os.kill(children.os.getpid(), 9), Outcome.TRACEBACK),
        (lambda: children.select.select([], [], []), Outcome.HANG),
    ],
)
def test_a_faulty_program_is_found(work: object, outcome: Outcome, tmp_path: Path) -> None:
    found = problem(run(calling(work), tmp_path, seconds=1.0))  # type: ignore[arg-type]
    assert found is not None and found.outcome is outcome


@pytest.mark.slow
def test_a_journal_with_another_score_is_found(folder: Path) -> None:
    place = Place(folder / "work", folder / "shared")
    expected = reference(configuration(generator(0, "x", 0), 10), place)
    changed = [dict(line) for line in expected if isinstance(line, dict)]
    changed[5]["scores"] = {"naswot": 1.0}
    assert first_difference(expected, expected) == ""
    assert first_difference(changed, expected).startswith("line 6: ")
    assert first_difference(expected[:-1], expected) == "10 lines instead of 11"


@pytest.mark.slow
def test_a_cache_that_gives_other_numbers_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: every array of the cache is a hundredth too large."""
    from rbflex_evo.fitness.measuring import cache

    def outcome(number: int) -> Outcome:
        return Outcome(run_trial(damage.trial, folder, 0, "planted", number).outcome)

    monkeypatch.setattr(damage, "TARGETS", {"cache": ("cache.sqlite",)})
    assert {outcome(0), outcome(1)} <= {Outcome.SAME, Outcome.CLEAR}
    decode = cache.decode
    monkeypatch.setattr(cache, "decode", lambda blob: _enlarged(decode(blob)))
    # Damage may also make the whole cache unreadable, which hides the fault.
    assert any(outcome(number) is Outcome.WRONG_SCORE for number in range(20))


def _enlarged(value: object) -> object:
    arrays = isinstance(value, dict) and all(isinstance(array, np.ndarray) for array in value.values())
    return {name: array * 1.01 for name, array in value.items()} if arrays else value  # type: ignore[union-attr]


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_depends_on_the_generator_alone(name: str) -> None:
    content = bytes(range(48, 58)) * 900 + b"\n7\n8\n"
    first, second = (DAMAGES[name](np.random.default_rng(5), content) for _ in range(2))
    assert first == second


def test_damaged_bytes_differ() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        for content in (b"", b"\x00", b"a\nb\n", b"1" * 5000):
            assert damaged(rng, content)[0] != content


def test_odd_values_leave_the_original_as_it_is() -> None:
    values = {"a": [1, {"b": 2}], "c": "d"}
    for seed in range(200):
        odd_value(np.random.default_rng(seed), values)
    assert values == {"a": [1, {"b": 2}], "c": "d"}
    assert small_runs.RESUMPTIONS > 1
