import pytest
import torch
from torch import nn

from rbflex_evo.spaces import GenotypeError, create_space
from rbflex_evo.spaces.families.toy.space import OPERATIONS, ToySpace

IMAGES = torch.linspace(-1, 1, 4 * 3 * 8 * 8).reshape(4, 3, 8, 8)


def output(space, text):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = space.build(space.parse(text))
        return network(IMAGES).detach()


def test_a_large_form_is_just_a_parameter():
    space = create_space("toy", genes=30)
    assert space.encoding.size >= 10**18
    genotype = space.parse("|".join(["conv1+skip"] * 15))
    assert space.representative(space.key(genotype)) == space.parse("|".join(["skip+conv1"] * 15))


def test_swapped_edges_of_a_stage_are_one_key():
    space = ToySpace()
    first, second = space.parse("conv3+skip|conv1+conv3|skip+skip"), space.parse("skip+conv3|conv3+conv1|skip+skip")
    assert first != second
    assert space.key(first) == space.key(second) == "skip+conv3|conv1+conv3|skip+skip"


def test_there_are_as_many_keys_as_multisets_of_edges():
    # Each of three stages has 10 multisets of 2 out of 4 operations.
    assert len(list(ToySpace().keys())) == 10**3


def test_a_genotype_without_a_path_gives_the_same_output_for_every_image():
    dead = output(ToySpace(), "conv3+conv3|zero+zero|conv3+skip")
    assert torch.equal(dead, dead[:1].expand_as(dead))
    alive = output(ToySpace(), "conv3+conv3|zero+skip|conv3+skip")
    assert not torch.equal(alive, alive[:1].expand_as(alive))


def test_a_network_yields_nan_only_on_request():
    assert "nan" not in ToySpace().operations
    assert torch.isnan(output(create_space("toy", nan=True), "skip+skip|nan+conv3|skip+skip")).all()
    with pytest.raises(GenotypeError, match="unknown operation 'nan'"):
        ToySpace().parse("skip+skip|nan+conv3|skip+skip")


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_keeps_the_shape_of_its_input(name):
    space = create_space("toy", genes=3, choices=len(OPERATIONS))
    assert output(space, f"{name}+skip|{name}").shape == (4, 10)


def test_networks_have_activation_modules_batch_normalisation_and_a_linear_classifier():
    space = ToySpace()
    network = space.build(space.parse("conv3+conv1|skip+zero|conv3+zero"))
    kinds = [type(module) for module in network.modules()]
    assert kinds.count(nn.ReLU) == 4
    assert kinds.count(nn.BatchNorm2d) == 4
    assert space.classifier(network) is network.classifier
    assert isinstance(network.classifier, nn.Linear)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv+skip|skip+skip|skip+skip", "unknown operation 'conv'; did you mean"),
        ("skip+skip|skip+skip", "expected 6 operations, 2 for each stage, as in 'zero\\+zero|zero\\+zero|zero\\+zero'"),
        ("skip|skip+skip+skip|skip+skip", "is not a genotype of toy"),
        ("", "unknown operation ''"),
    ],
)
def test_wrong_notation_is_refused(text, message):
    with pytest.raises(GenotypeError, match=message):
        ToySpace().parse(text)


def test_a_wrong_genotype_is_refused_everywhere():
    space = ToySpace()
    for refuse in (space.build, space.notation, space.key, space.drawing):
        with pytest.raises(GenotypeError, match="a genotype has 6 genes"):
            refuse((0, 1))


def test_the_drawing_greys_what_is_not_on_a_path():
    space = ToySpace()
    live = space.drawing(space.parse("conv3+zero|skip+skip|conv1+conv3"))
    assert [edge[3] for edge in live.edges] == [True, False, True, True, True, True, True]
    dead = space.drawing(space.parse("conv3+zero|zero+zero|conv1+conv3"))
    assert not any(edge[3] for edge in dead.edges)


def test_costs_are_counted_by_hand():
    space = create_space("toy", genes=1, channels=2, classes=5)
    # Stem 3*2*9 + batch norm 2*2, convolution 2*2 + batch norm 2*2, classifier 2*5 + 5; 64 pixels.
    costs = space.costs(space.parse("conv1"))
    assert costs.params == 54 + 4 + 4 + 4 + 15
    assert costs.flops == 54 * 64 + 4 * 64 + 10
