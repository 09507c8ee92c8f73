"""Conformance tests for authors of encodings and spaces, as `check_estimator` is in scikit-learn.

    from spaces.checks import check_space
    check_space(MySpace())

Each check raises `CheckFailed` with one line that says what is wrong, with which genotype, and how to mend it.
"""

from __future__ import annotations

import itertools
import json
import math
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .drawing import Drawing
from .encoding import Encoding, Genotype, VectorEncoding
from .errors import GenotypeError
from .space import SearchSpace

if TYPE_CHECKING:
    from torch import nn

# Up to this many genotypes or keys are enumerated, and this many neighbours of one genotype looked at.
ENUMERABLE = 20_000
NEIGHBOURS = 40
# Networks that are run for real; the costs of every sample are counted besides, on the meta device.
FORWARDS = 3

Value = TypeVar("Value")


class CheckFailed(AssertionError):
    """An encoding or a space breaks its contract."""


def check_encoding(encoding: Encoding, *, samples: int = 20, seed: int = 0) -> None:
    """Checks that an encoding keeps the contract of `Encoding`.

    Raises:
        CheckFailed: at the first thing that is wrong.
    """
    name = type(encoding).__name__
    genotypes = _sampled(encoding, name, samples, seed)
    for genotype in genotypes:
        _check_repair(encoding, name, genotype)
        _check_mutate(encoding, name, genotype, seed)
        _check_neighbours(encoding, name, genotype)
    for first, second in itertools.pairwise([*genotypes, genotypes[0]]):
        _check_crossover(encoding, name, first, second, seed)
        _check_distance(encoding, name, first, second)
    if isinstance(encoding, VectorEncoding):
        _check_refuses(encoding, name, genotypes[0])
    _check_enumerate(encoding, name, genotypes)


def check_space(space: SearchSpace, *, samples: int = 20, seed: int = 0) -> None:
    """Checks that a space keeps the contract of `SearchSpace`, and its encoding that of `Encoding`.

    Runs a few networks on the CPU; torch's global generator is as it was before.

    Raises:
        CheckFailed: at the first thing that is wrong.
    """
    import torch

    check_encoding(space.encoding, samples=samples, seed=seed)
    name = type(space).__name__
    genotypes = _sampled(space.encoding, name, samples, seed)
    _check_identity(space, name)
    for genotype in genotypes:
        _check_notation(space, name, genotype)
        _check_key(space, name, genotype)
        _check_drawing(space, name, genotype)
        _check_cells(space, name, genotype)
        _check_thin(space, name, genotype)
    _check_keys(space, name, genotypes)
    with torch.random.fork_rng(devices=[]):
        for genotype in genotypes[:FORWARDS]:
            _check_forward(space, name, genotype)
        for genotype in genotypes:
            _check_costs(space, name, genotype)
        _check_weight_shapes(space, name, genotypes)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise CheckFailed(message)


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@contextmanager
def _global_random_seeded(seed: int) -> Iterator[None]:
    """Seeds the global `random` and `numpy.random`; both are afterwards what they were."""
    plain, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(numpy)


def _pure(draw: Callable[[], Value], what: str) -> Value:
    """Returns ``draw()``, which must neither read nor change global random state."""
    values, changed = [], False
    for seed in (1, 2):
        with _global_random_seeded(seed):
            before = random.getstate(), _numpy_state()
            values.append(draw())
            changed |= before != (random.getstate(), _numpy_state())
    _require(not changed, f"{what} changed global random state; draw from the generator that is passed in")
    _require(
        _same(values[0], values[1]),
        f"{what} gave {values[0]} and then {values[1]} from the same generator; draw from the one that is passed in only",
    )
    return values[0]


def _numpy_state() -> bytes:
    return pickle.dumps(np.random.get_state(legacy=False))


def _same(first: object, second: object) -> bool:
    return type(first) is type(second) and first == second


def _check_valid(encoding: Encoding, genotype: Any, what: str) -> None:
    _require(
        isinstance(genotype, tuple) and all(type(gene) is int for gene in genotype),
        f"{what} gave {genotype!r}; a genotype is a tuple of Python integers",
    )
    try:
        encoding.validate(genotype)
    except GenotypeError as error:
        raise CheckFailed(f"{what} gave a genotype that validate() refuses ({error}); return valid ones only") from None


