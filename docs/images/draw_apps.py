"""The pictures of docs/apps.md: faces aligned, seen from elsewhere, edited and swapped.

    python docs/images/draw_apps.py [FOLDER]

The photo is scikit-image's `astronaut()`: Eileen Collins, NASA, public domain. Swapped is her face
on a mirrored, darker copy of the photo.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

import prnet
from prnet.apps.align import TEMPLATES, align_face
from prnet.apps.edit import apply_texture
from prnet.apps.swap import swap_face
from prnet.draw.view import view_face

Picture = NDArray[np.uint8]
SIDE, GAP, PAPER = 300, 6, 245  # pixels; gray of the paper
PART = np.s_[5:255, 105:355]  # of the photo: the head
TATTOO_UV = np.array([[0.655, 0.42], [0.675, 0.47], [0.725, 0.475], [0.69, 0.51], [0.70, 0.56]])


def main() -> None:
    """Draw the four rows."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    photo = np.ascontiguousarray(astronaut()[PART])
    reconstructor = prnet.Reconstructor()
    (face,) = reconstructor(photo)
    rows = {
        "align": [align_face(face, template, SIDE).crop for template in TEMPLATES],
        "view": [
            on_paper(view_face(face, -40)),
            on_paper(view_face(face, 35, 5, style="shaded")),
            on_paper(view_face(face, 0, 0, style="wireframe")),
            on_paper(view_face(face, 20, 5, on_photo=True)),
        ],
    }
    texture = face.texture(1024)
    edited = with_tattoo(texture)
    rows["edit"] = [on_paper(texture), on_paper(edited), apply_texture(face, edited)]
    other = np.ascontiguousarray(cv2.flip(cv2.convertScaleAbs(photo, alpha=0.6), 1))
    (target,) = reconstructor(other)
    rows["swap"] = [photo, other, swap_face(face, target)]
    for name, panels in rows.items():
        sheet = np.full((SIDE, len(panels) * (SIDE + GAP) - GAP, 3), PAPER, np.uint8)
        for number, panel in enumerate(panels):
            left = number * (SIDE + GAP)
            size = (SIDE, SIDE)
            sheet[:, left : left + SIDE] = cv2.resize(panel, size, interpolation=cv2.INTER_AREA)
        Image.fromarray(sheet).save(folder / f"{name}.jpg", quality=88, optimize=True)


def on_paper(picture: Picture) -> Picture:
    """An RGBA picture on paper, (H, W, 3)."""
    share = picture[..., 3:] / np.float32(255)
    return np.rint(picture[..., :3] * share + PAPER * (1 - share)).astype(np.uint8)


def with_tattoo(texture: Picture) -> Picture:
    """The texture with lightning on the left cheek."""
    edited = np.array(texture)
    points = np.rint(TATTOO_UV * len(texture)).astype(np.int32)
    cv2.polylines(edited, [points], False, (30, 60, 130, 255), 14, cv2.LINE_AA)
    return edited


if __name__ == "__main__":
    main()
