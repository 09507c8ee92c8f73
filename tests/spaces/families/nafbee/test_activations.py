"""NAFBee's activations as genes: names in and out, both forms, and the two that are one function."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rbflex_evo.spaces import GenotypeError, create_space
from rbflex_evo.spaces.families.nafbee.activations import ACTIVATIONS, ActivationGenes

ONE = ActivationGenes("space", 3, per_layer=False)
EACH = ActivationGenes("space", 3, per_layer=True)


@pytest.mark.parametrize(("space", "layers"), [("nafbee_vgg19", 16), ("nafbee_vgg11", 8)])
def test_a_space_has_11_networks_or_11_to_the_power_of_its_layers(space, layers):
    assert create_space(space).encoding.size == 11
    assert create_space(space, per_layer=True).encoding.size == 11**layers


def test_a_gene_for_all_layers_is_one_name():
    assert ONE.notation((4,)) == "ReLU6"
    assert ONE.parse(" ReLU6 ") == (4,)
    assert ONE.names((4,)) == ["ReLU6"] * 3


def test_a_gene_a_layer_is_a_name_a_layer_and_one_name_stands_for_all():
    assert EACH.notation((0, 1, 10)) == "ReLU-GELU-SELU"
    assert EACH.parse("ReLU-GELU-SELU") == (0, 1, 10)
    assert EACH.names((0, 1, 10)) == ["ReLU", "GELU", "SELU"]
    assert EACH.parse("Mish") == (5, 5, 5)


@pytest.mark.parametrize(
    ("genes", "text", "message"),
    [
        (ONE, "LeakyRelu", "unknown activation 'LeakyRelu' in 'LeakyRelu'; did you mean 'LeakyReLU'"),
        (ONE, "", "unknown activation '' in ''; known: CELU, ELU, GELU"),
        (ONE, "ReLU-ReLU-ReLU", r"has 3 activations, but a network of space has one \(with per_layer: true one for each layer\)"),
        (EACH, "ReLU-GELU", "has 2 activations, but a network of space has 3, one for each layer, or one name for all"),
        (EACH, "ReLU-GELU-HardTanh", "unknown activation 'HardTanh' in 'ReLU-GELU-HardTanh'; did you mean 'Hardtanh'"),
    ],
)
def test_malformed_notation_is_refused_in_one_line(genes, text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        genes.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("genotype", [(11,), (-1,), (0, 0)])
def test_a_genotype_out_of_range_is_refused_in_one_line(genotype):
    for read in (ONE.names, ONE.notation, ONE.canonical):
        with pytest.raises(GenotypeError) as caught:
            read(genotype)
        assert "\n" not in str(caught.value)


def test_celu_and_elu_are_one_function_and_no_other_two_are():
    values = torch.linspace(-12, 12, 4001)
    computed = {name: getattr(nn, name)()(values) for name in ACTIVATIONS}
    same = {(a, b) for a in ACTIVATIONS for b in ACTIVATIONS if a < b and torch.equal(computed[a], computed[b])}
    assert same == {("CELU", "ELU")}
    canonical = {name: EACH.notation(EACH.canonical(EACH.parse(name))) for name in ACTIVATIONS}
    assert canonical == {name: "-".join(["ELU" if name == "CELU" else name] * 3) for name in ACTIVATIONS}


def test_every_activation_is_positive_where_its_input_is_and_only_there():
    """So the codes that NASWOT reads are the signs of what goes into the activation, whatever its form."""
    # Beyond 9 below zero the smooth ones round to -0 or to tiny negative numbers, which are not positive either.
    values = torch.linspace(-12, 12, 4000)
    for name in ACTIVATIONS:
        assert torch.equal(getattr(nn, name)()(values) > 0, values > 0), name
