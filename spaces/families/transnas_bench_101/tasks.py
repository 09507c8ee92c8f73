"""The seven tasks of TransNAS-Bench-101 on Taskonomy images, and the modules of an encoder, as data.

For tasks with pooled decoders, the input of the classifier is pooled from maps that were normalised by the statistics of each image
without a later activation, so it is only round-off. The last layer of a pixel decoder reads activated maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

# Channels of the stem, and the number of times that it halves the map.
CHANNELS = 64
STEM_HALVINGS = 2
# Number of pieces in the jigsaw task, the centres of 3 x 3 cells, and ratio of the sides of the image to those of a piece.
PIECES, PIECE_SHARE = 9, 4
# Channels of each layer of the picture decoder, and the number of halvings from which it doubles the map.
PICTURE_LAYERS = (
    (1024, None), (1024, None), (512, 6), (512, None), (256, 5), (128, None), (64, 4), (64, None), (32, 3), (32, None),
    (16, 2), (32, None), (16, 1),
)  # fmt: skip

Name = Literal["class_object", "class_scene", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder"]


class EncoderModule(NamedTuple):
    """Two cells of an encoder.

    Attributes:
        outputs: Output channels of both cells.
        halves: Whether the first cell halves the map.
    """

    outputs: int
    halves: bool


@dataclass(frozen=True)
class Task:
    """Output, decoder, loss and metric of one task.

    Attributes:
        outputs: Number of classes or numbers, or channels of the output map.
        decoder: Kind of the decoder; ``pieces`` has a siamese encoder on the pieces of an image.
        loss: Loss for gradient scores. The benchmark trains `normal` and `autoencoder` with an absolute error and a
            discriminator instead, which need data that are not available here.
        metric: Name of its accuracy in the files of the benchmark; higher is better.
    """

    outputs: int
    decoder: Literal["pooled", "pieces", "segmentation", "picture"]
    loss: Literal["cross_entropy", "mean_squared_error"]
    metric: str

    @property
    def features(self) -> Literal["per_image", "none"]:
        """What a score may read from the input of the classifier; see `SearchSpace.features`."""
        return "none" if self.decoder in ("pooled", "pieces") else "per_image"


TASKS: dict[str, Task] = {
    "class_object": Task(75, "pooled", "cross_entropy", "top1"),
    "class_scene": Task(47, "pooled", "cross_entropy", "top1"),
    "room_layout": Task(9, "pooled", "mean_squared_error", "neg_loss"),
    "jigsaw": Task(1000, "pieces", "cross_entropy", "top1"),
    "segmentsemantic": Task(17, "segmentation", "cross_entropy", "mIoU"),
    "normal": Task(3, "picture", "mean_squared_error", "ssim"),
    "autoencoder": Task(3, "picture", "mean_squared_error", "ssim"),
}


def decoder_layers(task: Task, channels: int, modules: Sequence[EncoderModule]) -> list[tuple[int, bool]] | None:
    """Returns the channels of each layer of a pixel decoder and whether it doubles the map, or None for tasks that pool.

    The number of layers that double the map equals the number of halvings in the encoder, 2 to 6, stem included.

    Args:
        task: The task.
        channels: Channels of the stem of the encoder.
        modules: Modules of the encoder, in order.
    """
    if task.decoder in ("pooled", "pieces"):
        return None
    halvings = STEM_HALVINGS + sum(module.halves for module in modules)
    if task.decoder == "picture":
        layers = [(width, least is not None and halvings >= least) for width, least in PICTURE_LAYERS]
    else:  # halved from layer to layer, except for the last two, which have equal widths
        widths = [1024 >> i for i in range(6)]
        layers = [(width, i > 6 - halvings) for i, width in enumerate([*widths, widths[-1]])]
    return [(max(1, width * channels // CHANNELS), doubles) for width, doubles in layers]
