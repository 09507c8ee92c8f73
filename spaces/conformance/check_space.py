"""Conformance tests for authors of spaces, like `check_estimator` of scikit-learn; `rbflex_evo.engine.conformance` has all of them.

    from rbflex_evo.engine.conformance import check_space
    check_space(MySpace())

Each check raises `CheckFailed` with one line that states what is wrong, for which genotype, and how to fix it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from rbflex_evo.spaces.architecture.drawing import Drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.errors import GenotypeError
from rbflex_evo.spaces.isolation.memory import marked_memory
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings
from rbflex_evo.spaces.space import SearchSpace

from .check_encoding import ENUMERABLE, check_encoding, check_valid, sampled
from .check_fingerprint import check_identified, check_networks
from .checking import CheckFailed, called, check_pickled, pure, require

if TYPE_CHECKING:
    import torch
    from torch import nn

# Number of networks that are run; the costs of every sample are counted on the meta device.
FORWARDS = 3

__all__ = ["CheckFailed", "check_encoding", "check_space"]


@own_settings()
def check_space(space: SearchSpace, *, samples: int = 20, seed: int = 0) -> None:
    """Checks that a space satisfies the contract of `SearchSpace`, and its encoding that of `Encoding`.

    A few networks are run on the CPU. The state of the global generator of torch is restored.

    Args:
        space: The space to check.
        samples: Number of genotypes that are drawn.
        seed: Seed of the random generators.

    Raises:
        CheckFailed: At the first violation.

    Warns:
        ConformanceWarning: If two keys stand for one network, or the code cannot be identified for the cache.
    """
    import torch

    name = type(space).__name__
    require(
        isinstance(space, SearchSpace),
        f"{name} is no SearchSpace; derive it from rbflex_evo.spaces.SearchSpace and pass an instance",
    )
    require(hasattr(space, "encoding"), f"{name} has no encoding; set the attribute 'encoding', in the class or in __init__")
    check_encoding(space.encoding, samples=samples, seed=seed)
    genotypes = sampled(space.encoding, name, samples, seed)
    _check_identity(space, name)
    for genotype in genotypes:
        with called(f"{name}, describing {genotype},", "every method takes every valid genotype"):
            _check_notation(space, name, genotype)
            _check_key(space, name, genotype)
            _check_drawing(space, name, genotype)
            _check_cells(space, name, genotype)
            _check_thin(space, name, genotype)
    _check_keys(space, name, genotypes)
    with torch.random.fork_rng(devices=[]):
        for genotype in genotypes[:FORWARDS]:
            _check_forward(space, name, genotype)
            _check_built_again(space, name, genotype)
        for genotype in genotypes:
            _check_costs(space, name, genotype)
        _check_weight_shapes(space, name, genotypes)
        check_networks(space, name, genotypes, seed)
    check_pickled(space, name)
    check_identified(space, name)


def _check_identity(space: SearchSpace, name: str) -> None:
    require(isinstance(getattr(space, "name", None), str), f"{name} has no name; set the class attribute 'name'")
    require(type(space.version) is int, f"{name}.version is {space.version!r}; count it up whenever a genotype's network changes")
    try:
        identity = json.dumps(space.identity)
    except TypeError as error:
        raise CheckFailed(f"{name}.identity is not plain data ({error}); return what JSON can hold") from None
    for needed in ("name", "version"):
        require(
            getattr(space, needed) in space.identity.values(),
            f"{name}.identity {identity} lacks its {needed}, so the cache would mix it up with another; "
            "return {**super().identity, ...}",
        )
    shape = space.input_shape
    require(
        isinstance(shape, tuple) and shape and all(type(length) is int and length > 0 for length in shape),
        f"{name}.input_shape is {shape!r}; set positive integers, as in (3, 32, 32)",
    )
    require(space.inputs in ("images", "words"), f"{name}.inputs is {space.inputs!r}; set 'images' or 'words'")
    if space.inputs == "words":
        require(len(shape) == 1, f"{name}.input_shape is {shape!r}; for words set (length,), the words of a sentence")
        require(
            type(space.vocabulary) is int and space.vocabulary > 1,
            f"{name}.vocabulary is {space.vocabulary!r}; for words set how many ids there are, padding included",
        )


def _check_notation(space: SearchSpace, name: str, genotype: Genotype) -> None:
    text = space.notation(genotype)
    require(isinstance(text, str), f"{name}.notation({genotype}) gave {text!r}; return a string")
    with called(f"{name}.parse({text!r})", f"it is the notation of {genotype}, so read what notation() writes"):
        read = space.parse(text)
    require(
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
    require(isinstance(key, str), f"{name}.key({genotype}) gave {key!r}; return a string")
    require(
        space.key(genotype) == key,
        f"{name}.key({genotype}) gave {key!r} and then {space.key(genotype)!r}; it must depend on the genotype only",
    )
    what = f"{name}.representative({key!r})"
    try:
        representative = space.representative(key)
    except GenotypeError as error:
        raise CheckFailed(f"{what} raised GenotypeError ({error}); accept every key that key() gives") from None
    check_valid(space.encoding, representative, what)
    require(
        space.representative(key) == representative,
        f"{what} gave {representative} and then {space.representative(key)}; a key has one representative",
    )
    own = space.key(representative)
    require(
        own == key,
        f"{what} gave {representative}, whose own key is {own!r}; a representative represents itself, and a network has one key",
    )


def _check_keys(space: SearchSpace, name: str, genotypes: Sequence[Genotype]) -> None:
    if space.encoding.size is None or space.encoding.size > ENUMERABLE:
        return
    try:
        keys = list(space.keys())
    except NotImplementedError:
        return
    distinct = set(keys)
    require(len(distinct) == len(keys), f"{name}.keys() yields a key twice; yield each once")
    for genotype in genotypes:
        require(
            space.key(genotype) in distinct,
            f"{name}.keys() leaves out {space.key(genotype)!r}, the key of {genotype}; yield every key",
        )


def _check_drawing(space: SearchSpace, name: str, genotype: Genotype) -> None:
    drawing = space.drawing(genotype)
    what = f"{name}.drawing({genotype})"
    require(isinstance(drawing, Drawing), f"{what} gave {type(drawing).__name__}; return a Drawing")
    last = len(drawing.nodes) - 1
    require(last >= 1, f"{what} has {last + 1} nodes; the first is the input and the last the output")
    for source, target, label, live in drawing.edges:
        require(
            0 <= source < target <= last and isinstance(label, str) and isinstance(live, bool),
            f"{what} has the edge {(source, target, label, live)!r}; expected (from, to, label, live) "
            f"with 0 <= from < to <= {last}",
        )
    if not drawing.panels:
        return
    sizes = [panel.nodes for panel in drawing.panels]
    require(
        sum(sizes) == last + 1 and all(1 <= panel.inputs < panel.nodes for panel in drawing.panels),
        f"{what} has panels of {sizes} nodes; they share out all {last + 1}, each with its inputs and an output",
    )
    panel_of = [i for i, size in enumerate(sizes) for _ in range(size)]
    for source, target, *_ in drawing.edges:
        require(panel_of[source] == panel_of[target], f"{what} has the edge {source}>{target} between two panels; keep it in one")


def _check_forward(space: SearchSpace, name: str, genotype: Genotype) -> None:
    import torch

    network = _built(space, name, genotype)
    what = f"{name}.build({genotype})"
    classifier = _classifier(space, name, genotype, network)
    inputs: list[tuple[int, ...]] = []
    hook = classifier.register_forward_pre_hook(
        lambda _, values, named: inputs.append(tuple([*values, *named.values()][0].shape)), with_kwargs=True
    )
    given = space.example_inputs(2)
    if space.inputs == "words":
        given[1, (given.shape[1] + 1) // 2 :] = 0  # make the second sentence shorter
    with torch.no_grad(), called(f"the forward of {what}", f"it takes inputs [N, *{name}.input_shape], here {list(given.shape)}"):
        output = network(first := given.clone())
    hook.remove()
    require(
        torch.equal(first, given),
        f"the forward of {what} changes its inputs in place, which others still read; let its first layer make a new tensor",
    )
    shape = tuple(getattr(output, "shape", ()))
    require(
        len(shape) >= 2 and shape[0] == 2 and math.prod(shape) > 0,
        f"{what} maps 2 inputs to {type(output).__name__} of shape {shape}; return one tensor [2, ...]",
    )
    require(
        space.inputs == "images" or torch.isfinite(output).all(),
        f"{what} gives NaN or infinity for a sentence that ends in padding; mask the words of id 0 and keep the others",
    )
    require(
        len(inputs) == 1 and inputs[0][0] == 2,
        f"{what} calls its classifier {len(inputs)} times on inputs of shape {inputs}; "
        "classifier() must name the layer that runs once, last, on all images",
    )
    with torch.no_grad():
        again = network(given)
        alone = network(given[:1])
    require(
        torch.equal(output.nan_to_num(), again.nan_to_num()),
        f"{what} gives another output the second time; in evaluation mode a network draws nothing and remembers nothing",
    )
    require(
        _near(output[:1], alone, equal_nan=True),
        f"{what} gives another output for an input alone than beside another; let no layer but batch normalisation mix inputs",
    )


def _near(first: torch.Tensor, second: torch.Tensor, equal_nan: bool) -> bool:
    import torch

    return torch.allclose(first, second, rtol=1e-3, atol=1e-3 * _largest(first), equal_nan=equal_nan)


def _check_built_again(space: SearchSpace, name: str, genotype: Genotype) -> None:
    """Checks that two networks built from the same seed are equal although what lies in uninitialised memory differs.

    Parameters with more than one dimension are set afterwards, so their own values are not compared.
    """
    import torch

    what = f"{name}.build({genotype})"
    first, second = (_built_over(space, genotype, marked) for marked in (False, True))
    values = _values(second)
    for where, value in _values(first).items():
        found = values.get(where, "nothing")
        if not _equal(value, found):
            require(not _marked(found), f"{what} leaves {where} uninitialised; fill it, for example with torch.zeros")
            raise CheckFailed(
                f"{what} gives {where} another value the second time; draw from torch's global generator only, and remember nothing"
            )
    given = space.example_inputs(2)
    with torch.no_grad():
        one, other = first(given.clone()), second(given.clone())
    if not _near(one, other, equal_nan=True):
        require(
            torch.isfinite(other).all() or not torch.isfinite(one).all(),
            f"{what} computes its output from uninitialised memory; fill every tensor that torch.empty makes before it is read",
        )
        raise CheckFailed(
            f"{what} gives another output when it is built again; draw from torch's generator only, and remember nothing"
        )


def _built_over(space: SearchSpace, genotype: Genotype, marked: bool) -> nn.Module:
    """Returns a network that was built from seed 0, its matrices set to fixed values.

    Args:
        space: The space.
        genotype: Genotype of the network.
        marked: Whether uninitialised memory holds NaN instead of what happens to lie there.
    """
    import torch

    with own_random_state(0):
        with marked_memory() if marked else nullcontext():
            network = space.build(genotype).eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.dim() > 1:
                    parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
    return network


def _values(network: nn.Module) -> dict[str, object]:
    """Returns the numbers and tensors that a network holds, by their place in it; no parameters with more than one dimension."""
    import torch

    found: dict[str, object] = {}
    for path, module in network.named_modules():
        held = {**module._parameters, **module._buffers, **vars(module)}
        for attribute, value in held.items():
            if isinstance(value, torch.nn.Parameter) and value.dim() > 1:
                continue
            if isinstance(value, torch.Tensor | float | list | tuple):
                found[repr(f"{path}.{attribute}".lstrip("."))] = value
    return found


def _equal(first: object, second: object) -> bool:
    import torch

    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_equal, first, second))
    numbers = isinstance(first, torch.Tensor | float) or isinstance(second, torch.Tensor | float)
    return not numbers or bool(first == second)


def _marked(value: object) -> bool:
    """Returns True for a value that holds NaN, or the largest integer, as marked memory does."""
    import torch

    if isinstance(value, list | tuple):
        return any(map(_marked, value))
    if isinstance(value, torch.Tensor) and not (value.is_floating_point() or value.is_complex()):
        return value.dtype != torch.bool and bool((value == torch.iinfo(value.dtype).max).any())
    return bool(torch.isnan(torch.as_tensor(value)).any()) if isinstance(value, torch.Tensor | float) else False


def _largest(output: torch.Tensor) -> float:
    return float(output.nan_to_num(0.0, 0.0, 0.0).abs().max())


def _built(space: SearchSpace, name: str, genotype: Genotype) -> nn.Module:
    """Returns the network in evaluation mode, after checking that building it twice gives equal parameters but for their values."""
    from torch import nn

    what = f"{name}.build({genotype})"
    networks: list[nn.Module] = []
    # The initialisation of torch draws from its global generator, which is allowed because weights are set afterwards.
    with called(what, "it must build the network of every valid genotype"):
        pure(lambda: networks.append(space.build(genotype)), what, generators=("random", "numpy.random"))
    for network in networks:
        require(isinstance(network, nn.Module), f"{what} gave {type(network).__name__}; return a torch.nn.Module")
    first, second = ({key: tuple(value.shape) for key, value in network.state_dict().items()} for network in networks)
    require(first == second, f"{what} gave networks with other weights the second time; build from the genotype alone")
    return networks[0].eval()


def _classifier(space: SearchSpace, name: str, genotype: Genotype, network: nn.Module) -> nn.Module:
    what = f"{name}.classifier() of {genotype}"
    try:
        classifier = space.classifier(network)
    except LookupError:
        raise CheckFailed(f"{what} finds no layer; override classifier() to return the last one") from None
    require(
        any(module is classifier for module in network.modules()),
        f"{what} gave {type(classifier).__name__}, which is no module of the network; return one that it runs",
    )
    return classifier


def _check_costs(space: SearchSpace, name: str, genotype: Genotype) -> None:
    with called(
        f"{name}.costs({genotype})", "the default runs it on the meta device, or else on the CPU; override it where both fail"
    ):
        costs = space.costs(genotype)
    require(
        all(math.isfinite(cost) and cost > 0 for cost in (costs.params, costs.flops)),
        f"{name}.costs({genotype}) gave {costs}; parameters and multiply-accumulates are positive",
    )


def _check_cells(space: SearchSpace, name: str, genotype: Genotype) -> None:
    for cell in space.cells(space.representative(space.key(genotype))) or ():
        require(
            cell.width > 0 and cell.depth > 0 and cell.input_channels > 0 and 0 <= cell.skips <= cell.possible_skips > 0,
            f"{name}.cells() of {genotype} gave {cell}; a cell has layers, and no more skip connections than are possible",
        )


def _check_thin(space: SearchSpace, name: str, genotype: Genotype) -> None:
    thin = space.thin()
    require(
        thin is None or thin.notation(genotype) == space.notation(genotype),
        f"{name}.thin() reads {genotype} as another architecture; return a space that differs in its widths only",
    )


def _check_weight_shapes(space: SearchSpace, name: str, genotypes: Sequence[Genotype]) -> None:
    import torch

    largest = space.weight_shapes()
    shapes: dict[str, tuple[int, ...]] = {}
    for genotype in genotypes:
        try:
            with torch.device("meta"):
                parameters = dict(space.build(genotype).named_parameters())
        except Exception:  # as in `SearchSpace.costs`
            with torch.random.fork_rng(devices=[]):
                parameters = dict(space.build(genotype).named_parameters())
        for parameter, tensor in parameters.items():
            shape = tuple(tensor.shape)
            what = f"parameter {parameter!r} of {name}.build({genotype}) has shape {shape}"
            if parameter not in largest:
                if space.any_shapes:
                    continue
                known = shapes.setdefault(parameter, shape)
                require(known == shape, f"{what}, but {known} in another network; name its largest in weight_shapes()")
                continue
            most = tuple(largest[parameter])
            require(
                len(most) == len(shape) and all(a <= b for a, b in zip(shape, most, strict=True)),
                f"{what}, which does not fit into {most} of weight_shapes(); give the largest shape there",
            )
