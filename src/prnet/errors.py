"""The errors that prnet raises for bad files; wrong arguments are plain ValueErrors."""


class PRNetError(Exception):
    """Something from outside is wrong; the message names the file and says what to do."""


class ImageReadError(PRNetError):
    """A photo is missing, truncated, or not a photo."""


class VideoReadError(PRNetError):
    """A video is missing, damaged from its beginning, or not a video."""


class ModelFileError(PRNetError):
    """A model folder is incomplete, or its network and atlas don't belong together."""


class LabelError(PRNetError):
    """A data set, label file or face model is missing or not in its documented format."""


class RecipeError(PRNetError):
    """A training recipe has unknown, missing or impossible settings."""


class TrainingError(PRNetError):
    """A training run can't go on."""


class OutputError(PRNetError):
    """A result can't be written where it was asked for."""
