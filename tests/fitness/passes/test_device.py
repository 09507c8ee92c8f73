"""Workers share the cards of a machine, and the number of candidates follows the memory that is free."""

from __future__ import annotations

import pytest
import torch

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.device import Capacity, Card, CudaMemory, cards_of, visible_cards
from rbflex_evo.spaces import create_space

CUDA, SECOND, CPU = torch.device("cuda"), torch.device("cuda:1"), torch.device("cpu")


@pytest.mark.parametrize(
    ("variables", "count", "names"),
    [
        ({}, 0, []),
        ({}, 3, ["0", "1", "2"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0, []),
        ({"CUDA_VISIBLE_DEVICES": "5, 2"}, 2, ["5", "2"]),
        # CUDA sees nothing after the first name that it does not know.
        ({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, 1, ["1"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937,GPU-1b2c"}, 2, ["GPU-8932f937", "GPU-1b2c"]),
        # Of several MIG devices a process sees the first.
        ({"CUDA_VISIBLE_DEVICES": "MIG-a,MIG-b,MIG-c"}, 1, ["MIG-a", "MIG-b", "MIG-c"]),
        ({"CUDA_VISIBLE_DEVICES": "MIG-a"}, 0, []),
    ],
)
def test_visible_cards_are_those_that_cuda_shows(variables, count, names):
    assert visible_cards(variables, count) == names


def test_each_worker_sees_one_card_and_calls_it_by_its_kind():
    cards = cards_of(CUDA, ["0", "MIG-b"])
    assert [card.device for card in cards] == [CUDA, CUDA]
    assert [card.variables for card in cards] == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "MIG-b"}]


@pytest.mark.parametrize(("device", "visible"), [(CPU, []), (SECOND, ["0", "1"]), (CUDA, ["0"]), (CUDA, [])], ids=str)
def test_a_named_card_and_a_single_one_are_taken_as_they_are(device, visible):
    assert cards_of(device, visible) == [Card(device)]


class FakeMemory:
    """A card whose memory another process can take, and on which every candidate takes the same.

    Args:
        total: Bytes of the card.
        each: Bytes that a candidate takes.
    """

    def __init__(self, total, each):
        self.total, self.each, self.others, self.most, self.released = total, each, 0, 0, 0

    def begin(self):
        self.most = 0
        return self.total - self.others

    def taken(self):
        return self.most

    def release(self):
        self.released += 1

    def run(self, count):
        self.most = count * self.each
        if self.most > self.total - self.others:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate some")


class OnFakeCard(Measurer):
    """A measurer whose candidates take the memory of a fake card."""

    def __init__(self, memory):
        space = create_space("nats_tss", channels=2, cells=1)
        super().__init__(Conditions.of(space, Batch(torch.randn(4, 3, 8, 8)), device="cpu", backend="eager"))
        self.fake, self.calls, self.capacity = memory, [], Capacity(CPU, memory)

    def _measure_tile(self, tile):
        self.calls.append(len(tile))
        self.fake.run(len(tile))
        return super()._measure_tile(tile)


def requests(count):
    return [((i % 5, 3, 2, 1, 3, i // 5 % 5), {"naswot": create_proxy("naswot")}) for i in range(count)]


def test_a_call_is_as_large_as_the_free_memory_permits():
    measurer = OnFakeCard(FakeMemory(total=1000, each=50))
    measurer.measure(requests(20))
    assert measurer.calls == [1, 16, 3]
    assert measurer.capacity.peak == 800


def test_memory_that_another_process_takes_makes_calls_smaller_and_they_grow_again():
    memory = FakeMemory(total=1000, each=50)
    measurer = OnFakeCard(memory)
    measurer.measure(requests(17))
    memory.others = 700
    measurer.measure(requests(6))
    memory.others = 0
    measurer.measure(requests(20))
    assert measurer.calls == [1, 16, 4, 2, 16, 4]


def test_out_of_memory_halves_a_call_and_none_afterwards_is_as_large_as_the_one_that_failed():
    class Sudden(FakeMemory):
        """Another process takes memory after the free part was read."""

        def run(self, count):
            self.others = 600 if count > 8 else self.others
            super().run(count)

    memory = Sudden(total=1000, each=50)
    measurer = OnFakeCard(memory)
    results = measurer.measure(requests(17))
    assert measurer.calls[:3] == [1, 16, 5]
    assert memory.released == 1
    memory.others = 0
    measurer.measure(requests(20))
    assert max(measurer.calls[2:]) < 16
    assert [result.failures for result in results] == [{}] * 17


def test_a_candidate_that_does_not_fit_alone_fails_with_the_kind_of_the_device_and_others_go_on():
    memory = FakeMemory(total=40, each=50)
    measurer = OnFakeCard(memory)
    assert [result.failures for result in measurer.measure(requests(2))] == [{"naswot": "out of memory on cpu"}] * 2
    memory.each = 10
    assert [result.failures for result in measurer.measure(requests(2))] == [{}] * 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_memory_of_a_card_is_measured():
    memory = CudaMemory(CUDA)
    kept = torch.empty(2**20, dtype=torch.uint8, device=CUDA)
    free = memory.begin()
    temporary = torch.empty(2**22, dtype=torch.uint8, device=CUDA)
    del temporary
    assert 2**22 <= memory.taken() < 2**23
    assert memory.begin() == free
    assert memory.taken() == 0
    del kept
