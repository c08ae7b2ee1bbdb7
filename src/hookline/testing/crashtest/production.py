"""The producer of a crash test as its conductor sees it: how far it is, and how far it may go."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from hookline.testing.processes import ProcessFailedError

if TYPE_CHECKING:
    from hookline.testing.processes import PythonProcess


class Production:
    """process: a producer that was told its plan.  events: how many the plan has."""

    def __init__(self, process: PythonProcess, events: int) -> None:
        self.done = 0
        self._process = process
        self._events = events
        self._listening = threading.Thread(target=self._listen, name="progress", daemon=True)
        self._listening.start()

    def __repr__(self) -> str:
        return f"Production(done={self.done} of {self._events})"

    @property
    def is_over(self) -> bool:
        return self._process.exit_code is not None

    def allow(self, share: float) -> None:
        """Let it go so far: else it would be done before the last faults."""
        with suppress(BrokenPipeError):  # it is done already
            self._process.tell({"upto": int(share * self._events)})

    def has_reached(self, share: float) -> bool:
        return self.done >= int(share * self._events)

    def finish(self) -> None:
        """Wait until all is done. Raises ProcessFailedError."""
        self._listening.join()
        if self._process.wait() != 0:
            raise ProcessFailedError(f"the producer failed: {self._process.last_words()}")

    def _listen(self) -> None:
        try:
            while self.done < self._events:
                self.done = int(self._process.told()["done"])
        except ProcessFailedError:
            return  # its exit code tells
