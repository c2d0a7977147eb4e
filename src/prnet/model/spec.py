"""The contract between training and runtime; it travels in the ONNX file's metadata."""

import dataclasses
import json
from dataclasses import dataclass

SPEC_VERSION = 1
METADATA_KEY = "prnet_spec"


@dataclass(frozen=True)
class NetworkSpec:
    """What a program must know to run a network file.

    The file takes `crops` (N, 3, input_size, input_size) float32 RGB, equal to
    (pixel − pixel_mean) / pixel_std for uint8 pixels, and gives `position_maps`
    (N, 256, 256, 3) float32; output · position_scale + position_offset is in the crop frame
    (pixels of the crop, x right, y down, z toward the viewer). It may also give `confidences` (N,),
    and with them, in the crop frame, what maps can be drawn from later: `controls` (N, 64, 64, 3)
    and `turns` (N, 3, 3), see `prnet.uv.spline_map`. It then takes `drawn`, () int64: of how many
    crops, from the first on, the maps are wanted; of all, if it isn't told.

    Attributes:
        name: The network's name, as `lite` or `resfcn256`.
        input_size: Side of the crop in pixels.
        pixel_mean: Gray value that becomes 0.
        pixel_std: Gray values per unit.
        crop_scale: Side of the square crop in units of the mean of the face box's width and height.
        position_scale: Crop pixels per unit of output.
        position_offset: Crop pixels added to x, y and z.
        atlas_sha256: `Atlas.sha256` of the atlas whose maps the network makes.
        recipe: The training recipe and the commit it ran from.
        licence: What the weights may be used for.
        version: Of this contract.
    """

    name: str
    input_size: int
    pixel_mean: float
    pixel_std: float
    crop_scale: float
    position_scale: float
    position_offset: tuple[float, float, float]
    atlas_sha256: str
    recipe: str
    licence: str
    version: int = SPEC_VERSION

    def to_json(self) -> str:
        """The spec as the JSON text that the metadata holds."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "NetworkSpec":
        """Read what `to_json` wrote.

        Raises:
            ValueError: Not such a text, of another version, or with impossible values.
        """
        values = json.loads(text)
        if not isinstance(values, dict) or values.get("version") != SPEC_VERSION:
            raise ValueError(f"the spec must be of version {SPEC_VERSION}")
        names = {field.name for field in dataclasses.fields(cls)}
        if set(values) != names:
            raise ValueError(f"the spec's keys differ: {sorted(set(values) ^ names)}")
        try:
            x, y, z = map(float, values["position_offset"])
            spec = cls(**(values | {"position_offset": (x, y, z)}))
            is_possible = spec.input_size >= 1 and min(spec.pixel_std, spec.crop_scale) > 0
        except TypeError as error:
            raise ValueError(f"the spec's values must be numbers: {error}") from error
        if not is_possible:
            raise ValueError("input_size, pixel_std and crop_scale must be positive")
        return spec
