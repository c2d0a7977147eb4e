"""Functions compiled by numba, whose cache is a help and never a need.

Numba is imported with the first call: that takes longer than many a command does without it.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_parts: list[Callable[..., Any]] = []  # that numba hasn't been told of yet


def compiled_part(function: F) -> F:
    """Compile a function that only compiled ones call, with these."""
    _parts.append(function)
    return function


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function when it is first called; it lets other threads run meanwhile.

    The machine code is kept on disk for the next process. Where that fails (numba finds no folder
    to write to, the disk is full, a file in it is damaged), it is compiled without.
    """

    @cache
    def dispatcher(is_cached: bool) -> Callable[..., Any]:
        """Numba's own function."""
        import numba
        from numba.extending import register_jitable

        while _parts:
            register_jitable(_parts.pop())
        return numba.njit(cache=is_cached, nogil=True)(function)

    is_cached = True

    @wraps(function)
    def call(*arguments: Any) -> Any:  # noqa: ANN401
        nonlocal is_cached
        if is_cached:
            try:
                return dispatcher(True)(*arguments)
            except Exception:  # numba's cache raises whatever stopped it
                is_cached = False
        return dispatcher(False)(*arguments)

    return call
