"""What counts as an activation layer: modules, functions, methods, a user's own and a Transformer's, each once and in order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rbflex_evo.fitness import CandidateFailed, create_proxy, rbflex_score
from rbflex_evo.fitness.costs.memory import activation_memory
from rbflex_evo.fitness.data.batch import create_batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.passes.activations import FUNCTIONS, MODULES, is_activation, is_named_activation
from rbflex_evo.fitness.passes.graph import depth, operations_of
from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.spaces import ConfigError, SearchSpace, VectorEncoding
from tests.support.words_space import TinyWords

N, WORDS, WIDTH = 3, 5, 4
NAFBEE = (nn.ReLU, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ReLU6, nn.Mish, nn.Hardswish, nn.CELU, nn.ELU, nn.Hardtanh, nn.SELU)


class Recorder(Observer):
    def __init__(self):
        self.layers = []

    def activation(self, name, output, multiplicity=1):
        self.layers.append((name, output.clone()))

    def finish(self):
        return {}


class Calling(nn.Module):
    """Calls what it was given on its input and classifies the result."""

    def __init__(self, call, width=WIDTH):
        super().__init__()
        self.call = call
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        return self.head(self.call(x))


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def seen(network, x=None, classifier=None, **options):
    recorder = Recorder()
    run_observed(network, numbers(N, WIDTH) if x is None else x, [recorder], classifier or network.head, **options)
    return recorder.layers


def names(network, *arguments, **options):
    return [name for name, _ in seen(network, *arguments, **options)]


def made(module):
    return module(0.1, 0.0) if module is nn.Threshold else module()


# Torch's own modules.


def test_all_activations_of_nafbee_are_among_the_modules():
    assert set(NAFBEE) <= set(MODULES)


def test_every_activation_class_of_torch_is_decided_upon():
    """A class that a new torch adds must be looked at: either it counts or it weighs."""
    weighing = {"MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax"}
    assert {module.__name__ for module in MODULES} == set(nn.modules.activation.__all__) - weighing


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_module_counts_once_with_its_own_output(module):
    network = Calling(made(module).eval(), WIDTH // 2 if module is nn.GLU else WIDTH)
    ((name, output),) = seen(network)
    assert name == "call"
    torch.testing.assert_close(output, network.call(numbers(N, WIDTH)), rtol=0, atol=0)


@pytest.mark.parametrize("module", [nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.ELU, nn.CELU, nn.SELU, nn.Hardtanh, nn.Hardswish])
def test_a_module_in_place_counts_as_the_same_layer(module):
    ((_, plain),), ((_, in_place),) = (seen(Calling(module(inplace=inplace))) for inplace in (False, True))
    assert torch.equal(plain, in_place)


@pytest.mark.parametrize(
    "module",
    [nn.Softmax(1), nn.LogSoftmax(1), nn.Softmin(1), nn.BatchNorm1d(4), nn.LayerNorm(4), nn.Identity(), nn.Dropout()],
    ids=lambda module: type(module).__name__,
)
def test_what_weighs_or_normalises_does_not_count(module):
    assert not is_activation(module)
    assert names(Calling(module)) == []


# Functions and methods.


FORMS = {
    "functional.relu": functional.relu,
    "functional.relu in place": lambda x: functional.relu(x, inplace=True),
    "functional.relu_": lambda x: functional.relu_(x.clone()),
    "torch.relu": torch.relu,
    "torch.relu_": lambda x: torch.relu_(x.clone()),
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.clone().relu_(),
    "relu6": functional.relu6,
    "leaky_relu": functional.leaky_relu,
    "leaky_relu_": lambda x: functional.leaky_relu_(x.clone()),
    "prelu": lambda x: functional.prelu(x, torch.tensor([0.3])),
    "Tensor.prelu": lambda x: x.prelu(torch.tensor([0.3])),
    "rrelu": functional.rrelu,
    "threshold": lambda x: functional.threshold(x, 0.1, 0.0),
    "torch.threshold": lambda x: torch.threshold(x, 0.1, 0.0),
    "elu": functional.elu,
    "elu_": lambda x: functional.elu_(x.clone()),
    "selu": functional.selu,
    "torch.selu_": lambda x: torch.selu_(x.clone()),
    "celu": functional.celu,
    "gelu": functional.gelu,
    "gelu by tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
    "silu in place": lambda x: functional.silu(x.clone(), inplace=True),
    "mish": functional.mish,
    "hardswish": functional.hardswish,
    "hardtanh": functional.hardtanh,
    "hardtanh_": lambda x: functional.hardtanh_(x.clone()),
    "hardsigmoid": functional.hardsigmoid,
    "hardshrink": functional.hardshrink,
    "Tensor.hardshrink": lambda x: x.hardshrink(0.1),
    "functional.sigmoid": functional.sigmoid,
    "torch.sigmoid": torch.sigmoid,
    "Tensor.sigmoid": lambda x: x.sigmoid(),
    "Tensor.sigmoid_": lambda x: x.clone().sigmoid_(),
    "expit": torch.special.expit,
    "logsigmoid": functional.logsigmoid,
    "functional.tanh": functional.tanh,
    "torch.tanh": torch.tanh,
    "Tensor.tanh_": lambda x: x.clone().tanh_(),
    "tanhshrink": functional.tanhshrink,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "softshrink": functional.softshrink,
    "glu": lambda x: functional.glu(torch.cat([x, x], dim=1)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_function_or_method_counts_once_with_its_own_output(form):
    ((_, output),) = seen(Calling(FORMS[form]))
    torch.testing.assert_close(output, FORMS[form](numbers(N, WIDTH)), rtol=0, atol=0)


def test_every_function_that_counts_has_a_form_in_the_table():
    called = set()

    class Noted(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), named=None):
            called.add(function)
            return function(*arguments, **(named or {}))

    with Noted():
        for form in FORMS.values():
            form(numbers(N, WIDTH))
    # Spellings of the same operations that no form calls, and functions that call a method which counts.
    spelled = {
        functional.rrelu_, torch.rrelu, torch.rrelu_, torch.threshold_, functional.selu_, torch.selu,
        functional.celu_, torch.celu, torch.celu_, torch.hardshrink, torch.prelu, torch.sigmoid_, torch.tanh_, Tensor.tanh,
        functional.sigmoid, functional.tanh, functional.hardshrink, functional.prelu,
    }  # fmt: skip
    assert FUNCTIONS - called <= spelled


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.softmax(dim=1),
        lambda x: functional.softmax(x, dim=1),
        lambda x: functional.log_softmax(x, dim=1),
        lambda x: x.clamp(min=0),
        lambda x: x * x,
        lambda x: functional.layer_norm(x, (WIDTH,)),
        lambda x: functional.scaled_dot_product_attention(*[x[:, None]] * 3)[:, 0],
    ],
)
def test_functions_that_weigh_normalise_or_calculate_do_not_count(call):
    assert names(Calling(call)) == []


def test_calls_count_in_order_and_functions_are_numbered():
    relu = nn.ReLU()
    network = Calling(lambda x: relu(torch.tanh(relu(functional.gelu(x)))))
    network.shared = relu
    layers = seen(network)
    assert [name for name, _ in layers] == ["gelu 1", "shared", "tanh 2", "shared"]
    x = functional.gelu(numbers(N, WIDTH))
    for (_, output), expected in zip(layers, [x, x.relu(), x.relu().tanh(), x.relu().tanh().relu()], strict=True):
        torch.testing.assert_close(output, expected, rtol=0, atol=0)


def test_a_module_that_stands_in_two_places_counts_where_it_is_called():
    shared = nn.GELU()
    network = nn.Sequential(shared, nn.Linear(WIDTH, WIDTH), shared, nn.Linear(WIDTH, 2))
    assert names(network, classifier=network[3]) == ["0", "0"]


# A user's own.


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Snake(nn.Module):
    def forward(self, x):
        return x + torch.sin(x) ** 2


class DeclaredSnake(Snake):
    is_activation = True


class Gate(nn.Module):
    is_activation = False

    def __init__(self):
        super().__init__()
        self.weigh = nn.Sigmoid()

    def forward(self, x):
        return x * self.weigh(x).tanh()


class MyReLU(nn.ReLU):
    def forward(self, x):
        return super().forward(x) + 0.1


class GlueLayer(nn.Module):
    """Named as if it were an activation (glu), with a matrix of weights and an activation inside."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(WIDTH))

    def forward(self, x):
        return functional.relu(x @ self.weight) + 1


