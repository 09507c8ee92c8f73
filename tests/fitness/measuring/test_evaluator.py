"""The evaluator pays for an architecture once, and gives it the same score in any company."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from rbflex_evo.fitness import CandidateFailed, create_batch, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import keyed, six_digits
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.measurer import MeasurementError, Measurer
from rbflex_evo.fitness.passes.device import find_device, is_out_of_memory
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.spaces import ConfigError, DataError, DeviceError, VectorEncoding, create_space
from rbflex_evo.spaces.families.toy.space import ToyParameters, ToySpace

SMALL = {"channels": 4, "cells": 1}


def noise(n=6, shape=(3, 16, 16), seed=0):
    return create_batch("noise", shape=list(shape), n=n, seed=seed)


def proxies(**rbflex):
    rbflex = rbflex or {"networks": 3}
    return {"rbflex": create_proxy("rbflex", **rbflex), "naswot": create_proxy("naswot"), "synflow": create_proxy("synflow")}


def small_tss():
    return create_space("nats_tss", **SMALL)


def evaluator(space=None, **options):
    settings = {"device": "cpu", "batch": noise(), "proxies": proxies(), "workers": 1} | options
    chosen = {name: settings.pop(name) for name in ("device", "weights", "precision", "backend") if name in settings}
    conditions = Conditions.of(space or small_tss(), settings.pop("batch"), **chosen)
    return Evaluator(conditions, settings.pop("proxies"), **settings)


def draw(space, count, seed=0):
    rng = np.random.default_rng(seed)
    return [space.encoding.sample(rng) for _ in range(count)]


def values(evaluations):
    return [(e.genotype, e.key, dict(e.scores), dict(e.failures)) for e in evaluations]


@pytest.mark.slow
def test_any_micro_batch_and_number_of_workers_give_the_same_evaluations():
    genotypes = draw(small_tss(), 20)
    results = []
    for workers, micro_batch in ((1, 1), (1, 16), (2, 4)):
        with evaluator(workers=workers, micro_batch=micro_batch) as one:
            results.append(values(one.evaluate(keyed(one, genotypes))))
    assert results[0] == results[1] == results[2]
    assert [genotype for genotype, *_ in results[0]] == genotypes


def test_a_candidate_has_the_same_statistics_alone_and_in_company():
    space = small_tss()
    genotypes = [space.representative(space.key(g)) for g in draw(space, 12)]
    measurer = Measurer(Conditions.of(space, Batch(noise().images), device="cpu"))
    chosen = proxies()
    together = measurer.measure([(g, chosen) for g in genotypes])
    for genotype, company in zip(genotypes, together, strict=True):
        (alone,) = measurer.measure([(genotype, chosen)])
        assert alone.failures == company.failures
        for name in alone.statistics:
            for array in alone.statistics[name]:
                np.testing.assert_array_equal(alone.statistics[name][array], company.statistics[name][array])


def test_all_genotypes_of_a_key_are_one_network_with_one_score():
    space = small_tss()
    of_key = {}
    for genotype in space.encoding.enumerate():
        of_key.setdefault(space.key(genotype), []).append(genotype)
    chosen = np.random.default_rng(3).choice(sorted(key for key, members in of_key.items() if len(members) > 1), 200, replace=False)
    with evaluator(batch=noise(shape=(3, 8, 8), n=4)) as one:
        for key in chosen:
            assert {one.network_of(one.key(genotype)) for genotype in of_key[key]} == {space.representative(key)}
        some = [genotype for key in chosen[:20] for genotype in of_key[key]]
        scores = {}
        for evaluation in one.evaluate(keyed(one, some)):
            scores.setdefault(evaluation.key, set()).add(str(dict(evaluation.scores)))
    assert len(scores) == 20
    assert all(len(found) == 1 for found in scores.values())


def test_an_equal_key_is_measured_once():
    space = small_tss()
    genotype = space.at(284)
    with evaluator(space, proxies=proxies(gamma="flat")) as one:
        list(one.evaluate(keyed(one, [genotype] * 5)))
        assert one.counts == {"measured": 1, "from_cache": 0}


def test_the_cache_makes_a_second_evaluator_measure_nothing(tmp_path):
    path = tmp_path / "c.sqlite"
    genotypes = draw(small_tss(), 10)
    with evaluator(cache=path) as one:
        first = values(one.evaluate(keyed(one, genotypes)))
        gammas = one.calibrations
    with evaluator(cache=path) as one:
        assert values(one.evaluate(keyed(one, genotypes))) == first
        assert one.counts["measured"] == 0
        assert one.calibrations == gammas
        assert one._workers._own is None, "a worker was started although everything was known"


def test_another_gamma_or_kernel_needs_no_forward(tmp_path):
    path = tmp_path / "c.sqlite"
    genotypes = draw(small_tss(), 6)
    with evaluator(cache=path, proxies={"rbflex": create_proxy("rbflex", networks=3)}) as one:
        list(one.evaluate(keyed(one, genotypes)))
    for options in ({"gamma": "flat"}, {"kernel": "ssim"}, {"gamma": "hda_max", "networks": 2}, {"gamma": "random"}):
        with evaluator(cache=path, proxies={"rbflex": create_proxy("rbflex", **options)}) as one:
            list(one.evaluate(keyed(one, genotypes)))
            assert one.counts["measured"] == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"batch": noise(seed=1)},
        {"weights": WeightParameters(seed=1)},
        {"weights": WeightParameters(distribution="normal")},
        {"precision": "float64"},
        {"space": create_space("nats_tss", channels=4, cells=2)},
        {"proxies": {"naswot": create_proxy("naswot", statistics="batch")}},
    ],
)
def test_whatever_a_statistic_depends_on_is_part_of_its_cache_key(tmp_path, changed):
    path = tmp_path / "c.sqlite"
    genotype = small_tss().at(9930)
    base = {"proxies": {"naswot": create_proxy("naswot")}}
    with evaluator(cache=path, **base) as one:
        list(one.evaluate(keyed(one, [genotype])))
    with evaluator(cache=path, **(base | changed)) as one:
        list(one.evaluate(keyed(one, [genotype])))
        assert one.counts["measured"] == 1


def test_a_dead_cell_fails_with_the_reason_and_is_cached_as_failed(tmp_path):
    path = tmp_path / "c.sqlite"
    for measured in (1, 0):
        with evaluator(cache=path, proxies=proxies(gamma="flat")) as one:
            (dead,) = one.evaluate(keyed(one, [(0,) * 6]))
            assert dead.failed
            assert not dead.scores
            assert "no path from input to output" in dead.failures["rbflex"]
            assert one.counts["measured"] == measured


def test_a_nan_network_fails_with_the_reason_and_the_others_do_not():
    space = create_space("toy", nan=True)
    nan = space.operations.index("nan")
    good = (2, 3) * 3
    with evaluator(space, batch=noise(shape=(3, 8, 8)), proxies=proxies(gamma="flat")) as one:
        first, bad, second = one.evaluate(keyed(one, [good, (nan, *good[1:]), (3, *good[1:])]))
    assert "NaN" in bad.reason
    assert not first.failed
    assert not second.failed


def test_published_mode_scores_raw_cells():
    space = small_tss()
    twins = [g for g in space.encoding.enumerate() if space.key(g) == space.key(space.at(1))][:2]
    with evaluator(space, proxies={"rbflex": create_proxy("rbflex", mode="published")}) as one:
        assert [one.key(g) for g in twins] == [space.notation(g) for g in twins]
        assert [one.network_of(one.key(g)) for g in twins] == twins


def test_gammas_come_from_distinct_networks_and_failed_ones_are_replaced():
    seen = []
    with evaluator(proxies={"rbflex": create_proxy("rbflex", networks=5)}) as one:
        gammas = one.prepare(lambda done, wanted: seen.append((done, wanted)))
    assert seen[-1] == (5, 5)
    assert set(gammas["rbflex"]) == {"gamma_k", "gamma_q"}


def test_a_small_space_gives_all_of_its_networks_for_gammas():
    # One of the two networks is dead.
    space, batch = create_space("toy", genes=1, choices=2), noise(shape=(3, 8, 8))
    found = []
    for networks in (1, 10):
        with evaluator(space, batch=batch, proxies={"rbflex": create_proxy("rbflex", networks=networks)}) as one:
            found.append(one.prepare())
    assert found[0] == found[1] and set(found[0]["rbflex"]) == {"gamma_k", "gamma_q"}


class Endless(VectorEncoding):
    """An encoding that does not know its size."""

    size = None


@pytest.mark.parametrize("living", [0, 1])
def test_too_few_networks_for_gammas_is_a_clear_error(living):
    space = create_space("toy", genes=1, choices=2)
    if living:
        space.encoding = Endless([2])
        message = r"only 1 of 10 networks .* set fitness.proxies.rbflex.networks lower"
    else:
        space.encoding = VectorEncoding([1])
        message = r"only 0 of 10 networks .* set fitness.proxies.rbflex.gamma"
    chosen = {"rbflex": create_proxy("rbflex", networks=10)}
    with evaluator(space, batch=noise(shape=(3, 8, 8)), proxies=chosen) as one, pytest.raises(ConfigError, match=message):
        one.prepare()


class FullMemory(Measurer):
    """A device that holds at most `room` candidates at a time."""

    room = 3
    tiles: list[int]

    def _measure_tile(self, tile):
        self.tiles.append(len(tile))
        if len(tile) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super()._measure_tile(tile)


def full_memory(room):
    measurer = FullMemory(Conditions.of(small_tss(), Batch(noise().images), device="cpu"))
    measurer.room, measurer.tiles = room, []
    return measurer


def test_out_of_memory_halves_the_candidates_and_remembers():
    requests = [(g, {"naswot": create_proxy("naswot")}) for g in draw(small_tss(), 16, seed=4)]
    measurer = full_memory(3)
    results = measurer.measure(requests)
    assert measurer.tiles == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    measurer.measure(requests[:4])
    assert measurer.tiles[-2:] == [2, 2]
    plain = full_memory(16).measure(requests)
    for a, b in zip(results, plain, strict=True):
        assert a.failures == b.failures
        assert str(a.statistics) == str(b.statistics)


def test_a_candidate_too_large_for_the_device_fails_and_is_not_cached_as_dead():
    (result,) = full_memory(0).measure([(small_tss().at(0), {"naswot": create_proxy("naswot")})])
    assert "out of memory" in result.failures["naswot"]
    assert not result.lasting


class LargeAtTimes(ToySpace):
    """A space with one network that does not fit into the memory while that is short."""

    short = True
    large = None

    def build(self, genotype):
        self.large = self.large or genotype
        if self.short and genotype == self.large:
            raise MemoryError
        return super().build(genotype)


def test_gammas_are_not_those_of_other_networks_where_memory_is_short():
    space, chosen = LargeAtTimes(), {"rbflex": create_proxy("rbflex", networks=4)}
    # In a process of its own, the space would not see that there is room again.
    with evaluator(space, batch=noise(shape=(3, 8, 8)), proxies=chosen, backend="eager", in_process=True) as one:
        message = r"a network for rbflex's gammas could not be measured \(out of memory on cpu\); make room, or set workers: 1"
        with pytest.raises(DeviceError, match=message):
            one.prepare()
        space.short = False
        found = one.prepare()
    with evaluator(ToySpace(), batch=noise(shape=(3, 8, 8)), proxies=chosen, backend="eager") as other:
        assert other.prepare() == found


def test_other_errors_are_not_taken_for_memory():
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for a convolution"))


@pytest.mark.parametrize(
    "text",
    [
        "could not create a primitive",
        "could not execute a primitive",
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
    ],
)
def test_what_libraries_say_of_memory_is_recognised(text):
    assert is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "cuda:7"}, DeviceError, "device 'cuda:7' is not available; this machine has"),
        ({"precision": "float16"}, ConfigError, "precision must be one of"),
        ({"batch": noise(n=1)}, DataError, "at least 2 inputs"),
        ({"batch": noise(shape=(1, 16, 16))}, DataError, "takes inputs like"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_measured(options, error, message):
    with pytest.raises(error, match=message):
        evaluator(**options)


def test_auto_takes_a_device_that_is_there():
    assert str(find_device("auto")) in ("cpu", "cuda", "mps")


def test_no_global_random_state_is_read_or_changed():
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    results = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = states()
        with evaluator() as one:
            results.append(values(one.evaluate(keyed(one, draw(small_tss(), 5)))))
        assert states() == before
    assert results[0] == results[1]


def test_torch_keeps_the_number_of_threads_that_its_user_set():
    before = torch.get_num_threads()
    with evaluator() as one:
        list(one.evaluate(keyed(one, draw(small_tss(), 2))))
    assert torch.get_num_threads() == before


class Unlucky(type(create_proxy("naswot"))):
    def score(self, statistics):
        raise CandidateFailed("out of luck")


def test_a_score_that_fails_leaves_the_other_scores():
    with evaluator(proxies={"naswot": create_proxy("naswot"), "unlucky": Unlucky()}) as one:
        (evaluation,) = one.evaluate(keyed(one, [small_tss().at(0)]))
    assert set(evaluation.scores) == {"naswot"}
    assert evaluation.reason == "unlucky: out of luck"


ORPHANS = """
import os, sys, time
from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import create_space

