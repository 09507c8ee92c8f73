"""Which values of a layer's output belong to which image, decided by evidence instead of by shape alone.

The network also runs on a few images, of which the first two are equal and the last is the first of the N images. Call by call, its
outputs are compared with those of the N images:

    [N, ...]      and [few, ...]      read         every image has an entry
    [N * P, ...]  and [few * P, ...]  regrouped    an image has P rows; their order is the one in which the equal images have equal
                                                   values and the different one has others
    [T, N, ...]   and [T, few, ...]   transposed   the images are another dimension, as in sequence-first networks
    [R, ...]      and [R, ...]        fixed        the same for every image, if the values are equal, too: a gate of weights
    anything else                     refused      the layer is named

If images are independent, an image has the same values in both forwards. Where it does not, the layer is refused, too: it mixes
images, or draws random numbers.

Networks of this package need no evidence: their maps are [N, ...].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from .observer import CandidateFailed

Kind = Literal["read", "regrouped", "transposed", "fixed"]
# Number of values by which the outputs of two forwards are compared.
COMPARED = 1000
# Equal images may differ by this part of the difference of other images; another order of the rows gives about 1.
ROUND_OFF = 0.1
# An image may differ between two forwards by this part of its values, and by so much for each value; maps of round-off are smaller.
SAME, SMALL = 1e-2, 1e-4


@dataclass(frozen=True)
class Account:
    """What observers did with the activation calls of a forward.

    Attributes:
        read: Number of calls whose output has an entry for every image.
        regrouped: Names of the layers whose rows were regrouped to the images, one for each call.
        transposed: Names of the layers whose images are not the first dimension, one for each call.
        fixed: Names of the layers whose output is the same for every image and was left out, one for each call.
    """

    read: int = 0
    regrouped: tuple[str, ...] = ()
    transposed: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """Number of activation calls."""
        return self.read + len(self.regrouped) + len(self.transposed) + len(self.fixed)

    def counting(self, kind: Kind, name: str) -> Account:
        """Returns the account with one more call."""
        if kind == "read":
            return replace(self, read=self.read + 1)
        if kind == "regrouped":
            return replace(self, regrouped=(*self.regrouped, name))
        if kind == "transposed":
            return replace(self, transposed=(*self.transposed, name))
        return replace(self, fixed=(*self.fixed, name))


@dataclass(frozen=True)
class Call:
    """The output of one call in the forward of a few images.

    Attributes:
        name: Name of the layer.
        shape: Shape of the output.
        first: The first values.
        last: The first values of the last image, if every image has an entry.
        output: The output, None if every image has an entry in it.
    """

    name: str
    shape: tuple[int, ...]
    first: Tensor
    last: Tensor | None
    output: Tensor | None


@dataclass(frozen=True)
class Place:
    """Where the images are in a tensor.

    Attributes:
        kind: What the call is.
        dimension: The dimension of the images.
        before: Its size is before * N * after.
    """

    kind: Kind
    dimension: int = 0
    before: int = 1

    def rows(self, output: Tensor, n: int) -> Tensor:
        """Returns the tensor as [N, ...]; one that is fixed is unchanged."""
        if self.kind in ("read", "fixed"):
            return output if output.dim() > 1 else output[:, None] if self.kind == "read" else output
        if self.kind == "transposed":
            return output.movedim(self.dimension, 0).contiguous()
        return _of_images(output, self.dimension, self.before, n).contiguous()

    def dimension_in_rows(self, dimension: int) -> int:
        """Returns the dimension of `rows` that is `dimension` of the tensor, which is not that of the images."""
        if self.kind in ("read", "fixed") or (self.kind == "transposed" and dimension > self.dimension):
            return dimension
        return dimension + (1 if dimension < self.dimension else 2)

    @staticmethod
    def restored(rows: Tensor) -> Tensor:
        """Returns [N, before, after, ...], the rows of a first dimension that was regrouped, in the order before."""
        return rows.movedim(0, 1).flatten(0, 2)


class Layout(Protocol):
    """Finds the images in the output of each call."""

    def place(self, position: int, name: str, output: Tensor) -> Place:
        """Returns where the images are in the output of call number `position`."""

    def check(self, calls: int) -> None:
        """Checks a finished forward that had `calls` calls."""


class FirstDimension:
    """Layout of networks whose maps are all [N, ...].

    Args:
        n: Number of images.
    """

    def __init__(self, n: int) -> None:
        self.n = n

    def place(self, position: int, name: str, output: Tensor) -> Place:
        """Returns "read".

        Raises:
            CandidateFailed: If the output is not [N, ...].
        """
        if output.dim() < 2 or len(output) != self.n:
            raise CandidateFailed(f"layer {name!r} gives {list(output.shape)}; expected [{self.n}, ...]")
        return Place("read")

    def check(self, calls: int) -> None:
        """Accepts any number of calls."""


class Recording:
    """Layout of the forward of a few images, which keeps what `Evidence` needs of every call.

    Args:
        images: The N images of which a few are chosen.

    Attributes:
        images: The chosen images.
        calls: The calls so far.
    """

    def __init__(self, images: Tensor) -> None:
        n = len(images)
        # In the middle, because a network that mixes images may well mix neighbours.
        order = [*range(n // 2, n), *range(n // 2)]
        other = next((i for i in order if not torch.equal(images[i], images[0])), n - 1)
        # The number differs from N, so that the dimension of the images changes its size.
        self.images = images[[other, other, 0] if n != 3 else [other, other, 0, 0]]
        self.calls: list[Call] = []

    def place(self, position: int, name: str, output: Tensor) -> Place:
        """Keeps the output, and returns where the images are in the first dimension, "fixed" if they are not in it.

        Raises:
            CandidateFailed: If the output is that of `torch.vmap`, which hides a dimension.
        """
        if torch._C._functorch.is_batchedtensor(output):
            raise CandidateFailed(f"layer {name!r} is called in torch.vmap, which hides the dimension of the images")
        # The output may be changed in place later, so it is copied.
        kept = None if output.dim() and len(output) == len(self.images) else output.detach().clone()
        self.calls.append(Call(name, tuple(output.shape), _first(output), _first(output[-1]) if kept is None else None, kept))
        if kept is None:
            return Place("read")
        orders = _orders(kept, 0, len(self.images)) if kept.dim() else []
        return Place("regrouped", 0, orders[0]) if len(orders) == 1 else Place("fixed")

    def check(self, calls: int) -> None:
        """Accepts any number of calls."""


@dataclass(frozen=True)
class Evidence:
    """Layout of the forward of N images, by the calls of a forward of a few.

    Attributes:
        n: Number of images.
        few: Number of images of the other forward.
        calls: Its calls, in order.
        independent: Whether images must have the same values in both forwards; not if they are normalised by the whole batch.
    """

    n: int
    few: int
    calls: Sequence[Call]
    independent: bool = True

    def place(self, position: int, name: str, output: Tensor) -> Place:
        """Returns where the images are in the output of call number `position` of the forward of N images.

        Raises:
            CandidateFailed: If the output cannot be attributed to the images.
        """
        call = self.calls[position] if position < len(self.calls) else None
        if call is None or call.name != name or len(call.shape) != output.dim():
            raise CandidateFailed(
                f"the layers that the network calls depend on the images or their number (layer {name!r}, call {position + 1}), "
                "so images cannot be compared"
            )
        changed = [d for d, (few, many) in enumerate(zip(call.shape, output.shape, strict=True)) if few != many]
        if not changed:
            if not torch.allclose(call.first, _first(output), rtol=1e-4, atol=0.0, equal_nan=True):
                raise CandidateFailed(self._unreadable(call, output, "mixes images"))
            return Place("fixed")
        few, n = self.few, self.n
        dimension = changed[0]
        size = output.shape[dimension]
        if len(changed) > 1 or size * few != call.shape[dimension] * n or size % n:
            raise CandidateFailed(self._unreadable(call, output, "changes its shape with the number of images"))
        if size == n:
            place = Place("transposed", dimension) if dimension else Place("read")
        else:
            before = self._before(call, output, dimension)
            if before is None:
                raise CandidateFailed(
                    self._unreadable(call, output, "holds the rows of the images in an order that cannot be told")
                )
            place = Place("regrouped", dimension, before)
        alone = call.last if call.output is None else _first(place.rows(call.output, few)[-1])
        if self.independent and alone is not None and _differ(alone, _first(place.rows(output, n)[0])):
            raise CandidateFailed(
                f"layer {call.name!r} gives an image other values if other images are scored with it: it mixes images, or draws "
                "random numbers"
            )
        return place

    def check(self, calls: int) -> None:
        """Checks that a forward of N images had as many calls as that of the few.

        Raises:
            CandidateFailed: If it had fewer.
        """
        if calls != len(self.calls):
            raise CandidateFailed(
                f"{calls} layers were called for {self.n} images, but {len(self.calls)} for {self.few}, so images cannot be "
                f"compared; the next one would be {self.calls[calls].name!r}"
            )

    def _before(self, call: Call, output: Tensor, dimension: int) -> int | None:
        """Returns the factor of a dimension [before * N * after] that precedes the images, None if there is no such order."""
        if call.output is None:
            return None
        found = _orders(call.output, dimension, self.few)
        if len(found) == 1:
            return found[0]
        # Rows that are all equal have the same values in any order.
        return 1 if self.n == 1 or bool((output == output.narrow(dimension, 0, 1)).all()) else None

    def _unreadable(self, call: Call, output: Tensor, what: str) -> str:
        return (
            f"layer {call.name!r} {what}: it gives {list(output.shape)} for {self.n} images and {list(call.shape)} for {self.few}; "
            "expected [N, ...], [N * P, ...] or [T, N, ...]"
        )


@dataclass(frozen=True)
class Layouts:
    """Layouts of the calls of a network.

    Attributes:
        layers: That of activations and of the classifier's input.
        norms: That of the inputs of batch normalisations; None if all are [N, ...].
        channels: Dimension of the channels by call number, None where it is unknown; empty if all follow the convention.
    """

    layers: Layout
    norms: Layout | None = None
    channels: Mapping[int, int | None] = field(default_factory=dict)


def needs_evidence(network: nn.Module) -> bool:
    """Returns False for networks that consist of modules of this package and of torch."""
    rooms = {type(module).__module__.partition(".")[0] for module in network.modules()}
    own = __name__.partition(".")[0]
    return type(network).__module__.partition(".")[0] != own or not rooms <= {own, "torch"}


def _orders(output: Tensor, dimension: int, few: int) -> list[int]:
    """Returns the factors before the images, of a dimension [before * few * after], by which equal images have equal values."""
    found = []
    size = output.shape[dimension]
    for before in _divisors(size // few) if size % few == 0 else ():
        of_image = _of_images(output, dimension, before, few)
        same, other = (torch.linalg.vector_norm((of_image[0] - of_image[i]).double()).item() for i in (1, -1))
        if other > 0 and same <= ROUND_OFF * other:
            found.append(before)
    return found


def _of_images(output: Tensor, dimension: int, before: int, n: int) -> Tensor:
    """Returns a tensor whose `dimension` is [before * N * after] as [N, ...]."""
    shape = output.shape
    return output.reshape(*shape[:dimension], before, n, -1, *shape[dimension + 1 :]).movedim(dimension + 1, 0)


def _first(output: Tensor) -> Tensor:
    return output.detach().flatten()[:COMPARED].clone()


def _differ(first: Tensor, second: Tensor) -> bool:
    """Returns True if the values of an image differ by more than round-off; NaN does not count here."""
    if first.shape != second.shape:
        return True
    first, second = first.double(), second.double()
    limit = SAME * torch.linalg.vector_norm(second) + SMALL * math.sqrt(second.numel())
    return bool(torch.linalg.vector_norm(first - second) > limit)


def _divisors(number: int) -> Sequence[int]:
    """Returns the divisors, 1 first, as rows of one image usually follow each other."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return [*small, *(number // d for d in reversed(small) if d * d != number)]
