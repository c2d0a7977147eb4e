"""`prnet evaluate robustness`."""

from prnet.cli.protocol import facekit_command

HELP = "Covered, small, shifted and mirrored faces, and what is none; smoothness and likeness."
EXAMPLES = (
    "prnet evaluate robustness ../shared/facekit",
    "prnet evaluate robustness facekit/ --model runs/lite/model --limit 100",
)

run = facekit_command("robustness")
