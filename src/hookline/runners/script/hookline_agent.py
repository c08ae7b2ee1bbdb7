"""What a script may ask of and tell to the agent that runs it. Importable in every script as ``hookline_agent``."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

_MOST_RESULT_BYTES = 4 * 1024 * 1024
_channel = int(os.environ.get("HOOKLINE_CHANNEL", "-1"))


def get_argument() -> Any:
    """Return what the agent was launched with, or its default argument; None when there is neither."""
    try:
        with open(os.environ["HOOKLINE_ARGUMENT"], encoding="utf-8") as file:  # noqa: PTH123
            return json.load(file)
    except (KeyError, FileNotFoundError):
        return None


def set_result_object(value: Any) -> None:
    """Set the run's result: any JSON value. The last one counts, and only if the script ends with exit code 0.

    Raises TypeError or ValueError for what JSON cannot hold, and for more than 4 MiB.
    """
    # Encoding refuses halves of surrogates, which no receiver could read.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    if len(text) > _MOST_RESULT_BYTES:
        raise ValueError(f"a result object may have {_MOST_RESULT_BYTES} bytes, got {len(text)}")
    _tell(b'{"result":' + text + b"}")


def progress_hint(progress: float, label: str = "") -> None:
    """Tell how far the script has come. progress: 0.0 to 1.0.  label: shown beside it."""
    done = min(max(0.0, float(progress)), 1.0)
    shown = str(label)[:1000].encode("utf-8", "replace").decode()
    _tell(json.dumps({"progress": {"percent": round(done * 100, 2), "label": shown}}).encode())


def get_time_left() -> float:
    """Return the seconds until the run is ended for taking too long."""
    return max(0.0, float(os.environ.get("HOOKLINE_DEADLINE", "inf")) - time.time())


def artifacts_dir() -> Path:
    """Return the folder whose files are kept when the run has ended, however it ended: 64 at most, none below it."""
    return Path(os.environ["HOOKLINE_ARTIFACTS"])


def _tell(line: bytes) -> None:
    data = line + b"\n"
    while data:
        data = data[os.write(_channel, data) :]