if __name__ == "__main__":
    space = create_space("nats_tss", channels=4, cells=1)
    batch = create_batch("noise", shape=[3, 16, 16], n=4)
    one = Evaluator(Conditions.of(space, batch, device="cpu"), {"naswot": create_proxy("naswot")}, workers=2)
    list(one.evaluate(keyed(one, [space.at(i) for i in range(4)])))
    print(*one._workers._pool.pids, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    workers = [int(pid) for pid in done.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{pid}") for pid in workers) and time.monotonic() < deadline:
        os.sched_yield()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)


@pytest.mark.parametrize("mode", [lambda: torch.autocast("cpu", torch.bfloat16), torch.inference_mode])
@pytest.mark.parametrize("space", [small_tss, lambda: create_space("toy")])
def test_what_the_caller_has_switched_on_changes_no_score(mode, space):
    space = space()
    genotypes, batch = draw(space, 4), noise(4, space.input_shape)
    with evaluator(space, batch=batch) as one:
        alone = values(one.evaluate(keyed(one, genotypes)))
    with mode(), evaluator(space, batch=batch) as one:
        assert values(one.evaluate(keyed(one, genotypes))) == alone


class Fragile(ToySpace):
    name = "fragile"

    def build(self, genotype):
        if genotype[0] == 3:
            raise ValueError("no kernel of size 3")
        return super().build(genotype)


def test_an_error_of_a_space_names_the_candidate_that_met_it():
    space = Fragile(ToyParameters())
    batch = noise(4, space.input_shape)
    with evaluator(space, proxies={"naswot": create_proxy("naswot")}, batch=batch) as one:
        bad, good = (3,) * 6, (1,) * 6
        assert next(iter(one.evaluate(keyed(one, [good])))).scores
        with pytest.raises(MeasurementError, match=re.escape(f"{space.notation(bad)} of fragile: ValueError: no kernel of size 3")):
            list(one.evaluate(keyed(one, [bad])))
        with pytest.raises(MeasurementError, match=re.escape(space.notation(bad))):
            list(one.evaluate(keyed(one, [(1, 2) * 3, bad, (2,) * 6])))


@pytest.mark.parametrize(("options", "message"), [({"workers": -1}, "workers"), ({"micro_batch": -2}, "micro_batch")])
def test_counts_below_one_are_refused(options, message):
    with pytest.raises(ConfigError, match=f"{message} must be at least 1.*but it is -"):
        evaluator(**options)


def test_a_score_that_it_does_not_have_is_refused():
    with evaluator() as one, pytest.raises(ConfigError, match="no score 'zen'; it has rbflex, naswot, synflow"):
        list(one.evaluate(keyed(one, draw(small_tss(), 1)), ["zen"]))


def test_whole_scores_are_counts_and_keep_their_last_digit():
    assert six_digits(2836342.0) == 2836342.0
    assert six_digits(-7663.2912345) == -7663.29


def test_gammas_of_nats_tss_are_those_of_its_isomorphism_classes():
    # With this seed, two of the ten classes are one network; their gammas must stay as they were before keys knew that.
    space = small_tss()
    rng = np.random.default_rng([33, 0x48444121])
    drawn = dict.fromkeys(space.calibration_key(space.encoding.sample(rng)) for _ in range(30))
    live = [key for key in drawn if any(space.representative(key))][:10]
    assert len({space.key(space.parse(key)) for key in live}) < 10
    weights = WeightParameters(seed=33)
    with evaluator(proxies={"rbflex": create_proxy("rbflex")}, weights=weights) as found:
        gammas = found.prepare()["rbflex"]
        proxy = create_proxy("rbflex").for_space(space)
        statistics = [one.statistics["rbflex"] for block in found._statistics(live, {"rbflex": proxy}) for one in block]
        assert gammas == proxy.calibrate(statistics, np.random.default_rng(0))