def _sampled(encoding: Encoding, name: str, samples: int, seed: int) -> list[Genotype]:
    """Returns distinct sampled genotypes, in the order drawn."""

    def draw() -> list[Genotype]:
        rng = _rng(seed)
        return [encoding.sample(rng) for _ in range(samples)]

    genotypes = _pure(draw, f"{name}.sample()")
    for genotype in genotypes:
        _check_valid(encoding, genotype, f"{name}.sample()")
    return list(dict.fromkeys(genotypes))


def _check_refuses(encoding: VectorEncoding, name: str, genotype: Genotype) -> None:
    for wrong in ((*genotype, 0), (-1, *genotype[1:]), (encoding.categories[0], *genotype[1:])):
        try:
            encoding.validate(wrong)
        except GenotypeError:
            continue
        raise CheckFailed(f"{name}.validate() accepts {wrong}, which is no genotype; raise GenotypeError")


def _check_repair(encoding: Encoding, name: str, genotype: Genotype) -> None:
    repaired = encoding.repair(genotype)
    _require(
        repaired == genotype,
        f"{name}.repair({genotype}) gave {repaired}; a genotype that is valid is already its own nearest valid one",
    )


def _check_mutate(encoding: Encoding, name: str, genotype: Genotype, seed: int) -> None:
    for probability in (None, 0.0, 0.5, 1.0):
        what = f"{name}.mutate({genotype}, probability={probability})"
        mutated = _pure(partial(_mutated, encoding, genotype, seed, probability), what)
        _check_valid(encoding, mutated, what)
        _require(
            mutated != genotype or encoding.size == 1,
            f"{what} changed nothing; change one gene where the draw changes none",
        )


def _mutated(encoding: Encoding, genotype: Genotype, seed: int, probability: float | None) -> Genotype:
    return encoding.mutate(genotype, _rng(seed), probability)


def _check_crossover(encoding: Encoding, name: str, first: Genotype, second: Genotype, seed: int) -> None:
    what = f"{name}.crossover({first}, {second})"
    children = _pure(lambda: encoding.crossover(first, second, _rng(seed)), what)
    _require(isinstance(children, tuple) and len(children) == 2, f"{what} gave {children!r}; return two children")
    for child in children:
        _check_valid(encoding, child, what)
        if isinstance(encoding, VectorEncoding):
            _require(
                all(gene in genes for gene, *genes in zip(child, first, second, strict=True)),
                f"{what} gave {child}, which has a gene of neither parent; take each gene from one of them",
            )


def _check_neighbours(encoding: Encoding, name: str, genotype: Genotype) -> None:
    what = f"{name}.neighbours({genotype})"
    near = list(itertools.islice(encoding.neighbours(genotype), NEIGHBOURS))
    _require(len(set(near)) == len(near), f"{what} yields a genotype twice; yield each neighbour once")
    _require(genotype not in near, f"{what} yields the genotype itself; a neighbour differs from it")
    for neighbour in near:
        _check_valid(encoding, neighbour, what)
        _require(
            genotype in encoding.neighbours(neighbour),
            f"{what} yields {neighbour}, whose neighbours do not hold {genotype}; a step must lead back",
        )


def _check_distance(encoding: Encoding, name: str, first: Genotype, second: Genotype) -> None:
    there, back = encoding.distance(first, second), encoding.distance(second, first)
    _require(
        encoding.distance(first, first) == 0,
        f"{name}.distance({first}, {first}) is {encoding.distance(first, first)}; a genotype is 0 away from itself",
    )
    _require(
        first == second or there > 0,
        f"{name}.distance({first}, {second}) is {there}; the distance of different genotypes is positive",
    )
    _require(
        there == back,
        f"{name}.distance({first}, {second}) is {there}, but {back} the other way round; make it symmetric",
    )


def _check_enumerate(encoding: Encoding, name: str, genotypes: Sequence[Genotype]) -> None:
    if encoding.size is None or encoding.size > ENUMERABLE:
        return
    try:
        every = list(itertools.islice(encoding.enumerate(), ENUMERABLE + 1))
    except NotImplementedError:
        return
    _require(
        len(every) == encoding.size,
        f"{name}.enumerate() yields {len(every)} genotypes, but size is {encoding.size}; make them agree",
    )
    distinct = set(every)
    _require(len(distinct) == len(every), f"{name}.enumerate() yields a genotype twice; yield each once")
    for genotype in genotypes:
        _require(genotype in distinct, f"{name}.enumerate() leaves out {genotype}, which sample() gives; yield every one")
    for genotype in every:
        _check_valid(encoding, genotype, f"{name}.enumerate()")


