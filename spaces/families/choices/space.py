"""A search space from a function that builds a network and named choices.

    from rbflex_evo import Choices
    space = Choices(build, depth=[2, 3, 4], width=[32, 64], act=["relu", "gelu"], input_shape=(3, 32, 32))

    space: {name: choices, build: "my_package.net:build", input_shape: [3, 32, 32], choices: {depth: [2, 3, 4], width: [32, 64]}}

Networks are of any kind, so nothing is known of the shapes of their parameters beforehand: weights are drawn by name in the shape
that a network has.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.conditional import INACTIVE, ConditionalEncoding, Gene, Rule
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.errors import ConfigError, GenotypeError, listed, near_name, reason, shown
from rbflex_evo.spaces.fingerprint import PACKAGE
from rbflex_evo.spaces.parameters import parse
from rbflex_evo.spaces.space import SearchSpace

from . import functions, notation
from .parameters import ChoicesParameters, plain
from .rules import check_outcomes, check_values, read_expression, read_function, rule

if TYPE_CHECKING:
    from torch import nn

# Most choices that the representation of a space names.
SHOWN_CHOICES = 10


class ChoicesSpace(SearchSpace):
    """Networks of one function, one for each combination of named choices; `Choices` makes one from a function.

    Args:
        parameters: Parameters of the space.
        given: Functions that stand for paths in the parameters; other paths are imported when they are needed.
    """

    name = "choices"
    description = "networks of your own function, one for each combination of named choices"
    Parameters = ChoicesParameters
    parameters: ChoicesParameters
    any_size = False
    any_shapes = True

    def __init__(self, parameters: ChoicesParameters | None = None, given: Mapping[str, Callable[..., Any]] | None = None) -> None:
        super().__init__(parameters or parse(ChoicesParameters, {}, "space"))
        chosen = self.parameters
        self.inputs = chosen.inputs
        self.input_shape = tuple(chosen.input_shape)
        self.vocabulary = chosen.vocabulary
        self.values = {name: tuple(map(_frozen, values)) for name, values in chosen.choices.items()}
        self._given = dict(given or {})

    def _function(self, path: str, where: str) -> Callable[..., Any]:
        return self._given.get(path) or functions.load(path, where)

    @cached_property
    def builder(self) -> Callable[..., Any]:
        """The function that builds a network.

        Raises:
            ConfigError: If it cannot be imported, or does not take the choices.
        """
        found = self._function(self.parameters.build, "space.build")
        functions.check_arguments(found, self.values, self.parameters.arguments, "space.build")
        return found

    @cached_property
    def encoding(self) -> ConditionalEncoding:  # type: ignore[override]
        """The choices as genes.

        Raises:
            ConfigError: If a condition is wrong, or every combination is forbidden.
        """
        ordered = self.parameters.ordered
        genes = []
        for name, values in self.values.items():
            text = self.parameters.conditions.get(name)
            condition = (
                None if text is None else self._rule(text, f"space.conditions.{name}", [n for n in self.values if n != name])
            )
            genes.append(Gene(name, len(values), _is_sorted(values) if ordered is None else name in ordered, condition))
        forbidden = [self._rule(text, f"space.forbidden.{i}", None) for i, text in enumerate(self.parameters.forbidden)]
        return ConditionalEncoding(genes, forbidden)

    def _rule(self, text: str, where: str, choices: Sequence[str] | None) -> Rule:
        """Reads a condition on some choices, or a forbidden combination of all if `choices` is None."""
        names = list(self.values) if choices is None else choices
        if text in self._given or functions.PATH.fullmatch(text):
            function = self._function(text, where)
            found = rule(read_function(function, names, where, all_of_them=choices is None), self.values, text)
        else:
            expression = read_expression(text, names, where)
            check_values(expression, self.values, where)
            found = rule(expression, self.values, text)
        always, never = (
            ("it forbids every combination; relax it", "it forbids nothing; leave it out")
            if choices is None
            else ("leave the condition out", "the choice is never active; relax the condition, or leave the choice out")
        )
        sure = not any(name in self.parameters.conditions for name in (list(self.values)[i] for i in found.reads))
        check_outcomes(found, self.values, where, always, never, sure)
        return found

    @property
    def foreign_code(self) -> tuple[object, ...]:
        """The functions that are not of this package."""
        paths = [*self.parameters.conditions.values(), *self.parameters.forbidden]
        rules = [self._function(path, "space") for path in paths if path in self._given or functions.PATH.fullmatch(path)]
        every = [self.builder, *rules]
        return tuple(each for each in every if functions.path_of(each).partition(".")[0] != PACKAGE)

    def chosen(self, genotype: Genotype) -> dict[str, Any]:
        """Returns the values of the active choices of a genotype, by name."""
        return {name: values[gene] for (name, values), gene in zip(self.values.items(), genotype, strict=True) if gene != INACTIVE}

    def call(self, genotype: Genotype) -> dict[str, Any]:
        """Returns the arguments with which the builder is called.

        An inactive choice is left out if the builder has a default for it, and None otherwise.
        """
        defaults, any_other = functions.arguments_of(self.builder)
        chosen = self.chosen(genotype)
        lacking = [name for name in self.values if name not in chosen and not defaults.get(name, any_other)]
        return {**chosen, **dict.fromkeys(lacking), **self.parameters.arguments}

    def build(self, genotype: Genotype) -> nn.Module:
        """Builds the raw network of a genotype.

        Raises:
            ConfigError: If the builder returns anything but a network.
        """
        from torch import nn

        network = self.builder(**self.call(genotype))
        if not isinstance(network, nn.Module):
            raise ConfigError(f"'space.build' {self.parameters.build!r} returned {shown(network)}; expected a torch.nn.Module")
        return network

    def notation(self, genotype: Genotype) -> str:
        """Writes the active choices, as in ``depth=3,width=64,act=relu``."""
        return ",".join(f"{name}={notation.written(value)}" for name, value in self.chosen(genotype).items())

    def parse(self, text: str) -> Genotype:
        """Reads choices in any order."""
        found = notation.split(text)
        notation.known_names(found, list(self.values))
        given = {name: notation.position(value, self.values[name], name) for name, value in found.items()}
        genes = tuple(given.get(name, INACTIVE) for name in self.values)
        encoding = self.encoding
        active = encoding.settled(genes, lambda i: 0)
        for name, gene, wanted, condition in zip(self.values, genes, active, encoding.genes, strict=True):
            if gene == INACTIVE and wanted != INACTIVE:
                raise GenotypeError(f"{shown(text)} lacks {name}, one of {', '.join(map(notation.written, self.values[name]))}")
            if gene != INACTIVE and wanted == INACTIVE and condition.condition is not None:
                raise GenotypeError(
                    f"{shown(text)} has {name}, which is active only where {condition.condition.text}; leave it out"
                )
        encoding.validate(genes)
        return genes

    def classifier(self, network: nn.Module) -> nn.Module:
        """Returns the layer that `classifier` names, or the linear layer registered last.

        Raises:
            ConfigError: If there is none.
        """
        name = self.parameters.classifier
        if name is not None:
            layers = dict(network.named_modules())
            if name not in layers:
                known = [each for each in layers if each]
                near = near_name(name, known)
                # The layer of the outputs is seldom first in the alphabet.
                near = near if "did you mean" in near else f"; known: {listed(known)}"
                raise ConfigError(f"'space.classifier': the network has no layer {name!r}{near}")
            layer: nn.Module = layers[name]
            return layer
        try:
            return super().classifier(network)
        except IndexError:
            raise ConfigError("the network has no linear layer; name the layer of its outputs in 'space.classifier'") from None

    def check_network(self) -> None:
        """Builds one network and runs it for one input, on the meta device if it can be there.

        Candidates that cannot be built are left to the search.

        Raises:
            ConfigError: If it does not take an input of `input_shape`, or lacks the layer that `classifier` names.
        """
        from rbflex_evo.spaces.isolation.random_state import own_random_state
        from rbflex_evo.spaces.isolation.settings import own_settings

        genotype = self.encoding.sample(np.random.Generator(np.random.PCG64(0)))
        try:
            with own_settings(), own_random_state(0):
                self._try("meta", genotype)
            return
        except Exception:  # a network may be unable to be there
            pass
        with own_settings(), own_random_state(0):
            self._try("cpu", genotype)

    def _try(self, device: str, genotype: Genotype) -> None:
        """Builds a network and runs it on a device; an error of the constructor is left to the search, which has a name for it."""
        import torch

        with torch.device(device):
            try:
                network = self.build(genotype).eval()
            except ConfigError:
                raise
            except Exception:
                if device == "meta":
                    raise
                return
            self.classifier(network)
            try:
                with torch.no_grad():
                    network(self.example_inputs(1).to(device))
            except Exception as error:
                raise ConfigError(
                    f"the network of {self.notation(genotype)} fails for an input of 'space.input_shape' {list(self.input_shape)} "
                    f"({reason(error)}); correct input_shape or the network, or forbid what cannot be built"
                ) from error

    def __repr__(self) -> str:
        values = ", ".join(f"{name} ({len(values)})" for name, values in itertools.islice(self.values.items(), SHOWN_CHOICES))
        more = f" and {len(self.values) - SHOWN_CHOICES} more" if len(self.values) > SHOWN_CHOICES else ""
        return f"<{type(self).__name__} {self.parameters.build}: {values}{more}, inputs {list(self.input_shape)}>"

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the active choices as a chain."""
        labels = [f"{name}: {notation.written(value)}" for name, value in self.chosen(genotype).items()]
        return chain_drawing(("input", *labels, "output"), self.notation(genotype))

    def snippet(self, genotype: Genotype) -> str:
        """Returns Python code that builds the network without this package; it says if the function has to be defined before."""
        module, _, name = self.parameters.build.partition(":")
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.call(genotype).items())
        if functions.is_stored(self.parameters.build):
            return f"from {module} import {name.partition('.')[0]}\n\nnetwork = {name}({arguments})\n"
        name = name.rpartition(".")[2]
        name = name if name.isidentifier() else "build"
        origin = "a notebook or a script" if module == "__main__" else module
        return f"# {name} is a function of {origin}, which is not stored here: define it first\nnetwork = {name}({arguments})\n"


