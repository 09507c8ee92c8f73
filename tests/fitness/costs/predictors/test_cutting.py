"""Networks are cut into the kernels that a runtime launches."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rbflex_evo.fitness.costs.predictors.cutting import PARTS, cut, merges, summary_of
from rbflex_evo.spaces import create_space

TSS = create_space("nats_tss", channels=4, cells=1)
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|"


@pytest.mark.parametrize(
    ("space", "values"),
    [("nats_tss", {}), ("mobilenet", {"size": 64}), ("fbnet", {}), ("darts", {"channels": 4, "layers": 4})],
)
def test_multiply_accumulates_of_all_kernels_are_those_of_the_network(space: str, values: dict[str, int]) -> None:
    built = create_space(space, **values)
    genotype = built.encoding.sample(np.random.default_rng(1))
    genotype = built.representative(built.key(genotype))
    counted = built.costs(genotype).flops
    for runtime in ("eager", "onnx"):
        assert sum(kernel.flops for kernel in cut(built, genotype, runtime)) == pytest.approx(counted, rel=1e-3)


def test_eager_operations_are_kernels_of_their_own_and_onnx_merges_them() -> None:
    genotype = TSS.parse(CELL)
    eager, onnx = (Counter(kernel.kind for kernel in cut(TSS, genotype, runtime)) for runtime in ("eager", "onnx"))
    assert eager["conv3"] == onnx["conv3"]
    assert eager["conv1"] == onnx["conv1"]
    convolutions = eager["conv3"] + eager["conv1"]
    # The last normalisation follows no convolution. The activations of cells come before their convolutions.
    assert eager["norm"] > onnx["norm"]
    assert sum(eager.values()) > sum(onnx.values()) > convolutions


def test_what_onnx_runtime_merges() -> None:
    assert merges("native_batch_norm", "depthwise3")
    assert not merges("native_batch_norm", "sum")
    assert merges("relu", "sum")
    assert merges("hardtanh_", "conv1")
    assert not merges("gelu", "linear")
    assert not merges("relu", "avg_pool2d")


def test_sizes_are_summed_by_kind_and_unknown_kinds_passed_over() -> None:
    kernels = cut(TSS, TSS.parse(CELL), "eager")
    sizes = summary_of(kernels).of(["conv3", "nothing"])
    threes = [kernel for kernel in kernels if kernel.kind == "conv3"]
    assert sizes.tolist()[:2] == [len(threes), sum(kernel.flops for kernel in threes)]
    assert not sizes[PARTS:].any()


def test_a_label_names_kind_and_shape() -> None:
    first = cut(TSS, TSS.parse(CELL), "eager")[0]
    assert first.label == "conv3 3x4x3x3x1x1x1x32x32"
    assert (first.flops, first.weights) == (3 * 4 * 9 * 32 * 32, 3 * 4 * 9)