def _check_identity(space: SearchSpace, name: str) -> None:
    _require(isinstance(getattr(space, "name", None), str), f"{name} has no name; set the class attribute 'name'")
    try:
        json.dumps(space.identity)
    except TypeError as error:
        raise CheckFailed(f"{name}.identity is not plain data ({error}); return what JSON can hold") from None
    shape = space.input_shape
    _require(
        isinstance(shape, tuple) and shape and all(type(length) is int and length > 0 for length in shape),
        f"{name}.input_shape is {shape!r}; set positive integers, as in (3, 32, 32)",
    )
    _require(space.inputs in ("images", "words"), f"{name}.inputs is {space.inputs!r}; set 'images' or 'words'")
    if space.inputs == "words":
        _require(len(shape) == 1, f"{name}.input_shape is {shape!r}; for words set (length,), the words of a sentence")
        _require(
            type(space.vocabulary) is int and space.vocabulary > 1,
            f"{name}.vocabulary is {space.vocabulary!r}; for words set how many ids there are, padding included",
        )


def _check_notation(space: SearchSpace, name: str, genotype: Genotype) -> None:
    text = space.notation(genotype)
    _require(isinstance(text, str), f"{name}.notation({genotype}) gave {text!r}; return a string")
    read = space.parse(text)
    _require(
        read == genotype,
        f"{name}.parse({text!r}) gave {read}, but it is the notation of {genotype}; read what notation() writes",
    )
    wrong = f"?{text}?"
    try:
        read = space.parse(wrong)
    except GenotypeError:
        return
    except Exception as error:
        raise CheckFailed(
            f"{name}.parse({wrong!r}) raised {type(error).__name__}; raise GenotypeError for what is no notation"
        ) from error
    raise CheckFailed(f"{name}.parse({wrong!r}) gave {read}; raise GenotypeError for what is no notation")


def _check_key(space: SearchSpace, name: str, genotype: Genotype) -> None:
    key = space.key(genotype)
    _require(isinstance(key, str), f"{name}.key({genotype}) gave {key!r}; return a string")
    _require(
        space.key(genotype) == key,
        f"{name}.key({genotype}) gave {key!r} and then {space.key(genotype)!r}; it must depend on the genotype only",
    )
    what = f"{name}.representative({key!r})"
    try:
        representative = space.representative(key)
    except GenotypeError as error:
        raise CheckFailed(f"{what} raised GenotypeError ({error}); accept every key that key() gives") from None
    _check_valid(space.encoding, representative, what)
    _require(
        space.representative(key) == representative,
        f"{what} gave {representative} and then {space.representative(key)}; a key has one representative",
    )


def _check_keys(space: SearchSpace, name: str, genotypes: Sequence[Genotype]) -> None:
    if space.encoding.size is None or space.encoding.size > ENUMERABLE:
        return
    try:
        keys = list(space.keys())
    except NotImplementedError:
        return
    distinct = set(keys)
    _require(len(distinct) == len(keys), f"{name}.keys() yields a key twice; yield each once")
    for genotype in genotypes:
        _require(
            space.key(genotype) in distinct,
            f"{name}.keys() leaves out {space.key(genotype)!r}, the key of {genotype}; yield every key",
        )


def _check_drawing(space: SearchSpace, name: str, genotype: Genotype) -> None:
    drawing = space.drawing(genotype)
    what = f"{name}.drawing({genotype})"
    _require(isinstance(drawing, Drawing), f"{what} gave {type(drawing).__name__}; return a Drawing")
    last = len(drawing.nodes) - 1
    _require(last >= 1, f"{what} has {last + 1} nodes; the first is the input and the last the output")
    for source, target, label, live in drawing.edges:
        _require(
            0 <= source < target <= last and isinstance(label, str) and isinstance(live, bool),
            f"{what} has the edge {(source, target, label, live)!r}; expected (from, to, label, live) "
            f"with 0 <= from < to <= {last}",
        )
    if not drawing.panels:
        return
    sizes = [panel.nodes for panel in drawing.panels]
    _require(
        sum(sizes) == last + 1 and all(1 <= panel.inputs < panel.nodes for panel in drawing.panels),
        f"{what} has panels of {sizes} nodes; they share out all {last + 1}, each with its inputs and an output",
    )
    panel_of = [i for i, size in enumerate(sizes) for _ in range(size)]
    for source, target, *_ in drawing.edges:
        _require(panel_of[source] == panel_of[target], f"{what} has the edge {source}>{target} between two panels; keep it in one")