class Composite(nn.Module):
    """One layer, whatever it is made of."""

    is_activation = True

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.ReLU(), DeclaredSnake()

    def forward(self, x):
        return self.second(self.first(torch.tanh(x)))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (QuickGELU(), ["call"]),  # by its name; the sigmoid in it is not another layer
        (MyReLU(), ["call"]),
        (Snake(), []),
        (DeclaredSnake(), ["call"]),
        (Composite(), ["call"]),
        (Gate(), []),
        (GlueLayer(), ["relu 1"]),
        (nn.Sequential(nn.ReLU(), Gate(), nn.Sequential(DeclaredSnake())), ["call.0", "call.2.0"]),
    ],
    ids=["name", "subclass", "undeclared", "declared", "composite", "gate", "matrix", "nested"],
)
def test_a_users_own_module_counts_by_what_it_says_and_else_by_its_name(module, expected):
    layers = seen(Calling(module))
    assert [name for name, _ in layers] == expected
    if expected == ["call"]:
        torch.testing.assert_close(layers[0][1], module(numbers(N, WIDTH)), rtol=0, atol=0)


def test_a_module_of_others_is_declared_where_it_is_used():
    counted, left_out = Snake(), nn.Tanh()
    counted.is_activation, left_out.is_activation = True, False
    assert names(Calling(nn.Sequential(counted, left_out))) == ["call.0"]


