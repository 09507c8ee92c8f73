"""Existing models of torchvision or timm as a search space: a list of names, which a search ranks.

    space: {name: models, from: ["vit_*", "deit_*", "!*_huge_*"], size: 224}

A genotype is one gene, the position of a model in the list. The models are built without weights, which are drawn as for every
other space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from rbflex_evo.spaces.architecture.drawing import Drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError, near_name, shown
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import SearchSpace

from .libraries import EXCEPT, Library, arguments_of, chosen_models, create_model, library_version, model_snippet
from .network import check_forward, classifier_of, network_drawing, without_weights

if TYPE_CHECKING:
    from torch import nn

# Small models of torchvision.
SMALL_MODELS = (
    "resnet18", "regnet_y_400mf", "regnet_x_400mf", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "mobilenet_v2",
    "mobilenet_v3_small", "mobilenet_v3_large", "mnasnet0_5", "efficientnet_b0",
)  # fmt: skip


class ModelsParameters(AnyParameters):
    """Parameters of the space of models.

    Attributes:
        patterns: In configurations ``from``: names and wildcards of models; what begins with ``!`` is left out.
        library: ``torchvision``, ``timm`` (the extra ``models``), or ``auto`` for torchvision if each pattern selects a model
            there, and timm otherwise.
        size: Height and width of the images.
        classes: Outputs of the classifier.
        features: ``none`` if scores read the activations alone, because some of the models end in a batch normalisation before
            they pool, whose features are round-off under the statistics of each image.
    """

    patterns: list[str] = Field(default=list(SMALL_MODELS), alias="from", min_length=1)
    library: Literal["auto", "torchvision", "timm"] = "auto"
    size: int = Field(default=224, ge=8)
    classes: int = Field(default=1000, ge=2)
    features: Literal["per_image", "none"] = "per_image"

    @field_validator("patterns")
    @classmethod
    def _selecting(cls, patterns: list[str]) -> list[str]:
        if all(pattern.startswith(EXCEPT) for pattern in patterns):
            raise ValueError(f"{patterns} only leaves models out; give a name or wildcard of those to rank, as in 'vit_*'")
        return patterns

    @model_serializer(mode="wrap")
    def _as_configured(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Returns the plain values by the names of a configuration."""
        values: dict[str, Any] = plain(self)
        return {"from": values.pop("patterns", values.pop("from", None)), **values}


class ModelsSpace(SearchSpace):
    """Existing models by name; the notation of a genotype is the name of its model.

    Attributes:
        library: The library of the models.
        models: Names of the models.
    """

    name = "models"
    description = "existing models of torchvision or timm, selected by names and wildcards, without their weights"
    Parameters = ModelsParameters
    parameters: ModelsParameters
    any_size = False

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        p = self.parameters
        self.library: Library = "torchvision"
        self.models = list(SMALL_MODELS)
        # The default models need no look-up, which imports the library.
        if p.patterns != self.models or p.library == "timm":
            self.library, self.models = chosen_models(p.patterns, p.library)
        self.input_shape = (3, p.size, p.size)
        self.features = p.features
        self.encoding = VectorEncoding([len(self.models)], ["model"])
        self._fitting: set[str] = set()

    @property
    def identity(self) -> dict[str, object]:
        """Everything except the genotype that a network depends on, which includes the version of the library."""
        return {**super().identity, "library": f"{self.library} {library_version(self.library)}"}

    def build(self, genotype: Genotype) -> nn.Module:
        """Builds the model without trained weights.

        Raises:
            CandidateFailed: If the model cannot be built for images of this size.
        """
        name = self.notation(genotype)
        if name not in self._fitting:
            check_forward(lambda: self._created(name), self.input_shape, f"{name} of {self.library}")
            self._fitting.add(name)
        return self._created(name)

    def _created(self, name: str) -> nn.Module:
        return create_model(self.library, name, self._arguments(name))

    def _arguments(self, name: str) -> dict[str, Any]:
        return arguments_of(self.library, name, self.parameters.size, self.parameters.classes)

    def notation(self, genotype: Genotype) -> str:
        """Returns the name of the model."""
        self.encoding.validate(genotype)
        return self.models[genotype[0]]

    def parse(self, text: str) -> Genotype:
        """Reads the name of a model, with or without the tag of a weight file, as in ``resnet50.a1_in1k``."""
        name = text.strip().partition(".")[0]
        if name not in self.models:
            raise GenotypeError(f"{shown(text)} is not a model of this space{near_name(name, self.models)}")
        return (self.models.index(name),)

    def classifier(self, network: nn.Module) -> nn.Module:
        """Returns the last layer, whose input is the feature vector."""
        return classifier_of(network)

    def snippet(self, genotype: Genotype) -> str:
        """Returns Python code that makes the model with its library alone."""
        name = self.notation(genotype)
        return model_snippet(self.library, name, self._arguments(name))

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the chain of the primary blocks."""
        name = self.notation(genotype)
        network = without_weights(lambda: self._created(name))
        return network_drawing(self.blocks(network), name)
