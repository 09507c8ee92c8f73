"""A search space: an encoding, the networks that its genotypes describe, and the notation of the benchmark.

Only genotypes are stored; a network is built, measured and discarded. `key` identifies the architecture of a genotype, and
`representative` is the genotype that is built when that architecture is scored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Encoding, Genotype

from .errors import GenotypeError, shown
from .literals import literal, whole_number
from .parameters import Parameters as AnyParameters
from .parameters import parse
from .registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rbflex_evo.spaces.architecture.lean import LeanNetwork
    from rbflex_evo.spaces.architecture.plan import Plan


# What stands before the genes of a genotype.
GENES = "genes:"

SPACES = Registry("space")
SPACES.register("autoformer_base", "rbflex_evo.spaces.families.autoformer.space:AutoFormerBase")
SPACES.register("autoformer_small", "rbflex_evo.spaces.families.autoformer.space:AutoFormerSmall")
SPACES.register("autoformer_tiny", "rbflex_evo.spaces.families.autoformer.space:AutoFormerTiny")
SPACES.register("choices", "rbflex_evo.spaces.families.choices.space:ChoicesSpace")
SPACES.register("flexibert", "rbflex_evo.spaces.families.flexibert.space:FlexiBertSpace")
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
SPACES.register("fbnet", "rbflex_evo.spaces.families.inverted_residuals.fbnet:FbnetSpace")
SPACES.register("mobilenet", "rbflex_evo.spaces.families.inverted_residuals.mobilenet:MobileNetSpace")
SPACES.register("pit", "rbflex_evo.spaces.families.pit.space:PitSpace")
SPACES.register("nafbee_bert", "rbflex_evo.spaces.families.nafbee.bert:BertSpace")
SPACES.register("nafbee_vgg11", "rbflex_evo.spaces.families.nafbee.vgg:Vgg11Space")
SPACES.register("nafbee_vgg19", "rbflex_evo.spaces.families.nafbee.vgg:Vgg19Space")
SPACES.register("family", "rbflex_evo.spaces.families.models.family:FamilySpace")
SPACES.register("models", "rbflex_evo.spaces.families.models.space:ModelsSpace")
SPACES.register("transnas_macro", "rbflex_evo.spaces.families.transnas_bench_101.space:TransMacroSpace")
SPACES.register("transnas_micro", "rbflex_evo.spaces.families.transnas_bench_101.space:TransMicroSpace")
SPACES.register("toy", "rbflex_evo.spaces.families.toy.space:ToySpace")
SPACES.alias("nasbench201", "nats_tss")
SPACES.alias("nas_bench_201", "nats_tss")
SPACES.alias("nas_bench_101", "nasbench101")


@dataclass(frozen=True)
class Costs:
    """Parameters and multiply-accumulates of one network, as its benchmark counts them.

    Attributes:
        params: Number of parameters.
        flops: Number of multiply-accumulates on one input.
    """

    params: float
    flops: float


@dataclass(frozen=True)
class Cell:
    """Size and skip connections of a group of layers (Bhardwaj et al. 2021; Li et al. 2021).

    Layers are convolutions and linear layers. Connections are counted by the channels that they carry.

    Attributes:
        width: Mean number of output channels of the layers.
        depth: Number of layers on the longest path.
        input_channels: Sum of the input channels of all layers.
        skips: Channels that skip connections carry past at least one layer.
        possible_skips: Channels that all possible skip connections would carry.
    """

    width: float
    depth: int
    input_channels: int
    skips: int
    possible_skips: int


class SearchSpace(ABC):
    """Base class of search spaces. Subclasses set `name`, `encoding` and `input_shape` and build plain torch modules.

    Attributes:
        name: Registered name.
        version: Incremented when the network of a genotype changes, so that no outdated statistic is read from a cache.
        description: One line for ``list spaces``.
        encoding: The genes and their operators.
        inputs: Kind of input: "images", float [N, *input_shape], or "words", int64 ids [N, length] where 0 is padding.
        input_shape: Shape (channels, height, width) of one image, or (length,) of one sentence.
        any_shapes: Whether the parameters of one name may have any shapes, so that their largest shapes are not known beforehand.
        any_size: Whether networks take images of any height and width, instead of those of `input_shape` only.
        vocabulary: Number of word ids, 0 .. vocabulary - 1; only used if the inputs are words.
        loss: Loss of the task: "cross_entropy" over dimension 1 of the output, or "mean_squared_error".
        features: What a score may read from the input of the classifier: distances between images ("per_image"), or nothing
            ("none") if normalisation by the statistics of each image leaves only round-off errors there in many networks.
        parameters: Parameters from the configuration.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    description: ClassVar[str] = ""
    Parameters: ClassVar[type[AnyParameters]] = AnyParameters

    inputs: Literal["images", "words"] = "images"
    any_shapes: ClassVar[bool] = False
    any_size: ClassVar[bool] = True

    encoding: Encoding
    input_shape: tuple[int, ...] = (3, 32, 32)
    vocabulary: int = 0
    loss: Literal["cross_entropy", "mean_squared_error"] = "cross_entropy"
    features: Literal["per_image", "none"] = "per_image"

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        self.parameters = self.Parameters() if parameters is None else parameters

    @property
    def identity(self) -> dict[str, object]:
        """Everything except the genotype that a network of this space depends on, as plain data."""
        return {"name": self.name, "version": self.version, **self.parameters.model_dump(mode="json")}

    @property
    def foreign_code(self) -> tuple[object, ...]:
        """Functions and classes of other packages that the networks of a space of this package are built with; none by default."""
        return ()

    @abstractmethod
    def build(self, genotype: Genotype) -> nn.Module:
        """Builds the raw network on the CPU, with every layer that the benchmark counts; its weights are set afterwards.

        Raises:
            CandidateFailed: If the genotype describes no network that can be built; the search goes on without it.
        """

    @abstractmethod
    def notation(self, genotype: Genotype) -> str:
        """Writes a genotype in the notation of the benchmark."""

    @abstractmethod
    def parse(self, text: str) -> Genotype:
        """Reads the notation of the benchmark.

        Raises:
            GenotypeError: If the text is not a notation of this space; the message states what was expected.
        """

    def at(self, index: int) -> Genotype:
        """Returns the genotype of an index: its position in the benchmark's own order if there is one, or in `encoding.enumerate`.

        Raises:
            GenotypeError: If there is none.
        """
        return self.encoding.at(index)

    def genotype_of(self, given: str | int) -> Genotype:
        """Reads an architecture as users have it at hand.

        Args:
            given: A notation that `parse` reads, an index of `at` (``6111`` or ``"6111"``; a text that `parse` reads is not taken
                for one), or ``"genes:[3, 0, 1]"`` for a genotype as this package prints it.

        Raises:
            GenotypeError: If it is none of these.
        """
        if isinstance(given, int):
            return self.at(given)
        text = given.strip()
        if text.startswith(GENES):
            return self._genes(text)
        index = whole_number(text)
        try:
            return self.parse(text)
        except GenotypeError:
            if index is None:
                raise
        return self.at(index)

    def _genes(self, text: str) -> Genotype:
        try:
            genes = literal(text.removeprefix(GENES))
        except ValueError:
            genes = None
        if not isinstance(genes, list | tuple) or not all(type(gene) is int for gene in genes):
            raise GenotypeError(f"{shown(text)} holds no genes; expected whole numbers, as in 'genes:[3, 0, 1]'")
        self.encoding.validate(tuple(genes))
        return tuple(genes)

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical name of the architecture, equal for genotypes that describe the same network."""
        return self.notation(genotype)

    def representative(self, key: str) -> Genotype:
        """Returns the genotype that is built to score the architecture of a key; its own key is `key`."""
        return self.parse(key)

    def calibration_key(self, genotype: Genotype) -> str:
        """Returns the name by which a calibration draws distinct networks, by default the key.

        A space whose keys have changed overrides it, so that calibrations, and all scores that read them, stay the same.
        """
        return self.key(genotype)

    def classifier(self, network: nn.Module) -> nn.Module:
        """Returns the last layer, whose input is the feature vector Y; by default the linear layer registered last."""
        from torch import nn

        return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]

    def check_network(self) -> None:  # noqa: B027 (most spaces have nothing to check)
        """Checks before a search that a network of the space can be built and run; nothing by default.

        Raises:
            ConfigError: If a setting of the space is wrong for it.
        """

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the primary blocks in the order in which they run, the stem first; AZ-NAS compares consecutive blocks.

        Each block runs once. By default, the blocks are the registered children of the network (see `blocks.primary_blocks`).
        """
        from rbflex_evo.spaces.architecture.blocks import primary_blocks

        return primary_blocks(network, self.classifier(network))

    def lean(self, genotype: Genotype) -> LeanNetwork | None:
        """Returns the network without modules, its parameters to be placed, or None if there is no such form (the default)."""
        return None

    def plan(self, genotype: Genotype, input_shape: Sequence[int]) -> Plan | None:
        """Returns the forward of the network as data, or None if the built network has to run (the default).

        Args:
            genotype: The genotype of the network.
            input_shape: Shape [channels, height, width] of one image.
        """
        return None

    def cells(self, genotype: Genotype) -> tuple[Cell, ...] | None:
        """Returns the cells that contain layers, or None if the space does not describe its cells (the default).

        Args:
            genotype: A representative. A network without a path to the output has no cells.
        """
        return None

    def thin(self) -> SearchSpace | None:
        """Returns a space with the same genotypes and the narrowest possible networks, or None (the default).

        Some scores count quantities of which a network of full width has too many.
        """
        return None

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the largest shape of each parameter whose shape differs between networks; weights are drawn in that shape.

        A parameter that is not named is drawn in the shape that it has.
        """
        return {}

    def known_weights(self) -> Mapping[str, torch.Tensor]:
        """Returns weights by parameter name that replace drawn weights in every network; none by default.

        They are read whenever a network is built, so that they occupy no memory in between. `identity` must identify them.
        """
        return {}

    def snippet(self, genotype: Genotype) -> str | None:
        """Returns Python code that builds the network as ``network`` without this package, or None (the default)."""
        return None

    def keys(self) -> Iterator[str]:
        """Yields every key once, if the encoding can be enumerated."""
        seen: set[str] = set()
        for genotype in self.encoding.enumerate():
            key = self.key(genotype)
            if key not in seen:
                seen.add(key)
                yield key

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph; by default the genes as a chain."""
        names = getattr(self.encoding, "names", [f"gene {i}" for i in range(len(genotype))])
        labels = tuple(f"{name}: {gene}" for name, gene in zip(names, genotype, strict=True))
        return chain_drawing(("input", *labels, "output"), self.notation(genotype))

    def example_inputs(self, n: int, seed: int = 0, input_shape: Sequence[int] | None = None) -> torch.Tensor:
        """Returns a batch of random inputs: N(0, 1) noise, or random words without padding.

        Args:
            n: Number of inputs.
            seed: Seed of the random generator.
            input_shape: Shape of one input; by default that of the space.
        """
        import numpy as np
        import torch

        rng = np.random.Generator(np.random.Philox(seed))
        shape = (n, *(input_shape or self.input_shape))
        if self.inputs == "words":
            return torch.from_numpy(rng.integers(1, self.vocabulary, shape))
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network, by default on the meta device.

        A network that cannot be there, such as one whose constructor reads a tensor's value (``.item()``), is counted on the CPU.

        Args:
            genotype: The genotype of the network.
            input_shape: Shape of one input; by default that of the space.
        """
        try:
            return self._counted(genotype, input_shape, "meta")
        except Exception:
            return self._counted(genotype, input_shape, "cpu")

    def _counted(self, genotype: Genotype, input_shape: Sequence[int] | None, device: str) -> Costs:
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        from rbflex_evo.spaces.isolation.random_state import own_random_state
        from rbflex_evo.spaces.isolation.settings import own_settings

        with own_settings(), own_random_state(0), torch.device(device):
            # The counter's hooks refuse views of parameters, such as a token of the class, that record no gradient.
            network = self.build(genotype).eval().requires_grad_(False)
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                network(self.example_inputs(1, input_shape=input_shape).to(device))
        return Costs(
            params=float(sum(parameter.numel() for parameter in network.parameters())),
            flops=counter.get_total_flops() / 2,
        )


def create_space(name: str, **values: object) -> SearchSpace:
    """Returns a registered space.

    Args:
        name: Registered name.
        **values: Parameters of the space.

    Raises:
        UnknownNameError: If no space has that name.
        ConfigError: If a parameter is unknown or has a wrong type.
    """
    space: type[SearchSpace] = SPACES.get(name)
    return space(parse(space.Parameters, values, f"space.{name}"))
