"""Two processes that share a batch must learn what one process learns from it."""

import socket
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from gradients import main, run_rank  # noqa: E402

from prnet.data.workers import worker_context  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    files = tmp_path / "alone.pt", tmp_path / "together.pt"
    main(1, files[0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = worker_context(run_rank.__module__)
    ranks = [context.Process(target=run_rank, args=(rank, 2, port, files[1])) for rank in range(2)]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join(300)
        assert each.exitcode == 0
    alone, together = (torch.load(file, weights_only=True) for file in files)
    assert alone.keys() == together.keys()
    assert len(alone) > 50
    largest = max(float(gradient.abs().max()) for gradient in alone.values())
    for name, gradient in alone.items():
        difference = float((gradient - together[name]).abs().max())
        assert difference < 1e-5 * largest, f"{name}: {difference:.3g} of {largest:.3g}"
