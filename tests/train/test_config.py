import dataclasses
from pathlib import Path

import pytest

from prnet.cli.main import main
from prnet.errors import RecipeError
from prnet.train.config import AugmentConfig, LossConfig, TrainConfig, load_recipe

NOT_NEGATIVE = (
    *("warmup_steps", "cooldown_steps", "calm_steps", "halve_epochs", "weight_decay"),
    *("checkpoint_minutes", "workers", "seed"),
)
SHARES = (
    *("p_occluder", "p_mirror", "p_blur", "p_low_resolution", "p_noise", "p_jpeg", "p_grey"),
    *("p_light", "wide_share", "calm"),
)
TERMS = [each.name for each in dataclasses.fields(LossConfig) if each.type is float]
TERMS.remove("empty")
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
        ("[network]\ninput_size = 100", "network.input_size must be a multiple of 32, got 100"),
        ("[network]\ninput_size = 0", "network.input_size must be a multiple of 32, got 0"),
        ('[network]\nname = "resfcn256"\ninput_size = 128', "network.input_size must be 256"),
        ("batch_size = 1", "batch_size must be at least 2, got 1"),
        ("steps = 0", "steps must be at least 1, got 0"),
        ("evaluate_steps = 0", "evaluate_steps must be at least 1, got 0"),
        ("steps = 10\nwarmup_steps = 6\ncooldown_steps = 5", "warmup_steps and cooldown_steps"),
        *((f"{name} = -1", f"{name} must be at least 0, got -1") for name in NOT_NEGATIVE),
        ("learning_rate = 0", "learning_rate must be above 0, got 0.0"),
        ("learning_rate = -1e-3", "learning_rate must be above 0, got -0.001"),
        ("learning_rate = nan", "learning_rate must be a finite number, got nan"),
        ("weight_decay = inf", "weight_decay must be a finite number, got inf"),
        ("momentum = 1", "momentum must be from 0 to below 1, got 1.0"),
        ("average_decay = 1", "average_decay must be from 0 to below 1, got 1.0"),
        ("average_decay = -0.1", "average_decay must be from 0 to below 1, got -0.1"),
        ("[data]\nturned_share = 1.01", "data.turned_share must be from 0 to 1, got 1.01"),
        ("[data]\nphotos = -1", "data.photos must be at least 0, got -1"),
        ("[data]\nnegatives = -1", "data.negatives must be at least 0, got -1"),
        *(
            (f"[augment]\n{name} = {value}", f"augment.{name} must be from 0 to 1, got {value}")
            for name in SHARES
            for value in (-0.1, 1.1)
        ),
        ("[augment]\nrotation_deg = -1", "augment.rotation_deg must be at least 0, got -1.0"),
        ("[augment]\ntranslation = -1", "augment.translation must be at least 0, got -1.0"),
        ("[augment]\nbox_jitter = -1", "augment.box_jitter must be at least 0, got -1.0"),
        ("[augment]\ncrop_scale = 0", "augment.crop_scale must be above 0, got 0.0"),
        ("[augment]\nscale = [1.2, 0.9]", "augment.scale must be two .*smaller first.*1.2, 0.9"),
        ("[augment]\nscale = [0, 1]", "augment.scale must be two numbers above 0"),
        ("[augment]\ncolour = [1.4, 0.6]", "augment.colour must be two .*smaller first"),
        ("[augment]\ncolour = [-1, 1]", "augment.colour must be two numbers above 0"),
        *((f"[loss]\n{name} = -1", f"loss.{name} must be at least 0, got -1") for name in TERMS),
        ("[loss]\nempty = -1", "loss.empty must be at least 0, got -1.0"),
        (
            "[loss]\n" + "".join(f"{name} = 0\n" for name in TERMS),
            "loss.position_map, .* must not all be 0",
        ),
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


def test_what_lies_on_the_edge_is_allowed(recipe: Path) -> None:
    augment = "".join(f"{name} = {k % 2}\n" for k, name in enumerate(SHARES))
    recipe.write_text(
        "steps = 1\nevaluate_steps = 1\nbatch_size = 2\naverage_decay = 0\n"
        + "".join(f"{name} = 0\n" for name in NOT_NEGATIVE)
        + "[augment]\nscale = [1, 1]\nrotation_deg = 0\n"
        + augment
        + "[loss]\nempty = 0\n"
        + "".join(f"{name} = 0\n" for name in TERMS[1:])
    )
    config = load_recipe(recipe)
    assert (config.average_decay, config.augment.scale) == (0, (1, 1))


def test_settings_made_in_python_are_checked_too() -> None:
    with pytest.raises(ValueError, match="^p_blur must be from 0 to 1, got 2$"):
        AugmentConfig(p_blur=2)
    with pytest.raises(ValueError, match="^workers must be at least 0, got -1$"):
        dataclasses.replace(TrainConfig(), workers=-1)


def test_the_command_line_names_the_recipe_and_the_setting(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("lightning_fabric")
    recipe.write_text("[augment]\np_noise = 7\n")
    with pytest.raises(SystemExit) as left:
        main(["train", str(recipe), "--out", str(tmp_path / "run")])
    assert left.value.code == 2
    message = f"prnet: {recipe}: augment.p_noise must be from 0 to 1, got 7.0\n"
    assert capsys.readouterr().err == message
    assert not (tmp_path / "run").exists()


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
