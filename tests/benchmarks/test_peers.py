import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from peers import FACE_SHARE, LARGE_PHOTO, large_photo, saving  # noqa: E402
from skimage.data import astronaut  # noqa: E402

from prnet.reconstructor import Reconstructor  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.weights]


def test_the_large_photo_s_face_is_a_tenth_as_wide() -> None:
    reconstructor, photo = Reconstructor(threads=1), np.ascontiguousarray(astronaut())
    (face,) = reconstructor(photo)
    large = large_photo(photo, face)
    assert large.shape == (*LARGE_PHOTO[::-1], 3)
    (face,) = reconstructor(large)
    width = face.box[2] - face.box[0]
    np.testing.assert_allclose(width, FACE_SHARE * LARGE_PHOTO[0], rtol=0.05)


def test_files_are_written_anew_each_time(tmp_path: Path) -> None:
    calls = saving(Reconstructor(threads=1), np.ascontiguousarray(astronaut()), tmp_path)
    for title, call in calls.items():
        path = tmp_path / f"face.{title.rsplit(maxsplit=1)[-1].lower()}"
        assert call() > 0 and path.is_file()
        before = path.stat().st_ino, path.stat().st_mtime_ns
        call()
        assert (path.stat().st_ino, path.stat().st_mtime_ns) != before
    with pytest.raises(ValueError, match="the texture's side is 256, not 1024"):
        saving(Reconstructor(threads=1), np.ascontiguousarray(astronaut()[::4, ::4]), tmp_path)
