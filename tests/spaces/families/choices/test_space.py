"""A space of a user's function: notation, arguments, drawing, costs, weights by name, and one line for what is wrong."""

from __future__ import annotations

import functools
import pickle
import sys

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import ConfigError, GenotypeError, create_space
from rbflex_evo.spaces.conformance.check_space import check_space
from rbflex_evo.spaces.families.choices.example import EXAMPLE
from rbflex_evo.spaces.families.choices.space import Choices, ChoicesSpace

SHAPE = (3, 8, 8)


def build(depth, width, act="relu", tail=None, **others):
    layers, channels = [], 3
    for _ in range(depth):
        layers += [nn.Conv2d(channels, width, 3, padding=1), {"relu": nn.ReLU, "gelu": nn.GELU}[act]()]
        channels = width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    network.called = {"tail": tail, **others}
    return network


def small(**more):
    return Choices(build, depth=[1, 2, 3], width=[4, 8], act=["relu", "gelu"], input_shape=SHAPE, **more)


def test_a_space_of_a_function_keeps_the_contract():
    check_space(small(), samples=4)
    check_space(small(conditions={"act": lambda depth: depth > 1}, forbidden=lambda width, depth: width * depth > 16), samples=4)


def test_notation_goes_out_and_in():
    space = small()
    assert space.notation((1, 1, 0)) == "depth=2,width=8,act=relu" == space.key((1, 1, 0))
    for text in (
        "depth=2,width=8,act=relu",
        " width=8 , act=relu,depth=2",
        "act='relu',depth=2,width=8",
        'act="relu",depth=2,width=8.0',
    ):
        assert space.parse(text) == (1, 1, 0)
    assert all(space.parse(space.notation(genotype)) == genotype for genotype in space.encoding.enumerate())


def test_values_of_every_kind_are_written_and_read():
    values = [1, 1.5, True, None, "a b", "x,y=z", "3", "true", "null", [1, [2, 3]], "it's", 'a"b', "x.y-z"]
    space = Choices(lambda value: build(1, 4), value=values, input_shape=SHAPE)
    texts = [space.notation((i,)) for i in range(len(values))]
    assert texts[:4] == ["value=1", "value=1.5", "value=true", "value=null"]
    assert [space.parse(text) for text in texts] == [(i,) for i in range(len(values))]
    assert space.parse("value=True") == (2,) and space.parse("value=(1, [2, 3])") == (9,) and space.parse("value=None") == (3,)
    assert space.chosen((9,)) == {"value": (1, (2, 3))}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("depth=4,width=8,act=relu", "depth is '4', but it must be one of 1, 2, 3"),
        ("depth=1,width=8,act=rely", "act is 'rely', but it must be one of relu, gelu; did you mean 'relu'"),
        ("depth=1,width=8", "lacks act, one of relu, gelu"),
        ("depth=1,widht=8,act=relu", "unknown choice 'widht'; did you mean 'width'"),
        ("depth", "expected name=value,name=value"),
        ("", "expected name=value,name=value"),
        ("depth=1,depth=1", "has 'depth' twice"),
    ],
)
def test_what_is_no_notation_is_said(text, reason):
    with pytest.raises(GenotypeError, match=reason):
        small().parse(text)


def test_an_inactive_choice_does_not_count_twice_and_is_none_without_a_default():
    space = Choices(
        build,
        depth=[1, 2],
        width=[4],
        tail=[3, 5],
        last=[3, 5],
        conditions={"tail": "depth == 2", "last": "depth == 2"},
        input_shape=SHAPE,
    )
    assert space.notation(next(space.encoding.enumerate())) == "depth=1,width=4"
    assert space.encoding.size == 5
    # `tail` has a default, and `last` is among **others.
    assert space.build((0, 0, -1, -1)).called == {"tail": None}
    assert space.build((1, 0, 1, 0)).called == {"tail": 5, "last": 3}
    with pytest.raises(GenotypeError, match="has tail, which is active only where depth == 2; leave it out"):
        space.parse("depth=1,width=4,tail=3")

    def needs(depth, tail):
        return build(depth, 4, tail=tail)

    bare = Choices(needs, depth=[1, 2], tail=[3], conditions={"tail": "depth == 2"}, input_shape=SHAPE)
    assert bare.build((0, -1)).called == {"tail": None}


