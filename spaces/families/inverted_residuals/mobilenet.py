"""MobileNetV2's stages with variable kernels, expansions, depths and widths (Sandler et al. 2018; ProxylessNAS, Cai et al. 2019).

Stages, strides, base widths and width multipliers are those of MobileNetV2, so that the space contains all its published networks.
Kernels of 3, 5 and 7 and expansions of 3 and 6 are those of ProxylessNAS. Papers search this space under 450, 600 or 1,000 million
multiply-accumulates, which is a limit on ``flops`` in a configuration.

    stem 1.0 | 1.0: k3e1 | 0.75: k5e6 k3e3 | ... | head 1.0         a width multiplier and the blocks of every stage
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.staged import StagedEncoding, StageRange
from rbflex_evo.spaces.errors import GenotypeError, near_name, shown
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs, SearchSpace

from .costs import InvertedResidualBlock, MobileNetLayout, mobilenet_costs
from .once_for_all import once_for_all

if TYPE_CHECKING:
    from .network import MobileNetwork

MULTIPLIERS = (0.35, 0.5, 0.75, 1.0, 1.4)
HEAD_MULTIPLIERS = (1.0, 1.4)
# Width at multiplier 1, stride of the first block, and largest depth of each stage.
STAGES = ((16, 1, 1), (24, 2, 4), (32, 2, 4), (64, 2, 4), (96, 1, 4), (160, 2, 4), (320, 1, 1))
KERNELS = (3, 5, 7)
FIRST_BLOCKS = tuple((kernel, expansion) for kernel in KERNELS for expansion in (1, 3, 6))
BLOCKS = tuple((kernel, expansion) for kernel in KERNELS for expansion in (3, 6))
STEM, HEAD = 32, 1280


class MobileNetParameters(AnyParameters):
    """Parameters of the MobileNet space.

    Attributes:
        classes: Outputs of the classifier.
        size: Height and width of the images.
        width: Factor of all widths, for a narrower form of every network.
    """

    classes: int = Field(default=1000, ge=2)
    size: int = Field(default=224, ge=32)
    width: float = Field(default=1.0, gt=0, le=1)

    @model_serializer(mode="wrap")
    def _without_a_factor_of_one(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Networks of full width are the same as before there was a factor, and so are their cached statistics and their runs.
        values: dict[str, Any] = handler(self)
        if values.get("width") == 1:
            del values["width"]
        return values


class MobileNetSpace(SearchSpace):
    """MobileNet-like networks; genes are the width multipliers of stem, stages and head, then the blocks of each stage."""

    name = "mobilenet"
    description = "MobileNetV2 stages: kernel 3, 5, 7, expansion 3, 6 (1 in the first), depth 1..4, widths 0.35..1.4"
    Parameters = MobileNetParameters
    parameters: MobileNetParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.input_shape = (3, self.parameters.size, self.parameters.size)
        plain = [len(MULTIPLIERS)] * (1 + len(STAGES)) + [len(HEAD_MULTIPLIERS)]
        names = ["stem width", *(f"stage {i + 1} width" for i in range(len(STAGES))), "head width"]
        stages = [StageRange(1, depth, len(_kinds(i))) for i, (*_, depth) in enumerate(STAGES)]
        self.encoding: StagedEncoding = StagedEncoding(plain, stages, names)

    def notation(self, genotype: Genotype) -> str:
        """Writes the width multipliers and the blocks of every stage."""
        self.encoding.validate(genotype)
        (stem, *widths, head), stages = self.encoding.split(genotype)
        parts = [f"stem {MULTIPLIERS[stem]}"]
        for i, (width, blocks) in enumerate(zip(widths, stages, strict=True)):
            names = [_block_name(*_kinds(i)[gene - 1]) for gene in blocks]
            parts.append(f"{MULTIPLIERS[width]}: {' '.join(names)}")
        return " | ".join([*parts, f"head {HEAD_MULTIPLIERS[head]}"])

    def parse(self, text: str) -> Genotype:
        """Reads the width multipliers and the blocks of every stage, or a dictionary of once-for-all (see `once_for_all`)."""
        if text.strip().startswith("{"):
            one = MULTIPLIERS.index(1.0)
            stages = [[_kind(_block_name(*block), i) + 1 for block in blocks] for i, blocks in enumerate(once_for_all(text))]
            return self.encoding.join([one] * (1 + len(STAGES)) + [HEAD_MULTIPLIERS.index(1.0)], stages)
        stem, *written, head = text.strip().split("|") if text.count("|") else ("", "")
        if len(written) != len(STAGES):
            raise GenotypeError(
                f"{shown(text)} is not a network of {self.name}; expected 'stem W', {len(STAGES)} stages as 'W: k3e6 k5e3' "
                "and 'head W', separated by '|', with W a width multiplier"
            )
        widths, blocks = [], []
        for i, stage in enumerate(written):
            width, colon, names = stage.partition(":")
            if not colon:
                raise GenotypeError(f"stage {i + 1} is {shown(stage.strip())}; expected a width and blocks as '1.0: k3e6 k5e3'")
            widths.append(_position(width, "", MULTIPLIERS))
            blocks.append([_kind(name, i) + 1 for name in names.split()])
        plain = [_position(stem, "stem", MULTIPLIERS), *widths, _position(head, "head", HEAD_MULTIPLIERS)]
        return self.encoding.join(plain, blocks)

    def key(self, genotype: Genotype) -> str:
        """Returns the notation with the largest multipliers that give the same widths, since widths are rounded."""
        self.encoding.validate(genotype)
        (stem, *widths, head), blocks = self.encoding.split(genotype)
        stages = [self._largest(base, MULTIPLIERS, gene) for (base, *_), gene in zip(STAGES, widths, strict=True)]
        plain = [self._largest(STEM, MULTIPLIERS, stem), *stages, self._largest(HEAD, HEAD_MULTIPLIERS, head)]
        return self.notation(self.encoding.join(plain, blocks))

    def layout(self, genotype: Genotype) -> MobileNetLayout:
        """Returns the layers of the network."""
        self.encoding.validate(genotype)
        (stem, *widths, head), stages = self.encoding.split(genotype)
        first = previous = self._scaled(STEM, MULTIPLIERS[stem])
        blocks = []
        for i, (gene, kinds) in enumerate(zip(widths, stages, strict=True)):
            base, stride, _ = STAGES[i]
            width = self._scaled(base, MULTIPLIERS[gene])
            for position, kind in enumerate(kinds):
                kernel, expansion = _kinds(i)[kind - 1]
                name = f"stage{i + 1}_block{position + 1}_{_block_name(kernel, expansion)}_{previous}to{width}"
                blocks.append(InvertedResidualBlock(name, previous, width, 1 if position else stride, kernel, expansion))
                previous = width
        return MobileNetLayout(first, 2, tuple(blocks), self._scaled(HEAD, HEAD_MULTIPLIERS[head]), self.parameters.classes)

    def _scaled(self, width: int, multiplier: float) -> int:
        return scaled(width, self.parameters.width * multiplier)

    def _largest(self, width: int, multipliers: Sequence[float], gene: int) -> int:
        """Returns the position of the largest multiplier that scales a width as the chosen one does."""
        chosen = self._scaled(width, multipliers[gene])
        return max(i for i, multiplier in enumerate(multipliers) if self._scaled(width, multiplier) == chosen)

    def build(self, genotype: Genotype) -> MobileNetwork:
        """Builds the raw network of a genotype."""
        from torch import nn

        from .network import MobileNetwork

        return MobileNetwork(self.layout(genotype), nn.ReLU6, dropout=0.2)

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes."""
        return mobilenet_costs(self.layout(genotype), input_shape or self.input_shape)

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        layout = self.layout(genotype)
        labels = [
            f"k{block.kernel} e{block.expansion}\n{block.outputs}{' /2' if block.stride == 2 else ''}" for block in layout.blocks
        ]
        nodes = ("input", f"stem\n{layout.stem} /2", *labels, f"head\n{layout.head}", "classifier")
        return chain_drawing(nodes, self.notation(genotype))


