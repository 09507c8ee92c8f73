"""The libraries of models: their names, the arguments of their constructors, and the code that makes one model.

    torchvision    torchvision.models.get_model("resnet18", weights=None, num_classes=1000)
    timm           timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=1000, img_size=64)

No weights are ever loaded. A model that is made for one size of images gets the size if its constructor takes one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from rbflex_evo.spaces.errors import ConfigError, near_name, shown

if TYPE_CHECKING:
    from torch import nn

Library = Literal["torchvision", "timm"]

# What begins a pattern of names that are left out.
EXCEPT = "!"


def check_installed(library: Library, why: str) -> None:
    """Checks that a library is installed.

    Raises:
        ConfigError: If it is not; the message has `why` and the command that installs it.
    """
    if find_spec(library) is None:
        raise ConfigError(f'{why} needs the package {library!r}: pip install "rbflex-evo[models]"')


def library_version(library: Library) -> str:
    """Returns the version of a library without its build, as in ``"0.20.1"``."""
    return metadata.version(library).partition("+")[0]


def model_names(library: Library) -> list[str]:
    """Returns the names of all image classifiers of a library, sorted."""
    if library == "timm":
        import timm

        return sorted(timm.list_models())
    import torchvision

    return sorted(torchvision.models.list_models(module=torchvision.models))


def chosen_models(patterns: Sequence[str], library: Literal["auto"] | Library) -> tuple[Library, list[str]]:
    """Returns the library that a list of patterns means, and the names of its models that they select.

    Args:
        patterns: Names and wildcards, as in ``["vit_*", "!vit_huge*"]``; what begins with ``!`` is left out.
        library: The library, or ``auto`` for torchvision if each pattern selects a model there, and timm otherwise.

    Returns:
        The library and the names, in the order of the patterns.

    Raises:
        ConfigError: If a pattern selects nothing, nothing is left, or timm is needed and not installed.
    """
    if library == "auto":
        known = model_names("torchvision")
        unknown = [one for one in patterns if not _selected(one, known)]
        if not unknown:
            return "torchvision", _chosen(patterns, known, "torchvision")
        why = f"no model of torchvision is called {shown(unknown[0])}{near_name(unknown[0].removeprefix(EXCEPT), known)}; timm"
        check_installed("timm", f"{why}, which may have it,")
        library = "timm"
    check_installed(library, "library 'timm'")
    return library, _chosen(patterns, model_names(library), library)


def _selected(pattern: str, known: Sequence[str]) -> list[str]:
    wanted = pattern.removeprefix(EXCEPT)
    return [name for name in known if fnmatchcase(name, wanted)]


def _chosen(patterns: Sequence[str], known: Sequence[str], library: Library) -> list[str]:
    found: dict[str, None] = {}
    left_out: set[str] = set()
    for pattern in patterns:
        selected = _selected(pattern, known)
        if not selected:
            raise ConfigError(f"no model of {library} is called {shown(pattern)}{near_name(pattern.removeprefix(EXCEPT), known)}")
        if pattern.startswith(EXCEPT):
            left_out.update(selected)
        else:
            found.update(dict.fromkeys(selected))
    names = [name for name in found if name not in left_out]
    if not names:
        raise ConfigError(f"'from' selects no model of {library}: {list(patterns)}")
    return names


def arguments_of(library: Library, name: str, size: int, classes: int) -> dict[str, Any]:
    """Returns the arguments, besides the name, with which a model is made.

    Auxiliary classifiers (GoogLeNet, Inception) are left out, because they take part in training alone.

    Args:
        library: The library.
        name: Name of the model.
        size: Height and width of the images.
        classes: Outputs of the classifier.
    """
    if library == "timm":
        return {"pretrained": False, "num_classes": classes, **_size_in_timm(name, size)}
    import torchvision

    arguments: dict[str, Any] = {"weights": None, "num_classes": classes}
    taken = _constructor_of(torchvision.models.get_model_builder(name))
    sizes = {"image_size": size, "input_size": (size, size)}
    arguments |= {key: value for key, value in sizes.items() if key in taken}
    if "aux_logits" in taken:
        arguments |= {"aux_logits": False, "init_weights": False}
    return arguments


def _size_in_timm(name: str, size: int) -> dict[str, int]:
    from timm.models import get_pretrained_cfg

    # By timm's rule, a model whose configuration has a fixed size takes `img_size`.
    known = get_pretrained_cfg(name)
    if known is None or not known.fixed_input_size or tuple(known.input_size[1:]) == (size, size):
        return {}
    return {"img_size": size}


def _constructor_of(builder: Any) -> Mapping[str, inspect.Parameter]:
    """Returns the parameters of the class that a builder of torchvision returns."""
    made = inspect.signature(builder, eval_str=True).return_annotation
    return inspect.signature(made.__init__).parameters


def create_model(library: Library, name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Returns a model without trained weights, made with `arguments_of` it."""
    if library == "timm":
        import timm

        created: nn.Module = timm.create_model(name, **arguments)
        return created
    import torchvision

    made: nn.Module = torchvision.models.get_model(name, **arguments)
    return made


def model_snippet(library: Library, name: str, arguments: Mapping[str, Any]) -> str:
    """Returns Python code that makes the model with the library alone."""
    module, function = ("timm", "timm.create_model") if library == "timm" else ("torchvision", "torchvision.models.get_model")
    given = ", ".join([repr(name), *(f"{key}={value!r}" for key, value in arguments.items())])
    return f"import {module}\n\nnetwork = {function}({given})\n"
