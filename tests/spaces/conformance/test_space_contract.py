import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.spaces import SPACES, Cell, Costs, Drawing, GenotypeError, Panel, VectorEncoding, create_space
from rbflex_evo.spaces.conformance.check_fingerprint import ConformanceWarning, check_identified, check_networks
from rbflex_evo.spaces.conformance.check_space import CheckFailed, check_encoding, check_space
from rbflex_evo.spaces.encodings.encoding import Encoding
from rbflex_evo.spaces.families.toy.space import ToyParameters, ToySpace
from tests.support.autoformers import SMALL_AUTOFORMERS
from tests.support.families import SMALL_FAMILIES

# Of spaces whose networks are too large to be built a dozen times.
SMALL = {
    "nafbee_bert": {"layers": 2, "hidden": 12, "heads": 3, "length": 8, "vocabulary": 50},
    **SMALL_AUTOFORMERS,
    **SMALL_FAMILIES,
}


@pytest.mark.parametrize("name", SPACES.names())
@pytest.mark.filterwarnings("error::rbflex_evo.spaces.conformance.check_fingerprint.ConformanceWarning")
def test_every_registered_space_keeps_the_contract(name):
    check_space(create_space(name, **SMALL.get(name, {})), samples=3)


@pytest.mark.parametrize("values", [{"nan": True}, {"genes": 30}, {"genes": 5, "choices": 8}, {"genes": 1}])
def test_every_form_of_the_toy_space_keeps_the_contract(values):
    check_space(create_space("toy", **values), samples=4)


@pytest.mark.parametrize("name", SPACES.names())
def test_a_representative_has_the_key_that_it_represents(name):
    space = create_space(name, **SMALL.get(name, {}))
    rng = np.random.default_rng(3)
    for _ in range(100):
        key = space.key(space.encoding.sample(rng))
        assert space.key(space.representative(key)) == key


class TwoKeys(ToySpace):
    """Orders of edges in a stage are different keys, though they are the same network."""

    def key(self, genotype):
        return self.notation(genotype)

    def build(self, genotype):
        return super().build(tuple(sorted(genotype)))


class WithLock(ToySpace):
    def __init__(self, parameters=None):
        super().__init__(parameters)
        self.lock = Unpicklable()


class Unpicklable:
    def __reduce_ex__(self, protocol):
        return (reads_a_file, ())


def reads_a_file():
    return open("somewhere")


def test_two_keys_of_one_network_are_reported():
    with pytest.warns(ConformanceWarning, match=r"the keys '.*' and '.*' of TwoKeys stand for one network, which is measured"):
        check_networks(TwoKeys(ToyParameters(genes=2)), "TwoKeys", [(0, 1), (1, 0)], 0)


def test_a_space_whose_code_cannot_be_identified_is_reported():
    with pytest.warns(ConformanceWarning, match=r"measured with WithLock is not kept.*reads_a_file\(\) may read a file"):
        check_identified(WithLock(), "WithLock")


class Subset(Encoding):
    """A non-vector encoding as a plug-in would write it: two of five things, sorted."""

    size = 10

    def validate(self, genotype):
        if len(genotype) != 2 or not 0 <= genotype[0] < genotype[1] < 5:
            raise GenotypeError(f"expected two of 0..4 in order, but it is {genotype}")

    def sample(self, rng):
        return tuple(sorted(int(i) for i in rng.choice(5, 2, replace=False)))

    def mutate(self, genotype, rng, probability=None):
        near = list(self.neighbours(genotype))
        return near[int(rng.integers(len(near)))]

    def crossover(self, first, second, rng):
        return second, first

    def neighbours(self, genotype):
        for other in self.enumerate():
            if len(set(other) & set(genotype)) == 1:
                yield other

    def distance(self, first, second):
        return float(2 - len(set(first) & set(second)))

    def enumerate(self):
        return ((a, b) for a in range(5) for b in range(a + 1, 5))


def test_an_encoding_that_is_no_vector_keeps_the_contract():
    check_encoding(Subset())


def test_the_checks_leave_every_global_generator_as_it_was():
    before = random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state()
    check_space(ToySpace(), samples=3)
    after = random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def vector(**methods):
    return type("Broken", (VectorEncoding,), methods)([3, 3, 3])


def plain(**methods):
    return type("Broken", (Subset,), methods)()


def others():
    """Returns a method that gives another genotype at each call, as one that draws from a generator of its own mostly does."""
    calls = itertools.cycle(itertools.product(range(3), repeat=3))
    return lambda *_: next(calls)


