from pathlib import Path

import pytest

from prnet.face import Face
from prnet.head.head import Head
from prnet.head.layout import HeadLayout, head_layout
from prnet.reconstructor import Reconstructor


@pytest.fixture(scope="session")
def portrait_face(portrait: Path) -> Face:
    """The sample photo's face, as the network in the package sees it."""
    return Reconstructor(threads=1)(portrait)[0]


@pytest.fixture(scope="session")
def head(portrait_face: Face) -> Head:
    return portrait_face.head()


@pytest.fixture(scope="session")
def layout() -> HeadLayout:
    return head_layout()