def test_numbers_in_order_are_ordered_unless_told_otherwise():
    made = Choices(build, depth=[1, 2, 3], width=[8, 4], act=["relu", "gelu"], input_shape=SHAPE)
    assert [gene.ordered for gene in made.encoding.genes] == [True, True, False]
    mixed = Choices(build, depth=[1, 3, 2], width=[4, 8], act=["relu", "gelu"], input_shape=SHAPE)
    assert [gene.ordered for gene in mixed.encoding.genes] == [False, True, False]
    assert [gene.ordered for gene in small(ordered=["act"]).encoding.genes] == [False, False, True]


@pytest.mark.parametrize(
    "forbidden",
    [
        "depth == 3 and act == 'gelu'",
        "act in ['gelu', 'silu'] and not depth < 3",
        lambda depth, act: depth == 3 and act == "gelu",
        lambda **choices: choices["depth"] == 3 and choices["act"] == "gelu",
        ["depth % 2 == 1 and depth * 2 - 1 > 4 and act != 'relu'"],
    ],
)
def test_combinations_are_forbidden_by_an_expression_or_a_function(forbidden):
    space = small(forbidden=forbidden)
    assert space.encoding.size == 10
    assert not any(space.chosen(g)["depth"] == 3 and space.chosen(g)["act"] == "gelu" for g in space.encoding.enumerate())


def test_two_functions_of_one_name_are_two_rules():
    space = small(forbidden=[lambda depth: depth == 3, lambda width: width == 8])
    assert space.encoding.size == 4


def test_names_that_are_settings_are_given_in_a_mapping():
    space = Choices(build, {"inputs": [1, 2], "name": ["a"]}, depth=[1], width=[4], input_shape=SHAPE)
    assert space.build((1, 0, 0, 0)).called == {"tail": None, "inputs": 2, "name": "a"}


def test_other_values_of_python_become_plain():
    space = Choices(build, depth=range(1, 3), width=np.array([4, 8]), act=("relu",), input_shape=torch.Size(SHAPE))
    assert space.parameters.choices == {"depth": [1, 2], "width": [4, 8], "act": ["relu"]}


def test_networks_of_other_shapes_have_weights_by_name():
    space = small()
    first, again, wider = (build_initialised(space, g, WeightParameters(seed=3)) for g in ((1, 0, 0), (1, 0, 0), (1, 1, 0)))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert first[2].weight.shape == (4, 4, 3, 3) and wider[2].weight.shape == (8, 8, 3, 3)
    # The draws of one name are the same until shapes differ.
    assert torch.equal(first[0].weight, wider[0].weight[:4])


def test_costs_are_counted_without_memory():
    def wide(width):
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, width), nn.Linear(width, 10))

    space = Choices(wide, width=[2**24], input_shape=SHAPE)
    assert space.costs((0,)).params == 2**24 * (192 + 1 + 10) + 10
    assert space.costs((0,)).flops == 2**24 * (192 + 10)


def test_words_are_inputs_too():
    def reader(width, vocabulary):
        return nn.Sequential(nn.Embedding(vocabulary, width), nn.ReLU(), nn.Flatten(), nn.Linear(5 * width, 2))

    space = Choices(reader, width=[4, 8], arguments={"vocabulary": 20}, inputs="words", vocabulary=20, input_shape=(5,))
    check_space(space, samples=2)
    with pytest.raises(ConfigError, match=r"input_shape of words should be \[length\]"):
        Choices(reader, width=[4], arguments={"vocabulary": 20}, inputs="words", vocabulary=20, input_shape=SHAPE)


def test_a_drawing_shows_the_active_choices():
    assert small().drawing((1, 1, 0)).nodes == ("input", "depth: 2", "width: 8", "act: relu", "output")


def test_the_classifier_may_be_named():
    assert isinstance(small(classifier="0").classifier(build(1, 4)), nn.Conv2d)
    with pytest.raises(ConfigError, match="the network has no layer 'head'"):
        small(classifier="head").classifier(build(1, 4))
    with pytest.raises(ConfigError, match="no linear layer; name the layer of its outputs"):
        small().classifier(nn.Sequential(nn.ReLU()))


def test_a_configuration_and_a_call_describe_one_space():
    called = Choices(build, depth=[1, 2], width=(4, 8), forbidden="depth == 2 and width == 8", input_shape=SHAPE)
    named = create_space(
        "choices",
        build=f"{__name__}:build",
        choices={"depth": [1, 2], "width": [4, 8]},
        forbidden=["depth == 2 and width == 8"],
        input_shape=[3, 8, 8],
    )
    assert called.identity == named.identity
    assert list(called.encoding.enumerate()) == list(named.encoding.enumerate())
    assert named.builder is build
    # The order of choices is the order of genes, so it identifies the space, too.
    values = named.parameters.model_dump(mode="json")
    assert create_space("choices", **values).identity == named.identity
    assert create_space("choices", **{**values, "choices": values["choices"][::-1]}).identity != named.identity


