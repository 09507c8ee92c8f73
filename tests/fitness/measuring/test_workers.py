"""Candidates that kill the process that measures them, never answer, or cannot be sent to another process."""

import contextlib
import gc
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from rbflex_evo.engine import Search, parse_config
from rbflex_evo.engine.run.journal import encode, gammas_line
from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.executors.executor import WorkerError
from rbflex_evo.fitness.measuring.measurer import MeasurementError
from rbflex_evo.fitness.measuring.whole_space import score_all
from rbflex_evo.fitness.measuring.workers import WorkerWarning
from rbflex_evo.spaces import SPACES, ConfigError, FailedError, create_space
from tests.support.instant import journal_without_times
from tests.support.perilous import Perilous

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")

KILLED = "the process that measured it died (signal 9, most likely memory)"


def perilous(fate="none"):
    return Perilous(Perilous.Parameters(fate=fate))


def at(index):
    return index // 4, index % 4


def evaluator(space, **options):
    batch = create_batch("noise", shape=[3, 8, 8], n=4)
    return Evaluator(Conditions.of(space, batch, device="cpu"), {"naswot": create_proxy("naswot")}, **{"workers": 1, **options})


def outcomes(space, **options):
    """Returns the score or the reason of each candidate, in order."""
    with evaluator(space, **options) as one:
        found = list(one.evaluate(keyed(one, [at(i) for i in range(16)])))
    return [evaluation.scores.get("naswot", evaluation.failures.get("naswot")) for evaluation in found]


@pytest.fixture(scope="module")
def safe():
    return outcomes(perilous(), in_process=True)


def expected(safe, reason):
    """Returns what is right: the reason where the last gene is 3, and the scores of safe candidates elsewhere."""
    return [reason if i % 4 == 3 else score for i, score in enumerate(safe)]


FATES = {
    "SIGKILL": KILLED,
    "SIGSEGV": "the process that measured it died (signal 11, SIGSEGV)",
    "builds": "the process that measured it died (exit code 3)",
    "leaves": "the process that measured it died (exit code 4)",
    "memory": "out of memory on cpu",
    "limit": "out of memory on cpu",
}


@pytest.mark.parametrize(("fate", "reason"), FATES.items())
def test_a_candidate_that_ends_its_process_fails_with_the_cause_and_the_others_have_their_scores(safe, fate, reason):
    assert outcomes(perilous(fate)) == expected(safe, reason)


def test_two_workers_and_tiles_of_any_size_blame_the_same_candidates(safe):
    assert outcomes(perilous("SIGKILL"), workers=2, micro_batch=3) == expected(safe, KILLED)
    assert outcomes(perilous("SIGKILL"), workers=1, micro_batch=1) == expected(safe, KILLED)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_candidate_that_takes_longer_than_the_timeout_fails_and_only_that_one(safe, workers):
    assert outcomes(perilous("waits"), workers=workers, timeout=1.5) == expected(safe, "took longer than timeout: 1.5 s")


def test_a_worker_that_is_killed_from_outside_costs_no_candidate(safe):
    space = perilous()
    with evaluator(space, workers=2, micro_batch=1) as one:
        found = []
        for evaluation in one.evaluate(keyed(one, [at(i) for i in range(16)])):
            found.append(evaluation.scores.get("naswot"))
            if len(found) in (1, 7):
                for pid in one._workers._pool.pids:
                    os.kill(pid, signal.SIGKILL)
    assert found == safe


def test_an_error_in_the_code_of_a_space_still_ends_the_run():
    with pytest.raises(MeasurementError, match="0-3 of perilous: ZeroDivisionError: a mistake"):
        outcomes(perilous("error"))


def config(tmp_path, name="one", **changes):
    values = {
        "name": name,
        "space": {"name": "perilous", "fate": "SIGKILL"},
        "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
        "fitness": {"proxies": {"naswot": {}}},
        "strategy": "random",
        "budget": {"evaluations": 16},
        "workers": 1,
        "cache": str(tmp_path / "cache.sqlite"),
        "runs": str(tmp_path),
    }
    return parse_config({**values, **changes})


def test_the_journal_is_the_same_for_any_number_of_workers_and_the_cache_knows_no_death(tmp_path, monkeypatch):
    monkeypatch.setitem(SPACES._known, "perilous", Perilous)
    journals, measured = [], []
    for workers in (1, 2):
        search = Search(config(tmp_path, f"run{workers}", workers=workers), quiet=True, report=False)
        result = search.run()
        assert result.counts["failed"] == 4
        journals.append(journal_without_times(result.folder))
        measured.append(result.document["evaluator"]["measured"])
    assert [{k: v for k, v in line.items() if k != "crc"} for line in journals[0]] == [
        {k: v for k, v in line.items() if k != "crc"} for line in journals[1]
    ]
    # The second run measures only the four again: a machine with more memory may have their scores.
    assert measured == [16, 4]


