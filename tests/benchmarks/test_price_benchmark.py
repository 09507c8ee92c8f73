"""The price benchmark reads sets of scores, measures each of them on the same networks, and compares with rbflex alone."""

from __future__ import annotations

import pytest
import torch

from benchmarks.machine import price, speed_methods
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import ConfigError, create_space


def test_a_set_is_read_with_the_settings_of_its_members():
    found = price.members_of("rbflex:gamma=[0.1],swap,az_expressivity:statistics=image:inputs=data")
    assert found == {"rbflex": {"gamma": [0.1]}, "swap": {}, "az_expressivity": {"statistics": "image", "inputs": "data"}}
    with pytest.raises(ConfigError, match="expected name=value after 'swap', but got 'mu'"):
        price.members_of("swap:mu")


def test_every_preset_is_measured_and_so_is_each_of_its_members():
    sets = price.default_sets(PRESETS.names())
    for name in PRESETS.names():
        assert sets[f"preset {name}"] == PRESETS.get(name).proxies
    assert sets["rbflex + swap"] == {"rbflex": {}, "swap": {}}
    assert sets["rbflex + az_expressivity, shared"]["az_expressivity"] == price.SHARED
    assert next(iter(sets)) == "rbflex"


def test_prices_are_measured_in_rounds_after_a_warm_up():
    space = create_space("nats_tss", channels=2, cells=1)
    images = torch.from_numpy(speed_methods.noise(4, 8))
    genotypes = speed_methods.networks(space, 3)
    sets = {"rbflex": {"rbflex": {}}, "both": price.members_of("rbflex,swap,params")}
    found = price.milliseconds(space, images, genotypes, sets, rounds=2)
    assert {label: [len(row) for row in rows] for label, rows in found.items()} == {"rbflex": [3, 3], "both": [3, 3]}
    assert all(ms > 0 for rows in found.values() for row in rows for ms in row)
    pool = price.milliseconds_of_workers(space, images, genotypes, sets, rounds=1, workers=1, passes=1)
    assert {label: len(times) for label, times in pool.items()} == {"rbflex": 1, "both": 1}


def test_a_price_is_the_median_of_the_least_of_each_network():
    assert price.typical([[1.0, 9.0, 5.0], [2.0, 3.0, 4.0]]) == 3.0


def test_the_table_compares_with_rbflex_alone():
    result = {"space": "nats_tss", "one": {"rbflex": 10.0, "both": 15.0}, "workers": {"rbflex": 5.0, "both": 10.0}}
    lines = price.table([result]).splitlines()[2:]
    assert [line.split("|")[-2].strip() for line in lines] == ["1", "1.5", "1", "2"]