def test_a_declared_module_returns_one_tensor():
    class Pair(nn.Module):
        is_activation = True

        def forward(self, x):
            return x, x

    pair = Pair()
    network = Calling(lambda x: pair(x)[0])
    network.pair = pair
    with pytest.raises(CandidateFailed, match=r"^the activation 'pair' returns tuple; expected one tensor$"):
        seen(network)


def test_what_is_not_computed_per_image_does_not_count():
    assert names(Calling(lambda x: x * torch.sigmoid(torch.ones(())) * torch.tanh(torch.ones(N + 1, 1))[0])) == []


# Transformers.


class Encoder(nn.Module):
    """Torch's own encoder of words [N, T, C], or [T, N, C] inside, its mean classified."""

    def __init__(self, activation, batch_first=True, layers=1, width=WIDTH):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, activation=activation, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.batch_first = batch_first
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        found = self.encoder(x if self.batch_first else x.transpose(0, 1))
        return self.head(found.mean(dim=1 if self.batch_first else 0))


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", "relu 1"),
        ("gelu", "gelu 1"),
        (functional.gelu, "gelu 1"),
        (torch.relu, "relu 1"),
        (lambda x: x.tanh(), "tanh 1"),
        (nn.SiLU(), "encoder.layers.0.activation"),
    ],
    ids=["relu by name", "gelu by name", "function", "torch function", "method", "module"],
)
def test_a_transformers_intermediate_activation_is_seen_in_evaluation_mode(activation, expected):
    """Torch's fused operation for these layers in evaluation mode would hide it; attention's softmax is no activation."""
    network = Encoder(activation).eval()
    network.requires_grad_(False)
    ((name, output),) = seen(network, numbers(N, WORDS, WIDTH))
    assert name == expected
    assert output.shape == (N, WORDS, 2 * WIDTH)


def test_a_transformers_layers_are_seen_in_order():
    network = Encoder("gelu", layers=3)
    outputs = []
    for layer in network.encoder.layers:
        layer.linear2.register_forward_pre_hook(lambda module, inputs: outputs.append(inputs[0]))
    layers = seen(network, numbers(N, WORDS, WIDTH))
    assert [name for name, _ in layers] == ["gelu 1", "gelu 2", "gelu 3"]
    # A few images ran before, as evidence of the layout.
    assert len(outputs) == 6
    assert all(torch.equal(output, expected) for (_, output), expected in zip(layers, outputs[3:], strict=True))


@pytest.mark.parametrize("words", [WORDS, N])
@pytest.mark.parametrize("activation", ["gelu", nn.GELU()], ids=["name", "module"])
def test_a_transformer_whose_words_come_first_is_read_sentence_by_sentence(activation, words):
    first, last = Encoder(activation), Encoder(activation, batch_first=False)
    last.load_state_dict(first.state_dict())
    x = numbers(N, words, WIDTH)
    ((_, expected),), ((_, found),) = (seen(network, x) for network in (first, last))
    torch.testing.assert_close(found, expected)


class Bert(nn.Module):
    """The parts of a BERT layer that matter here, written as transformers has them: an activation by name, a pooler's tanh."""

    def __init__(self, activation):
        super().__init__()
        self.query, self.intermediate, self.output = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 8), nn.Linear(8, WIDTH)
        self.intermediate_act_fn = activation
        self.norm = nn.LayerNorm(WIDTH)
        self.dense, self.activation = nn.Linear(WIDTH, WIDTH), nn.Tanh()
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x):
        query = self.query(x)
        attended = functional.softmax(query @ x.mT, dim=-1) @ x
        hidden = self.intermediate_act_fn(self.intermediate(attended))
        return self.head(self.activation(self.dense(self.norm(self.output(hidden) + x)[:, 0])))


