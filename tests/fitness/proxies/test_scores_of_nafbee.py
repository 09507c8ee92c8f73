"""Every score gives NAFBee's networks a number or a reason, or refuses their space in one line."""

from __future__ import annotations

import math

import pytest

from rbflex_evo.fitness import PROXIES, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, create_space

SPACES = {
    "nafbee_vgg11": {"channels": 4},
    "nafbee_bert": {"layers": 2, "hidden": 12, "heads": 2, "length": 6, "vocabulary": 40},
}
REFUSED = {
    "nafbee_vgg11": {"nn_mass", "nn_degree", "mlp_ratio"},
    "nafbee_bert": {"nn_mass", "nn_degree", "zen", "ni", "jacob_cov", "linear_regions", "dextr"},
}


@pytest.mark.parametrize("name", SPACES)
def test_every_score_gives_a_number_or_a_reason_or_refuses_the_space(name):
    space = create_space(name, **SPACES[name])
    proxies, refused = {}, {}
    for score in PROXIES.names():
        proxy = create_proxy(score)
        try:
            proxy.check(space)
        except ConfigError as error:
            refused[score] = str(error)
        else:
            proxies[score] = proxy.for_space(space)
    assert refused.keys() == REFUSED[name]
    assert not [text for text in refused.values() if "\n" in text]
    measurer = Measurer(Conditions.of(space, Batch(space.example_inputs(4)), device="cpu"))
    (measured,) = measurer.measure([(space.parse("SELU"), proxies)])
    assert measured.failures.keys() | measured.statistics.keys() == proxies.keys()
    assert all(reason.strip() for reason in measured.failures.values())
    for score, statistics in measured.statistics.items():
        if proxies[score].calibration_networks:
            continue
        try:
            found = proxies[score].score(statistics)
        except CandidateFailed as failed:
            found = str(failed)
        assert found if isinstance(found, str) else math.isfinite(found), score
