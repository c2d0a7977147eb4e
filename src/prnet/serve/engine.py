"""Photos → faces off the event loop: decoding on threads, the network for several at a time."""

import asyncio
import io
import math
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple, TypeVar

from prnet.errors import ImageReadError
from prnet.face import Face
from prnet.image.read import read_image
from prnet.model.model import MAX_BATCH
from prnet.reconstructor import Found, Reconstructor
from prnet.serve.limits import MOST_JPEG_SCANS, PHOTO_FORMATS, Limits

T = TypeVar("T")
JPEG_SCAN = b"\xff\xda"  # can't occur in a scan's own data


class _Job(NamedTuple):
    """A photo that waits for the network."""

    found: Found
    max_faces: int | None
    done: "Future[list[Face]]"


class Engine:
    """Reconstructs photos for many callers at once.

    Attributes:
        on_batch: Called with the number of photos that the network saw together.
    """

    def __init__(self, reconstructor: Reconstructor, limits: Limits) -> None:
        """Take what it works with; `start` starts it.

        Args:
            reconstructor: Its network should have one thread: photos are what runs side by side.
            limits: How large photos may be, and how many are in work at once.
        """
        self._reconstructor = reconstructor
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.threads, "prnet-photo")
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._network = threading.Thread(target=self._run_network, name="prnet-network")
        self.on_batch: Callable[[int], None] = lambda _: None

    def start(self) -> None:
        """Start the network's thread."""
        self._network.start()

    async def faces(
        self, content: bytes, boxes: Sequence[Sequence[float]] | None, max_faces: int
    ) -> tuple[Found, list[Face]]:
        """Find and reconstruct the faces of a photo.

        Args:
            content: The photo's file.
            boxes: See `Reconstructor`; None for the detector.
            max_faces: At most so many.

        Returns:
            The photo and its faces, best first.

        Raises:
            ImageReadError: Not a photo, of a format that isn't taken, or too large.
            ValueError: A box isn't right.
        """
        found = await self.run(self._find, content, boxes)
        job = _Job(found, max_faces, Future())
        self._jobs.put(job)
        return found, await asyncio.wrap_future(job.done)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run something on one of the photos' threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, function, *arguments)

    def close(self) -> None:
        """End the threads, once what they do is done."""
        self._pool.shutdown(cancel_futures=True)
        self._jobs.put(None)
        self._network.join()

    def _find(self, content: bytes, boxes: Sequence[Sequence[float]] | None) -> Found:
        """Decode a photo and detect its faces, of which the largest go on."""
        if content.count(JPEG_SCAN) > MOST_JPEG_SCANS:
            raise ImageReadError("the photo: a JPEG of too many scans")
        photo = read_image(io.BytesIO(content), self._limits.pixels, PHOTO_FORMATS)
        # a box may lack its angle
        whole = None if boxes is None else [(*box, math.nan)[:5] for box in boxes]
        found = self._reconstructor.find(photo, whole)
        scores = None if found.scores is None else found.scores[: self._limits.faces]
        return replace(found, boxes=found.boxes[: self._limits.faces], scores=scores)

    def _run_network(self) -> None:
        """Take the photos that wait, about a batch of faces at a time, until the end."""
        while (job := self._jobs.get()) is not None:
            batch, is_last = [job], False
            while sum(len(each.found.boxes) for each in batch) < MAX_BATCH:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    is_last = True
                    break
                batch.append(following)
            # whoever doesn't wait any more is left out
            wanted = [each for each in batch if each.done.set_running_or_notify_cancel()]
            if wanted:
                self.on_batch(len(wanted))
                self._reconstruct(wanted)
            if is_last:
                return

    def _reconstruct(self, jobs: Sequence[_Job]) -> None:
        """Reconstruct photos together; if that fails, each alone, so that only its own fails."""
        try:
            results = self._reconstructor.reconstruct([job.found for job in jobs])
        except Exception as error:  # whoever waits has to hear of any
            if len(jobs) == 1:
                jobs[0].done.set_exception(error)
                return
            for job in jobs:
                self._reconstruct([job])
            return
        for job, faces in zip(jobs, results, strict=True):
            job.done.set_result(faces[: job.max_faces])
