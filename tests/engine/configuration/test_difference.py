"""The first key in which two configurations differ is named as a configuration has it, with both values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.configuration.config import identity
from rbflex_evo.engine.configuration.difference import difference
from tests.support.instant import toy_config

PROXIES: dict[str, Any] = {"naswot": {}, "synflow": {}}
RANK = {"rank": ["naswot", "synflow"]}


def limited(**constraints: Any) -> dict[str, Any]:
    return {"proxies": PROXIES, "objective": RANK, "constraints": constraints}


@pytest.mark.parametrize(
    ("there", "here", "expected"),
    [
        ({}, {"budget": {"evaluations": 60}}, "'budget.evaluations' is 200 there and 60 here"),
        ({}, {"budget": {"evaluations": 200, "seconds": 1.5}}, "'budget.seconds' is not set there and 1.5 here"),
        ({}, {"strategy": "random"}, "'strategy.name' is 'genetic' there and 'random' here"),
        ({}, {"strategy": {"name": "genetic", "population": 30}}, "'strategy.population' is 20 there and 30 here"),
        ({}, {"data": {"source": "noise", "shape": [3, 8, 8], "n": 8}}, "'data.n' is 4 there and 8 here"),
        ({}, {"data": {"source": "folder", "root": "x"}}, "'data.source' is 'noise' there and 'folder' here"),
        ({}, {"space": "nats_tss"}, "'space.name' is 'toy' there and 'nats_tss' here"),
        ({}, {"seed": 1, "precision": "float64"}, "'seed' is 0 there and 1 here"),
        ({}, {"warm_start": ["a", "b"]}, "'warm_start' is [] there and ['a', 'b'] here"),
        (
            {},
            {"fitness": {"proxies": {**PROXIES, "params": {}}, "objective": RANK}},
            "'fitness.proxies.params' is not set there and set here",
        ),
        (
            {},
            {"fitness": {"proxies": {"naswot": {"statistics": "batch"}, "synflow": {}}, "objective": RANK}},
            "'fitness.proxies.naswot.statistics' is 'image' there and 'batch' here",
        ),
        (
            {},
            {"fitness": {"proxies": {"synflow": {}, "naswot": {}}, "objective": RANK}},
            "'fitness.proxies' is ['naswot', 'synflow'] there and ['synflow', 'naswot'] here",
        ),
        (
            {},
            {"fitness": {"proxies": PROXIES, "objective": {**RANK, "rule": "linear"}}},
            "'fitness.objective.rule' is 'log' there and 'linear' here",
        ),
        (
            {"fitness": limited(params={"max": 10.0})},
            {"fitness": limited(params={"max": 20.0})},
            "'fitness.constraints.params.max' is 10.0 there and 20.0 here",
        ),
        ({}, {"fitness": limited(params={"max": 20.0})}, "'fitness.constraints.params' is not set there and set here"),
        (
            {"fitness": limited(params={"max": 10.0})},
            {"fitness": limited(params={"max": 10.0}, handling="deb")},
            "'fitness.constraints.handling' is 'reject' there and 'deb' here",
        ),
        (
            {"fitness": limited(latency={"max": 10.0, "repeats": 5})},
            {"fitness": limited(latency={"max": 10.0, "repeats": 9})},
            "'fitness.constraints.latency.repeats' is 5 there and 9 here",
        ),
    ],
)
def test_the_first_key_is_named_with_both_values(
    tmp_path: Path, there: dict[str, Any], here: dict[str, Any], expected: str
) -> None:
    before, now = toy_config(tmp_path, **there), toy_config(tmp_path, **here)
    assert identity(before) != identity(now)
    assert difference(before, now) == expected


def test_what_decides_nothing_is_no_difference(tmp_path: Path) -> None:
    before, now = toy_config(tmp_path), toy_config(tmp_path / "b", name="other", workers=2, cache="auto")
    assert identity(before) == identity(now)
    assert difference(before, now) is None
    # What is written out differs from its default in nothing.
    written = toy_config(tmp_path, seed=0, strategy={"name": "genetic", "population": 20}, device="auto")
    assert difference(before, written) is None
