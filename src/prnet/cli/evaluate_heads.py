"""`prnet evaluate heads`."""

from prnet.cli.protocol import facekit_command

HELP = "Heads of photos: how near they are to the network's faces, and their skin without a seam."
EXAMPLES = (
    "prnet evaluate heads ../shared/facekit",
    "prnet evaluate heads facekit/ --model runs/lite/model",
)

run = facekit_command("heads")
