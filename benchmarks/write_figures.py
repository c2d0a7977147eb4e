"""Measured figures → the tables in README.md and MODEL_CARD.md.

    prnet evaluate facekit FACEKIT --out recipes/lite-gpu/figures/facekit
    prnet evaluate robustness FACEKIT --out recipes/lite-gpu/figures/robustness
    python benchmarks/compare_networks.py FACEKIT > recipes/lite-gpu/figures/bench.json
    python benchmarks/write_figures.py [--check]

Only the two metrics.json and bench.json are kept with the recipe. With --check nothing is written,
and the exit code is 1 if a table isn't what the figures say.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FIGURES = REPOSITORY / "recipes/lite-gpu/figures"
NETWORK = REPOSITORY / "src/prnet/assets/lite/network.onnx"
PAPER_PARAMETERS = 13_353_618  # of resfcn256; tests/network/test_resfcn256.py counts them
PAPER_NME = 3.62  # of the authors' weights, by their paper, on AFLW2000-3D
SOURCES = {
    "lfw_": "Labeled Faces in the Wild",
    "utk_": "UTKFace",
    "web_": "Face-Mask-Detection, unmasked",
    "mix_": "facial_expressions and masked faces",
    "cfp_": "Celebrities in Frontal-Profile",
    "ibug_": "AFW and Helen",
}
YAW_BINS = {"yaw_0_30": "yaw 0–30°", "yaw_30_60": "30–60°", "yaw_60_90": "60–90°"}
TAGS = {
    "age_0_12": "age 0–12",
    "age_13_25": "age 13–25",
    "age_26_45": "age 26–45",
    "age_46_65": "age 46–65",
    "age_66_plus": "age 66 and over",
    "gender_male": "male",
    "gender_female": "female",
    "origin_white": "White",
    "origin_black": "Black",
    "origin_asian": "Asian",
    "origin_indian": "Indian",
    "origin_other": "other origin",
}

Metrics = dict[str, float]


def load(name: str) -> Metrics:
    """The metrics of a protocol, by name."""
    metrics: Metrics = json.loads((FIGURES / name / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def draw_table(*rows: tuple[str, ...]) -> str:
    """A table in Markdown; the first row is its head."""
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(metrics: Metrics, name: str) -> str:
    """A figure with two digits, or a dash if it wasn't measured."""
    return f"{metrics[name]:.2f}" if name in metrics else "–"


def count_parameters(path: Path) -> int:
    """How many numbers a network's file holds as weights."""
    import onnx

    kinds = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    return sum(
        math.prod(tensor.dims)
        for tensor in onnx.load(path).graph.initializer
        if tensor.data_type in kinds
    )


def list_weights(facekit: Metrics, bench: dict[str, Metrics]) -> str:
    """The table of the weights to choose from."""
    networks = bench["networks"]
    head = "weights", "parameters", "MB", "ms", "68-point NME", "may be used for"
    lite = (
        "`lite`, in the package",
        f"{count_parameters(NETWORK) / 1e6:.1f} M",
        f"{NETWORK.stat().st_size / 1e6:.1f}",
        f"{networks['model']['median_ms']:.1f}",
        f"{percent(facekit, 'nme68_2d')} %; at 60–90° of yaw "
        f"{percent(facekit, 'rotated_nme68_2d_yaw_60_90')} %",
        "research, non-commercial",
    )
    paper = (
        "the paper's `resfcn256`, by "
        "[`prnet convert`](docs/experiments.md#training-the-papers-network)",
        f"{PAPER_PARAMETERS / 1e6:.1f} M",
        f"{PAPER_PARAMETERS * 4 / 1e6:.1f}",
        f"{networks['resfcn256_random']['median_ms']:.0f}",
        f"{PAPER_NME} % on AFLW2000-3D, say its authors",
        "research",
    )
    return (
        draw_table(head, lite, paper)
        + "\n\nMilliseconds of the network on one CPU thread; errors in % of face size. Those of\n"
        f"`lite` are on the {facekit['count']:.0f} validation photos of the "
        "[facekit](docs/train.md#the-facekit), another data set\nthan AFLW2000-3D: don't compare "
        "them. `benchmarks/write_figures.py` writes this table from\nwhat `prnet evaluate` and "
        "`prnet bench` measured; the [model card](MODEL_CARD.md) has the rest."
    )


