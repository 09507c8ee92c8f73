"""The kernels of the compiled backend against plain torch."""

import platform

import pytest
import torch

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.planned import native
from rbflex_evo.fitness.planned.compiled import CompiledBackend, NativeWeight
from rbflex_evo.fitness.planned.eager import Backend
from rbflex_evo.fitness.proxies.az_nas import BlockObserver
from rbflex_evo.fitness.proxies.swap import SwapObserver
from rbflex_evo.spaces.architecture.plan import Convolve

pytestmark = pytest.mark.skipif(native.find_compiler() is None, reason="no C compiler here")

TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-5}
# inputs, outputs, height, width: whole and partial vectors of channels, whole and partial tiles of pixels, less than one tile
SHAPES = [
    (16, 16, 32, 32), (32, 32, 16, 16), (64, 64, 8, 8), (64, 64, 2, 2),
    (24, 40, 9, 7), (16, 72, 5, 18), (17, 19, 4, 6), (8, 8, 6, 6),
]  # fmt: skip
# kernel, stride, padding, pooled
FORMS = {"winograd": (3, 1, 1, 1), "pointwise": (1, 1, 0, 1), "pooled": (1, 2, 0, 2), "strided": (3, 2, 1, 1)}
# Outputs [K, N, ...] of layers: features, words, and maps of two and three dimensions, with more channels than pixels or many.
LAYERS = [(1, 5, 37), (1, 3, 7, 12), (1, 6, 20, 3, 3), (1, 4, 6, 3, 2, 5), (1, 3, 40, 1, 2), (1, 4, 200, 9, 9)]
TARGETS = [target for target in native.TARGETS if target] + (
    [("-mavx2", "-mfma"), ("-msse4.2",)] if platform.machine() == "x86_64" else []
)


def compiled(dtype, target, monkeypatch, tmp_path):
    """Returns a backend whose kernels were compiled for that target."""
    if target != native.TARGETS[0]:
        monkeypatch.setattr(native, "TARGETS", (target,))
        monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path))
    native.load.cache_clear()
    try:
        return CompiledBackend(dtype, dtype)
    except native.NativeError as error:
        pytest.skip(str(error))
    finally:
        native.load.cache_clear()


def drawn(shape, dtype, seed):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def convolution(form, inputs, outputs):
    kernel, stride, padding, pooled = FORMS[form]
    return Convolve((0, 0, 0), "made", "source", "weight", (outputs, inputs, kernel, kernel), stride, padding, pooled)


def assert_close(found, expected):
    largest = expected.abs().max()
    assert (found - expected).abs().max() <= TOLERANCES[expected.dtype] * largest


@pytest.mark.parametrize("target", TARGETS, ids=" ".join)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_convolutions_equal_those_of_torch(dtype, target, monkeypatch, tmp_path):
    backend, eager = compiled(dtype, target, monkeypatch, tmp_path), Backend(dtype)
    for form in FORMS:
        for inputs, outputs, height, width in SHAPES:
            step = convolution(form, inputs, outputs)
            weight, x = drawn(step.shape, dtype, 0), drawn((3, inputs, height, width), dtype, 1)
            found = backend.convolve(x, backend.prepare(weight, step), step)
            assert_close(found, eager.convolve(x, eager.prepare(weight, step), step))


@pytest.mark.parametrize("target", TARGETS, ids=" ".join)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_a_sum_of_postponed_convolutions_equals_that_of_torch(dtype, target, monkeypatch, tmp_path):
    backend, eager = compiled(dtype, target, monkeypatch, tmp_path), Backend(dtype)
    kinds = ["norm", "alias", "pool", "norm", "alias", "norm"]
    for inputs, outputs, height, width in SHAPES:
        step, other, wide, strided = (convolution(form, inputs, outputs) for form in FORMS)
        x, large = drawn((5, inputs, height, width), dtype, 0), drawn((5, inputs, 2 * height + 1, 2 * width), dtype, 1)
        half = drawn((5, inputs, 2 * height, 2 * width - 1), dtype, 4)
        made = drawn((5, outputs, height, width), dtype, 2)
        results = []
        for one in (backend, eager):
            terms = [
                one.postpone(source, one.prepare(drawn(s.shape, dtype, 3), s), s)
                for source, s in ((x, step), (x, other), (large, wide), (half, strided))
            ]
            given = [terms[0], made, made, *terms[1:]]
            results.append(one.combine(kinds, given, tuple(made.shape), dtype, made.device, value=True, active=True))
        found, expected = results
        assert_close(found.value, expected.value)
        assert_close(found.active, expected.active)
        assert_close(found.magnitude, expected.active.amax(dim=(1, 2, 3)))


