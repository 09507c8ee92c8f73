"""An activation that observers cannot see is refused with the name of its module, whatever hides it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from rbflex_evo.fitness import CandidateFailed, rbflex_score
from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.fitness.passes.watch import run_observed

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*")


@torch.jit.script
def scripted_silu(x: torch.Tensor) -> torch.Tensor:
    return functional.silu(x)


@torch.jit.script
def scripted_half(x: torch.Tensor) -> torch.Tensor:
    return x.flip(1) * 0.5


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * torch.sigmoid(x)


class Half(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x / 2


@torch.library.custom_op("rbflex_evo_tests::soft_step", mutates_args=())
def soft_step(x: torch.Tensor) -> torch.Tensor:
    return x / (1 + x.abs())


class Block(nn.Module):
    def __init__(self, act):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.act = nn.Linear(6, 6), act

    def forward(self, x):
        return self.act(self.body(x))


class Network(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.block, self.head = Block(act), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.block(x)))


def images():
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


def compiled(x):
    return functional.silu(x) * 2


HIDDEN = {
    "scripted function": (scripted_silu, "silu by a scripted function"),
    "traced function": (torch.jit.trace(functional.mish, torch.zeros(5, 6)), "mish by a scripted function"),
    "custom operation": (soft_step, "the operation rbflex_evo_tests::soft_step"),
    "torch.ops": (torch.ops.aten.relu, "relu by an operation that is called past torch.nn.functional"),
    "overload": (torch.ops.aten.gelu.default, "gelu by an operation that is called past torch.nn.functional"),
    "inner function": (torch._C._nn.silu, "silu by an operation that is called past torch.nn.functional"),
    "autograd function": (Swish.apply, "sigmoid in the autograd function Swish"),
    "compiled function": (torch.compile(compiled, backend="eager"), "silu in a compiled function"),
}


@pytest.mark.parametrize("form", HIDDEN)
def test_a_hidden_activation_is_refused_with_its_module(form):
    act, what = HIDDEN[form]
    with pytest.raises(CandidateFailed) as failed:
        rbflex_score(Network(act), images(), classifier="head")
    assert str(failed.value) == (
        f"module 'block' calls {what}, which cannot be observed; call it as plain Python, or put it into a module with "
        "is_activation = True"
    )


@pytest.mark.parametrize("warm", [0, 5])
def test_a_scripted_function_that_has_run_before_is_refused_too(warm):
    network = Network(scripted_silu)
    with torch.no_grad():
        for _ in range(warm):
            network(images())
    with pytest.raises(CandidateFailed, match="silu by a scripted function"):
        rbflex_score(network, images())


class Declared(nn.Module):
    is_activation = True

    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        return self.call(x)


@pytest.mark.parametrize("form", ["scripted function", "custom operation", "torch.ops", "autograd function"])
def test_a_module_that_declares_it_makes_it_visible(form):
    class Recorder(Observer):
        def __init__(self):
            self.layers = []

        def activation(self, name, output, multiplicity=1):
            self.layers.append(output)

        def finish(self):
            return {}

    act, _ = HIDDEN[form]
    recorder, network = Recorder(), Network(Declared(act))
    account = run_observed(network, images(), [recorder], network.head)
    assert account.read == account.calls == 2
    torch.testing.assert_close(recorder.layers[0], act(network.block.body(images())).detach())


@pytest.mark.parametrize(
    "act",
    [
        scripted_half,
        Half.apply,
        lambda x: torch.utils.checkpoint.checkpoint(functional.silu, x, use_reentrant=True),
        lambda x: functional.softmax(x, 1),
        lambda x: functional.scaled_dot_product_attention(*[x[:, None]] * 3)[:, 0],
    ],
    ids=["scripted arithmetic", "autograd arithmetic", "checkpoint", "softmax", "attention"],
)
def test_what_hides_no_activation_is_scored(act):
    assert rbflex_score(Network(act), images()) < 0


def test_an_activation_in_vmap_is_refused_since_it_hides_a_dimension():
    with pytest.raises(CandidateFailed, match=r"^layer 'silu 1' is called in torch.vmap, which hides the dimension of the images$"):
        rbflex_score(Network(torch.vmap(functional.silu)), images())


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_the_gates_of_recurrent_layers_are_parts_of_one_operation(layer):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body, self.cell, self.head = layer(4, 6, batch_first=True), nn.LSTMCell(6, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(torch.relu(self.cell(self.body(x)[0].mean(1))[0]))

    network = Recurrent()
    assert run_observed(network, torch.randn(5, 7, 4), [], network.head).read == 1
