import dataclasses
from pathlib import Path

import pytest

from prnet.cli.main import main
from prnet.errors import RecipeError
from prnet.train.config import AugmentConfig, TrainConfig
from prnet.train.recipe import RENAMED, build_config, load_any_recipe, load_recipe
from prnet.train.terms import TERMS

NOT_NEGATIVE = (
    *("warmup_steps", "cooldown_steps", "reduced_augmentation_steps", "halve_epochs"),
    "weight_decay",
    *("checkpoint_minutes", "workers", "seed"),
)
SHARES = (
    *("p_occluder", "p_mirror", "p_blur", "p_low_resolution", "p_noise", "p_jpeg", "p_gray"),
    *("p_light", "wide_share", "reduction"),
)
# every setting that was renamed, as an old recipe has it
OLD = """
calm_steps = 7
[data]
cutouts = "crops"
turned_share = 0.5
pairs = 2
[augment]
colour = [0.5, 1.5]
p_grey = 0.3
calm = 0.2
[loss]
position_map = 2
landmarks = 3
shape = 4
openings = 5
concordance = 6
steadiness = 7
"""
RECIPES = sorted(
    path
    for path in (Path(__file__).parents[2] / "recipes").glob("*.toml")
    if path.stem != "detector"  # of another kind, see test_train_detector.py
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return tmp_path / "recipe.toml"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_shipped_recipes_load(path: Path) -> None:
    config = load_any_recipe(path)
    assert path.stem.startswith(config.network.name)
    assert config != TrainConfig()


def test_there_are_recipes() -> None:
    assert "lite" in {path.stem for path in RECIPES}


def test_an_empty_recipe_is_the_default_one(recipe: Path) -> None:
    recipe.write_text("")
    assert load_recipe(recipe) == TrainConfig()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_recipes_as_windows_writes_them(recipe: Path, encoding: str) -> None:
    recipe.write_bytes("# Zoë's\r\nsteps = 9000\r\n".encode(encoding))
    assert load_recipe(recipe).steps == 9000


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
        ('steps = "many"', "steps must be a valid integer, got 'many'"),
        ("steps = 3.5", "steps must be a valid integer"),
        ("steps = true", "steps must be a valid integer"),
        ("learning_rate = true", "learning_rate must be a valid number"),
        ("[network]\nwarm_start = 3", "network.warm_start must be a valid string"),
        ("network = 3", "network must be an object, got 3"),
        (
            '[network]\nname = "vgg"',
            "network.name must be 'lite', 'large' or 'resfcn256', got 'vgg'",
        ),
        ("precision = 32", "precision must be 'auto', '32' or 'bf16', got 32"),
        ("[augment]\nscale = [0.9]", "augment.scale .*required"),
        ("[augment]\nscale = 0.9", "augment.scale must be a valid array"),
        ('[augment]\nscale = [0.9, "x"]', "augment.scale must be a valid number, got 'x'"),
        # can't be run
        ("[network]\ninput_size = 100", "network.input_size must be a multiple of 32, got 100"),
        ("[network]\ninput_size = 0", "network.input_size must be a multiple of 32, got 0"),
        ('[network]\nname = "resfcn256"\ninput_size = 128', "network.input_size must be 256"),
        ("batch_size = 1", "batch_size must be greater than or equal to 2, got 1"),
        ("steps = 0", "steps must be greater than or equal to 1, got 0"),
        ("evaluate_steps = 0", "evaluate_steps must be greater than or equal to 1, got 0"),
        ("steps = 10\nwarmup_steps = 6\ncooldown_steps = 5", "warmup_steps and cooldown_steps"),
        *(
            (f"{name} = -1", f"{name} must be greater than or equal to 0, got -1")
            for name in NOT_NEGATIVE
        ),
        ("learning_rate = 0", "learning_rate must be greater than 0, got 0"),
        ("learning_rate = -1e-3", "learning_rate must be greater than 0, got -0.001"),
        ("learning_rate = nan", "learning_rate must be a finite number, got nan"),
        ("weight_decay = inf", "weight_decay must be a finite number, got inf"),
        ("momentum = 1", "momentum must be less than 1, got 1"),
        ("average_decay = 1", "average_decay must be less than 1, got 1"),
        ("average_decay = -0.1", "average_decay must be greater than or equal to 0, got -0.1"),
        (
            "[data]\nrotated_share = 1.01",
            "data.rotated_share must be less than or equal to 1, got 1.01",
        ),
        ("[data]\nphotos = -1", "data.photos must be greater than or equal to 0, got -1"),
        ("[data]\nnegatives = -1", "data.negatives must be greater than or equal to 0, got -1"),
        *(
            (
                f"[augment]\n{name} = {value}",
                f"augment.{name} must be (less|greater) than or equal to [01], got {value}",
            )
            for name in SHARES
            for value in (-0.1, 1.1)
        ),
        (
            "[augment]\nrotation_deg = -1",
            "augment.rotation_deg must be greater than or equal to 0, got -1",
        ),
        (
            "[augment]\ntranslation = -1",
            "augment.translation must be greater than or equal to 0, got -1",
        ),
        (
            "[augment]\nbox_jitter = -1",
            "augment.box_jitter must be greater than or equal to 0, got -1",
        ),
        ("[augment]\ncrop_scale = 0", "augment.crop_scale must be greater than 0, got 0"),
        ("[augment]\nscale = [1.2, 0.9]", "augment.scale must be two .*smaller first.*1.2, 0.9"),
        ("[augment]\nscale = [0, 1]", "augment.scale must be greater than 0, got 0"),
        ("[augment]\ncolor = [1.4, 0.6]", "augment.color must be two .*smaller first"),
        ("[augment]\ncolor = [-1, 1]", "augment.color must be greater than 0, got -1"),
        *(
            (f"[loss.weights]\n{name} = -1", f"loss.weights.{name} must be greater .*, got -1")
            for name in TERMS
        ),
        ("[loss.weights]\nbeauty = 1", "loss.weights must be of position_map, .*, got 'beauty'"),
        ("[loss]\nempty = -1", "loss.empty must be greater than or equal to 0, got -1"),
        (
            "[loss.weights]\n" + "".join(f"{name} = 0\n" for name in TERMS),
            "loss.weights must not all be 0",
        ),
        # renamed
        (
            "calm_steps = 1\nreduced_augmentation_steps = 1",
            "calm_steps is called reduced_aug.*both",
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
        + "[loss]\nempty = 0\n[loss.weights]\n"
        + "".join(f"{name} = 0\n" for name in list(TERMS)[1:])
    )
    config = load_recipe(recipe)
    assert (config.average_decay, config.augment.scale) == (0, (1, 1))


def test_settings_made_in_python_are_checked_too() -> None:
    with pytest.raises(ValueError, match=r"(?s)p_blur.*less than or equal to 1"):
        AugmentConfig(p_blur=2)
    with pytest.raises(ValueError, match=r"(?s)workers.*greater than or equal to 0"):
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
    message = f"prnet: {recipe}: augment.p_noise must be less than or equal to 1, got 7\n"
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


def test_reduced_augmentation_is_milder_but_mirrors_as_before() -> None:
    settings = AugmentConfig(reduction=0.5)
    reduced = settings.reduced()
    for name in (f.name for f in dataclasses.fields(settings)):
        before, after = getattr(settings, name), getattr(reduced, name)
        is_milder = name == "wide_share" or (name.startswith("p_") and name != "p_mirror")
        assert after == (before / 2 if is_milder else before), name


def test_an_old_recipe_still_loads(recipe: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe.write_text(OLD)
    config = load_recipe(recipe)
    assert config.reduced_augmentation_steps == 7
    data, augment = config.data, config.augment
    assert (data.face_crops, data.rotated_share, data.paired_crops) == ("crops", 0.5, 2)
    assert (augment.color, augment.p_gray, augment.reduction) == ((0.5, 1.5), 0.3, 0.2)
    assert list(config.loss.weights.values()) == [2, 3, 4, 5, 6, 7]
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"{recipe}: {old} is called {new} now" for old, new in RENAMED.items()]
    caplog.clear()
    assert build_config(dataclasses.asdict(config)) == config
    assert not caplog.records
