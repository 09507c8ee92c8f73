"""What statistics depend on apart from the network and the score: space, inputs, weights, device, precision and backend."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.data.inputs import check_inputs, fitted
from rbflex_evo.fitness.passes.device import PRECISIONS, find_device
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.fitness.planned.backends import create_backend
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import ConfigError, DataError, SearchSpace
from rbflex_evo.spaces.errors import shown
from rbflex_evo.spaces.fingerprint import is_ours

from .fingerprint import proxy_code, space_code

# Raised when measuring itself changes in a way that no version of a space or a proxy shows.
VERSION = 4
# The same for networks that are not of this package.
VERSION_OF_OTHERS = 2


@dataclass(frozen=True, eq=False)
class Conditions:
    """The fixed conditions of a measurement; `of` validates them.

    Attributes:
        space: Search space of the networks.
        batch: The N inputs, with their labels if there are any.
        weights: How untrained weights are drawn.
        device: Device of the forward passes.
        precision: Precision of the forward passes, a key of `PRECISIONS`.
        backend: Name of the backend that computes planned forwards.
    """

    space: SearchSpace
    batch: Batch
    weights: WeightParameters
    device: torch.device
    precision: str
    backend: str

    @classmethod
    def of(
        cls,
        space: SearchSpace,
        batch: Batch,
        *,
        weights: WeightParameters | None = None,
        device: str = "auto",
        precision: str = "float32",
        backend: str = "auto",
        elsewhere: bool = False,
    ) -> Conditions:
        """Checks settings and resolves the names of device and backend.

        Args:
            space: Search space of the networks.
            batch: The N inputs, at least two.
            weights: How untrained weights are drawn; None for the defaults.
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
            precision: ``float32``, ``float64``, or ``bfloat16`` for the convolutions only. Sums are always float64.
            backend: ``eager``, ``compiled``, or ``auto`` for the best one that is available on this machine.
            elsewhere: Whether a device that is named belongs to other machines, and need not be available on this one.

        Raises:
            ConfigError: If precision or backend is unknown or unavailable, or the batch holds another kind of input.
            DataError: If the inputs are fewer than two or of another shape than the space takes.
            DeviceError: If the device is not available.
        """
        if precision not in PRECISIONS:
            raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, but it is {shown(precision)}")
        if len(batch.images) < 2:
            raise DataError(f"a score compares at least 2 inputs, but the batch has {len(batch.images)}")
        batch = fitted(space, batch)
        check_inputs(space, batch)
        found = torch.device(device) if elsewhere and device != "auto" else find_device(device)
        if found.type == "mps" and precision == "float64":
            raise ConfigError("an Apple device has no float64; set precision: float32 or device: cpu")
        name = create_backend(backend, found, *PRECISIONS[precision]).name
        return cls(space, batch, weights or WeightParameters(), found, precision, name)

    @cached_property
    def space_code(self) -> dict[str, object]:
        """What identifies the code of the space; empty for a space of this package."""
        return space_code(self.space)

    def identity(self, proxy: Proxy) -> dict[str, Any]:
        """Returns everything that the statistics of a proxy depend on except the network, as plain data.

        Raises:
            Unsure: If the code of a space or a score that is not of this package cannot be identified.
        """
        code = self.space_code | proxy_code(proxy)
        # Nothing guarantees that a score of another package declares that it reads labels.
        labelled = proxy.uses_labels or not is_ours(type(proxy))
        labels = {"labels": self.batch.labels_fingerprint, "loss": self.space.loss} if labelled else {}
        return {
            "version": VERSION,
            "proxy": proxy.identity,
            "inputs": self.batch.fingerprint,
            **labels,
            "weights": self.weights.model_dump(mode="json"),
            "precision": self.precision,
            "backend": self.backend,
            "device": self.device.type,
            "machine": platform.machine(),
            "torch": torch.__version__,
            "space": self.space.identity,
            **({"code": code, "of others": VERSION_OF_OTHERS} if code else {}),
        }