def _check_forward(space: SearchSpace, name: str, genotype: Genotype) -> None:
    import torch
    from torch import nn

    what = f"{name}.build({genotype})"
    networks: list[nn.Module] = []
    _pure(lambda: networks.append(space.build(genotype)), what)  # the network's weights may differ, so they are not compared
    network = networks[0].eval()
    _require(isinstance(network, nn.Module), f"{what} gave {type(network).__name__}; return a torch.nn.Module")
    classifier = _classifier(space, name, genotype, network)
    inputs: list[tuple[int, ...]] = []
    hook = classifier.register_forward_pre_hook(lambda _, values: inputs.append(tuple(values[0].shape)))
    given = space.example_inputs(2)
    if space.inputs == "words":
        given[1, (given.shape[1] + 1) // 2 :] = 0  # the second sentence is shorter
    with torch.no_grad():
        output = network(given)
    hook.remove()
    shape = tuple(getattr(output, "shape", ()))
    _require(
        len(shape) >= 2 and shape[0] == 2 and math.prod(shape) > 0,
        f"{what} maps 2 inputs to {type(output).__name__} of shape {shape}; return one tensor [2, ...]",
    )
    _require(
        space.inputs == "images" or torch.isfinite(output).all(),
        f"{what} gives NaN or infinity for a sentence that ends in padding; mask the words of id 0 and keep the others",
    )
    _require(
        len(inputs) == 1 and inputs[0][0] == 2,
        f"{what} calls its classifier {len(inputs)} times on inputs of shape {inputs}; "
        "classifier() must name the layer that runs once, last, on all images",
    )


def _classifier(space: SearchSpace, name: str, genotype: Genotype, network: nn.Module) -> nn.Module:
    what = f"{name}.classifier() of {genotype}"
    try:
        classifier = space.classifier(network)
    except LookupError:
        raise CheckFailed(f"{what} finds no layer; override classifier() to return the last one") from None
    _require(
        any(module is classifier for module in network.modules()),
        f"{what} gave {type(classifier).__name__}, which is no module of the network; return one that it runs",
    )
    return classifier


def _check_costs(space: SearchSpace, name: str, genotype: Genotype) -> None:
    costs = space.costs(genotype)
    _require(
        all(math.isfinite(cost) and cost > 0 for cost in (costs.params, costs.flops)),
        f"{name}.costs({genotype}) gave {costs}; parameters and multiply-accumulates are positive",
    )


def _check_cells(space: SearchSpace, name: str, genotype: Genotype) -> None:
    for cell in space.cells(space.representative(space.key(genotype))) or ():
        _require(
            cell.width > 0 and cell.depth > 0 and cell.input_channels > 0 and 0 <= cell.skips <= cell.possible_skips > 0,
            f"{name}.cells() of {genotype} gave {cell}; a cell has layers, and no more skip connections than are possible",
        )


def _check_thin(space: SearchSpace, name: str, genotype: Genotype) -> None:
    thin = space.thin()
    _require(
        thin is None or thin.notation(genotype) == space.notation(genotype),
        f"{name}.thin() reads {genotype} as another architecture; return a space that differs in its widths only",
    )


def _check_weight_shapes(space: SearchSpace, name: str, genotypes: Sequence[Genotype]) -> None:
    import torch

    largest = space.weight_shapes()
    shapes: dict[str, tuple[int, ...]] = {}
    for genotype in genotypes:
        with torch.device("meta"):
            parameters = dict(space.build(genotype).named_parameters())
        for parameter, tensor in parameters.items():
            shape = tuple(tensor.shape)
            what = f"parameter {parameter!r} of {name}.build({genotype}) has shape {shape}"
            if parameter not in largest:
                known = shapes.setdefault(parameter, shape)
                _require(known == shape, f"{what}, but {known} in another network; name its largest in weight_shapes()")
                continue
            most = tuple(largest[parameter])
            _require(
                len(most) == len(shape) and all(a <= b for a, b in zip(shape, most, strict=True)),
                f"{what}, which does not fit into {most} of weight_shapes(); give the largest shape there",
            )
