"""Workers that go away with their machines, by an executor whose local processes are lost on purpose."""

import itertools

import pytest

from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.executors.executor import WorkerLost
from rbflex_evo.fitness.measuring.executors.local import Local
from rbflex_evo.fitness.measuring.executors.processes import Processes
from rbflex_evo.fitness.measuring.workers import LOSSES
from tests.support.perilous import Perilous


class LosingProcesses(Processes):
    """Loses the worker of each call that `lost` says; counts the calls."""

    def call(self, function, *arguments, timeout=None):
        if next(self.lost):
            raise WorkerLost("its machine was switched off")
        return super().call(function, *arguments, timeout=timeout)

    call_alone = call


class Losing(Local):
    """Processes that are lost in a given order."""

    def __init__(self, lost):
        super().__init__()
        self.lost = iter(lost)

    def open(self, start, arguments, *, count, cards):
        pool = LosingProcesses(start, *arguments, places=[card.device for card in cards], count=count or 1)
        pool.lost = self.lost
        return pool


def evaluations(lost):
    conditions = Conditions.of(Perilous(Perilous.Parameters()), create_batch("noise", shape=[3, 8, 8], n=4), device="cpu")
    with Evaluator(conditions, {"naswot": create_proxy("naswot")}, workers=1, executor=Losing(lost)) as one:
        return list(one.evaluate(keyed(one, [(0, 0), (0, 1)])))


def test_what_a_lost_worker_had_in_hand_is_measured_by_another_one():
    losses = (LOSSES - 1) * [True] + [False]
    assert [e.scores for e in evaluations(losses)] == [e.scores for e in evaluations([False])]


def test_candidates_that_lose_every_worker_fail_with_the_cause_and_are_not_asked_for_ever():
    cause = "its worker was lost 3 times in a row, the last time because its machine was switched off"
    reason = f"the process that measured it died ({cause})"
    assert [e.failures for e in evaluations(itertools.repeat(True))] == 2 * [{"naswot": reason}]


@pytest.mark.parametrize("losses", [[True] * LOSSES, [True] * 2 * LOSSES])
def test_candidates_that_lost_workers_are_measured_alone_before_they_are_blamed(losses):
    assert [e.scores for e in evaluations([*losses, False, False])] == [e.scores for e in evaluations([False])]
