"""Results on the disk under ids that can't be guessed: bounded, expiring, gone in the end.

A store is a folder of prnet's own, locked while a service uses it. One without a name lies among
the system's temporary files; the next service to start removes what a killed one left there.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prnet.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "prnet-serve-"
MARKER = ".prnet-store"  # by this file a folder is known as a store, and locked
RECORD = "result.json"
ID = re.compile(r"[A-Za-z0-9_-]{32}")
ID_BYTES = 24
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass
class Entry:
    """A result.

    Attributes:
        size: Bytes of its files.
        made: When, seconds since the epoch.
        names: Of its files.
    """

    size: int
    made: float
    names: frozenset[str] = field(default_factory=frozenset)


class Store:
    """Results by id; may be used by several threads at once.

    Attributes:
        folder: Where they lie, for its owner alone.
    """

    folder: Path

    def __init__(
        self, folder: Path | None, most_bytes: int, seconds: float, keep: bool = False
    ) -> None:
        """Say what the store is like; `open` opens it.

        Args:
            folder: Made if it is missing; empty, or a store. None for a temporary one.
            most_bytes: Of all results; the oldest make room.
            seconds: How long a result is kept.
            keep: Leave the results there in the end, and take up those that are there now.
        """
        self.most_bytes, self.seconds, self.keep = most_bytes, seconds, keep
        self._wanted = folder
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def open(self) -> None:
        """Lock the store, and clean it of what expired or was left half written.

        Raises:
            OutputError: The folder holds anything else, is in use, or can't be written.
        """
        folder = self._wanted
        try:
            if folder is None:
                remove_leftovers(Path(tempfile.gettempdir()))
                folder = Path(tempfile.mkdtemp(prefix=PREFIX))
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            marker = folder / MARKER
            if not marker.exists() and any(folder.iterdir()):
                raise OutputError(f"{folder}: not a store of prnet's; name an empty or new folder")
            self._handle = os.open(marker, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutputError(f"{folder}: can't be the store ({error.strerror})") from error
        self.folder = folder
        if not _lock(self._handle):
            os.close(self._handle)
            raise OutputError(f"{folder}: in use by another prnet serve")
        self._take_up()

    @staticmethod
    def new_id() -> str:
        """An id that nobody can guess."""
        return secrets.token_urlsafe(ID_BYTES)

    def put(self, own: str, contents: Mapping[str, bytes]) -> None:
        """Keep files together.

        Args:
            own: Their id, a new one.
            contents: By name; RECORD among them.

        Raises:
            OutputError: They are more than the store may hold, or can't be written.
        """
        size = sum(map(len, contents.values()))
        if size > self.most_bytes:
            raise OutputError(
                f"the results are {size / 1e6:.0f} MB, and the store holds "
                f"{self.most_bytes / 1e6:.0f}; ask for fewer faces or formats"
            )
        wrong = [name for name in contents if not NAME.fullmatch(name)]
        if wrong or RECORD not in contents:
            raise ValueError(f"names must be plain and {RECORD} among them, got {list(contents)}")
        with self._lock:
            self._make_room(size)
            self._entries[own] = Entry(size, time.time())
        place, aside = self.folder / own, self.folder / f".{own}"
        try:
            aside.mkdir(mode=0o700)
            for name, content in contents.items():
                (aside / name).write_bytes(content)
            aside.rename(place)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            with self._lock:
                self._entries.pop(own, None)
            raise OutputError(f"{self.folder}: can't write there ({error.strerror})") from error
        with self._lock:
            if own in self._entries:
                self._entries[own].names = frozenset(contents)
            else:  # it had to make room meanwhile
                shutil.rmtree(place, ignore_errors=True)

    def find(self, own: str, name: str) -> Path | None:
        """The path of a file; None if there is none by that id and name, or it has expired."""
        with self._lock:
            self._expire()
            entry = self._entries.get(own)
            return self.folder / own / name if entry and name in entry.names else None

    def remove(self, own: str) -> bool:
        """Delete a result; false if there is none."""
        with self._lock:
            return self._drop(own)

    def sweep(self) -> None:
        """Delete what has expired."""
        with self._lock:
            self._expire()

    @property
    def size(self) -> int:
        """Bytes of all results."""
        with self._lock:
            return sum(entry.size for entry in self._entries.values())

    def close(self) -> None:
        """Delete everything, unless it is to be kept, and let go of the folder."""
        if not self.keep:
            with self._lock:
                for own in list(self._entries):
                    self._drop(own)
            (self.folder / MARKER).unlink(missing_ok=True)
            if self._wanted is None:
                shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._handle)

    def _take_up(self) -> None:
        """Find what an earlier service left: whole results if they are kept, else nothing."""
        for path in self.folder.iterdir():
            if path.name == MARKER:
                continue
            if not (path.is_dir() and not path.is_symlink() and _is_own(path.name)):
                raise OutputError(f"{path}: not of prnet's, but in its store; move it away")
            if self.keep and ID.fullmatch(path.name):
                with contextlib.suppress(OSError, ValueError):
                    json.loads((path / RECORD).read_bytes())
                    sizes = {each.name: each.stat().st_size for each in path.iterdir()}
                    made = path.stat().st_mtime
                    self._entries[path.name] = Entry(sum(sizes.values()), made, frozenset(sizes))
                    continue
            shutil.rmtree(path, ignore_errors=True)
        self._entries = dict(sorted(self._entries.items(), key=lambda each: each[1].made))
        self._expire()
        self._make_room(0)

    def _expire(self) -> None:
        """Delete what is too old; entries stand in the order of their making."""
        oldest = time.time() - self.seconds
        for own in [own for own, entry in self._entries.items() if entry.made < oldest]:
            self._drop(own)

    def _make_room(self, size: int) -> None:
        """Delete the oldest until so many bytes fit."""
        total = size + sum(entry.size for entry in self._entries.values())
        for own in list(self._entries):
            if total <= self.most_bytes:
                break
            total -= self._entries[own].size
            self._drop(own)

    def _drop(self, own: str) -> bool:
        """Delete a result."""
        if self._entries.pop(own, None) is None:
            return False
        shutil.rmtree(self.folder / own, ignore_errors=True)
        return True


def remove_leftovers(parent: Path) -> None:
    """Delete the temporary stores of services that were killed."""
    for folder in _stores_in(parent):
        try:
            handle = os.open(folder / MARKER, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            continue
        try:
            if _lock(handle):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def _stores_in(parent: Path) -> Iterator[Path]:
    """Temporary stores of this user's."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            is_mine = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
            if is_mine and folder.is_dir() and not folder.is_symlink():
                yield folder


def _is_own(name: str) -> bool:
    """Whether a store gives such names, to whole results or half written ones."""
    return ID.fullmatch(name.removeprefix(".")) is not None


def _lock(handle: int) -> bool:
    """Lock a file for this process; false if another has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
