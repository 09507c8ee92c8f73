"""A setting that other settings leave without effect is refused when a score is created."""

from __future__ import annotations

import pytest

from rbflex_evo.fitness import PROXIES, create_proxy
from rbflex_evo.spaces import ConfigError

REFUSED = [
    ("naswot", {"masked": 0.5}, "masked 0.5 has no effect with repair 'none'"),
    ("swap", {"masked": 0.5, "repair": "layer_norm"}, "masked 0.5 has no effect with repair 'layer_norm'"),
    ("rbflex", {"masked": 0.5}, "masked 0.5 has no effect"),
    ("das", {"repair": "both"}, "repair 'both' has no effect in das"),
    ("das", {"mode": "published"}, "mode 'published' has no effect in das"),
    ("az_expressivity", {"images": 8, "inputs": "data"}, "images 8 has no effect with inputs 'data'"),
    ("az_progressivity", {"images": 8, "inputs": "data"}, "images 8 has no effect with inputs 'data'"),
    ("rbflex", {"networks": 3, "gamma": "flat"}, "networks 3 has no effect with gamma 'flat'"),
    ("rbflex", {"networks": 3, "gamma": [1e-3, 1e-3]}, r"networks 3 has no effect with gamma \[0.001, 0.001\]"),
    ("rbflex", {"networks": 3, "kernel": "ssim"}, "networks 3 has no effect with kernel 'ssim'"),
    ("rbflex", {"gamma": "flat", "kernel": "linear"}, "gamma 'flat' has no effect with kernel 'linear'"),
    ("rbflex", {"gamma": "flat", "mode": "published"}, "gamma 'flat' has no effect in mode 'published'"),
    ("rbflex", {"networks": 3, "mode": "published"}, "networks 3 has no effect in mode 'published'"),
]


@pytest.mark.parametrize(("name", "values", "said"), REFUSED)
def test_a_setting_without_effect_is_refused_in_one_line(name, values, said):
    with pytest.raises(ConfigError, match=rf"'fitness.proxies.{name}': {said}.*; leave it out") as caught:
        create_proxy(name, **values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "values", "said"), REFUSED)
def test_its_default_is_accepted_as_saved_configurations_have_it(name, values, said):
    refused = said.split()[0]
    default = PROXIES.get(name).Parameters.model_fields[refused].get_default()
    proxy = create_proxy(name, **values | {refused: default})
    assert create_proxy(name, **proxy.parameters.model_dump()).identity == proxy.identity
