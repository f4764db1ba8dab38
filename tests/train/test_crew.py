"""Cores that read a batch together find the gradient that one finds alone."""

import gc
import threading
import time

import pytest
import torch
from torch import Tensor, nn

from slm_core.config import ExperimentConfig
from slm_core.hardware import use_threads
from slm_core.train.crew import Crew, crew_on

ROWS, WIDTH = 5, 3


def model() -> tuple[nn.Module, Tensor]:
    """A network, and a batch for it (B, C); float64, so that only mistakes make a difference."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(WIDTH, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(generator=generator)
    return network, torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 2, 3, ROWS, ROWS + 2])
def test_the_parts_gradients_are_the_whole_s(size):
    network, batch = model()
    (network(batch) ** 2).mean().backward()
    expected = [2 * weight.grad for weight in network.parameters()]
    network.zero_grad()
    crew, weights = Crew(size), list(network.parameters())
    for _ in range(2):  # what is there is added to
        loss = crew.add_gradients(lambda rows: (network(rows) ** 2).sum() / ROWS, weights, batch)
    assert loss == pytest.approx((network(batch) ** 2).mean().item())
    for weight, gradient in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_each_reads_its_part_in_a_thread_of_its_own_on_one_core():
    network, batch = model()
    seen, both = [], threading.Barrier(2, timeout=30)

    def loss_of(rows: Tensor) -> Tensor:
        both.wait()  # so that neither can do the work of both
        seen.append((threading.current_thread(), torch.get_num_threads(), len(rows)))
        return network(rows).sum()

    use_threads(2)
    Crew(2).add_gradients(loss_of, list(network.parameters()), batch)
    assert len({thread for thread, _, _ in seen}) == 2
    assert {threads for _, threads, _ in seen} == {1}
    assert sorted(rows for _, _, rows in seen) == [2, 3]
    assert torch.get_num_threads() == 2, "the thread that asked has other threads now"


def test_what_fails_in_a_thread_is_raised_to_who_asked_and_the_next_batch_is_read():
    network, batch = model()
    crew, weights = Crew(2), list(network.parameters())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        crew.add_gradients(lambda rows: network(rows[:, 1:]).sum(), weights, batch)
    assert crew.add_gradients(lambda rows: network(rows).sum(), weights, batch) == pytest.approx(
        network(batch).sum().item()
    )


def test_the_threads_end_with_the_crew():
    network, batch = model()
    crew = Crew(2)
    crew.add_gradients(lambda rows: network(rows).sum(), list(network.parameters()), batch)
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("crew")]
    assert mine
    del crew
    gc.collect()
    until = time.monotonic() + 30
    while any(thread.is_alive() for thread in mine):
        assert time.monotonic() < until, "a thread of a crew that nobody holds is alive"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("device", "changes", "alone", "size"),
    [
        ("cpu", {}, True, 2),
        ("cpu", {}, False, 1),  # several processes
        ("cpu", {"dropout": 0.1}, True, 1),
        ("cuda", {}, True, 1),
    ],
)
def test_a_crew_is_as_large_as_torch_has_threads_where_parts_can_be_read_apart(device, changes, alone, size):
    use_threads(2)
    network, batch = model()
    parts = []

    def loss_of(rows: Tensor) -> Tensor:
        parts.append(len(rows))
        return network(rows).sum()

    crew = crew_on(torch.device(device), ExperimentConfig().with_changes(changes), alone)
    crew.add_gradients(loss_of, list(network.parameters()), batch)
    assert len(parts) == size
