"""`prnet evaluate ibug`."""

from prnet.cli.protocol import facekit_command

HELP = "Landmarks and openings against points that humans set, on AFW and Helen."
EXAMPLES = (
    "prnet evaluate ibug ../shared/facekit",
    "prnet evaluate ibug facekit/ --model runs/lite/model",
)

run = facekit_command("ibug")
