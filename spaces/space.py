"""A search space: an encoding, the networks that its genotypes stand for, and the benchmark's names for them.

The genotype is the value; a network is built, measured and dropped. `key` says which genotypes are one architecture, and
`representative` which of them is built when that architecture is scored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from rbflex_evo.spaces.architecture.drawing import Drawing
from rbflex_evo.spaces.encodings.encoding import Encoding, Genotype

from .parameters import Parameters as AnyParameters
from .parameters import parse
from .registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rbflex_evo.spaces.architecture.plan import Plan


SPACES = Registry("space")
SPACES.register("nats_tss", "rbflex_evo.spaces.families.nats_bench.space:TopologySpace")
SPACES.register("nats_sss", "rbflex_evo.spaces.families.nats_bench.space:SizeSpace")
SPACES.register("darts", "rbflex_evo.spaces.families.nasnet.darts:DartsSpace")
SPACES.register("nds_amoeba", "rbflex_evo.spaces.families.nds.cell_spaces:NdsAmoeba")
SPACES.register("nds_darts", "rbflex_evo.spaces.families.nds.cell_spaces:NdsDarts")
SPACES.register("nds_enas", "rbflex_evo.spaces.families.nds.cell_spaces:NdsEnas")
SPACES.register("nds_nasnet", "rbflex_evo.spaces.families.nds.cell_spaces:NdsNasnet")
SPACES.register("nds_pnas", "rbflex_evo.spaces.families.nds.cell_spaces:NdsPnas")
SPACES.register("nds_resnet", "rbflex_evo.spaces.families.nds.resnet:NdsResnet")
SPACES.register("nasbench101", "rbflex_evo.spaces.families.nas_bench_101.space:NasBench101Space")
SPACES.register("nasbench_macro", "rbflex_evo.spaces.families.inverted_residuals.nas_bench_macro:NasBenchMacroSpace")
SPACES.register("mobilenet", "rbflex_evo.spaces.families.inverted_residuals.mobilenet:MobileNetSpace")
SPACES.register("nafbee_bert", "rbflex_evo.spaces.families.nafbee.bert:BertSpace")
SPACES.register("nafbee_vgg11", "rbflex_evo.spaces.families.nafbee.vgg:Vgg11Space")
SPACES.register("nafbee_vgg19", "rbflex_evo.spaces.families.nafbee.vgg:Vgg19Space")
SPACES.register("transnas_macro", "rbflex_evo.spaces.families.transnas_bench_101.space:TransMacroSpace")
SPACES.register("transnas_micro", "rbflex_evo.spaces.families.transnas_bench_101.space:TransMicroSpace")
SPACES.register("toy", "rbflex_evo.spaces.families.toy.space:ToySpace")


@dataclass(frozen=True)
class Costs:
    """Parameters and multiply-accumulates of one network, counted as its benchmark counts them."""

    params: float
    flops: float


@dataclass(frozen=True)
class Cell:
    """A group of layers between which skip connections may run, in numbers (Bhardwaj et al. 2021; Li et al. 2021).

    Connections are counted by the channels that they carry.

    Attributes:
        width: mean output channels of its layers (layers are convolutions and linear layers).
        depth: layers on the longest path through it.
        input_channels: input channels of all its layers.
        skips: channels that its skip connections carry past at least one layer.
        possible_skips: channels that all skip connections that it could have would carry.
    """

    width: float
    depth: int
    input_channels: int
    skips: int
    possible_skips: int


class SearchSpace(ABC):
    """A registered space. Subclasses set `name`, `encoding` and `input_shape` and build plain torch modules.

    Attributes:
        name: the registered name.
        version: raised when a genotype's network changes, so that no stale statistic is read from a cache.
        description: one line for ``list spaces``.
        encoding: the genes and their operators.
        inputs: what networks read: "images", float [N, *input_shape], or "words", int64 ids [N, length] in which 0 is padding.
        input_shape: (channels, height, width) of one input image, or (length,) of one sentence.
        vocabulary: how many word ids there are, 0 .. vocabulary - 1; read where the inputs are words.
        loss: of the space's task: "cross_entropy" over dimension 1 of the output, or "mean_squared_error".
        features: what a score may read from the classifier's input: how far apart images lie in it ("per_image"), or nothing
            ("none") where normalisation by each image's own statistics leaves only round-off there, or does so in many networks.
        parameters: what the configuration set.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    description: ClassVar[str] = ""
    Parameters: ClassVar[type[AnyParameters]] = AnyParameters

    inputs: ClassVar[Literal["images", "words"]] = "images"

    encoding: Encoding
    input_shape: tuple[int, ...] = (3, 32, 32)
    vocabulary: int = 0
    loss: Literal["cross_entropy", "mean_squared_error"] = "cross_entropy"
    features: Literal["per_image", "none"] = "per_image"

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        self.parameters = self.Parameters() if parameters is None else parameters

    @property
    def identity(self) -> dict[str, object]:
        """All that a network of this space depends on besides its genotype, as plain data."""
        return {"name": self.name, "version": self.version, **self.parameters.model_dump(mode="json")}

    @abstractmethod
    def build(self, genotype: Genotype) -> nn.Module:
        """Builds the raw network as the benchmark counts it, on the CPU; the fitness module sets its weights."""

    @abstractmethod
    def notation(self, genotype: Genotype) -> str:
        """Writes a genotype in the benchmark's own notation."""

    @abstractmethod
    def parse(self, text: str) -> Genotype:
        """Reads the benchmark's notation.

        Raises:
            GenotypeError: saying what came and what was expected.
        """

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical name of the architecture; equal for genotypes that are one network."""
        return self.notation(genotype)

    def representative(self, key: str) -> Genotype:
        """Returns the genotype that is built when the architecture of that key is scored."""
        return self.parse(key)

    def classifier(self, network: nn.Module) -> nn.Module:
        """Returns the last layer, whose input is the feature vector Y; the default is the last registered Linear."""
        from torch import nn

        return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the primary blocks, each run once, in order, the stem first: what AZ-NAS compares from one to the next.

        The default takes the chain of parts that the network is registered as (see `blocks.primary_blocks`); a space whose
        blocks are something else, or called in another order, overrides it.
        """
        from rbflex_evo.spaces.architecture.blocks import primary_blocks

        return primary_blocks(network, self.classifier(network))

    def plan(self, genotype: Genotype, input_shape: Sequence[int]) -> Plan | None:
        """Returns the network's forward as data, or None where the built network has to be run itself (the default).

        Args:
            input_shape: [channels, height, width] of one image.
        """
        return None

    def cells(self, genotype: Genotype) -> tuple[Cell, ...] | None:
        """Returns the cells that have layers, in numbers, or None where the space cannot say (the default).

        Args:
            genotype: a representative, without anything that reaches nothing; with no path to the output there are no cells.
        """
        return None

    def thin(self) -> SearchSpace | None:
        """Returns a space with the same genotypes and the narrowest networks that they allow, or None (the default).

        Some scores count what a network of full width has more of than can be counted.
        """
        return None

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Largest shape of each parameter's name where networks of the space differ in shape; weights are drawn at it."""
        return {}

    def known_weights(self) -> Mapping[str, torch.Tensor]:
        """Weights by parameter's name that every network starts from in place of drawn ones; none by default.

        Read whenever a network is built, so that nothing holds them. `identity` must say which they are.
        """
        return {}

    def keys(self) -> Iterator[str]:
        """Yields every key once where the space is enumerable."""
        seen: set[str] = set()
        for genotype in self.encoding.enumerate():
            key = self.key(genotype)
            if key not in seen:
                seen.add(key)
                yield key

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph; the default draws the genes as a chain."""
        names = getattr(self.encoding, "names", [f"gene {i}" for i in range(len(genotype))])
        labels = tuple(f"{name}: {gene}" for name, gene in zip(names, genotype, strict=True))
        nodes = ("input", *labels, "output")
        return Drawing(nodes, tuple((i, i + 1, "", True) for i in range(len(nodes) - 1)), self.notation(genotype))

    def example_inputs(self, n: int, seed: int = 0, input_shape: Sequence[int] | None = None) -> torch.Tensor:
        """Returns `n` inputs that every network of the space can read: N(0, 1) noise, or random words without padding.

        Args:
            input_shape: of one input where it is not the space's own.
        """
        import numpy as np
        import torch

        rng = np.random.Generator(np.random.Philox(seed))
        shape = (n, *(input_shape or self.input_shape))
        if self.inputs == "words":
            return torch.from_numpy(rng.integers(1, self.vocabulary, shape))
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network on one input, on the meta device.

        Args:
            input_shape: of one input where it is not the space's own.
        """
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        with torch.device("meta"):
            network = self.build(genotype).eval()
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                network(self.example_inputs(1, input_shape=input_shape).to("meta"))
        return Costs(
            params=float(sum(parameter.numel() for parameter in network.parameters())),
            flops=counter.get_total_flops() / 2,
        )


def create_space(name: str, **values: object) -> SearchSpace:
    """Returns the registered space `name` with those parameters.

    Raises:
        UnknownNameError: if no space has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
    """
    space: type[SearchSpace] = SPACES.get(name)
    return space(parse(space.Parameters, values, f"space.{name}"))
