"""The search space of FlexiBERT (Tuli et al. 2022, arXiv 2205.11656) in the form of NAS-Bench-BERT (Serianni & Kalita, ACL 2023).

    256: SA-WMA-4-1024-3;LT-DCT-2-512-3      hidden size, then operation, heads, inner width and stacked linear layers of each layer

A network has two or four layers of one hidden size, 10,621,440 networks. With `mixed`, each layer has its own hidden size as in
FlexiBERT, and a linear layer leads from one size to another; FlexiBERT's stacked linear layers of unequal width are not built.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field, model_validator

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.staged import StagedEncoding, StageRange
from rbflex_evo.spaces.errors import ConfigError, GenotypeError
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs, SearchSpace

from .layout import POSITIONS, FlexiBertLayout, LayerChoice, flexibert_costs
from .notation import read_network, write_network

if TYPE_CHECKING:
    from torch import nn

    from .network import FlexiBertNetwork

Operation = Literal["SA-SDP", "SA-WMA", "LT-DFT", "LT-DCT", "DSC-5", "DSC-9"]
Whole = Annotated[int, Field(ge=1)]
Even = Annotated[int, Field(ge=2, multiple_of=2)]


class FlexiBertParameters(AnyParameters):
    """Parameters of the FlexiBERT space, with the choices of NAS-Bench-BERT by default.

    Attributes:
        hidden: Hidden sizes to choose from, each a multiple of all `heads`.
        operations: Operations to choose from: self-attention (``SA``), linear transform (``LT``) or span convolution (``DSC``).
        heads: Numbers of heads to choose from, even because span convolutions halve them.
        inner: Widths of the feed-forward network to choose from.
        stacks: Numbers of linear layers of that width to choose from.
        min_depth: Smallest number of layers.
        max_depth: Largest number of layers.
        depth_step: Difference between two numbers of layers.
        mixed: Whether each layer has its own hidden size, instead of one for all.
        embedding: Width of the embeddings.
        length: Number of words of a sentence, padding included.
        vocabulary: Number of word ids, padding included.
        classes: Outputs of the classifier.
    """

    hidden: list[Whole] = Field(default=[128, 256], min_length=1)
    operations: list[Operation] = Field(default=list(get_args(Operation)), min_length=1)
    heads: list[Even] = Field(default=[2, 4], min_length=1)
    inner: list[Whole] = Field(default=[512, 1024], min_length=1)
    stacks: list[Whole] = Field(default=[1, 3], min_length=1)
    min_depth: int = Field(default=2, ge=1)
    max_depth: int = Field(default=4, ge=1)
    depth_step: int = Field(default=2, ge=1)
    mixed: bool = False
    embedding: int = Field(default=128, ge=1)
    length: int = Field(default=128, ge=1, le=POSITIONS)
    vocabulary: int = Field(default=30522, ge=2)
    classes: int = Field(default=2, ge=2)

    @model_validator(mode="after")
    def _consistent(self) -> FlexiBertParameters:
        for name in ("hidden", "operations", "heads", "inner", "stacks"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name!r} has a value twice: {values}")
        for hidden, heads in itertools.product(self.hidden, self.heads):
            if hidden % heads:
                raise ValueError(f"{heads} 'heads' do not share a 'hidden' of {hidden} evenly")
        if self.min_depth > self.max_depth or (self.max_depth - self.min_depth) % self.depth_step:
            depths = f"'min_depth' is {self.min_depth}, 'max_depth' {self.max_depth} and 'depth_step' {self.depth_step}"
            raise ValueError(f"{depths}; expected that whole steps lead from the first to the second")
        return self


class FlexiBertSpace(SearchSpace):
    """Networks of words; genes are the hidden size, unless it is `mixed`, then one kind of layer for each place, 0 for no layer."""

    name = "flexibert"
    description = (
        "FlexiBERT as in NAS-Bench-BERT: 2 or 4 layers of attention, linear transforms or convolutions, hidden size 128 or 256"
    )
    Parameters = FlexiBertParameters
    parameters: FlexiBertParameters
    inputs = "words"

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        p = self.parameters
        self.input_shape = (p.length,)
        self.vocabulary = p.vocabulary
        # With one hidden size for all layers, kinds are those of the first size.
        sizes = p.hidden if p.mixed else p.hidden[:1]
        self.choices = tuple(itertools.starmap(LayerChoice, itertools.product(p.operations, p.heads, p.inner, p.stacks, sizes)))
        stage = StageRange(p.min_depth, p.max_depth, len(self.choices), p.depth_step)
        plain = {} if p.mixed else {"hidden": len(p.hidden)}
        self.encoding: StagedEncoding = StagedEncoding(list(plain.values()), [stage], list(plain))

    def layout(self, genotype: Genotype) -> FlexiBertLayout:
        """Returns the layers and sizes of the network."""
        self.encoding.validate(genotype)
        p = self.parameters
        plain, (kinds,) = self.encoding.split(genotype)
        layers = tuple(self.choices[kind - 1] for kind in kinds)
        if not p.mixed:
            layers = tuple(layer._replace(hidden=p.hidden[plain[0]]) for layer in layers)
        return FlexiBertLayout(layers, p.embedding, p.vocabulary, p.classes)

    def build(self, genotype: Genotype) -> FlexiBertNetwork:
        """Builds the raw network of a genotype."""
        from .network import FlexiBertNetwork

        return FlexiBertNetwork(self.layout(genotype))

    def notation(self, genotype: Genotype) -> str:
        """Writes the hidden size, and operation, heads, inner width and stacks of every layer."""
        return write_network(self.layout(genotype).layers)

    def parse(self, text: str) -> Genotype:
        """Reads what `notation` writes."""
        layers = read_network(text, self.name)
        p = self.parameters
        for i, layer in enumerate(layers, start=1):
            choices: tuple[Sequence[object], ...] = (p.operations, p.heads, p.inner, p.stacks, p.hidden)
            for what, allowed in zip(LayerChoice._fields, choices, strict=True):
                value = getattr(layer, what)
                if value not in allowed:
                    raise GenotypeError(f"{what} of layer {i} must be one of {list(allowed)} in {self.name}, but it is {value!r}")
        if p.mixed:
            return self.encoding.join([], [[self.choices.index(layer) + 1 for layer in layers]])
        sizes = {layer.hidden for layer in layers}
        if len(sizes) > 1:
            raise GenotypeError(f"all layers of {self.name} have one hidden size, but they have {sorted(sizes)}; set space.mixed")
        kinds = [self.choices.index(layer._replace(hidden=p.hidden[0])) + 1 for layer in layers]
        return self.encoding.join([p.hidden.index(layers[0].hidden)], [kinds])

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes.

        Raises:
            ConfigError: If the inputs are no sentences, or longer than the network has positions.
        """
        shape = tuple(input_shape or self.input_shape)
        if len(shape) != 1 or not 1 <= shape[0] <= POSITIONS:
            raise ConfigError(f"expected sentences of shape [words], at most {POSITIONS}, but they are {list(shape)}")
        return flexibert_costs(self.layout(genotype), shape[0])

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the embeddings and the layers."""
        return [network.embeddings, *network.layers]  # type: ignore[list-item,misc]

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the largest shape of every parameter, so that networks share weights by the names of their parts."""
        return self._largest

    @cached_property
    def _largest(self) -> Mapping[str, tuple[int, ...]]:
        import torch

        from .network import FlexiBertNetwork

        p = self.parameters
        largest: dict[str, tuple[int, ...]] = {}
        for operation, hidden in itertools.product(p.operations, p.hidden):
            # Alternating sizes give every layer but the first a projection from each size.
            for other in p.hidden if p.mixed else [hidden]:
                layers = [LayerChoice(operation, max(p.heads), max(p.inner), max(p.stacks), hidden) for _ in range(p.max_depth)]
                layers[1::2] = [layer._replace(hidden=other) for layer in layers[1::2]]
                with torch.device("meta"):
                    network = FlexiBertNetwork(FlexiBertLayout(tuple(layers), p.embedding, p.vocabulary, p.classes))
                for name, parameter in network.named_parameters():
                    sizes = itertools.zip_longest(largest.get(name, ()), parameter.shape, fillvalue=0)
                    largest[name] = tuple(max(pair) for pair in sizes)
        return largest

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        layers = [
            f"{layer.operation}\n{layer.heads} heads, {layer.hidden}\nMLP {layer.inner} x {layer.stacks}"
            for layer in self.layout(genotype).layers
        ]
        return chain_drawing(("input", f"words\n{self.parameters.embedding}", *layers, "classifier"), self.notation(genotype))
