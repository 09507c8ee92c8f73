"""What TransNAS-Bench-101's networks are as data: its seven tasks on Taskonomy's images, and the modules of an encoder.

`features`: the classifier's input is pooled from maps that every image's own statistics have centred, with no activation between,
so its numbers are round-off; a pixel decoder's last layer reads activated maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

# Of the stem, and how often it halves the map.
CHANNELS = 64
STEM_HALVINGS = 2
# Of an image, in the jigsaw task: the middle of each of 3 x 3 cells, with sides that are a quarter of the image's.
PIECES, PIECE_SHARE = 9, 4
# Of the decoder of pictures: each layer's channels, and of how many halvings or more it undoes one.
PICTURE_LAYERS = (
    (1024, None), (1024, None), (512, 6), (512, None), (256, 5), (128, None), (64, 4), (64, None), (32, 3), (32, None),
    (16, 2), (32, None), (16, 1),
)  # fmt: skip

Name = Literal["class_object", "class_scene", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder"]


class EncoderModule(NamedTuple):
    """Two cells: their output channels, and whether the first one halves the map."""

    outputs: int
    halves: bool


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        outputs: classes, numbers, or channels of the output map.
        decoder: which decoder it has (`networks/transnas_decoders.py`); ``pieces`` is a siamese encoder on an image's pieces.
        loss: what a gradient score minimises. The benchmark trains `normal` and `autoencoder` by an absolute error and a
            discriminator, for which there are no data here.
        metric: what its accuracies are in the benchmark's files, where higher is better.
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
    """Returns channels of a pixel decoder's layers, and whether each doubles the map; None for tasks that pool.

    As many layers double the map as the encoder halves it, 2 to 6 times, its stem included.

    Args:
        channels: of the encoder's stem.
    """
    if task.decoder in ("pooled", "pieces"):
        return None
    halvings = STEM_HALVINGS + sum(module.halves for module in modules)
    if task.decoder == "picture":
        layers = [(width, least is not None and halvings >= least) for width, least in PICTURE_LAYERS]
    else:  # halved from layer to layer, but for the last two, which are as wide as each other
        widths = [1024 >> i for i in range(6)]
        layers = [(width, i > 6 - halvings) for i, width in enumerate([*widths, widths[-1]])]
    return [(max(1, width * channels // CHANNELS), doubles) for width, doubles in layers]