def Choices(  # noqa: N802 (it makes a space, and reads as its class)
    build: Callable[..., nn.Module] | str,
    choices: Mapping[str, Sequence[Any]] | None = None,
    /,
    *,
    input_shape: Sequence[int],
    arguments: Mapping[str, Any] | None = None,
    conditions: Mapping[str, str | Callable[..., bool]] | None = None,
    forbidden: str | Callable[..., bool] | Sequence[str | Callable[..., bool]] = (),
    ordered: Sequence[str] | None = None,
    inputs: str = "images",
    vocabulary: int = 0,
    classifier: str | None = None,
    **more_choices: Sequence[Any],
) -> ChoicesSpace:
    """Returns the space of the networks that a function builds from named choices.

    The function may be defined anywhere: in a module, a script, a notebook or another function. It is never stored: to resume a
    search of a function that cannot be imported, hand it in again.

    Args:
        build: Function or class that returns a `torch.nn.Module` and takes the choices as arguments, by name. An inactive choice is
            left out if it has a default there, and None otherwise. Also its path, ``"my_package.net:build"``.
        choices: Values by name, for names that are also arguments of this function.
        input_shape: Shape (channels, height, width) of one image, or (length,) of one sentence.
        arguments: Other arguments of `build`, by name, the same for every network.
        conditions: When a choice is active, by its name: an expression such as ``"depth >= 3"``, or a function that takes the
            choices that it reads as arguments.
        forbidden: Combinations that are left out, one or several, in the same forms; a function may also take ``**choices``.
        ordered: Choices whose neighbouring values are the only steps; by default those of rising or falling numbers.
        inputs: ``"images"`` or ``"words"``.
        vocabulary: Number of word ids, if the inputs are words.
        classifier: Name of the layer whose input is the feature vector; by default the linear layer that is registered last.
        **more_choices: Values of each choice, by its name.

    Raises:
        ConfigError: If a name or a value is wrong, or `build` does not take the choices.
    """
    given: dict[str, Callable[..., Any]] = {}

    def path(each: Any) -> Any:
        """Returns the text of a function, which is kept, and anything else as it is."""
        if isinstance(each, str) or not callable(each):
            return each
        text = functions.path_of(each)
        number = 1
        while given.setdefault(text, each) is not each:
            number += 1
            text = f"{functions.path_of(each)}_{number}"
        return text

    for name, each in (("choices", choices), ("arguments", arguments), ("conditions", conditions)):
        if not (each is None or isinstance(each, Mapping)):
            example = {"choices": "{'depth': [2, 3]}", "arguments": "{'classes': 10}"}.get(name, "{'kernel': 'depth >= 3'}")
            raise ConfigError(f"{name!r}: should be a mapping by name, such as {example}, but it is {shown(each)}")
    if isinstance(ordered, str) or not (ordered is None or isinstance(ordered, Iterable)):
        raise ConfigError(f"'ordered': should be a list of names of choices, but it is {shown(ordered)}; write ordered=['depth']")
    if not (callable(forbidden) or isinstance(forbidden, Iterable)):
        raise ConfigError(f"'forbidden': should be an expression or a function, or a list of these, but it is {shown(forbidden)}")
    rules = [forbidden] if isinstance(forbidden, str) or callable(forbidden) else forbidden
    values = {
        "build": path(build),
        "choices": plain({**(choices or {}), **more_choices}),
        "input_shape": plain(input_shape),
        "arguments": plain(arguments or {}),
        "conditions": {name: path(each) for name, each in (conditions or {}).items()},
        "forbidden": [path(each) for each in rules],
        "ordered": None if ordered is None else list(ordered),
        "inputs": inputs,
        "vocabulary": vocabulary,
        "classifier": classifier,
    }
    # What is not given stays unset, as in a configuration.
    unset = {name: field.get_default(call_default_factory=True) for name, field in ChoicesParameters.model_fields.items()}
    written = {name: value for name, value in values.items() if value != unset[name]}
    space = ChoicesSpace(parse(ChoicesParameters, written, "space"), given)
    # Both are read late where a configuration names functions, and checked at once here.
    _ = space.builder, space.encoding
    return space


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _is_sorted(values: Sequence[Any]) -> bool:
    """Returns whether values are rising or falling numbers."""
    if not all(type(value) in (int, float) for value in values):
        return False
    pairs = list(itertools.pairwise(values))
    return all(a < b for a, b in pairs) or all(a > b for a, b in pairs)