def test_without_a_function_the_space_is_the_example():
    space = create_space("choices")
    assert space.parameters.choices == EXAMPLE["choices"] and space.foreign_code == ()
    with pytest.raises(ConfigError, match=r"'space\.choices\.build' is missing"):
        create_space("choices", choices={"depth": [1]})


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"build": "os:nothing"}, "'space.build' is 'os:nothing', but there is no 'nothing' in 'os'"),
        ({"build": "no_such_module_at_all:build"}, "there is no module 'no_such_module_at_all'; start where it is, or install it"),
        ({"build": "os:sep"}, "which is no function or class"),
        ({"build": "os.path.join"}, "should be 'module:function'"),
        (
            {"build": "__main__:build"},
            "a function of a notebook, a script or another function, which is never stored; hand it in again",
        ),
        ({"build": f"{__name__}:needs.<locals>.build"}, "which is never stored; hand it in again"),
        ({"choices": {"depth": []}}, "'depth' has no values"),
        ({"choices": {"depth": [1, 1]}}, "'depth' has the value 1 twice"),
        ({"choices": {"depth": [nn.ReLU]}}, "expected a number, a text, a truth value, None, or a list of these"),
        ({"choices": {"depth": [float("nan")]}}, "a value of 'depth' is nan; expected a finite number"),
        ({"choices": {"depth": [1, [2, float("-inf")]]}}, "a value of 'depth' is -inf; expected a finite number"),
        ({"choices": {"depth": [{1, 2}]}}, "a value of 'depth' is {1, 2}; expected a number, a text"),
        ({"choices": {"depth": {1, 2}}}, "the values of 'depth' are {1, 2}; expected a list, whose order is kept"),
        ({"choices": {"de pth": [1]}}, "'de pth' is no name of an argument"),
        (
            {"choices": {"width": [1], "depht": [1]}, "build": f"{__name__}:needs"},
            "takes no argument 'depht'; did you mean 'depth'",
        ),
        ({"choices": {"width": [1]}}, "needs the argument 'depth'; make it a choice, or give it a value in 'arguments'"),
        ({"conditions": {"widht": "depth > 1"}}, "conditions names 'widht', which is no choice; did you mean 'width'"),
        ({"conditions": {"width": "dept > 1"}}, "reads 'dept', which is no choice; did you mean 'depth'"),
        ({"conditions": {"width": "width > 1"}}, "reads 'width', which is no choice"),
        ({"conditions": {"width": "depth >"}}, "is neither an expression such as 'depth >= 3' nor 'module:function'"),
        ({"conditions": {"width": "depth.real > 1"}}, "holds more than choices, numbers, texts, comparisons and arithmetic"),
        ({"conditions": {"width": "True"}}, "reads no choice"),
        ({"forbidden": ["depth > 'a'"]}, "the rule depth > 'a' failed for depth="),
        ({"forbidden": ["depth > 0"]}, "'depth > 0' always holds, whatever the values of depth; it forbids every combination"),
        ({"forbidden": ["depth > 1", "depth < 2"]}, "no combination of the choices was found that is not forbidden"),
        ({"forbidden": ["depth > 9"]}, "'space.forbidden.0': 'depth > 9' never holds, .*; it forbids nothing; leave it out"),
        ({"conditions": {"width": "depth > 9"}}, "'space.conditions.width': 'depth > 9' never holds, .*never active; relax"),
        ({"conditions": {"width": "depth < 9"}}, "'depth < 9' always holds, .*; leave the condition out"),
        (
            {"choices": {"depth": [1, 2], "width": [4, 8], "act": ["relu", "gelu"]}, "conditions": {"depth": "act == 'rulu'"}},
            "compares 'act' with 'rulu', which is no value of it; did you mean 'relu'",
        ),
        ({"forbidden": ["3 != depth"]}, "compares 'depth' with 3, which is no value of it; known: 1, 2"),
        ({"forbidden": ["depth in [3, 4]"]}, "compares 'depth' with 3, which is no value of it; known: 1, 2"),
        ({"ordered": ["act"]}, "ordered names 'act', which is no choice"),
        ({"arguments": {"depth": 1}}, "'depth' is among the choices and the arguments"),
        ({"input_shape": [3, 8]}, r"input_shape of images should be \[channels, height, width\]"),
        ({"vocabulary": 8}, "inputs are images, so vocabulary should be left out"),
    ],
)
def test_what_is_wrong_is_one_line(values, reason):
    given = {"build": f"{__name__}:build", "choices": {"depth": [1, 2], "width": [4, 8]}, "input_shape": [3, 8, 8], **values}
    with pytest.raises(ConfigError, match=reason) as caught:
        _ = (space := create_space("choices", **given)).encoding, space.builder
    assert len(str(caught.value).splitlines()) == 1


