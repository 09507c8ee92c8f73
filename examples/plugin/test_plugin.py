"""The conformance kit on everything that the package gives, and its score against the paper's formula."""

from pathlib import Path

import numpy as np
import torch
from rbflex_evo_example.encoding import PermutationEncoding
from rbflex_evo_example.proxy import RankMe
from rbflex_evo_example.source import PinkNoise
from rbflex_evo_example.space import LayerOrderParameters, LayerOrders
from rbflex_evo_example.strategy import LateAcceptance
from rbflex_evo_example.table import OrderLog

from rbflex_evo.engine.conformance import check_encoding, check_proxy, check_source, check_space, check_strategy, check_table

SPACE = LayerOrders(LayerOrderParameters(width=4, stages=2))


def test_the_kit_finds_nothing():
    check_encoding(PermutationEncoding(4))
    check_space(SPACE)
    check_proxy(RankMe, [SPACE])
    check_strategy(LateAcceptance)
    check_table(OrderLog, SPACE, path=str(Path(__file__).parent / "known.log"))
    check_source(PinkNoise, n=4)


def test_equal_layers_may_change_places():
    first, second = (SPACE.parse(f"conv3.{a}-norm.1-relu.1-conv3.{b}-norm.2-relu.2-conv1.1") for a, b in ((1, 2), (2, 1)))
    assert SPACE.key(first) == SPACE.key(second) == "conv3-norm-relu-conv3-norm-relu-conv1"
    assert len(set(SPACE.keys())) == 5040 // 8


def test_the_score_is_the_papers():
    features = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 20)))
    observer = RankMe().observer()
    observer.features(features, features.abs().max())
    p = np.linalg.svd(features.numpy(), compute_uv=False)
    p = p / np.abs(p).sum() + 1e-7
    assert np.isclose(RankMe().score(observer.finish()), np.exp(-sum(x * np.log(x) for x in p)), rtol=1e-12)


def test_pink_noise_has_the_spectrum_of_natural_images():
    spectrum = np.abs(np.fft.fft2(PinkNoise(PinkNoise.Parameters(n=100)).batch().images.numpy())).mean(axis=(0, 1))
    assert np.isclose(spectrum[0, 4] / spectrum[0, 8], 2, rtol=0.15)
