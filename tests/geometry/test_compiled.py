import errno
import warnings
from pathlib import Path

import numba
import numba.core.caching
import pytest

from prnet.geometry.compiled import compiled


@pytest.mark.parametrize("is_full", [False, True])
def test_functions_work_without_numbas_cache(
    is_full: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Numba finds no folder, or only one whose disk is full; nothing is said of it."""

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    if is_full:
        monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, "save", fail)
    else:
        monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(_double)(2) == 4
    assert capfd.readouterr() == ("", "")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


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
