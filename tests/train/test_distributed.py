"""Two processes that share a batch must learn what one process learns from it."""

import socket
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from gradients import main, run_rank, variables  # noqa: E402

from prnet.data.workers import worker_context  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_two_processes_have_the_gradients_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "alone.pt", tmp_path / "together.pt"
    main(1, files[0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # this process is the first of the two
    context = worker_context("prnet.train.run")
    second = context.Process(target=run_rank, args=(1, 2, port, files[1]))
    second.start()
    with monkeypatch.context() as patch:
        for name, value in variables(0, 2, port).items():
            patch.setenv(name, value)
        main(2, files[1])
    second.join(300)
    assert second.exitcode == 0
    torch.distributed.destroy_process_group()
    alone, together = (torch.load(file, weights_only=True) for file in files)
    assert alone.keys() == together.keys()
    assert len(alone) > 50
    largest = max(float(gradient.abs().max()) for gradient in alone.values())
    for name, gradient in alone.items():
        difference = float((gradient - together[name]).abs().max())
        assert difference < 1e-5 * largest, f"{name}: {difference:.3g} of {largest:.3g}"