def test_a_run_that_is_resumed_after_deaths_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(SPACES._known, "perilous", Perilous)
    whole = Search(config(tmp_path, "whole"), quiet=True, report=False).run()
    with Search(config(tmp_path, "cut"), quiet=True, report=False).open() as running:
        running.evaluate(running.ask()[:])
    resumed = Search(config(tmp_path, "cut"), quiet=True, report=False).run()
    assert resumed.counts == whole.counts


def test_a_walk_through_a_whole_space_is_the_same_with_a_timeout():
    score = create_proxy("naswot")
    conditions = Conditions.of(create_space("nats_tss", channels=4, cells=1), create_batch("noise", shape=[3, 8, 8], n=4))
    done = set(itertools.product(range(5), repeat=4)) - {(1, 2, 3, 4)}
    (limited,), (free,) = (
        list(score_all(conditions, {"naswot": score}, workers=1, done=done, genes=4, timeout=timeout)) for timeout in (60.0, None)
    )
    assert np.array_equal(limited.scores("naswot", score), free.scores("naswot", score), equal_nan=True)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_timeout_is_a_number_of_seconds(timeout, tmp_path, monkeypatch):
    monkeypatch.setitem(SPACES._known, "perilous", Perilous)
    with pytest.raises(ConfigError, match="timeout"):
        evaluator(perilous(), timeout=timeout)
    with pytest.raises(ConfigError, match="'timeout': "):
        config(tmp_path, timeout=timeout)


def test_the_timeout_belongs_to_the_machine_and_not_to_the_run(tmp_path, monkeypatch):
    monkeypatch.setitem(SPACES._known, "perilous", Perilous)
    quick = {"name": "perilous", "fate": "waits"}
    first = Search(config(tmp_path, space=quick, timeout=0.5, budget={"evaluations": 3}), quiet=True, report=False)
    assert first.run().counts["unique"] == 3
    again = Search(config(tmp_path, space=quick, budget={"evaluations": 3}), quiet=True, report=False)
    assert again.run().counts["unique"] == 3


# --- what cannot be sent to another process -----------------------------------------------------------------------------


class Opaque(Perilous):
    """Holds what cannot be sent."""

    def __init__(self):
        super().__init__(Perilous.Parameters())
        self.opened = (number for number in range(3))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_space_that_cannot_be_sent_to_another_process_is_measured_here_and_that_is_said(safe, workers):
    with pytest.warns(WorkerWarning, match="measured in this process.*cannot load the space.*kills the process ends the search"):
        assert outcomes(Opaque(), workers=workers) == safe
    with pytest.raises(ConfigError, match="timeout: 5 cannot be kept, because a process of its own cannot load"):
        outcomes(Opaque(), workers=workers, timeout=5)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_space_and_a_score_of_a_function_are_sent_to_other_processes(safe, workers):
    shift = 0.5

    class Local(Perilous):
        def build(self, genotype):
            return super().build(genotype)

    class Shifted(type(create_proxy("naswot"))):
        def score(self, statistics):
            return super().score(statistics) + shift

    conditions = Conditions.of(Local(Perilous.Parameters()), create_batch("noise", shape=[3, 8, 8], n=4), device="cpu")
    with warnings.catch_warnings(), Evaluator(conditions, {"naswot": Shifted()}, workers=workers) as one:
        warnings.simplefilter("error")
        found = list(one.evaluate(keyed(one, [(0, 0), (0, 1)])))
        assert [evaluation.scores["naswot"] - shift for evaluation in found] == pytest.approx(safe[:2], abs=1e-3)
        assert one.workers == workers and one._workers._pool.pids


def test_small_networks_of_this_package_are_measured_here_without_a_word():
    before = multiprocessing.active_children()
    space = create_space("nats_tss", channels=4, cells=1)
    with warnings.catch_warnings(), evaluator(space) as one:
        warnings.simplefilter("error")
        list(one.evaluate(keyed(one, [space.at(0)])))
        assert multiprocessing.active_children() == before and one._workers._pool is None


