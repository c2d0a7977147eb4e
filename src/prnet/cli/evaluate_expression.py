"""`prnet evaluate expression`."""

from prnet.cli.protocol import facekit_command

HELP = "Expression weights against human points and MediaPipe's scores, on AFW and Helen."
EXAMPLES = (
    "prnet evaluate expression ../shared/facekit",
    "prnet evaluate expression facekit/ --model runs/lite/model",
)

run = facekit_command("expression")
