"""Several calls of an evaluator are under way at a time, and a slow worker holds up neither other candidates nor other calls."""

import contextlib
import os
import signal

import pytest
from torch import nn

from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring import arrivals
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import Parameters, SearchSpace, VectorEncoding, create_space

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP here")


class Foreign(SearchSpace):
    """A space of another package, whose networks are built to be looked up in the cache."""

    name = "foreign"
    encoding = VectorEncoding([5] * 6)

    def build(self, genotype):
        width = 4 + 4 * genotype[4] + genotype[5]
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))

    def notation(self, genotype):
        return "-".join(map(str, genotype))

    def parse(self, text):
        return tuple(map(int, text.split("-")))


SPACES = {"ours": lambda: create_space("nats_tss", channels=4, cells=1), "foreign": lambda: Foreign(Parameters())}

each_space = pytest.mark.parametrize("name", list(SPACES))
each_cache = pytest.mark.parametrize("cached", [False, True])


def evaluator(name, **options):
    batch = create_batch("noise", shape=[3, 8, 8], n=4)
    conditions = Conditions.of(SPACES[name](), batch, device="cpu", backend="eager")
    return Evaluator(conditions, {"naswot": create_proxy("naswot")}, **{"workers": 2, "micro_batch": 1, **options})


def some(count, first=0):
    """Returns genotypes of distinct keys."""
    return [(3, 2, 1, 3, 1 + i // 4, 1 + i % 4) for i in range(first, first + count)]


@contextlib.contextmanager
def one_worker_stopped(one):
    """Context in which the first worker that takes a tile does not answer."""
    list(one.evaluate(keyed(one, some(1))))
    (pid,) = one._workers._pool.pids
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@each_space
@each_cache
def test_a_later_call_is_measured_while_an_earlier_one_waits_for_its_first_candidate(name, cached, tmp_path):
    with evaluator(name, cache=tmp_path / "c.sqlite" if cached else None) as one:
        with one_worker_stopped(one):
            first = one.evaluate(keyed(one, some(6, 1)))
            second = list(one.evaluate(keyed(one, some(6, 7))))
        assert [evaluation.genotype for evaluation in second] == some(6, 7)
        assert [evaluation.genotype for evaluation in first] == some(6, 1)
        assert one.counts == {"measured": 13, "from_cache": 0}
    with evaluator(name, in_process=True, workers=1) as alone:
        assert [dict(e.scores) for e in alone.evaluate(keyed(alone, some(6, 7)))] == [dict(e.scores) for e in second]


@each_space
def test_what_is_ready_behind_a_slow_candidate_is_in_the_cache(name, tmp_path):
    path = tmp_path / "c.sqlite"
    with evaluator(name, cache=path) as one:
        with one_worker_stopped(one):
            first = one.evaluate(keyed(one, some(6, 1)))
            list(one.evaluate(keyed(one, some(3, 7))))
            assert one.counts["measured"] >= 1 + 3
            with evaluator(name, cache=path, in_process=True, workers=1) as other:
                list(other.evaluate(keyed(other, some(9, 1))))
                assert other.counts["from_cache"] == one.counts["measured"] - 1
        assert len(list(first)) == 6


def test_what_has_arrived_when_an_evaluator_is_closed_is_in_the_cache(tmp_path):
    path = tmp_path / "c.sqlite"
    one = evaluator("ours", cache=path)
    one.evaluate(keyed(one, some(4)))
    while one._arrivals._arrived.empty():
        os.sched_yield()
    one.close()
    with evaluator("ours", cache=path) as other:
        list(other.evaluate(keyed(other, some(4))))
        assert other.counts["from_cache"] == one.counts["measured"] >= 1


@each_space
@each_cache
@pytest.mark.parametrize("window", [1, 8])
def test_a_small_window_gives_all_results_in_order(name, cached, window, tmp_path, monkeypatch):
    monkeypatch.setattr(arrivals, "WINDOW", window)
    with evaluator(name, cache=tmp_path / "c.sqlite" if cached else None) as one:
        calls = [one.evaluate(keyed(one, some(7))), one.evaluate(keyed(one, some(8, 7)))]
        assert [e.genotype for e in calls[1]] == some(8, 7) and [e.genotype for e in calls[0]] == some(7)


class Faulty(Foreign):
    """A space with one network that cannot be built and one that kills its process."""

    name = "faulty"

    def build(self, genotype):
        if genotype == some(3)[2]:
            raise ZeroDivisionError("a mistake")
        if genotype == some(9)[8]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().build(genotype)


def test_an_error_or_a_death_is_told_where_its_own_call_is_read(monkeypatch):
    monkeypatch.setitem(SPACES, "faulty", lambda: Faulty(Parameters()))
    with evaluator("faulty") as one:
        calls = [one.evaluate(keyed(one, some(4, first))) for first in (0, 4, 8)]
        reasons = [evaluation.reason for evaluation in calls[2]]
        assert [reason is None for reason in reasons] == [False, True, True, True] and "died (signal 9" in reasons[0]
        assert [evaluation.reason for evaluation in calls[1]] == [None] * 4
        assert [next(calls[0]).genotype for _ in range(2)] == some(2)
        with pytest.raises(Exception, match="of faulty: ZeroDivisionError: a mistake"):
            next(calls[0])
