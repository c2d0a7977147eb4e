"""What requests may ask for, and what they get: the schemas of the API."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_BOXES = 64
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Box = Annotated[list[Number], Field(min_length=4, max_length=5)]
Boxes = Annotated[list[Box], Field(min_length=1, max_length=MOST_BOXES)]


class LandmarkOptions(BaseModel):
    """What `/v1/landmarks` may be asked for."""

    model_config = ConfigDict(extra="forbid")

    boxes: Boxes | None = Field(
        None,
        description="x0 y0 x1 y1 in pixels, tight around the 68 landmarks of each face, perhaps "
        "with its in-plane angle in degrees; with them the detector isn't asked.",
    )
    max_faces: int | None = Field(
        None, ge=1, le=1000, description="At most so many, best first; else as many as are taken."
    )


class ReconstructOptions(LandmarkOptions):
    """What `/v1/reconstruct` may be asked for."""

    formats: list[Literal["glb", "obj", "ply"]] = Field(
        ["glb"], max_length=3, description="Mesh files of each face."
    )
    pictures: list[Literal["overlay", "pncc"]] = Field(
        [], max_length=2, description="Pictures of the photo."
    )
    head: bool = Field(
        False, description="Also a whole head of each face, GLB with ARKit's morph targets."
    )
    texture_size: int | None = Field(
        None,
        ge=16,
        le=8192,
        description="Texels a side; without it, as many as the photo makes worth while.",
    )


class LandmarkBody(LandmarkOptions):
    """`/v1/landmarks` as JSON."""

    photo: str = Field(description="The photo's file in base64.", min_length=1)


class ReconstructBody(ReconstructOptions):
    """`/v1/reconstruct` as JSON."""

    photo: str = Field(description="The photo's file in base64.", min_length=1)


class Pose(BaseModel):
    """Weak perspective from the canonical face to the photo with y up; angles as in 300W-LP."""

    yaw: float
    pitch: float
    roll: float
    scale: float = Field(description="Photo pixels per cm.")
    rotation: list[list[float]]
    translation: list[float]


class FaceRecord(BaseModel):
    """A face in the photo frame: pixels, x right, y down, centres at integers, z to the viewer."""

    box: list[float] = Field(description="x0 y0 x1 y1, tight around the landmarks.")
    score: float = Field(description="In [0, 1], how far to trust it.")
    detection_score: float | None
    pose: Pose
    landmarks68: list[list[float]] = Field(description="The 68 iBUG points, x y z.")
    expression: dict[str, float] | None = Field(
        description="Weights in [0, 1] by ARKit's names; null for a model of another UV space."
    )
    atlas: str


class MeshedFace(FaceRecord):
    """A face and its files."""

    files: dict[str, str] = Field(
        description="Addresses by kind: glb, obj, obj_mtl, obj_png, ply, head."
    )


class Landmarks(BaseModel):
    """What `/v1/landmarks` answers."""

    width: int
    height: int
    faces: list[FaceRecord]


class Result(BaseModel):
    """What `/v1/reconstruct` answers."""

    id: str = Field(description="Can't be guessed; who knows it can fetch the files.")
    expires: str = Field(description="When the result is deleted, ISO 8601.")
    width: int
    height: int
    faces: list[MeshedFace]
    files: dict[str, str] = Field(description="Addresses of the pictures by kind.")


# a picture of one pixel, so that the example is short
EXAMPLE_PHOTO = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


def request_body(
    options: type[BaseModel], body: type[BaseModel], example: dict[str, Any]
) -> dict[str, Any]:
    """An operation's `requestBody` in OpenAPI: the same as a form and as JSON."""
    schema = options.model_json_schema()
    form = dict(schema["properties"])
    for name, each in form.items():  # lists are written as text in a form
        if name in ("boxes", "formats", "pictures"):
            how = "JSON" if name == "boxes" else "joined by commas"
            form[name] = {
                "type": "string",
                "description": f"{each.get('description', '')} A list, {how}.",
            }
    form["photo"] = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP."}
    multipart = {"type": "object", "properties": form, "required": ["photo"]}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": multipart,
                    "encoding": {"photo": {"contentType": "image/jpeg, image/png, image/webp"}},
                },
                "application/json": {"schema": body.model_json_schema(), "example": example},
            },
        }
    }
