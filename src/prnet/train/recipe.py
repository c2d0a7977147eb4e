"""A recipe's TOML file → settings; old names of settings → new ones."""

import dataclasses
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from prnet.errors import RecipeError
from prnet.files import read_text
from prnet.train.config import TrainConfig
from prnet.train.device_config import DeviceConfig

logger = logging.getLogger(__name__)

# what settings were called before → what they are called now; old recipes still load
RENAMED = {
    "calm_steps": "reduced_augmentation_steps",
    "data.cutouts": "data.face_crops",
    "data.turned_share": "data.rotated_share",
    "data.pairs": "data.paired_crops",
    "augment.colour": "augment.color",
    "augment.p_grey": "augment.p_gray",
    "augment.calm": "augment.reduction",
    "loss.position_map": "loss.weights.position_map",
    "loss.landmarks": "loss.weights.landmarks",
    "loss.shape": "loss.weights.shape",
    "loss.openings": "loss.weights.openings",
    "loss.concordance": "loss.weights.concordance",
    "loss.steadiness": "loss.weights.consistency",
}


Recipe = TrainConfig | DeviceConfig


def load_recipe(path: str | os.PathLike[str]) -> TrainConfig:
    """Read a recipe; settings that were renamed are told.

    Raises:
        RecipeError: No such file, not TOML, an unknown key, or a value that can't be; or it is for
            training on one device.
    """
    recipe = load_any_recipe(path)
    if not isinstance(recipe, TrainConfig):
        raise RecipeError(f"{path}: names a pack, so it is for training on one device")
    return recipe


def load_any_recipe(path: str | os.PathLike[str]) -> Recipe:
    """`load_recipe`, also of those for one device: they name a pack."""
    path = Path(path)
    try:
        table = tomllib.loads(read_text(path))
        for old, new in rename_settings(table).items():
            logger.warning("%s: %s is called %s now", path, old, new)
        return build_config(table)
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe; the shipped ones are in recipes/") from None
    except (OSError, RecursionError, ValueError) as error:  # among these UnicodeDecodeError
        raise RecipeError(f"{path}: {error}") from error


def build_config(table: dict[str, Any]) -> Recipe:
    """Make a recipe of a TOML file's table, or of one that an earlier prnet wrote.

    Raises:
        ValueError: What a recipe can't hold; it names the first such setting.
    """
    rename_settings(table)
    kind: Any = DeviceConfig if "pack" in table else TrainConfig
    try:
        # as JSON, since there a table and a list may stand for a dataclass and a tuple
        config: Recipe = TypeAdapter(kind).validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        raise ValueError(_first_fault(error, kind)) from error
    return config


def rename_settings(table: dict[str, Any]) -> dict[str, str]:
    """Give settings that an old recipe names the names they have now, in place.

    Returns:
        The old names that were there, and the new ones.

    Raises:
        ValueError: A setting stands there under both.
    """
    renamed = {}
    for old, new in RENAMED.items():
        *folders, name = old.split(".")
        before = _folder(table, folders)
        # where a weight was, there may be a table of weights now
        if before is None or name not in before or isinstance(before[name], dict):
            continue
        *folders, new_name = new.split(".")
        after = _folder(table, folders, make=True)
        if after is None:
            continue
        if new_name in after:
            raise ValueError(f"{old} is called {new} now, and both are given")
        after[new_name] = before.pop(name)
        renamed[old] = new
    return renamed


def _folder(table: dict[str, Any], names: list[str], make: bool = False) -> dict[str, Any] | None:
    """The table inside a table; None if it is none."""
    for name in names:
        inner = table.setdefault(name, {}) if make else table.get(name)
        if not isinstance(inner, dict):
            return None
        table = inner
    return table


def _first_fault(error: ValidationError, kind: Any) -> str:
    """What is wrong first, in a line that begins with the setting's name."""
    fault = error.errors()[0]
    name = ".".join(str(part) for part in fault["loc"] if not isinstance(part, int))
    text = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "unexpected_keyword_argument":
        for part in fault["loc"][:-1]:
            types: dict[str, Any] = {f.name: f.type for f in dataclasses.fields(kind)}
            kind = types[str(part)]
        known = ", ".join(each.name for each in dataclasses.fields(kind))
        return f"unknown setting {name}; known are: {known}"
    if fault["type"] == "value_error":
        return f"{name} {text}" if text.startswith("must") else f"{name}.{text}".removeprefix(".")
    return f"{name} {text.replace('Input should be', 'must be')}, got {fault['input']!r}"