def in_a_pool(workers):
    """Returns the number of candidates with a score, the number of workers and what was said."""
    space = create_space("nats_tss", channels=4, cells=1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with evaluator(space, workers=workers) as one:
            found = list(one.evaluate(keyed(one, [space.at(i) for i in range(1, 4)])))
        return sum("naswot" in e.scores for e in found), one.workers, [str(w.message) for w in said]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_process_that_may_have_no_children_measures_by_itself_and_says_so(method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        scored, workers, (said,) = pool.apply(in_a_pool, (2,))
        assert (scored, workers) == (3, 1)
        assert "in this process, with one worker instead of 2, because a daemonic process may have no children" in said
        assert pool.apply(in_a_pool, (1,)) == (3, 1, [])


# --- programs -----------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from tests.support.perilous import Perilous

def main(workers):
    space = Perilous(Perilous.Parameters())
    # The inputs are larger than the buffer of a pipe.
    one = Evaluator(
        Conditions.of(space, create_batch("noise", shape=[3, 64, 64], n=16), device="cpu"),
        {"naswot": create_proxy("naswot")},
        workers=workers,
    )
    for evaluation in one.evaluate(keyed(one, [(0, i) for i in range(4)])):
        print(evaluation.scores["naswot"])
    return one
"""
GUARDED = PROGRAM + '\nif __name__ == "__main__":\n    one = main(int(sys.argv[1]))\n'
UNGUARDED = PROGRAM + "\none = main(int(sys.argv[1]))\n"


def run(tmp_path, text, workers):
    script = tmp_path / "program.py"
    script.write_text(text)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(script), str(workers)]
    # The limit only ends a hang.
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=variables)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_program_without_a_guard_is_not_run_again_by_its_workers(tmp_path, workers):
    done = run(tmp_path, UNGUARDED, workers)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_program_that_closes_nothing_ends_and_so_do_its_workers(tmp_path, workers):
    text = GUARDED + "    print(*one._workers._pool.pids)\n"
    done = run(tmp_path, text, workers)
    assert done.returncode == 0 and not done.stderr
    children = done.stdout.splitlines()[-1].split()
    assert 1 <= len(children) <= workers
    for pid in children:
        wait_for_the_end_of(pid)


def wait_for_the_end_of(pid):
    # A process that has ended and that its parent has not waited for has no memory.
    status = Path(f"/proc/{pid}/status")
    with contextlib.suppress(FileNotFoundError):
        while "VmRSS" in status.read_text():
            os.sched_yield()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_an_evaluator_that_is_forgotten_leaves_no_process():
    one = evaluator(perilous())
    list(one.evaluate(keyed(one, [(0, 0)])))
    (pid,) = one._workers._pool.pids
    del one
    gc.collect()
    wait_for_the_end_of(pid)


def test_a_pool_gives_up_with_an_error_when_no_process_can_start():
    class Unready(Perilous):
        def __reduce__(self):
            return os._exit, (7,)

    with pytest.raises(WorkerError, match=r"died as it started \(exit code 7\)"):
        outcomes(Unready(Perilous.Parameters()), workers=2)


@pytest.mark.slow
def test_gammas_without_a_network_that_died_are_in_the_journal_and_not_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setitem(SPACES._known, "perilous", Perilous)
    fitness = {"proxies": {"rbflex": {"gamma": "hda", "networks": 6}}, "objective": {"score": "rbflex"}}
    one = config(tmp_path, fitness=fitness, budget={"evaluations": 8})
    whole = journal_without_times(Search(one, quiet=True, report=False).run().folder)
    assert whole[1]["kind"] == "gammas"
    # A session on a machine on which that network lives takes the gammas of the first session.
    other = {name: {key: 10 * value for key, value in found.items()} for name, found in whole[1]["values"].items()}
    path = one.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + encode(gammas_line(other)))
    for name in ("result.json", "snapshot.json"):
        (one.folder / name).unlink(missing_ok=True)
    again = journal_without_times(Search(one, quiet=True, report=False).run().folder)
    assert [line["genotype"] for line in again[2:]] == [line["genotype"] for line in whole[2:]]
    assert all(a["scores"] != b["scores"] for a, b in zip(again[2:], whole[2:], strict=True) if a["scores"])


@pytest.mark.slow
def test_a_session_that_cannot_measure_what_the_first_one_did_for_its_gammas_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(SPACES._known, "perilous", Perilous)
    fitness = {"proxies": {"rbflex": {"gamma": "hda", "networks": 6}}, "objective": {"score": "rbflex"}}
    one = config(tmp_path, fitness=fitness, budget={"evaluations": 8})
    folder = Search(one, quiet=True, report=False).run().folder
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], *lines[2:5]]))
    for name in ("result.json", "snapshot.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(FailedError, match="make room"):
        Search(one, quiet=True, report=False).run()


def test_many_candidates_of_a_space_that_cannot_be_sent_are_measured_once_with_a_cache(safe, tmp_path):
    with pytest.warns(WorkerWarning):
        assert outcomes(Opaque(), workers=2, micro_batch=1, cache=tmp_path / "cache.sqlite") == safe


def test_gammas_that_no_network_gives_in_time_are_an_error_and_not_an_endless_attempt(tmp_path, monkeypatch):
    monkeypatch.setitem(SPACES._known, "perilous", Perilous)
    fitness = {"proxies": {"rbflex": {"gamma": "hda", "networks": 3}}, "objective": {"score": "rbflex"}}
    one = config(tmp_path, fitness=fitness, space={"name": "perilous", "fate": "none"}, timeout=1e-6)
    with pytest.raises(
        ConfigError, match=r"gammas cannot be detected, because 4 networks failed on this machine \(took longer than"
    ):
        Search(one, quiet=True, report=False).run()
