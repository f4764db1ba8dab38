"""A cache for work that many ask for in the same moment, such as a class that chooses one preset."""

import threading
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import TypeVar

Result = TypeVar("Result")


def computed_once(maxsize: int) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Like functools.lru_cache, but whoever asks for what is being computed waits for it.

    lru_cache lets all of them compute it, each in a thread of its own and all on the same cores: thirty at
    once, for what one needs a third of a second, wait ten seconds. Arguments must be hashable and positional.
    """

    def decorate(compute: Callable[..., Result]) -> Callable[..., Result]:
        cached = lru_cache(maxsize)(compute)
        lock_of = lru_cache(maxsize)(lambda *arguments: threading.Lock())

        @wraps(compute)
        def ask(*arguments: Hashable) -> Result:
            with lock_of(*arguments):
                return cached(*arguments)

        ask.cache_clear = cached.cache_clear
        return ask

    return decorate
