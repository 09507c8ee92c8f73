"""Parameters and multiply-accumulates of a TransNAS-Bench-101 network by arithmetic on its shapes, without building it.

Costs are those of the built network, module by module, as torch's flop counter has them halved: a transposed convolution costs what
its input's pixels do, and biases and normalisations cost nothing. Tests hold them against the built network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rbflex_evo.spaces.errors import ConfigError
from rbflex_evo.spaces.families.nats_bench.plan import EDGES, KERNELS
from rbflex_evo.spaces.space import Costs

from .tasks import PIECE_SHARE, PIECES, STEM_HALVINGS, EncoderModule, Task, decoder_layers

MapSize = tuple[int, int]
# (weights, output channels, size of the output) of a convolution without bias that is normalised
Convolution = tuple[int, int, MapSize]


def transnas_costs(
    task: Task, channels: int, modules: Sequence[EncoderModule], operations: Sequence[str] | None, input_shape: Sequence[int]
) -> Costs:
    """Returns the costs of the network that `TransNetwork` or `SiameseNetwork` builds of the same arguments.

    Args:
        input_shape: [3, height, width] of one image.

    Raises:
        ConfigError: if the network takes no such images.
    """
    if len(input_shape) != 3 or input_shape[0] != 3 or min(input_shape) < 1:
        raise ConfigError(f"expected images of shape [3, height, width], but they are {list(input_shape)}")
    height, width = input_shape[1:]
    times = 1
    if task.decoder == "pieces":
        height, width, times = max(1, height // PIECE_SHARE), max(1, width // PIECE_SHARE), PIECES
    params = flops = 0
    for weights, outputs, (rows, columns) in _convolutions(channels, modules, operations, (height, width)):
        params += weights + 2 * outputs
        flops += times * weights * rows * columns
    inputs = modules[-1].outputs * times
    layers = decoder_layers(task, channels, modules)
    if layers is None:
        return Costs(float(params + (inputs + 1) * task.outputs), float(flops + inputs * task.outputs))
    height, width = _halved((height, width), STEM_HALVINGS + sum(module.halves for module in modules))
    for outputs, doubles in layers:
        params += 9 * inputs * outputs + 3 * outputs  # of the bias and the normalisation
        flops += 9 * inputs * outputs * height * width
        height, width = (2 * height, 2 * width) if doubles else (height, width)
        inputs = outputs
    params += (9 * inputs + 1) * task.outputs
    return Costs(float(params), float(flops + 9 * inputs * task.outputs * height * width))


def _convolutions(
    channels: int, modules: Sequence[EncoderModule], operations: Sequence[str] | None, size: MapSize
) -> Iterator[Convolution]:
    """Yields every convolution of the encoder."""
    half = channels // 2
    yield 27 * half, half, _halved(size)
    size = _halved(size, STEM_HALVINGS)
    yield 9 * half * channels, channels, size
    inputs = channels
    for outputs, halves in modules:
        for stride in (2 if halves else 1, 1):
            size = _halved(size) if stride == 2 else size
            for weights in _weights(operations, inputs, outputs, stride == 1 and inputs == outputs):
                yield weights, outputs, size
            inputs = outputs


def _weights(operations: Sequence[str] | None, inputs: int, outputs: int, alike: bool) -> Iterator[int]:
    """Yields the weights of every convolution of one cell, or of a basic block; `alike`: its input is shaped as its output."""
    if operations is None:
        yield from (9 * inputs * outputs, 9 * outputs * outputs, *([] if alike else [inputs * outputs]))
        return
    for (source, _), name in zip(EDGES, operations, strict=True):
        read = outputs if source else inputs
        if name in KERNELS:
            yield KERNELS[name] ** 2 * read * outputs
        elif name == "skip_connect" and not (source or alike):
            yield inputs * outputs


def _halved(size: MapSize, times: int = 1) -> MapSize:
    height, width = (-(-side // 2**times) for side in size)
    return height, width
