import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from prnet.geometry.compiled import compiled

# a module that numba may find no folder for, or only one whose disk is full
PROGRAM = """
import errno
from numba.core import caching

def fail(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")

if {is_full}:
    caching.IndexDataCacheFile.save = fail
else:
    caching.CacheImpl._locator_classes = []
import numpy as np
from prnet.geometry.normals import vertex_normals
print(vertex_normals(np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0.0]]), np.array([[0, 1, 2]]))[0])
"""


@pytest.mark.parametrize("is_full", [False, True])
def test_draws_without_numbas_cache(is_full: bool, tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(is_full=is_full)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[0. 0. 1.]\n", "")


def test_a_damaged_cache_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled(_double)(2) == 4
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:20])
    assert compiled(_double)(3) == 6


def test_the_functions_own_errors_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        compiled(_divide)(1, 0)


def _double(x):  # type: ignore[no-untyped-def]
    return 2 * x


def _divide(x, y):  # type: ignore[no-untyped-def]
    return x // y