def test_convolutions_of_another_precision_and_all_other_forms_are_torchs():
    step = convolution("winograd", 16, 16)
    large = Convolve((0, 0, 0), "made", "source", "weight", (16, 16, 5, 5), 1, 2, 1)
    weight = torch.randn(step.shape)
    assert isinstance(CompiledBackend(torch.float32, torch.float32).prepare(weight, step), NativeWeight)
    assert isinstance(CompiledBackend(torch.float32, torch.float32).prepare(torch.randn(large.shape), large), torch.Tensor)
    assert isinstance(CompiledBackend(torch.float32, torch.bfloat16).prepare(weight, step), torch.Tensor)


def test_the_moments_of_a_map_far_from_zero_keep_their_digits():
    backend, eager = CompiledBackend(torch.float32, torch.float32), Backend(torch.float64)
    x = drawn((3, 16, 8, 8), torch.float64, 0) + 1000
    sizes = (["norm"], [x.float()], (3, 16, 8, 8), torch.float32, x.device)
    found = backend.combine(*sizes, value=True, active=False).value
    expected = eager.combine(["norm"], [x.float().double()], *sizes[2:], value=True, active=False).value
    assert (found - expected).abs().max() < 1e-3


class Patterns(SwapObserver):
    """The same observer for the general path."""


class Blocks(BlockObserver):
    """The same observer for the general path."""


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("images", [2, 7, 16, 20])
def test_patterns_of_units_equal_those_of_torch(dtype, images):
    backend = CompiledBackend(dtype, dtype)
    for inputs, _, height, width in SHAPES:
        x = drawn((2, images, inputs, height, width), dtype, 0).relu().contiguous()
        x[1, 0, -1, -1, -1] = float("nan")
        found, expected = (backend.reduce(kind(), x, None) for kind in (SwapObserver, Patterns))
        assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_spectra_of_blocks_equal_those_of_torch(dtype):
    backend = CompiledBackend(dtype, dtype)
    for channels, _, height, width in [*SHAPES, (1, 0, 3, 3), (3, 0, 1, 1), (130, 0, 2, 3)]:
        mixed = drawn((channels, channels), dtype, 1)
        maps = torch.einsum("cd,knhwd->knchw", mixed, drawn((3, 5, height, width, channels), dtype, 0)) + 3
        maps[0, :, channels // 2 :] = maps[0, :, :1]  # Few independent channels.
        maps = maps.flatten(0, 1).contiguous(memory_format=torch.channels_last).view(3, 5, channels, height, width)
        found, expected = (backend.reduce_block(kind(), maps) for kind in (BlockObserver, Blocks))
        close = 1e-10 if dtype == torch.float64 else 1e-4
        torch.testing.assert_close(found, expected, rtol=close, atol=close)


def test_spectra_of_dead_blocks_and_of_values_that_are_not_finite_are_no_numbers():
    backend = CompiledBackend(torch.float32, torch.float32)
    maps = torch.zeros(3, 4, 8, 2, 2)
    maps[1, 0, 0, 0, 0], maps[2, 1, 3, 1, 1] = float("nan"), float("inf")
    for kind in (BlockObserver, Blocks):
        found = backend.reduce_block(kind(), maps)
        assert found[0, 0] == 0
        assert found[:, 1].isnan().all()
        assert not found[1:, 0].isfinite().any()


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("shape", LAYERS)
def test_layers_of_any_shape_and_memory_format_are_reduced_as_by_torch(shape, dtype):
    fast, plain = CompiledBackend(dtype, dtype), Backend(dtype)
    outputs = drawn(shape, dtype, 3)
    for layer in (outputs, outputs.movedim(2, -1).contiguous().movedim(-1, 2), outputs.relu(), outputs.expand(2, *shape[1:])):
        for observer in (create_proxy(name).observer() for name in ("rbflex", "naswot", "swap")):
            found, expected = (backend.reduce(observer, layer, None).double() for backend in (fast, plain))
            assert_close_to(found, expected, dtype)
        found, expected = (backend.reduce_block(BlockObserver(), layer) for backend in (fast, plain))
        assert_close_to(found, expected, dtype)


def assert_close_to(found, expected, dtype):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= (1e-12 if dtype is torch.float64 else 2e-5) * expected.abs().max()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_rows_that_are_not_finite_give_sums_that_are_not_finite(value):
    layer = drawn((1, 4, 8, 6, 6), torch.float32, 0)
    layer[0, 2, 3, 1, 1] = value
    for backend in (CompiledBackend(torch.float32, torch.float32), Backend(torch.float32)):
        assert not backend.reduce(create_proxy("rbflex").observer(), layer, None).isfinite().all()


def test_outputs_of_another_precision_than_the_maps_are_reduced_by_torch():
    layer = drawn((1, 4, 8, 6, 6), torch.float64, 0)
    observer = create_proxy("rbflex").observer()
    found, expected = (backend(torch.float32, torch.float32) for backend in (CompiledBackend, lambda *_: Backend(torch.float32)))
    assert torch.equal(found.reduce(observer, layer, None), expected.reduce(observer, layer, None))
