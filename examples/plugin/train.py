"""Writes known.log: the first orders of the space, trained for a minute in all to tell which way a grating is turned.

    python train.py > known.log

That stands for the trainings of your benchmark; a search never needs them.
"""

from __future__ import annotations

import numpy as np
import torch
from rbflex_evo_example.space import LayerOrderParameters, LayerOrders
from torch.nn import functional

from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised

ORDERS, TRAINING, TEST, BATCH, EPOCHS, CLASSES = 24, 1000, 500, 50, 2, 10


def gratings(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images [n, 3, 32, 32] of waves in noise, and which of ten ways each is turned."""
    rng = np.random.Generator(np.random.Philox(seed))
    labels = rng.integers(0, CLASSES, n)
    angles, phases = np.pi * labels / CLASSES, rng.uniform(0, 2 * np.pi, n)
    y, x = np.mgrid[:32, :32]
    place = np.cos(angles)[:, None, None] * x + np.sin(angles)[:, None, None] * y
    waves = np.sin(place + phases[:, None, None])[:, None]
    images = waves + rng.standard_normal((n, 3, 32, 32))
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)


def main() -> None:
    torch.set_num_threads(1)
    space = LayerOrders(LayerOrderParameters(width=8))
    rng = np.random.Generator(np.random.PCG64(0))
    (images, labels), (test, answers) = gratings(TRAINING, 0), gratings(TEST, 1)
    print(f"# orders of {space.name} with width 8, trained by train.py: {EPOCHS} epochs of {TRAINING} noisy gratings")
    known: set[str] = set()
    while len(known) < ORDERS:
        genotype = space.encoding.sample(rng)
        if space.key(genotype) in known:
            continue
        known.add(space.key(genotype))
        network = build_initialised(space, genotype, WeightParameters())
        optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        for _ in range(EPOCHS):
            for part in torch.from_numpy(rng.permutation(TRAINING)).split(BATCH):
                optimiser.zero_grad()
                functional.cross_entropy(network(images[part]), labels[part]).backward()
                optimiser.step()
        with torch.no_grad():
            correct = int((network.eval()(test).argmax(1) == answers).sum())
        print(f"{correct}/{TEST} {space.notation(genotype)}", flush=True)


if __name__ == "__main__":
    main()
