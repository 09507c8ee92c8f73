"""A thousand random networks of each large space are built and have the output's shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from rbflex_evo.spaces import create_space

INITIALISERS = {torch.Tensor.uniform_, torch.Tensor.normal_}


class WithoutDrawing(TorchFunctionMode):
    """Leaves weights as they lie in memory: shapes do not depend on them."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return args[0] if func in INITIALISERS else func(*args, **(kwargs or {}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values", "outputs", "least"),
    [
        ("nasbench101", {"channels": 4}, 10, 400),  # a uniform graph has few edges left after pruning, so cells repeat
        ("nasbench_macro", {"channels": 4}, 10, 400),
        ("mobilenet", {"classes": 10}, 10, 400),
        ("fbnet", {"classes": 10}, 10, 400),
        ("transnas_micro", {"channels": 2}, 75, 350),  # half of the cells share thirty keys
        ("transnas_macro", {"channels": 2, "task": "room_layout"}, 9, 800),
    ],
)
def test_a_thousand_random_networks_have_the_output_s_shape(name, values, outputs, least):
    space = create_space(name, **values)
    rng = np.random.default_rng(0)
    distinct = set()
    images = torch.zeros(1, 3, 32, 32)
    for _ in range(1000):
        genotype = space.encoding.sample(rng)
        distinct.add(space.key(genotype))
        with WithoutDrawing():
            network = space.build(genotype).eval()
        with torch.no_grad():
            assert network(images).shape == (1, outputs)
    assert len(distinct) > least
