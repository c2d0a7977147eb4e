"""`prnet align`: faces cut out upright."""

import json
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.options import MIN_SCORE, ModelOption, ThreadsOption
from prnet.cli.photos import expand_all

FORMAT = "prnet aligned faces 1"

HELP = """\
Cut faces out upright by their landmarks, as recognisers and generators want them.

Writes <name>_aligned.png, <name>_face2_aligned.png, … and <name>_aligned.json with the 5 and the 68
points in the crop and the matrix photo → crop (2×3, pixel centres at integers).
"""
EXAMPLES = (
    "prnet align photo.jpg -o out",
    "prnet align photos/ -o out --template ffhq --size 512 --recursive",
)


def run(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO|FOLDER…", help="Photos, or folders of photos.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the crops; made if missing."),
    ],
    template: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="arcface: five points as InsightFace has them; ffhq: all of the head; 2d: the 68 "
            "points nearest to the mean face's.",
        ),
    ] = "arcface",
    size: Annotated[
        int, typer.Option(min=16, max=4096, metavar="PX", help="Side of the crops.")
    ] = 256,
    max_faces: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most N faces a photo, the best.")
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Also the photos of folders in folders.")
    ] = False,
    model: ModelOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Do one photo after the other; a bad one stops no other."""
    from prnet.apps.align import TEMPLATES, align_face
    from prnet.apps.inputs import identity_of, is_of, name_results, without_results
    from prnet.apps.outputs import check_output
    from prnet.apps.pictures import encode_picture
    from prnet.apps.records import load_object
    from prnet.cli.terminal import FAILED, counted, report, say
    from prnet.errors import OutputError
    from prnet.files import make_folder, write_files
    from prnet.progress import progress_bar
    from prnet.reconstructor import Reconstructor

    if template not in TEMPLATES:
        raise typer.BadParameter(
            f"{template!r} is none of {', '.join(TEMPLATES)}", param_hint="--template"
        )
    found, failures = expand_all(photos, recursive)
    kept = without_results(found)
    reconstructor = Reconstructor(model, threads=threads)
    make_folder(out)

    def may_have(photo: Path, name: str) -> bool:
        record = load_object(out / f"{name}_aligned.json", FORMAT)
        return record is None or is_of(record, photo, out)

    names = name_results(kept, may_have)
    with progress_bar("Aligning", is_shown=len(names) > 1) as progress:
        for done, (photo, name) in enumerate(names.items()):
            progress(done, len(names))
            try:
                contents: dict[Path, bytes] = {}
                described = []
                faces = [each for each in reconstructor(photo) if each.score >= MIN_SCORE]
                for number, face in enumerate(faces[:max_faces], 1):
                    begin = name if number == 1 else f"{name}_face{number}"
                    path = out / f"{begin}_aligned.png"
                    check_output(path, [".png"], names)
                    aligned = align_face(face, template, size)
                    contents[path] = encode_picture(aligned.crop)
                    described.append({"crop": path.name, **aligned.to_record()})
                record = {"format": FORMAT, **identity_of(photo, out), "template": template}
                path = out / f"{name}_aligned.json"
                if path.exists() and load_object(path, FORMAT) is None:
                    raise OutputError(f"{path}: is there, and prnet didn't write it")
                text = json.dumps(record | {"faces": described}, indent=1)
                write_files({**contents, path: text.encode()})
                say(f"{photo}: {counted(len(contents), 'face')} → {out}")
            except Exception as error:  # whatever one photo raises, the others are done
                failures += 1
                report(error, str(photo))
    if failures:
        raise typer.Exit(FAILED)
