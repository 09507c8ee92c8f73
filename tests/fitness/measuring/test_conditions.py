"""Conditions reach another process unchanged, and their identity holds what statistics depend on."""

from __future__ import annotations

import pickle

import torch

from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.spaces import create_space


def conditions(**settings):
    batch = create_batch("noise", shape=[3, 8, 8], n=4)
    labelled = Batch(batch.images, torch.tensor([0, 1, 0, 1]), "labelled noise")
    return Conditions.of(create_space("toy"), settings.pop("batch", labelled), device="cpu", **settings)


def test_pickled_conditions_are_the_same():
    given = conditions()
    received = pickle.loads(pickle.dumps(given))
    assert torch.equal(received.batch.images, given.batch.images)
    assert torch.equal(received.batch.labels, given.batch.labels)
    assert received.identity(create_proxy("naswot")) == given.identity(create_proxy("naswot"))


def test_names_of_device_and_backend_are_resolved():
    assert conditions().device == torch.device("cpu")
    assert conditions().backend in ("eager", "compiled")
    assert conditions(backend="eager").backend == "eager"


def test_labels_are_part_of_the_identity_of_scores_that_use_them():
    given = conditions()
    without = conditions(batch=Batch(given.batch.images))
    for name, differs in (("snip", True), ("naswot", False)):
        assert (given.identity(create_proxy(name)) != without.identity(create_proxy(name))) == differs
