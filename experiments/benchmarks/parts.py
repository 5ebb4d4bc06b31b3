"""Results of a long benchmark's parts, kept on disk, so that an interrupted run goes on where it
was.

parts = Parts(Path("results/bench/linear.json"), dataclasses.asdict(config)) row =
parts.get("lasso", compute)         # calls `compute` unless an earlier run with these settings did
parts.discard()
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.results.disk import write_whole
from experiments.results.store import versions


class Parts:
    """The finished parts of one benchmark, in a file beside its results, for one set of settings
    and package versions.
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.path = out.with_name(f"{out.name}.parts")
        self.settings = json.loads(json.dumps({**settings, "versions": versions()}, default=str))
        self.finished: dict[str, Any] = {}
        if self.path.exists():
            saved = json.loads(self.path.read_text("utf-8"))
            if saved["settings"] == self.settings:
                self.finished = saved["finished"]
        self.earlier = sum(part["seconds"] for part in self.finished.values())
        """Seconds that earlier runs took for the parts they finished."""

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """The result called `name`, which must be valid JSON: that of an earlier run, or of
        `compute`, which is saved.
        """
        if name not in self.finished:
            began = time.perf_counter()
            result = json.loads(json.dumps(compute()))
            self.finished[name] = {"result": result, "seconds": time.perf_counter() - began}
            write_whole(
                self.path,
                json.dumps({"settings": self.settings, "finished": self.finished}, indent=2) + "\n",
            )
        return self.finished[name]["result"]

    def discard(self) -> None:
        """Removes the file."""
        self.path.unlink(missing_ok=True)