def first_gene_up(self, genotype):
    if genotype[0] < 2:
        yield (genotype[0] + 1, *genotype[1:])


BROKEN_ENCODINGS = {
    "sample gives a list": (vector(sample=lambda self, rng: [0, 1, 2]), "tuple of Python integers"),
    "sample gives numpy integers": (vector(sample=lambda self, rng: tuple(rng.integers(0, 3, 3))), "Python integers"),
    "sample is out of range": (vector(sample=lambda self, rng: (0, 0, 3)), r"sample\(\) gave a genotype that validate"),
    "sample reads the global generator": (
        vector(sample=lambda self, rng: tuple(word % 3 for word in random.getstate()[1][5:8])),
        r"gave .* and then .*; draw from the generator that is passed in only",
    ),
    "sample draws from numpy's global generator": (
        vector(sample=lambda self, rng: (int(np.random.randint(3)), 0, 0)),
        r"sample\(\) changed global random state",
    ),
    "validate accepts all": (vector(validate=lambda self, genotype: None), r"validate\(\) accepts"),
    "validate of no vector accepts all": (plain(validate=lambda self, genotype: None), r"validate\(\) accepts"),
    "validate raises another error": (
        plain(validate=lambda self, genotype: {i: i for i in range(5)}[genotype[0]]),
        r"validate\(.*raised KeyError.*raise GenotypeError",
    ),
    "size is no number": (plain(size=10.0), r"size is 10.0; give the number"),
    "sample is constant": (plain(sample=lambda self, rng: (0, 1)), "20 times in a row; draw from the whole space"),
    "sample draws from torch's global generator": (
        vector(sample=lambda self, rng: (int(torch.randint(3, ())), 0, 0)),
        r"sample\(\) changed global random state \(torch\)",
    ),
    "sample seeds itself": (
        vector(sample=others()),
        "draw from the generator that is passed in only",
    ),
    "sample raises": (vector(sample=lambda self, rng: {}["x"]), r"sample\(\) raised KeyError"),
    "repair gives what is invalid": (
        vector(repair=lambda self, genotype: tuple(genotype)),
        "repair.*validate.. refuses",
    ),
    "repair changes a valid genotype": (vector(repair=lambda self, genotype: (0, 0, 0)), "already its own nearest"),
    "mutate changes nothing": (vector(mutate=lambda self, genotype, rng, p=None: genotype), "changed nothing"),
    "mutate changes two genes": (
        vector(mutate=lambda self, g, rng, p=None: ((g[0] + 1) % 3, (g[1] + 1) % 3, g[2])),
        "changed 2 genes; None changes exactly one",
    ),
    "mutate ignores its generator": (
        plain(mutate=lambda self, g, rng, p=None: next(self.neighbours(g))),
        "from each of 20 generators; draw what changes",
    ),
    "mutate raises": (vector(mutate=lambda self, g, rng, p=None: g[7]), r"varying \(.*raised IndexError"),
    "mutate leaves the space": (vector(mutate=lambda self, genotype, rng, p=None: (9, 9, 9)), "return valid ones"),
    "crossover gives one child": (vector(crossover=lambda self, a, b, rng: a), "return two children"),
    "crossover invents a gene": (
        vector(crossover=lambda self, a, b, rng: (((a[0] + 1) % 3 if a[0] == b[0] else a[0], *a[1:]), b)),
        "a gene of neither parent",
    ),
    "crossover leaves the space": (plain(crossover=lambda self, a, b, rng: ((4, 0), b)), "validate.. refuses"),
    "neighbours repeat": (vector(neighbours=lambda self, g: iter([(*g[:2], (g[2] + 1) % 3)] * 2)), "twice"),
    "neighbours hold the genotype": (vector(neighbours=lambda self, g: iter([g])), "the genotype itself"),
    "neighbours are none": (vector(neighbours=lambda self, g: iter(())), "yields nothing; a local search could never leave it"),
    "neighbours are drawn": (
        vector(other=others(), neighbours=lambda self, g: iter([self.other()])),
        "yields other genotypes the second time",
    ),
    "neighbours lead one way": (vector(neighbours=first_gene_up), "a step must lead back"),
    "distance is no number": (vector(distance=lambda self, a, b: float("nan")), "is nan; return a finite number"),
    "distance to itself is not 0": (vector(distance=lambda self, a, b: 1.0), "0 away from itself"),
    "distance of others is 0": (vector(distance=lambda self, a, b: 0.0), "different genotypes is positive"),
    "distance is lopsided": (
        vector(distance=lambda self, a, b: float(a != b) * (2.0 if a > b else 1.0)),
        "make it symmetric",
    ),
    "enumerate changes its order": (
        vector(other=others(), enumerate=lambda self: iter([self.other() for _ in range(28)][1:])),
        "yields another order the second time",
    ),
    "enumerate is short": (vector(enumerate=lambda self: iter([(0, 0, 0)])), "yields 1 genotypes, but size is 27"),
    "enumerate repeats": (vector(enumerate=lambda self: iter([(0, 0, 0)] * 27)), "yields a genotype twice"),
    "enumerate leaves out what is sampled": (
        plain(enumerate=lambda self: ((0, i) for i in range(1, 11)), neighbours=Subset.neighbours),
        "leaves out",
    ),
}


