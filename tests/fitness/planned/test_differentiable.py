"""Convolutions and normalisations of the kernels with gradients, against torch's."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks.machine.speed_methods import noise, threads
from rbflex_evo.fitness import WeightParameters, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.backward import gradients, part_gradients, sign_sums, training, weights_of
from rbflex_evo.fitness.passes.watch import batch_norm, batch_norm_and_variance, image_norm, run_observed, served, serving
from rbflex_evo.fitness.passes.weights import build_initialised, build_lean
from rbflex_evo.fitness.planned import native
from rbflex_evo.fitness.planned.compiled import CompiledBackend
from rbflex_evo.fitness.planned.differentiable import NativeFunctions
from rbflex_evo.fitness.planned.tape import Tapes
from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.architecture.lean import Operations

pytestmark = pytest.mark.skipif(native.find_compiler() is None, reason="no C compiler here")

# inputs, outputs, height, width: whole and partial vectors of channels and tiles of pixels
SHAPES = [(16, 16, 8, 8), (24, 40, 9, 7), (17, 19, 4, 6), (64, 16, 2, 2)]
SCORES = {
    **{name: {} for name in ("gradsign", "grad_norm", "snip", "fisher", "grasp", "zico", "ntk_cond", "vkdnw", "jacob_cov", "zen")},
    **{name: {} for name in ("synflow", "logsynflow", "az_trainability", "intrain")},
    "naswot": {"statistics": "batch"},
    "swap": {},
}


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def kernels():
    return serving(NativeFunctions().table)


def derivatives(compute, arguments, context):
    """Returns the result, its gradients, and the gradients of a function of those."""
    leaves = [argument.clone().requires_grad_() for argument in arguments]
    with context:
        output = compute(*leaves)
        seed = drawn(*output.shape, seed=7)
        first = torch.autograd.grad(output, leaves, seed, create_graph=True)
        total = sum((part * drawn(*part.shape, seed=i)).sum() for i, part in enumerate(first))
        second = torch.autograd.grad(total, leaves, allow_unused=True)
    return [output, *first, *(torch.zeros(()) if part is None else part for part in second)]


def assert_equal_derivatives(compute, arguments):
    found, expected = (derivatives(compute, arguments, context) for context in (kernels(), nullcontext()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize(("inputs", "outputs", "height", "width"), SHAPES)
def test_a_convolution_and_its_first_and_second_derivatives_are_those_of_torch(kernel, inputs, outputs, height, width):
    arguments = [drawn(3, inputs, height, width, seed=1), drawn(outputs, inputs, kernel, kernel, seed=2), drawn(outputs, seed=3)]

    def compute(x, weight, bias):
        return served(functional.conv2d)(x, weight, bias, padding=kernel // 2)

    assert_equal_derivatives(compute, arguments)


@pytest.mark.parametrize("norm", [batch_norm, image_norm])
@pytest.mark.parametrize("channels", [16, 19])
def test_a_normalisation_and_its_first_and_second_derivatives_are_those_of_torch(norm, channels):
    arguments = [3 + drawn(3, channels, 5, 4, seed=1), drawn(channels, seed=2), drawn(channels, seed=3)]
    assert_equal_derivatives(lambda x, weight, bias: norm(x, None, None, weight, bias), arguments)


def test_first_derivatives_of_a_normalisation_without_a_second_are_those_of_torch():
    for norm in (batch_norm, image_norm):
        found = []
        for context in (kernels(), nullcontext()):
            x = (3 + drawn(3, 19, 5, 4, seed=1)).requires_grad_()
            weight, bias = (drawn(19, seed=seed).requires_grad_() for seed in (2, 3))
            with context:
                found.append(torch.autograd.grad(norm(x, None, None, weight, bias), [x, weight, bias], drawn(3, 19, 5, 4, seed=4)))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_a_channel_that_is_constant_in_an_image_is_its_shift_and_has_no_gradient():
    x = drawn(2, 16, 4, 4).contiguous(memory_format=torch.channels_last)
    x[0, 3] = 0.1
    x.requires_grad_()
    bias = torch.arange(16, dtype=torch.float64)
    with kernels():
        output = image_norm(x, None, None, torch.ones(16, dtype=torch.float64), bias)
        (gradient,) = torch.autograd.grad(output, x, drawn(2, 16, 4, 4, seed=1))
    assert (output[0, 3] == 3).all() and (gradient[0, 3] == 0).all()
    assert (output[1, 3] != 3).all() and (gradient[1, 3] != 0).all()


@pytest.mark.parametrize(
    ("input", "gradient", "kernel", "stride", "padding"),
    [
        ((3, 16, 8, 8), (3, 24, 8, 8), (3, 3), 1, 1),
        ((3, 3, 7, 8), (3, 17, 4, 4), (3, 3), 2, 1),
        ((3, 5, 6, 6), (3, 4, 6, 4), (1, 3), 1, 0),
        ((3, 16, 4, 4), (3, 40, 4, 4), (1, 1), 1, 0),
        ((3, 20), (3, 10), (1, 1), 1, 0),
        ((2, 4, 1, 1), (2, 4, 5, 5), (1, 1), 1, 2),
    ],
)
def test_sums_of_signs_are_those_of_each_images_gradient(input, gradient, kernel, stride, padding):
    x, g = drawn(*input, seed=1), drawn(*gradient, seed=2)
    weight = drawn(gradient[1], input[1], *(kernel if x.dim() == 4 else ())).requires_grad_()
    expected = torch.zeros_like(weight)
    for one, own in zip(torch.split(x, 1), torch.split(g, 1), strict=True):
        output = served(functional.conv2d)(one, weight, None, stride, padding) if x.dim() == 4 else functional.linear(one, weight)
        expected += torch.autograd.grad(output, weight, own)[0].sign()
    for context in (kernels(), nullcontext()):
        with context:
            found = served(sign_sums)(x, g, kernel, stride, padding)
        torch.testing.assert_close(found.reshape(weight.shape), expected.detach())


def test_a_sum_of_signs_of_what_is_not_finite_is_nan():
    x, g = drawn(2, 16, 4, 4), drawn(2, 16, 4, 4, seed=1)
    g[0, 2, 1, 1] = torch.inf
    for context in (kernels(), nullcontext()):
        with context:
            found = served(sign_sums)(x, g, (1, 1), 1, 0)
        assert found[2].isnan().all() and found[3].isfinite().all()


def test_a_weight_that_changes_in_place_is_prepared_again():
    x, weight = drawn(2, 16, 4, 4), nn.Parameter(drawn(16, 16, 3, 3))
    with kernels(), torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(
                served(functional.conv2d)(x, weight, padding=1), torch.conv2d(x.clone(), weight.clone(), padding=1)
            )
            weight.mul_(2)


def test_other_forms_of_convolutions_and_other_precisions_are_torchs():
    x, weight = drawn(2, 16, 8, 8), drawn(16, 16, 3, 3)
    forms = [
        (x, weight, None, 2, 1), (x, weight, None, 1, "same"), (x, weight, None, 1, 2, 2), (x, weight, None, 1, (0, 1)),
        (x, weight[:, :4], None, 1, 1, 1, 4), (x.half(), weight.half(), None, 1, 1), (x[0], weight, None, 1, 1),
    ]  # fmt: skip
    for form in forms:
        expected = served(functional.conv2d)(*form)
        with kernels():
            assert torch.equal(served(functional.conv2d)(*form), expected)


def test_what_an_activation_changes_in_place_is_an_error_as_in_torch():
    x, weight = drawn(2, 16, 4, 4).requires_grad_(), drawn(16, 16, 3, 3).requires_grad_()
    with kernels():
        before = x * 1
        output = served(functional.conv2d)(before, weight, padding=1)
        before.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(output.sum(), weight)


def test_the_kernels_serve_scores_in_one_thread_and_one_precision_only():
    for count, convolutions in ((1, torch.float32), (2, torch.float32), (1, torch.bfloat16)):
        backend = CompiledBackend(torch.float32, convolutions)
        serves = (count, convolutions) == (1, torch.float32)
        with threads(count), backend.functions(lean=True):
            assert (served(image_norm) is not image_norm) == (served(sign_sums) is not sign_sums) == serves


def test_networks_that_are_not_lean_have_the_convolutions_and_normalisations_of_torch():
    with threads(1), CompiledBackend(torch.float32, torch.float32).functions(lean=False):
        assert served(functional.conv2d) is functional.conv2d and served(image_norm) is image_norm
        assert served(sign_sums) is not sign_sums


@pytest.mark.parametrize(
    ("name", "lean"), [("nats_tss", True), ("nats_sss", True), ("transnas_macro", False), ("mobilenet", False)]
)
def test_the_kernels_serve_spaces_with_lean_networks(name, lean):
    batch = Batch(torch.from_numpy(noise(2, 32)))
    assert Measurer(Conditions.of(create_space(name), batch, device="cpu")).lean == lean


def test_a_normalisation_with_its_variance_is_that_of_torch():
    x, weight, bias = 3 + drawn(3, 19, 5, 4), drawn(19, seed=1), drawn(19, seed=2)
    with kernels(), torch.no_grad():
        found = batch_norm_and_variance(x, weight, bias)
    for ours, theirs in zip(found, batch_norm_and_variance(x, weight, bias), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_both_backends_agree_in_float64(name):
    space = create_space("nats_tss", channels=16, cells=1)
    images = torch.from_numpy(noise(4, 16))
    batch = Batch(images, torch.arange(4))
    proxy = create_proxy(name, **SCORES[name])
    cells = [space.parse(cell) for cell in CELLS]
    found = []
    for backend in ("eager", "compiled"):
        measurer = Measurer(Conditions.of(space, batch, device="cpu", backend=backend, precision="float64"))
        with threads(1):
            measured = measurer.measure([(cell, {name: proxy}) for cell in cells])
        found.append([proxy.score(one.statistics[name]) for one in measured])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


@pytest.mark.parametrize("count", [4, 5])
def test_gradients_of_parts_are_those_of_each_part_alone(count):
    space = create_space("nats_tss", channels=16, cells=1)
    images, parts = drawn(count, 3, 16, 16), [slice(2), slice(2, count)]
    lean = build_lean(space, space.parse(CELLS[0]), WeightParameters(), torch.device("cpu"), torch.float64)
    weights = weights_of(lean)

    def loss(output, part):
        return output.square().mean()

    expected = part_gradients(lean, images, loss, weights, parts)
    with serving(Tapes(NativeFunctions()).table):
        found = part_gradients(lean, images, loss, weights, parts)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("size", [4, 8])
def test_by_the_batchs_statistics_maps_of_one_pixel_are_normalised_too(size):
    space = create_space("nats_tss", channels=16, cells=1)
    images, proxy = torch.from_numpy(noise(4, size)), create_proxy("naswot", statistics="batch")
    for cell in map(space.parse, CELLS):
        observer = proxy.observer()
        network = build_initialised(space, cell, WeightParameters()).double()
        run_observed(network, images.double(), [observer], space.classifier(network), "batch")
        measurer = Measurer(Conditions.of(space, Batch(images), device="cpu", backend="compiled", precision="float64"))
        (measured,) = measurer.measure([(cell, {"naswot": proxy})])
        np.testing.assert_array_equal(measured.statistics["naswot"]["matches"], observer.finish()["matches"])


CELLS = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|",
    "|avg_pool_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|nor_conv_1x1~2|",
)


@pytest.mark.parametrize("norm", [batch_norm, image_norm])
@pytest.mark.parametrize("size", [16, 4])
def test_a_lean_network_as_one_operation_has_the_derivatives_of_its_operations(norm, size):
    space = create_space("nats_tss", channels=16, cells=1)
    images = drawn(3, 3, size, size).requires_grad_()
    for cell in CELLS:
        lean = build_lean(space, space.parse(cell), WeightParameters(), torch.device("cpu"), torch.float64)
        read = [images, *lean.parameters()]
        found = []
        for again in (False, True):
            with serving(Tapes(NativeFunctions()).table if not again else {}), training(lean, norm, again=again):
                logits = lean(images)
            alone = gradients(logits.square().sum(), read[2:4], retain_graph=True)
            every = gradients(logits.square().sum(), read, retain_graph=True)
            recorded = gradients(logits.square().sum(), read[:2], create_graph=True)
            second = gradients(recorded[0].square().sum(), read[:2])
            found.append([logits, *alone, *every, *recorded, *second])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)
    assert lean.as_one is None and type(lean.primitives) is Operations
