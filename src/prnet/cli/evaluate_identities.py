"""`prnet evaluate identities`."""

from prnet.cli.protocol import facekit_command

HELP = "Shape on warped photos and rendered heads of people whose shape is known exactly."
EXAMPLES = (
    "prnet evaluate identities ../shared/facekit",
    "prnet evaluate identities facekit/ --model runs/lite/model --limit 30",
)

run = facekit_command("identities")
