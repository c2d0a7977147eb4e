"""Two processes that share a batch must learn what one process learns from it."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("gradients.py")


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    files = tmp_path / "alone.pt", tmp_path / "together.pt"
    runpy.run_path(str(SCRIPT))["main"](1, files[0])
    command = [sys.executable, str(SCRIPT), "2", str(files[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    alone, together = (torch.load(file, weights_only=True) for file in files)
    assert alone.keys() == together.keys()
    assert len(alone) > 50
    largest = max(float(gradient.abs().max()) for gradient in alone.values())
    for name, gradient in alone.items():
        difference = float((gradient - together[name]).abs().max())
        assert difference < 1e-5 * largest, f"{name}: {difference:.3g} of {largest:.3g}"
