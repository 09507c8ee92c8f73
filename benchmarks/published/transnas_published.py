"""The networks that RBFleX's published scripts score for TransNAS-Bench-101: the encoder with a probe of three heads.

    outputs of the last three modules, nearest pixels of 8 x 8  ->  each a 1 x 1 convolution to 32 channels, ReLU, normalisation

The network contains no task, so it has one score for all tasks. In the micro space the last module doubles the channels without
halving the map (the scripts read the skeleton 41414 as 41412). The scripts take Y from the module that is registered last, which
is the normalisation of the third head: activated and not pooled features of the third module from the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rbflex_evo.spaces import Genotype, SearchSpace
from rbflex_evo.spaces.families.transnas_bench_101.network import Encoder
from rbflex_evo.spaces.families.transnas_bench_101.space import TransMacroSpace, TransMicroSpace, modules_of
from rbflex_evo.spaces.families.transnas_bench_101.tasks import EncoderModule

SIDE, WIDTH, HEADS = 8, 32, 3


class Probed(nn.Module):
    """An encoder and the heads on its last three modules; its output is what the heads put out, [N, 96, 8, 8]."""

    def __init__(self, channels: int, modules: Sequence[EncoderModule], operations: Sequence[str] | None) -> None:
        super().__init__()
        self.encoder = Encoder(channels, modules, operations)
        self.heads = nn.ModuleDict()
        for i, module in enumerate(modules[: -HEADS - 1 : -1]):
            layers = (nn.Conv2d(module.outputs, WIDTH, 1), nn.ReLU(), nn.BatchNorm2d(WIDTH))
            self.heads[f"head{i}_{module.outputs}"] = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        stem, *cells = self.encoder.as_stages()
        x = stem.run(images)
        outputs = []
        for first, second in zip(cells[::2], cells[1::2], strict=True):
            x = second.run(first.run(x))
            outputs.append(functional.interpolate(x, (SIDE, SIDE)))
        return torch.cat([head(x) for head, x in zip(self.heads.values(), outputs[::-1], strict=False)], dim=1)


def last_normalisation(network: nn.Module) -> nn.Module:
    """Returns the module that is registered last."""
    return list(network.modules())[-1]


class PublishedMicro(TransMicroSpace):
    """`transnas_micro` as the scripts build it."""

    name: ClassVar[str] = "transnas_micro_published"

    def __init__(self, parameters: object = None) -> None:
        super().__init__(parameters)  # type: ignore[arg-type]
        self.features: Literal["per_image", "none"] = "per_image"

    def modules(self, genotype: Genotype) -> list[EncoderModule]:
        self.encoding.validate(genotype)
        return modules_of("41412", self.parameters.channels)

    def build(self, genotype: Genotype) -> nn.Module:  # type: ignore[override]
        return Probed(self.parameters.channels, self.modules(genotype), self.operations(genotype))

    def classifier(self, network: nn.Module) -> nn.Module:
        return last_normalisation(network)


class PublishedMacro(TransMacroSpace):
    """`transnas_macro` as the scripts build it."""

    name: ClassVar[str] = "transnas_macro_published"

    def __init__(self, parameters: object = None) -> None:
        super().__init__(parameters)  # type: ignore[arg-type]
        self.features: Literal["per_image", "none"] = "per_image"

    def build(self, genotype: Genotype) -> nn.Module:  # type: ignore[override]
        return Probed(self.parameters.channels, self.modules(genotype), self.operations(genotype))

    def classifier(self, network: nn.Module) -> nn.Module:
        return last_normalisation(network)


PUBLISHED: dict[str, type[SearchSpace]] = {"transnas_micro": PublishedMicro, "transnas_macro": PublishedMacro}