@pytest.mark.parametrize("activation", [nn.GELU(), functional.gelu, QuickGELU()], ids=["module", "function", "own"])
def test_berts_intermediate_activation_and_poolers_tanh_count_and_its_softmax_does_not(activation):
    layers = seen(Bert(activation), numbers(N, WORDS, WIDTH))
    assert [tuple(output.shape) for _, output in layers] == [(N, WORDS, 8), (N, WIDTH)]
    assert layers[1][0] == "activation"


class Sentences(SearchSpace):
    """One torch encoder, for the counts of a graph."""

    name = "one_encoder"
    encoding = VectorEncoding([1])
    input_shape = (WORDS, WIDTH)

    def build(self, genotype):
        return Encoder("gelu")

    def notation(self, genotype):
        return "encoder"

    def parse(self, text):
        return (0,)


def test_a_fused_transformer_hides_no_layer_from_counts_and_memory():
    # In: the projection into attention, out of it, two linear layers, the classifier.
    assert depth(operations_of(Sentences(), (0,), (WORDS, WIDTH))) == 5
    network = Encoder("gelu")
    x = numbers(1, WORDS, WIDTH)
    assert activation_memory(network.eval(), x) == activation_memory(network.requires_grad_(False), x)
    assert activation_memory(network, x) >= 4 * (WORDS * WIDTH + 2 * WORDS * 2 * WIDTH)


# Nothing to see.


@pytest.mark.parametrize("name", ["rbflex", "naswot", "swap", "meco", "das"])
def test_a_network_without_an_activation_fails_with_the_way_out(name):
    class Linear(TinyWords):
        def build(self, genotype):
            network = super().build(genotype)
            for layer in network.layers:
                layer[1] = nn.Identity()
            return network

    space = Linear()
    proxy = create_proxy(name, **({"gamma": "published"} if name == "rbflex" else {}))
    batch = create_batch("words", length=6, vocabulary=40, n=4)
    with Evaluator(Conditions.of(space, batch), {name: proxy}, workers=1) as evaluator:
        (evaluation,) = evaluator.evaluate(keyed(evaluator, [(0, 0)]))
    assert evaluation.failures[name] == (
        "the network has no activation layer that is computed per image; use torch's activations, "
        "or set is_activation = True on the class of your own"
    )


def test_a_model_of_ones_own_says_so_too():
    with pytest.raises(CandidateFailed, match="set is_activation = True on the class of your own"):
        rbflex_score(nn.Sequential(nn.Linear(4, 4), Snake(), nn.Linear(4, 2)), numbers(N, WIDTH))
    assert rbflex_score(nn.Sequential(nn.Linear(4, 4), DeclaredSnake(), nn.Linear(4, 2)), numbers(N, WIDTH)) < 0


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_a_compiled_or_scripted_network_is_refused_in_one_line():
    compiled = Calling(nn.ReLU())
    compiled.call.compile(backend="eager")
    with pytest.raises(ConfigError, match=r"^module 'call' is compiled, so its calls cannot be observed; pass the plain module$"):
        names(compiled)
    scripted = torch.jit.script(nn.Sequential(nn.ReLU(), nn.Linear(WIDTH, 2)))
    with pytest.raises(ConfigError, match=r"^the network is scripted"):
        names(scripted, classifier=scripted[1])


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        *(
            (name, True)
            for name in ("NewGELUActivation", "QuickGELU", "HSwish", "hswish", "hard_swish", "PReLU2", "ReLUSquared", "SwiGLU")
        ),
        *(
            (name, False)
            for name in ("PixelUnshuffle", "ModelUnit", "ChannelUnshuffle", "GluonBlock", "DeluxePool", "TanhshrinkingX")
        ),
    ],
)
def test_an_activation_is_recognised_by_a_word_of_its_name(name, counts):
    assert is_named_activation(name) is counts


def test_a_layer_whose_name_only_contains_the_letters_of_an_activation_does_not_count():
    torch.manual_seed(0)
    rest = nn.Conv2d(12, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    network = nn.Sequential(nn.PixelUnshuffle(2), *rest)
    observer = Recorder()
    run_observed(network, torch.rand(4, 3, 8, 8), [observer], rest[-1])
    assert [name for name, *_ in observer.layers] == ["2"]
