"""A vector encoding that presents itself as an encoding of unknown size."""

from rbflex_evo.spaces import Encoding


class OpenEncoding(Encoding):
    """A vector encoding of unknown size that cannot be enumerated, like that of a very large space."""

    def __init__(self, inner):
        self.inner = inner

    def validate(self, genotype):
        self.inner.validate(genotype)

    def sample(self, rng):
        return self.inner.sample(rng)

    def mutate(self, genotype, rng, probability=None):
        return self.inner.mutate(genotype, rng, probability)

    def crossover(self, first, second, rng):
        return self.inner.crossover(first, second, rng)

    def neighbours(self, genotype):
        return self.inner.neighbours(genotype)

    def distance(self, first, second):
        return self.inner.distance(first, second)
