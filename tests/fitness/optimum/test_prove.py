"""Proved optima: dynamic programming gives what enumeration gives, and refuses what does not add up."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbflex_evo import Choices
from rbflex_evo.fitness.costs.metric import CostSubject, create_metric
from rbflex_evo.fitness.optimum import prove as proving
from rbflex_evo.fitness.optimum.dynamic_programming import non_dominated
from rbflex_evo.fitness.optimum.prove import prove
from rbflex_evo.fitness.optimum.quantity import Goal, Limit, Quantity, cost_quantity, score_quantity, scored
from rbflex_evo.fitness.optimum.sums import NotAdditive, OutOfTime
from rbflex_evo.fitness.proxies.proxy import create_proxy
from rbflex_evo.spaces import ConfigError, GenotypeError, SearchSpace, create_space
from rbflex_evo.spaces.encodings.conditional import ConditionalEncoding, Gene, Rule
from rbflex_evo.spaces.encodings.domain import Domain
from rbflex_evo.spaces.encodings.encoding import Encoding
from rbflex_evo.spaces.encodings.staged import StagedEncoding, StageRange
from rbflex_evo.spaces.encodings.vector import VectorEncoding

ENCODINGS: dict[str, Encoding] = {
    "vector": VectorEncoding([3, 2, 4]),
    "stages": StagedEncoding([2], [StageRange(1, 3, 2), StageRange(2, 4, 2, 2)]),
    "choices": ConditionalEncoding(
        [Gene("a", 2), Gene("b", 3, condition=Rule((0,), lambda a: a == 1, "a == 1")), Gene("c", 3)],
        [Rule((1, 2), lambda b, c: b == 2 and c == 0, "b == 2 and c == 0")],
    ),
}


def costs_of(space: SearchSpace) -> tuple[Quantity, Quantity]:
    params, flops = (cost_quantity(create_metric(name, space)) for name in ("params", "flops"))
    return params, flops


def network(depth: int, width: int, kernel: int):  # type: ignore[no-untyped-def]
    from torch import nn

    layers: list[nn.Module] = [nn.Conv2d(3, width, kernel, padding="same")]
    layers += [nn.Conv2d(width, width, kernel, padding="same") for _ in range(depth)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))


def small_space(name: str) -> SearchSpace:
    if name == "choices":
        return Choices(network, depth=[1, 2, 3], width=[8, 16], kernel=[1, 3], input_shape=(3, 8, 8))
    if name == "toy":
        return create_space("toy", genes=5)
    return create_space(name)


def networks(space: SearchSpace) -> list[CostSubject]:
    return [scored(space, genotype) for genotype in space.encoding.enumerate()]


def every(domain: Domain) -> set[tuple[int, ...]]:
    return {genotype for genotype in itertools.product(*domain.values) if domain.valid(genotype)}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_domain_has_the_genotypes_that_the_encoding_enumerates(name: str) -> None:
    domain = ENCODINGS[name].domain()
    assert domain is not None
    assert every(domain) == set(ENCODINGS[name].enumerate())
    for genotype in itertools.product(*domain.values):
        try:
            ENCODINGS[name].validate(genotype)
        except GenotypeError:
            assert not domain.valid(genotype)


@pytest.mark.parametrize("name", ["toy", *(pytest.param(name, marks=pytest.mark.slow) for name in ("choices", "nasbench_macro"))])
def test_dynamic_programming_gives_the_front_and_the_optimum_of_enumeration(name: str) -> None:
    space = small_space(name)
    params, flops = costs_of(space)
    values = sorted(flops.of(scored(space, genotype)) for genotype in space.encoding.enumerate())
    middle, low = values[len(values) // 2], values[len(values) // 5]
    questions = [
        ([Goal(params)], []),
        ([Goal(params, False)], [Limit(flops, minimum=middle)]),
        ([Goal(flops)], [Limit(flops, maximum=middle)]),
        ([Goal(params), Goal(flops, False)], []),
        ([Goal(params), Goal(flops, False)], [Limit(flops, low, middle)]),
        ([Goal(params)], [Limit(params, maximum=0.0)]),
    ]
    for goals, limits in questions:
        proofs = [prove(space, goals, limits, method=method) for method in ("enumeration", "dynamic programming")]
        fronts = [[tuple(one.values[goal.quantity.name] for goal in goals) for one in proof.front] for proof in proofs]
        assert fronts[0] == fronts[1]
        for one in proofs[1].front:
            assert space.key(one.genotype) == one.key
            network = scored(space, one.genotype)
            assert one.values == {found.name: found.of(network) for found in (params, flops) if found.name in one.values}


@pytest.mark.slow
def test_dynamic_programming_gives_the_front_of_enumeration_on_the_sizes_of_nats_bench() -> None:
    space = create_space("nats_sss")
    params, flops = costs_of(space)
    goals, limits = [Goal(params), Goal(flops, False)], [Limit(flops, maximum=60e6)]
    one, other = (prove(space, goals, limits, method=method) for method in ("enumeration", "dynamic programming"))
    assert len(one.front) > 20
    assert [each.values for each in one.front] == [each.values for each in other.front]


def test_a_sum_of_logarithms_is_proved_to_nine_digits() -> None:
    space = small_space("choices")
    score = score_quantity(create_proxy("log_channels"), space)
    one, other = (prove(space, [Goal(score)], method=method) for method in ("enumeration", "dynamic programming"))
    assert not other.exact
    assert one.best is not None and other.best is not None
    assert one.best.values == other.best.values
    # Depth 3 and width 16: four convolutions of 16 channels, and 4 outputs.
    assert other.best.values["log_channels"] == pytest.approx(4 * math.log(16) + math.log(4), rel=1e-5)


def test_a_product_is_proved_by_its_logarithms() -> None:
    space = create_space("toy", genes=4)

    def product(network: CostSubject) -> float:
        return math.prod(2.0 + gene for gene in network.genotype)

    logarithm = Quantity("product", lambda network: math.log(product(network)), fast=True, rounded=True, logarithmic=True)
    proof = prove(space, [Goal(logarithm)], [Limit(logarithm, maximum=400.0)], method="dynamic programming")
    assert proof.best is not None
    assert proof.best.values["product"] == max(value for value in map(product, networks(space)) if value <= 400)


@pytest.mark.slow
def test_a_quantity_whose_parts_do_not_add_up_is_refused_in_one_line() -> None:
    space = create_space("toy", genes=11)
    wave = Quantity("wave", lambda network: float(sum(network.genotype) ** 3 % 17), fast=True)
    with pytest.raises(NotAdditive, match="too large to be enumerated") as refused:
        prove(space, [Goal(wave)])
    assert "\n" not in str(refused.value)


def test_an_interaction_that_was_missed_is_found_in_the_network_that_is_proved() -> None:
    space = create_space("toy", genes=8, choices=8)

    def rare(network: CostSubject) -> float:
        genes = network.genotype
        return 100.0 * ((*genes[:2], *genes[-2:]) == (7, 7, 7, 7)) + sum(genes)

    quantity = Quantity("rare", rare, fast=True)
    with pytest.raises(NotAdditive):
        prove(space, [Goal(quantity)], method="dynamic programming")


def test_a_small_space_is_enumerated_where_parts_do_not_add_up() -> None:
    space = create_space("toy", genes=4)
    odd = Quantity("odd", lambda network: float(sum(network.genotype) ** 3 % 17))
    assert proving.FEW > 4**4
    proof = prove(space, [Goal(odd)])
    assert proof.method == "enumeration"
    assert proof.best is not None
    assert proof.best.values["odd"] == max(map(odd.of, networks(space)))


def test_a_proof_that_takes_too_long_ends_with_one_line() -> None:
    with pytest.raises(OutOfTime, match="longer than 0 s; allow more time"):
        prove(create_space("nats_sss"), [Goal(costs_of(create_space("nats_sss"))[0])], seconds=0.0)


def test_what_is_measured_has_no_proof() -> None:
    space = create_space("toy")
    with pytest.raises(ConfigError, match="is measured"):
        cost_quantity(create_metric("latency", space))
    with pytest.raises(ConfigError, match="is measured"):
        score_quantity(create_proxy("naswot"), space)
    with pytest.raises(ConfigError, match="each of them once"):
        prove(space, [])


def test_the_ratio_of_a_whole_front_is_one_and_that_of_a_part_is_less() -> None:
    space = small_space("toy")
    params, flops = costs_of(space)
    proof = prove(space, [Goal(params), Goal(flops, False)])
    rows = proof.oriented()
    assert len(rows) > 3
    assert proof.ratio(rows) == 1.0
    assert 0 < proof.ratio(rows[1:-1]) < 1


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=30), st.integers(1, 3))
@settings(deadline=None)
def test_the_non_dominated_rows_are_those_that_no_other_row_dominates(rows: list[list[int]], width: int) -> None:
    table = np.array(rows)[:, :width]
    kept = {tuple(table[i].tolist()) for i in non_dominated(table)}
    distinct = {tuple(row) for row in table.tolist()}
    best = {a for a in distinct if not any(b != a and all(y >= x for x, y in zip(a, b, strict=True)) for b in distinct)}
    assert kept == best
    assert len(non_dominated(table)) == len(best)


@pytest.mark.slow
def test_the_front_of_mobilenet_within_300_million_is_proved_in_a_minute() -> None:
    space = create_space("mobilenet")
    params, flops = costs_of(space)
    proof = prove(space, [Goal(params), Goal(flops, False)], [Limit(flops, maximum=300e6)], seconds=60.0)
    assert proof.method == "dynamic programming"
    assert proof.exact
    assert len(proof.front) > 1000
    assert all(one.values["flops"] <= 300e6 for one in proof.front)
    rows = proof.oriented()
    assert (np.diff(rows[:, 0]) < 0).all()
    assert (np.diff(rows[:, 1]) > 0).all()
