"""The configuration of the cheaper form of a search; see `fidelity_section`."""

from __future__ import annotations

from .config import Config
from .fidelity_section import cheaper


def cheap_form(config: Config) -> Config:
    """Returns the configuration whose evaluator scores in the cheaper form; without ``fidelity``, the configuration itself."""
    if config.fidelity is None:
        return config
    space, data = cheaper(config.space, config.data, config.fidelity)
    return config.model_copy(update={"space": space, "data": data, "fidelity": None})
