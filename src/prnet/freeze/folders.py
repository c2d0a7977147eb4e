"""Where PyInstaller looks for hooks: it asks the entry point `pyinstaller40`."""

from pathlib import Path


def hook_folders() -> list[str]:
    """Where PyInstaller finds prnet's hook."""
    return [str(Path(__file__).parent)]
