"""An edited texture back on the photo."""

import numpy as np
from numpy.typing import NDArray

from prnet.draw.paint import draw_canvas
from prnet.face import Face

NOISE = 2  # levels by which an editor's compression may change a texel that nobody touched


def apply_texture(face: Face, texture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put what was changed in a face's texture back on its photo.

    What is drawn is the difference from the face's own texture of that size, so the photo stays as
    it is where the texture does, and what was painted over skin is seen in the photo's own light.

    Args:
        face: With its photo.
        texture: (S, S, 3) uint8 RGB or (S, S, 4) RGBA, `face.texture(S)` edited, such as the
            `<name>_texture.png` that `prnet reconstruct --texture` wrote. Alpha counts as the
            edit's opacity.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        ValueError: Another shape or type, or the face has no photo.
    """
    if face.image is None:
        raise ValueError("an edited texture needs the face's photo")
    size = len(texture)
    if texture.dtype != np.uint8 or texture.shape not in ((size, size, 3), (size, size, 4)):
        raise ValueError(
            f"a texture must be a square RGB or RGBA picture, got {texture.shape} {texture.dtype}"
        )
    own = face.texture(size)
    change = texture[..., :3].astype(np.float32) - own[..., :3]
    change[(np.abs(change) <= NOISE).all(-1)] = 0
    change *= own[..., 3:] / np.float32(255)  # what the photo doesn't show can't be changed there
    if texture.shape[2] == 4:
        change *= texture[..., 3:] / np.float32(255)
    picture = np.array(face.image)
    points = face.position_map.reshape(-1, 3)
    canvas = draw_canvas(face, points, points[:, :0], picture.shape[:2])
    part = picture[canvas.rows, canvas.columns]
    drawn = canvas.sample(change) * canvas.is_skin[..., None]
    part[:] = np.rint(np.clip(part + drawn, 0, 255)).astype(np.uint8)
    return picture
