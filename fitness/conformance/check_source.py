"""Conformance tests for authors of data sources; `rbflex_evo.engine.conformance` has the whole kit.

from rbflex_evo.engine.conformance import check_source
check_source(MySource, n=4)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from rbflex_evo.fitness.data.batch import Batch, Source, sources
from rbflex_evo.spaces import ConfigError, DataError, Parameters, parse
from rbflex_evo.spaces.conformance.checking import CheckFailed, called, pure, require

MISSING = "no/such/file"


def check_source(source: str | type[Source], **values: Any) -> None:
    """Checks that a data source fulfils the contract of `Source`.

    Args:
        source: Class or registered name of the source.
        **values: Parameters of the source.

    Raises:
        CheckFailed: At the first violation.
        UnknownNameError: If no source has the name.
        ConfigError: If a parameter is unknown or of a wrong type.
    """
    kind: type[Source] = sources.get(source) if isinstance(source, str) else source
    name = getattr(kind, "__name__", repr(kind))
    require(
        isinstance(kind, type) and issubclass(kind, Source),
        f"{name} is no Source; derive it from rbflex_evo.fitness.data.batch.Source",
    )
    require(isinstance(getattr(kind, "name", None), str), f"{name} has no name; set the class attribute 'name'")
    require(issubclass(kind.Parameters, Parameters), f"{name}.Parameters must derive from rbflex_evo.spaces.Parameters")

    def batch(changes: Mapping[str, Any]) -> Batch:
        parameters = parse(kind.Parameters, {**values, **changes}, "data")
        with called(f"{name}.batch()", "raise DataError where images are missing, unreadable or too few", DataError):
            made = kind(parameters).batch()
        require(isinstance(made, Batch), f"{name}.batch() gave {type(made).__name__}; return a rbflex_evo.fitness.data.batch.Batch")
        return made

    found = pure(lambda: batch({}), f"{name}.batch()", _same, "a numpy generator of the source's own seed")
    _check_batch(found, name)
    fields = kind.Parameters.model_fields
    if "n" in fields:
        fewer = max(1, len(found.images) - 1)
        given = len(batch({"n": fewer}).images)
        require(given == fewer, f"{name} gives {given} images for n = {fewer}; give as many as are asked for, or raise DataError")
    if "seed" in fields:
        seeds = [batch({"seed": seed}) for seed in (1, 2)]
        require(not _same(*seeds), f"{name} gives the same images for two seeds; draw by its seed, or leave out the parameter")
    for field in ("path", "root"):
        if field in fields:
            try:
                batch({field: MISSING})
            except (DataError, ConfigError) as error:
                require("\n" not in str(error), f"{name} says in several lines that {MISSING!r} is not there; say it in one")
                continue
            raise CheckFailed(f"{name} takes {field} = {MISSING!r}, which is not there; raise DataError")


def _check_batch(batch: Batch, name: str) -> None:
    images, labels = batch.images, batch.labels
    require(
        isinstance(images, torch.Tensor) and images.dim() > 1 and len(images) > 0 and images.device.type == "cpu",
        f"{name} gave images of {type(images).__name__} {list(getattr(images, 'shape', []))}; give a tensor [N, ...] on the CPU",
    )
    require(
        images.dtype in (torch.float32, torch.int64),
        f"{name} gave images of {images.dtype}; give float32, normalised, or int64 word ids",
    )
    require(bool(images.isfinite().all()), f"{name} gave NaN or infinity; raise DataError for images that hold them")
    require(
        labels is None or (labels.dtype == torch.int64 and list(labels.shape) == [len(images)] and int(labels.min()) >= 0),
        f"{name} gave labels that are not int64 [{len(images)}], counted from 0; give those, or None",
    )
    require(
        isinstance(batch.description, str) and batch.description.strip() and "\n" not in batch.description,
        f"{name} describes its batch as {batch.description!r}; say in one line what the images are, for the report",
    )


def _same(first: Batch, second: Batch) -> bool:
    return first.fingerprint == second.fingerprint and first.labels_fingerprint == second.labels_fingerprint
