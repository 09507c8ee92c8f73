"""A family of networks: the arguments of a constructor of timm, torchvision or any other module as choices.

    space: {name: family, of: timm.vision_transformer, size: 224, choices: {embed_dim: [192, 384], depth: [8, 12]}}

The space is that of choices with the constructor as the function that builds. `of` names it:

    timm.vision_transformer                      the class of the module timm.models.vision_transformer: VisionTransformer
    timm.vit_tiny_patch16_224                    a function of timm.models
    torchvision.vision_transformer               the class of the module torchvision.models.vision_transformer
    timm.swin_transformer.SwinTransformer        a class of a module
    my_package.net:Net                           anything else

Combinations that the constructor refuses, such as a width that the number of heads does not divide, fail with its reason; a rule in
`forbidden` leaves them out beforehand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.errors import ConfigError, near_name, shown
from rbflex_evo.spaces.families.choices import functions
from rbflex_evo.spaces.families.choices.parameters import ChoicesParameters
from rbflex_evo.spaces.families.choices.space import ChoicesSpace
from rbflex_evo.spaces.parameters import parse

from .libraries import check_installed, library_version
from .network import check_forward, classifier_of

if TYPE_CHECKING:
    from torch import nn

# Arguments by which constructors take the size of the images, and whether it is one number or a pair.
SIZES = {"img_size": False, "image_size": False, "input_size": True}
CLASSES = "num_classes"
# Arguments that load weights.
WEIGHTS = ("pretrained", "weights")

EXAMPLE: dict[str, Any] = {
    "of": "torchvision.vision_transformer",
    "size": 32,
    "classes": 10,
    "choices": {"num_layers": [1, 2, 3], "hidden_dim": [16, 24, 32], "num_heads": [2, 4], "mlp_dim": [32, 64]},
    "arguments": {"patch_size": 8},
}


class FamilyParameters(ChoicesParameters):
    """Parameters of the space ``family``; without `of` and `choices`, they are those of `EXAMPLE`.

    Attributes:
        of: The constructor: a name in ``timm.models`` or ``torchvision.models``, or ``module:function``.
        choices: Values of each argument that is a choice, by name.
        size: Height and width of the images, which the constructor is given if it takes them.
        classes: Outputs of the classifier, which the constructor is given if it takes them.
        features: ``none`` if scores read the activations alone, for networks that end in a batch normalisation before they pool.
        arguments: Other arguments of the constructor, by name, the same for every network.
        build: Follows from `of`.
        input_shape: Follows from `size`.
    """

    of: str
    size: int = Field(default=224, ge=8)
    classes: int = Field(default=1000, ge=2)
    features: Literal["per_image", "none"] = "per_image"
    build: str = Field(default="", exclude=True)
    input_shape: list[int] = Field(default_factory=list, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _of_the_constructor(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = dict(values) if {"of", "choices"} & set(values) else {**EXAMPLE, **values}
        for name, follows in (("build", "of"), ("input_shape", "size")):
            if name in values:
                raise ValueError(f"{name} follows from {follows}; leave it out")
        if isinstance(values.get("of"), str):
            values["build"] = path_of_family(values["of"])
        size = values.get("size", 224)
        return {**values, "input_shape": [3, size, size]} if type(size) is int else values

    @model_validator(mode="after")
    def _without_weights(self) -> FamilyParameters:
        for name in WEIGHTS:
            if self.arguments.get(name) or name in self.choices:
                raise ValueError(
                    f"{name} is no choice of an architecture: weights are never loaded, but drawn by the run; leave it out"
                )
        return self


def path_of_family(of: str) -> str:
    """Returns the constructor that `of` means, as ``module:function``.

    Raises:
        ConfigError: If there is none; the message has the near names.
    """
    if ":" in of:
        return of
    library, _, name = of.partition(".")
    if library not in ("timm", "torchvision") or not name:
        raise ConfigError(
            f"of is {shown(of)}; expected a name of timm or torchvision, as in 'timm.vision_transformer', or 'module:function'"
        )
    check_installed("timm" if library == "timm" else "torchvision", f"of {of!r}")
    found: Any = import_module(f"{library}.models")
    for part in name.removeprefix("models.").split("."):
        if not hasattr(found, part):
            known = [each for each in vars(found) if not each.startswith("_")]
            raise ConfigError(f"of is {of!r}, but {found.__name__} has no {part!r}{near_name(part, known)}")
        found = getattr(found, part)
    if isinstance(found, ModuleType):
        found = _class_of(found)
    return f"{found.__module__}:{found.__qualname__}"


def _class_of(module: ModuleType) -> type:
    """Returns the class of networks that a module is named after.

    Raises:
        ConfigError: If there is none.
    """
    from torch import nn

    own = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    networks = {each.__name__: each for each in own if issubclass(each, nn.Module)}
    name = module.__name__.rpartition(".")[2]
    named = [each for kind, each in networks.items() if kind.lower() == name.replace("_", "")]
    if not named:
        raise ConfigError(f"module {module.__name__} has no class of its name; name one of its classes{near_name(name, networks)}")
    return named[0]


def arguments_taken(builder: Callable[..., Any]) -> tuple[dict[str, bool], bool]:
    """Returns the arguments that a constructor takes by name, each with whether it has a default, and whether it takes any other.

    A function that hands arguments on takes those of the class that it returns, too.
    """
    known, any_other = functions.arguments_of(builder)
    if any_other and not isinstance(builder, type):
        made = inspect.signature(builder, eval_str=True).return_annotation
        if isinstance(made, type):
            inner, any_other = functions.arguments_of(made)
            known = {**dict.fromkeys(inner, True), **known}
    return known, any_other


class FamilySpace(ChoicesSpace):
    """Networks of one constructor, one for each combination of its arguments."""

    name = "family"
    description = "networks of one constructor of timm, torchvision or your own, by choices of its arguments"
    Parameters = FamilyParameters  # type: ignore[assignment]  # It has an argument more than that of the class above.
    parameters: FamilyParameters

    def __init__(self, parameters: ChoicesParameters | None = None, given: Mapping[str, Callable[..., Any]] | None = None) -> None:
        super().__init__(parameters or parse(FamilyParameters, {}, "space"), given)
        self.features = self.parameters.features
        self._fitting: set[str] = set()
        self._fixed: dict[str, Any] = {}
        # Both are checked before a search begins.
        _ = self.builder, self.encoding

    @property
    def identity(self) -> dict[str, object]:
        """Everything except the genotype that a network depends on, which includes the version of the library."""
        library = self.parameters.of.partition(".")[0]
        of_library = {"library": f"{library} {library_version(library)}"} if library in ("timm", "torchvision") else {}  # type: ignore[arg-type]
        return {**super().identity, **of_library}

    @cached_property
    def builder(self) -> Callable[..., Any]:
        """The constructor.

        Raises:
            ConfigError: If it cannot be imported, does not take a choice or an argument, or needs another argument.
        """
        found = self._function(self.parameters.build, "space.of")
        known, any_other = arguments_taken(found)
        given = [*self.values, *self.parameters.arguments]
        for name in given:
            if name not in known and not any_other:
                raise ConfigError(f"'space.of' {self.parameters.of!r} takes no argument {name!r}{near_name(name, known)}")
        self._fixed = {name: value for name, value in self._sizes().items() if name in known and name not in given}
        lacking = [name for name, default in known.items() if not default and name not in given and name not in self._fixed]
        if lacking:
            raise ConfigError(
                f"'space.of' {self.parameters.of!r} needs the argument {lacking[0]!r}; make it a choice, or give it a value in "
                "'arguments'"
            )
        return found

    def _sizes(self) -> dict[str, Any]:
        size = self.parameters.size
        return {name: (size, size) if pair else size for name, pair in SIZES.items()} | {CLASSES: self.parameters.classes}

    def call(self, genotype: Genotype) -> dict[str, Any]:
        """Returns the arguments with which the constructor is called, those of the images and classes included."""
        _ = self.builder
        return {**self._fixed, **super().call(genotype)}

    def build(self, genotype: Genotype) -> nn.Module:
        """Builds the raw network of a genotype.

        Raises:
            CandidateFailed: If the constructor refuses the combination, or the network does not take the images.
        """
        notation = self.notation(genotype)
        if notation not in self._fitting:
            check_forward(lambda: ChoicesSpace.build(self, genotype), self.input_shape, f"{self.parameters.of} with {notation}")
            self._fitting.add(notation)
        return super().build(genotype)

    def classifier(self, network: nn.Module) -> nn.Module:
        """Returns the layer that `classifier` names, or the last layer."""
        return classifier_of(network) if self.parameters.classifier is None else super().classifier(network)
