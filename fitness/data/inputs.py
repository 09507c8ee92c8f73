"""Inputs of a network: images, which are floats, or words, which are integers in any precision of the forward."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rbflex_evo.spaces import ConfigError, DataError, SearchSpace

if TYPE_CHECKING:
    import torch

    from .batch import Batch


def default_data(space: SearchSpace) -> dict[str, Any]:
    """Returns a ``data`` section that needs no files: noise for a space of images, random words for a space of words."""
    if space.inputs == "words":
        return {"source": "words", "length": space.input_shape[0], "vocabulary": space.vocabulary}
    return {"source": "noise", "shape": list(space.input_shape)}


def placed(inputs: torch.Tensor, device: torch.device | str, dtype: torch.dtype) -> torch.Tensor:
    """Returns `inputs` on `device`: images in `dtype`, word ids unchanged."""
    return inputs.to(device, dtype if inputs.is_floating_point() else None)


def fitted(space: SearchSpace, batch: Batch) -> Batch:
    """Returns the batch that networks of `space` read: grey images are repeated to three channels where they take three."""
    if not batch.grey or len(space.input_shape) != 3 or space.input_shape[0] != 3:
        return batch
    text = f"{batch.description}, grey repeated to 3 channels"
    return replace(batch, images=batch.images.expand(-1, 3, -1, -1).contiguous(), description=text, grey=False)


def check_inputs(space: SearchSpace, batch: Batch) -> None:
    """Checks that networks of `space` can read `batch`.

    Raises:
        ConfigError: If one has words and the other images, or a word is not in the vocabulary of the space.
        DataError: If the inputs have another shape.
    """
    shape = list(batch.images.shape[1:])
    if batch.kind != space.inputs:
        raise ConfigError(
            f"{space.name} takes {space.inputs}, but the batch holds {batch.kind} ({batch.description}); "
            f"set data to {_written(default_data(space))} or another source of {space.inputs}"
        )
    whole = batch.kind == "words" or not space.any_size
    fits = shape == list(space.input_shape) if whole else shape[:1] == list(space.input_shape[:1])
    if len(shape) != len(space.input_shape) or not fits:
        raise DataError(f"{space.name} takes inputs like {list(space.input_shape)}, but the batch holds {shape}")
    if batch.kind == "words" and not 0 <= int(batch.images.min()) <= int(batch.images.max()) < space.vocabulary:
        raise ConfigError(
            f"the batch holds word ids {int(batch.images.min())} to {int(batch.images.max())}, but {space.name} knows "
            f"0 to {space.vocabulary - 1}; give both the same vocabulary"
        )


def refuse_words(score: str, why: str, space: SearchSpace) -> None:
    """Refuses a space of words for a score that cannot read them.

    Args:
        score: Name of the score.
        why: Operation of the score that words do not allow, as in "adds noise to the inputs".
        space: The search space.

    Raises:
        ConfigError: If the inputs of `space` are words.
    """
    if space.inputs == "words":
        raise ConfigError(f"{score} {why}, but the inputs of {space.name} are words; leave {score} out")


def _written(values: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}"