def test_sets_and_rules_of_functions_are_checked_in_python_too():
    for values in ({1, 2}, [{1, 2}, 3], frozenset([1])):
        with pytest.raises(ConfigError, match=r"'depth' (are|is) .*; expected a "):
            Choices(build, depth=values, width=[4], input_shape=SHAPE)
    with pytest.raises(ConfigError, match="never holds, whatever the values of depth"):
        small(conditions={"act": lambda depth: depth > 3})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"conditions": ["depth > 3"]}, r"'conditions': should be a mapping by name, such as .*, but it is \['depth > 3'\]"),
        ({"arguments": ["classes"]}, "'arguments': should be a mapping by name"),
        ({"ordered": "depth"}, r"'ordered': should be a list of names of choices, but it is 'depth'; write ordered=\['depth'\]"),
        ({"forbidden": 3}, "'forbidden': should be an expression or a function, or a list of these, but it is 3"),
    ],
)
def test_settings_of_another_form_are_one_line(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        small(**settings)


def test_one_network_is_tried_before_a_search():
    small().check_network()
    with pytest.raises(
        ConfigError, match=r"depth=.* fails for an input of 'space.input_shape' \[4, 8, 8\] \(RuntimeError: .*correct"
    ):
        Choices(build, depth=[1], width=[4], input_shape=(4, 8, 8)).check_network()
    with pytest.raises(ConfigError, match=r"'space.classifier': the network has no layer 'head'; known: 0, 1, 2, 3, 4$"):
        Choices(build, depth=[1], width=[4], classifier="head", input_shape=SHAPE).check_network()


def test_a_network_that_cannot_be_on_the_meta_device_is_tried_on_the_cpu():
    def reads(depth):
        network = build(depth, 4)
        network[0].bias.detach().sum().item()
        return network

    before = torch.random.get_rng_state()
    Choices(reads, depth=[1, 2], input_shape=SHAPE).check_network()
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_space_is_shown_on_one_line():
    assert repr(small()) == f"<ChoicesSpace {__name__}:build: depth (3), width (2), act (2), inputs [3, 8, 8]>"


def test_a_condition_may_hold_wherever_a_conditional_choice_is_active():
    space = small(tail=[1, 2], last=[1, 2], conditions={"tail": "depth == 3", "last": "tail > 0"})
    assert space.encoding.size == 2 * 2 * (2 + 4)


def needs(width, depth=1):
    return build(depth, width)


def test_a_builder_that_returns_no_network_is_refused():
    with pytest.raises(ConfigError, match=r"returned None; expected a torch.nn.Module"):
        Choices(lambda depth: None, depth=[1], input_shape=SHAPE).build((0,))


def test_functions_that_no_import_gives_are_named_as_such():
    paths = [
        Choices(each, depth=[1], width=[4], input_shape=SHAPE).parameters.build
        for each in (build, functools.partial(build, act="gelu"), lambda depth, width: build(depth, width))
    ]
    assert paths[:2] == [f"{__name__}:build", f"{__name__}:build.<given>"]
    assert paths[2].endswith(".<locals>.<lambda>")


def test_a_space_is_sent_with_its_functions():
    space = small(forbidden=lambda depth: depth == 3)
    again = pickle.loads(cloudpickle.dumps(space))
    assert isinstance(again, ChoicesSpace) and again.encoding.size == 8
    assert again.build((0, 0, 0))[0].weight.shape == (4, 3, 3, 3)


def test_a_snippet_builds_the_network_without_this_package():
    space, values = small(), {}
    exec(space.snippet((1, 1, 1)), values)
    assert values["network"][2].weight.shape == (8, 8, 3, 3)
    given = Choices(lambda depth: build(depth, 4), depth=[1], input_shape=SHAPE).snippet((0,))
    assert given.splitlines()[0].endswith("which is not stored here: define it first")
    assert given.splitlines()[1] == "network = build(depth=1)"


def test_a_module_in_the_current_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "net_of_this_folder.py").write_text("from torch import nn\n\ndef build(width):\n    return nn.Linear(3, width)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(filter(None, sys.path)))
    space = create_space("choices", build="net_of_this_folder:build", choices={"width": [4]}, input_shape=[3, 8, 8])
    assert space.build((0,)).out_features == 4
    monkeypatch.delitem(sys.modules, "net_of_this_folder")
