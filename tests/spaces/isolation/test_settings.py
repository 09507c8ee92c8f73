"""No setting of the calling program reaches a score, and every setting is restored."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils import deterministic

from rbflex_evo.fitness import Evaluator, create_proxy, rbflex_score
from rbflex_evo.fitness.costs.latency import Latency, LatencyParameters
from rbflex_evo.fitness.costs.metric import CostSubject
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.planned.native import find_compiler
from rbflex_evo.fitness.proxies.rbflex.layers import layer_distances
from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import _flushes_denormals, own_settings, restored_settings

IMAGES = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype("float32"))
PROXIES = ("rbflex", "naswot", "synflow", "jacob_cov")


@contextmanager
def changed(read, write, value):
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def attribute(owner, name, value):
    return lambda: changed(lambda: getattr(owner, name), lambda v: setattr(owner, name, v), value)


@contextmanager
def denormals_flushed():
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def deterministic_only(warn_only):
    def write(mode):
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)

    return lambda: changed(torch.are_deterministic_algorithms_enabled, write, True)


BACKENDS = torch.backends
SETTINGS = {
    "float64": lambda: changed(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "float16": lambda: changed(torch.get_default_dtype, torch.set_default_dtype, torch.float16),
    "bfloat16": lambda: changed(torch.get_default_dtype, torch.set_default_dtype, torch.bfloat16),
    "device by default": lambda: changed(lambda: None, torch.set_default_device, "meta"),
    "device by context": lambda: torch.device("meta"),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "threads": lambda: changed(torch.get_num_threads, torch.set_num_threads, 2),
    "deterministic": deterministic_only(False),
    "deterministic with warnings": deterministic_only(True),
    "unfilled memory": attribute(deterministic, "fill_uninitialized_memory", False),
    "denormals": denormals_flushed,
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "cudnn off": attribute(BACKENDS.cudnn, "enabled", False),
    "cudnn benchmark": attribute(BACKENDS.cudnn, "benchmark", True),
    "cudnn deterministic": attribute(BACKENDS.cudnn, "deterministic", True),
    "cudnn without TF32": attribute(BACKENDS.cudnn, "allow_tf32", False),
    "oneDNN off": lambda: BACKENDS.mkldnn.flags(enabled=False),
    "coarse products": lambda: changed(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"),
    "attention without math": lambda: changed(BACKENDS.cuda.math_sdp_enabled, BACKENDS.cuda.enable_math_sdp, False),
    "numpy errors": lambda: np.errstate(all="raise"),
    "warnings as errors": warnings_are_errors,
}


def state():
    return (
        torch.get_default_dtype(), torch.empty(0).device, torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(), deterministic.fill_uninitialized_memory, _flushes_denormals(),
        torch.is_anomaly_enabled(), BACKENDS.cudnn.enabled, BACKENDS.cudnn.benchmark, BACKENDS.cudnn.deterministic,
        BACKENDS.cudnn.allow_tf32, BACKENDS.mkldnn.enabled, torch.get_float32_matmul_precision(), BACKENDS.cuda.math_sdp_enabled(),
        np.geterr(), list(warnings.filters),
    )  # fmt: skip


def scores(backend):
    space = create_space("nats_tss", channels=4, cells=1)
    conditions = Conditions.of(space, Batch(IMAGES), device="cpu", backend=backend)
    genotypes = [(3, 2, 4, 1, 3, 2), (0, 0, 0, 1, 0, 0)]
    with Evaluator(conditions, {name: create_proxy(name) for name in PROXIES}, workers=1) as evaluator:
        return [(e.scores, e.failures) for e in evaluator.evaluate(keyed(evaluator, genotypes))]


def other_numbers():
    """Returns numbers of the other entries that build or run a network."""
    space, genotype = create_space("nats_tss", channels=4, cells=1), (3, 2, 4, 1, 3, 2)
    network = build_initialised(space, genotype, WeightParameters())
    weights = [(p.dtype, p.device.type, p.double().sum().item()) for p in network.parameters()]
    distances = [part.distance for part in layer_distances(space, genotype, IMAGES)[0]]
    latency = Latency(LatencyParameters(warm_up=0, repeats=1), space).cost(CostSubject(space, genotype)) > 0
    return weights, distances, latency, space.costs(genotype), create_space("toy").costs((2, 3, 1, 0, 2, 2))


def model():
    with own_random_state(0):
        body = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
        return nn.Sequential(*body, nn.Linear(128, 64), nn.GELU(), nn.Linear(64, 10))


MODEL = model()
COMPILED = pytest.param("compiled", marks=pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler"))


@pytest.fixture(scope="module")
def as_ever():
    backends = ["eager", *(["compiled"] if find_compiler() else [])]
    return {backend: scores(backend) for backend in backends}, rbflex_score(MODEL, IMAGES), other_numbers()


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("backend", ["eager", COMPILED])
def test_no_setting_of_the_caller_reaches_a_score_of_a_space(setting, backend, as_ever):
    with SETTINGS[setting]():
        before = state()
        found = scores(backend)
        assert state() == before
    assert found == as_ever[0][backend]


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_the_caller_reaches_a_score_of_a_model(setting, as_ever):
    with SETTINGS[setting]():
        before = state()
        found = rbflex_score(MODEL, IMAGES)
        assert state() == before
    assert found == as_ever[1]


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_the_caller_reaches_weights_layers_or_costs(setting, as_ever):
    with SETTINGS[setting]():
        before = state()
        found = other_numbers()
        assert state() == before
    assert found == as_ever[2]


class Tokens(nn.Module):
    """A model whose forward makes a tensor of the default dtype, as a class token."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.head = nn.Linear(48, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x):
        rows = self.embed(x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4).permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2))
        token = torch.zeros(len(x), 1, 16)
        return self.head(functional.gelu(self.mix(rows)).mean(1) + self.mix(token).mean(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_of_the_model_decides_whatever_the_default(dtype):
    with own_random_state(0):
        model = Tokens().to(dtype)
    found = set()
    for default in (torch.float32, torch.float64):
        with changed(torch.get_default_dtype, torch.set_default_dtype, default):
            found.add(rbflex_score(model, IMAGES.to(dtype)))
            assert torch.get_default_dtype() == default
    assert len(found) == 1


def test_settings_are_restored_after_an_error():
    @own_settings()
    def failing():
        assert torch.get_default_dtype() == torch.float32
        raise ZeroDivisionError

    before = state()
    with changed(torch.get_default_dtype, torch.set_default_dtype, torch.float64):
        with pytest.raises(ZeroDivisionError):
            failing()
        assert torch.get_default_dtype() == torch.float64
    assert state() == before


def test_what_a_function_of_the_user_sets_is_undone_within_our_settings():
    with own_settings():
        before = (state(), np.geterr())
        with restored_settings():
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(2)
            torch.set_grad_enabled(False)
            torch.backends.cudnn.benchmark = True
            np.seterr(all="raise")
        assert (state(), np.geterr()) == before and torch.is_grad_enabled()


def together(count, call):
    """Calls `call(i)` in `count` threads that start at once, and returns the results."""
    found, barrier = [None] * count, threading.Barrier(count)

    def run(i):
        barrier.wait()
        found[i] = call(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_threads_that_share_a_model_give_its_score_and_leave_it_as_it_was():
    model = MODEL.train()
    alone = rbflex_score(model, IMAGES)
    found = together(4, lambda i: [rbflex_score(model, IMAGES) for _ in range(5)])
    assert found == [[alone] * 5] * 4
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_threads_with_other_settings_each_score_as_ever_and_keep_their_settings(as_ever):
    def score(i):
        if i % 2:
            return [rbflex_score(MODEL, IMAGES) for _ in range(5)]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), np.errstate(all="raise"):
            return [rbflex_score(MODEL, IMAGES) for _ in range(5)]

    before = state()
    with changed(torch.get_default_dtype, torch.set_default_dtype, torch.float64):
        assert together(4, score) == [[as_ever[1]] * 5] * 4
        assert torch.get_default_dtype() == torch.float64
    assert state() == before


def test_threads_that_evaluate_a_space_give_the_scores_of_one(as_ever):
    assert together(3, lambda i: scores("eager")) == [as_ever[0]["eager"]] * 3


def test_a_forked_process_scores_although_a_thread_was_scoring(as_ever):
    import multiprocessing

    inside, leave = threading.Event(), threading.Event()

    def hold():
        with own_settings():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(60)
    try:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            found = pool.apply_async(rbflex_score, (MODEL, IMAGES)).get(60)
    finally:
        leave.set()
        thread.join()
    assert found == as_ever[1]


def test_measuring_does_not_import_torchs_compiler():
    program = (
        "import sys, torch\n"
        "from rbflex_evo import rbflex_score\n"
        "layers = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 4)\n"
        "rbflex_score(torch.nn.Sequential(*layers), torch.rand(4, 3, 8, 8))\n"
        "print('torch._dynamo' in sys.modules, 'torch._inductor' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