@pytest.mark.parametrize("what", BROKEN_ENCODINGS)
def test_a_broken_encoding_is_found(what):
    encoding, message = BROKEN_ENCODINGS[what]
    if what == "enumerate leaves out what is sampled":
        # Its other operators enumerate too, so they get a list of their own.
        type(encoding).neighbours = lambda self, g: (o for o in Subset().enumerate() if len(set(o) & set(g)) == 1)
    with pytest.raises(CheckFailed, match=message) as caught:
        check_encoding(encoding)
    assert "\n" not in str(caught.value)


def random_build(self, genotype):
    random.random()
    return ToySpace.build(self, genotype)


def one_image(self, genotype):
    return nn.Sequential(nn.Flatten(0), nn.Linear(2 * 3 * 8 * 8, 4))


def twice(self, genotype):
    layer = nn.Linear(8, 8)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(192, 8), layer)


def width_of_gene(self, genotype):
    width = 1 + genotype[0]
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.Flatten(), nn.Linear(64 * width, 2))


class NoModule:
    def eval(self):
        return self


def counted():
    calls = iter(range(10**6))
    return lambda *_: next(calls)


def raises(error):
    def method(self, *_):
        raise error

    return method


class Reversed(ToySpace):
    def notation(self, genotype):
        return super().notation(genotype[::-1])


class Mixing(nn.Sequential):
    def forward(self, x):
        return super().forward(x - x.mean(0, keepdim=True))


def with_dropout(self, genotype):
    return nn.Sequential(nn.Flatten(), AlwaysDropping(), nn.Linear(192, 4))


class AlwaysDropping(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5)


def other_every_time(self, genotype):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2 + self.count()))


