import dataclasses
from pathlib import Path

import pytest

from prnet.errors import RecipeError
from prnet.train.config import AugmentConfig, TrainConfig, load_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return tmp_path / "recipe.toml"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_shipped_recipes_load(path: Path) -> None:
    config = load_recipe(path)
    assert path.stem.startswith(config.network.name)
    assert config != TrainConfig()


def test_there_are_recipes() -> None:
    assert "lite" in {path.stem for path in RECIPES}


def test_an_empty_recipe_is_the_default_one(recipe: Path) -> None:
    recipe.write_text("")
    assert load_recipe(recipe) == TrainConfig()


def test_values_come_in_their_declared_kinds(recipe: Path) -> None:
    recipe.write_text(
        "steps = 700\nwarmup_steps = 1\ncooldown_steps = 2\nlearning_rate = 1\nseed = 5\n"
        'precision = "32"\n[data]\nphotos = 4\n[augment]\nscale = [1, 1.5]\n[loss]\nmask = "ones"\n'
    )
    config = load_recipe(recipe)
    assert (config.steps, config.seed, config.precision) == (700, 5, "32")
    assert config.learning_rate == 1.0 and isinstance(config.learning_rate, float)
    assert config.augment.scale == (1.0, 1.5) and isinstance(config.augment.scale[0], float)
    assert (config.data.photos, config.loss.mask) == (4, "ones")
    assert config.augment == dataclasses.replace(AugmentConfig(), scale=(1.0, 1.5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", "unknown setting stepz; known are: .*steps"),
        ("[augment]\nblur = 0.1", "unknown setting augment.blur; known are: .*p_blur"),
        ("[optimizer]\nname = 1", "unknown setting optimizer"),
        ('steps = "many"', "steps must be of type int, got 'many'"),
        ("steps = 3.5", "steps must be of type int"),
        ("steps = true", "steps must be of type int"),
        ("learning_rate = true", "learning_rate must be of type float"),
        ("[network]\nwarm_start = 3", "network.warm_start must be of type str"),
        ("network = 3", "network must be a table"),
        ('[network]\nname = "vgg"', "network.name must be one of .*lite.*, got 'vgg'"),
        ("precision = 32", "precision must be one of"),
        ("[augment]\nscale = [0.9]", "augment.scale must be 2 numbers"),
        ("[augment]\nscale = 0.9", "augment.scale must be 2 numbers"),
        ('[augment]\nscale = [0.9, "x"]', "augment.scale must be of type float"),
        # can't be run
        ("[network]\ninput_size = 100", "input_size must be a multiple of 32, got 100"),
        ("[network]\ninput_size = 0", "input_size must be a multiple of 32, got 0"),
        ('[network]\nname = "resfcn256"\ninput_size = 128', "input_size must be 256"),
        ("batch_size = 1", "batch_size must be at least 2"),
        ("steps = 0", "steps at least 1"),
        ("steps = 10\nwarmup_steps = 6\ncooldown_steps = 5", "warmup_steps and cooldown_steps"),
        # isn't TOML
        ("steps = ", "recipe.toml: "),
        ("steps = 1\nsteps = 2", "recipe.toml: "),
    ],
)
def test_a_wrong_recipe_is_refused_by_file_and_key(recipe: Path, text: str, message: str) -> None:
    recipe.write_text(text)
    with pytest.raises(
        RecipeError, match=f"recipe.toml: .*{message.removeprefix('recipe.toml: ')}"
    ):
        load_recipe(recipe)


def test_a_file_that_cannot_be_read_is_named(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="recipe.toml: no such recipe"):
        load_recipe(recipe)
    with pytest.raises(RecipeError, match=tmp_path.name):
        load_recipe(tmp_path)
    recipe.write_bytes(b"seed = \xff")
    with pytest.raises(RecipeError, match="recipe.toml"):
        load_recipe(recipe)


def test_calm_augmentation_is_milder_but_mirrors_as_before() -> None:
    settings = AugmentConfig(calm=0.5)
    calm = settings.calmed()
    for name in (f.name for f in dataclasses.fields(settings)):
        before, after = getattr(settings, name), getattr(calm, name)
        is_milder = name == "wide_share" or (name.startswith("p_") and name != "p_mirror")
        assert after == (before / 2 if is_milder else before), name
