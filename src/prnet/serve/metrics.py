"""What the service counts, as Prometheus reads it."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
MEMORY = 0.1  # the share of the latest photo in the running mean of their times


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter(
            "prnet_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "prnet_request_seconds", "From a request's head to its answer.", ["route"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.requests_here = Gauge(
            "prnet_requests_here", "Read, waiting or in work.", registry=registry
        )
        self.faces = Counter("prnet_faces", "Faces reconstructed.", registry=registry)
        self.batch = Histogram(
            "prnet_batch_photos", "Photos the network saw at a time.", buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )  # fmt: skip
        self.store_bytes = Gauge("prnet_store_bytes", "Of the results kept.", registry=registry)
        self._mean_seconds = 0.1

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        known = method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def took(self, seconds: float) -> None:
        """Remember how long a photo waited and was in work."""
        self._mean_seconds += MEMORY * (seconds - self._mean_seconds)

    def expected_wait(self) -> int:
        """Seconds after which a refused request may be worth sending again."""
        return min(max(math.ceil(self._mean_seconds), 1), 60)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