def scaled(width: int, multiplier: float) -> int:
    """Returns the multiple of 8 nearest to width x multiplier, at least 8 and at most 10 % below it (rule of MobileNetV2)."""
    wanted = width * multiplier
    nearest = max(8, 8 * int(wanted / 8 + 0.5))
    return nearest if nearest >= 0.9 * wanted else nearest + 8


def _kinds(stage: int) -> tuple[tuple[int, int], ...]:
    return BLOCKS if stage else FIRST_BLOCKS


def _block_name(kernel: int, expansion: int) -> str:
    return f"k{kernel}e{expansion}"


def _kind(name: str, stage: int) -> int:
    names = [_block_name(*kind) for kind in _kinds(stage)]
    if name not in names:
        raise GenotypeError(f"stage {stage + 1} has no block {shown(name)}{near_name(name, names)}")
    return names.index(name)


def _position(text: str, word: str, multipliers: Sequence[float]) -> int:
    """Returns the position of the multiplier in `text`, which follows `word`."""
    known = [str(multiplier) for multiplier in multipliers]
    name, _, value = text.strip().rpartition(" ") if word else ("", "", text.strip())
    if name != word or value not in known:
        expected = f"{word} {known[0]}".strip()
        raise GenotypeError(
            f"{shown(text.strip())} is no width; expected one as {expected!r} with a multiplier of {', '.join(known)}"
        )
    return known.index(value)
