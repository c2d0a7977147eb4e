from collections.abc import Callable

import numpy as np

from prnet.evaluate.fused import FusedPeople
from prnet.face import Face
from prnet.geometry.pose import flip_y
from prnet.uv.position_map import centre_depth


def test_each_person_by_themselves(make_face: Callable[..., Face]) -> None:
    """The first one's front and profile agree, the second's differ, the third has no profile."""
    people = FusedPeople()
    people.add(1, make_face(0), is_profile=False)
    people.add(1, make_face(-80), is_profile=True)
    people.finish()
    assert people.metrics()["single_gap_mm"] < 0.05 and people.metrics()["fused_gap_mm"] < 0.5
    front = make_face(0)
    y_up = flip_y(front.position_map) * np.float32([1, 1, 1.2])
    deep = Face(centre_depth(flip_y(y_up), front.atlas), front.atlas, front.box, 0.9)
    people.add(2, front, is_profile=False)
    people.add(2, deep, is_profile=True)
    people.add(3, front, is_profile=False)
    people.finish()
    assert set(people.landmarks68) == {1, 2, 3}
    assert people.landmarks68[3].shape == (68, 3)
    (table,) = people.tables()
    assert [row[1] for row in table.rows] == ["2", "2"]
    assert 1 < people.metrics()["fused_gap_mm"] < people.metrics()["single_gap_mm"]


def test_without_profiles_there_is_no_gap(make_face: Callable[..., Face]) -> None:
    people = FusedPeople()
    people.add(1, make_face(0), is_profile=False)
    people.finish()
    assert people.metrics() == {} and list(people.tables()) == []