BROKEN_SPACES = {
    "version is no number": ({"version": "1"}, "version is '1'; count it up"),
    "identity leaves out the name": ({"identity": {"version": 1}}, r"lacks its name.*return \{\*\*super\(\).identity"),
    "notation raises": ({"notation": lambda self, g: {}["x"]}, r"describing \(.*raised KeyError"),
    "representative is of another key": (
        {"representative": lambda self, key: tuple((g + 1) % 4 for g in ToySpace.representative(self, key))},
        "a representative represents itself",
    ),
    "representative forgets the architecture": (
        {"representative": lambda self, key: (0,) * 4},
        "a representative represents itself, and a network has one key",
    ),
    "forward changes its inputs": (
        {"build": lambda self, g: nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(192, 4))},
        "changes its inputs in place",
    ),
    "build raises": ({"build": lambda self, g: {}["x"]}, r"build\(.*raised KeyError"),
    "build remembers": ({"count": counted(), "build": other_every_time}, "build from the genotype alone"),
    "forward takes other inputs": (
        {"build": lambda self, g: nn.Sequential(nn.Flatten(), nn.Linear(7, 2))},
        r"the forward of .* raised RuntimeError.*it takes inputs \[N, \*Broken.input_shape\], here \[2, 3, 8, 8\]",
    ),
    "forward draws": ({"build": with_dropout}, "in evaluation mode a network draws nothing"),
    "forward mixes the inputs": (
        {"build": lambda self, g: Mixing(nn.Flatten(), nn.Linear(192, 4))},
        "let no layer but batch normalisation mix inputs",
    ),
    "costs raise": ({"costs": lambda self, g: {}["x"]}, r"costs\(.*raised KeyError.*override it"),
    "identity is no data": ({"identity": {"encoding": {1, 2}}}, "identity is not plain data"),
    "input shape is a list": ({"input_shape": [3, 8, 8]}, "input_shape is .*positive integers"),
    "notation is no string": ({"notation": lambda self, g: g}, r"notation\(.*return a string"),
    "parse reads another genotype": ({"parse": lambda self, text: (0,) * 4}, r"read what notation\(\) writes"),
    "parse refuses what notation writes": (
        {"parse": lambda self, text: ToySpace.parse(self, f"{text}+")},
        r"parse\(.*raised GenotypeError.*it is the notation of .*, so read what notation\(\) writes",
    ),
    "parse accepts nonsense": (
        {"parse": lambda self, text: ToySpace.parse(self, text.strip("?"))},
        "raise GenotypeError for what is no notation",
    ),
    "parse raises another error": (
        {"parse": lambda self, t: ToySpace.parse(self, t) if t[0] != "?" else {}["x"]},
        "raised KeyError; raise GenotypeError",
    ),
    "key is no string": ({"key": lambda self, g: g}, r"key\(.*return a string"),
    "key changes": (
        {"count": counted(), "key": lambda self, g: f"{ToySpace.key(self, g)}{' ' * self.count()}"},
        "must depend on the genotype only",
    ),
    "representative refuses keys": (
        {"representative": raises(GenotypeError("no such key"))},
        "accept every key",
    ),
    "representative is invalid": ({"representative": lambda self, key: (99,) * 4}, "return valid ones only"),
    "representative changes": (
        {"count": counted(), "representative": lambda self, key: (self.count() % 2,) * 4},
        "a key has one representative",
    ),
    "keys repeat": ({"keys": lambda self: iter(["a", "a"])}, "yields a key twice"),
    "keys are left out": ({"keys": lambda self: iter(["a"])}, "leaves out"),
    "drawing is no drawing": ({"drawing": lambda self, g: {}}, "return a Drawing"),
    "drawing has one node": ({"drawing": lambda self, g: Drawing(("input",), ())}, "has 1 nodes"),
    "drawing has an edge to nowhere": (
        {"drawing": lambda self, g: Drawing(("input", "output"), ((0, 2, "", True),))},
        "has the edge",
    ),
    "panels leave out a node": (
        {"drawing": lambda self, g: Drawing(("a", "b", "c"), (), "", (Panel("one", 2),))},
        "panels of .2. nodes; they share out all 3",
    ),
    "an edge leads to another panel": (
        {"drawing": lambda self, g: Drawing(("a", "b", "c", "d"), ((1, 2, "", True),), "", (Panel("one", 2), Panel("two", 2)))},
        "edge 1>2 between two panels",
    ),
    "build gives no module": ({"build": lambda self, g: NoModule()}, "return a torch.nn.Module"),
    "build draws from the global generator": ({"build": random_build}, "changed global random state"),
    "no linear layer": ({"build": lambda self, g: nn.Flatten()}, "finds no layer"),
    "classifier is of another network": ({"classifier": lambda self, n: nn.Linear(1, 1)}, "no module of the network"),
    "forward mixes the images": ({"build": one_image}, r"return one tensor \[2, \.\.\.\]"),
    "classifier runs twice": (
        {"build": twice, "classifier": lambda self, network: network[0]},
        "calls its classifier 2 times",
    ),
    "costs are zero": ({"costs": lambda self, g: Costs(0.0, 1.0)}, "are positive"),
    "a cell has more skip connections than possible": (
        {"cells": lambda self, g: (Cell(4.0, 1, 4, 8, 4),)},
        "no more skip connections than are possible",
    ),
    "a thin space reads genotypes otherwise": ({"thin": lambda self: Reversed(ToyParameters(genes=4))}, "in its widths only"),
    "a weight has two shapes": ({"build": width_of_gene}, r"name its largest in weight_shapes\(\)"),
    "a weight is larger than the largest": (
        {"weight_shapes": lambda self: {"classifier.weight": (2, 2)}},
        r"does not fit into \(2, 2\)",
    ),
}


@pytest.mark.parametrize("what", BROKEN_SPACES)
def test_a_broken_space_is_found(what):
    methods, message = BROKEN_SPACES[what]
    space = type("Broken", (ToySpace,), methods)(ToyParameters(genes=4))
    with pytest.raises(CheckFailed, match=message) as caught:
        check_space(space, samples=6)
    assert "\n" not in str(caught.value)


def test_a_space_that_no_other_process_can_be_given_is_found():
    space = ToySpace(ToyParameters(genes=4))
    space.opened = (number for number in range(3))
    with pytest.raises(CheckFailed, match=r"sending ToySpace to a worker process raised .*keep no open file, lock or generator"):
        check_space(space, samples=2)


@pytest.mark.parametrize(("check", "thing"), [(check_space, ToySpace), (check_encoding, (4, 4))])
def test_what_is_no_plug_in_at_all_is_told_so(check, thing):
    with pytest.raises(CheckFailed, match="derive it from"):
        check(thing)


def test_a_check_failure_is_an_assertion_error():
    assert issubclass(CheckFailed, AssertionError)
