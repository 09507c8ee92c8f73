"""Parameters and multiply-accumulates of a TransNAS-Bench-101 network, counted from its shapes without building it.

The counts equal half of those of torch's flop counter for the built network: transposed convolutions are counted by the pixels of
their input, biases and normalisations are not counted. Tests compare them with the built network.
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
    """Returns the costs of the network that `TransNetwork` or `SiameseNetwork` builds from the same arguments, on one image.

    Args:
        task: The task, which determines the decoder.
        channels: Channels of the stem.
        modules: Modules of the encoder, in order.
        operations: Operations of the cells, or None for basic blocks.
        input_shape: Shape [3, height, width] of one image.

    Raises:
        ConfigError: If the network cannot process images of that shape.
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
        params += 9 * inputs * outputs + 3 * outputs  # bias and normalisation included
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


def _weights(operations: Sequence[str] | None, inputs: int, outputs: int, same_shape: bool) -> Iterator[int]:
    """Yields the number of weights of each convolution of a cell or basic block.

    Args:
        operations: Operations of the cell, or None for a basic block.
        inputs: Input channels.
        outputs: Output channels.
        same_shape: Whether input and output have the same shape.
    """
    if operations is None:
        yield from (9 * inputs * outputs, 9 * outputs * outputs, *([] if same_shape else [inputs * outputs]))
        return
    for (source, _), name in zip(EDGES, operations, strict=True):
        read = outputs if source else inputs
        if name in KERNELS:
            yield KERNELS[name] ** 2 * read * outputs
        elif name == "skip_connect" and not (source or same_shape):
            yield inputs * outputs