def summarise(facekit: Metrics, robustness: Metrics, bench: dict[str, Metrics]) -> str:
    """The table of all that a user asks first."""
    networks = bench["networks"]
    rows = [
        ("68-point NME, original photos", f"{percent(facekit, 'nme68_2d')} %"),
        (
            "rotated in depth to 30–60° of yaw",
            f"{percent(facekit, 'rotated_nme68_2d_yaw_30_60')} %",
        ),
        (
            "rotated in depth to 60–90° of yaw",
            f"{percent(facekit, 'rotated_nme68_2d_yaw_60_90')} %",
        ),
        (
            "in the detector's boxes",
            f"{percent(facekit, 'detected_nme68_2d')} %, "
            f"{facekit['detected_share']:.1f} % of the faces found",
        ),
        ("a third of the face covered", f"{percent(robustness, 'covered_nme68_2d')} %"),
        ("faces of 32 pixels", f"{percent(robustness, 'small_nme68_2d')} %"),
        (
            "shape error against the mean face's own",
            f"{percent(facekit, 'shape_ratio')}, rotated {percent(facekit, 'rotated_shape_ratio')}",
        ),
        *(
            (
                f"opening of {part}, against MediaPipe's reference landmarks'",
                f"correlation {percent(facekit, f'{name}_opening_correlation')}, "
                f"slope {percent(facekit, f'{name}_opening_slope')}",
            )
            for part, name in (("eyes", "eye"), ("mouths", "mouth"))
        ),
        ("landmark jitter under box perturbation of 4 %", f"{percent(robustness, 'jitter')} %"),
        ("flip error", f"{percent(robustness, 'flip_error')} %"),
        (
            "intra-identity shape ratio",
            percent(robustness, "intra_identity_shape_ratio"),
        ),
        ("roughness ratio", percent(robustness, "roughness_ratio")),
        (
            "confidence: area under the ROC curve, faces against none",
            f"{robustness['confidence_auc']:.3f}",
        ),
        (
            "confidence: rank correlation with the error",
            percent(robustness, "confidence_rank_correlation"),
        ),
        (
            "network, one thread of the machine that trained it",
            f"{networks['model']['median_ms']:.1f} ms; 3DDFA_V2's encoder takes "
            f"{networks['mb05_encoder']['ratio']:.2f} times that, the paper's network "
            f"{networks['resfcn256_random']['ratio']:.0f} times",
        ),
        ("network, file", f"{NETWORK.stat().st_size / 1e6:.2f} MB"),
    ]
    count = f"{facekit['count']:.0f}"
    return (
        draw_table(("of `lite`, as shipped", "measured"), *rows)
        + f"\n\nOn the {count} validation photos of the facekit, in % of face size, boxes from "
        "the labels unless said otherwise.\nThe commands are at the top of "
        "`benchmarks/write_figures.py`, which writes this table;\n`docs/experiments.md` defines "
        "each figure."
    )


def detail(facekit: Metrics) -> str:
    """The tables by source, yaw and group."""
    groups = {"": "all photos", **SOURCES, "rotated_": "rotated in depth"}
    accuracy = [
        (
            title,
            f"{facekit[f'{prefix}count']:.0f}",
            percent(facekit, f"{prefix}nme68_2d"),
            percent(facekit, f"{prefix}nme68_2d_median"),
            *(percent(facekit, f"{prefix}nme68_2d_{name}") for name in YAW_BINS),
            percent(facekit, f"{prefix}detected_nme68_2d"),
            percent(facekit, f"{prefix}shape_ratio"),
        )
        for prefix, title in groups.items()
        if f"{prefix}count" in facekit
    ]
    head = "", "photos", "mean", "median", *YAW_BINS.values(), "detector's boxes", "shape ratio"
    tags = [
        (
            title,
            f"{facekit[f'utk_{name}_count']:.0f}",
            percent(facekit, f"utk_{name}_nme68_2d"),
            percent(facekit, f"utk_{name}_shape_ratio"),
        )
        for name, title in TAGS.items()
        if f"utk_{name}_count" in facekit
    ]
    return (
        "68-point NME in % by source and yaw:\n\n"
        + draw_table(head, *accuracy)
        + "\n\nBy UTKFace's own tags (its words):\n\n"
        + draw_table(("", "photos", "68-point NME, %", "shape ratio"), *tags)
    )


def replace(path: Path, content: str) -> str:
    """The document with other content between its marks."""
    marks = "<!-- figures:start -->", "<!-- figures:end -->"
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(f"({re.escape(marks[0])}\n).*?({re.escape(marks[1])})", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{path}: has no lines {marks[0]} and {marks[1]}")
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def main() -> None:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(description="Write the figures into README and MODEL_CARD.")
    parser.add_argument("--check", action="store_true", help="Write nothing, tell if they differ.")
    check = parser.parse_args().check
    facekit, robustness = load("facekit"), load("robustness")
    bench = json.loads((FIGURES / "bench.json").read_text(encoding="utf-8"))
    summary = summarise(facekit, robustness, bench)
    documents = {
        "README.md": list_weights(facekit, bench),
        "MODEL_CARD.md": f"{summary}\n\n{detail(facekit)}",
    }
    stale = []
    for name, content in documents.items():
        path = REPOSITORY / name
        text = replace(path, content)
        if text != path.read_text(encoding="utf-8"):
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"{' and '.join(stale)}: run benchmarks/write_figures.py")


if __name__ == "__main__":
    main()
