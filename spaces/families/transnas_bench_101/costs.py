"""Parameters and multiply-accumulates of a TransNAS-Bench-101 network by arithmetic on its shapes, without building it.

Costs are those of the built network, module by module, as torch's flop counter has them halved: a transposed convolution costs what
its input's pixels do, and biases and normalisations cost nothing. Tests hold them against the built network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rbflex_evo.spaces.families.counting import CountedConvolution, MapSize, count, halved, image_size, with_classifier
from rbflex_evo.spaces.families.nats_bench.cell import EDGES, KERNELS
from rbflex_evo.spaces.space import Costs

from .tasks import PIECE_SHARE, PIECES, STEM_HALVINGS, EncoderModule, Task, decoder_layers


def transnas_costs(
    task: Task, channels: int, modules: Sequence[EncoderModule], operations: Sequence[str] | None, input_shape: Sequence[int]
) -> Costs:
    """Returns the costs of the network that `TransNetwork` or `SiameseNetwork` builds of the same arguments.

    Args:
        input_shape: [3, height, width] of one image.

    Raises:
        ConfigError: if the network takes no such images.
    """
    height, width = image_size(input_shape)
    times = 1
    if task.decoder == "pieces":
        height, width, times = max(1, height // PIECE_SHARE), max(1, width // PIECE_SHARE), PIECES
    params, flops = count(_convolutions(channels, modules, operations, (height, width)))
    flops *= times
    inputs = modules[-1].outputs * times
    layers = decoder_layers(task, channels, modules)
    if layers is None:
        return with_classifier(params, flops, inputs, task.outputs)
    height, width = halved((height, width), STEM_HALVINGS + sum(module.halves for module in modules))
    for outputs, doubles in layers:
        params += 9 * inputs * outputs + 3 * outputs  # of the bias and the normalisation
        flops += 9 * inputs * outputs * height * width
        height, width = (2 * height, 2 * width) if doubles else (height, width)
        inputs = outputs
    params += (9 * inputs + 1) * task.outputs
    return Costs(float(params), float(flops + 9 * inputs * task.outputs * height * width))


def _convolutions(
    channels: int, modules: Sequence[EncoderModule], operations: Sequence[str] | None, size: MapSize
) -> Iterator[CountedConvolution]:
    """Yields every convolution of the encoder."""
    half = channels // 2
    yield CountedConvolution(27 * half, half, halved(size))
    size = halved(size, STEM_HALVINGS)
    yield CountedConvolution(9 * half * channels, channels, size)
    inputs = channels
    for outputs, halves in modules:
        for stride in (2 if halves else 1, 1):
            size = halved(size) if stride == 2 else size
            for weights in _weights(operations, inputs, outputs, stride == 1 and inputs == outputs):
                yield CountedConvolution(weights, outputs, size)
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
