"""Several processes of `jax.distributed` in step: what one of them learns, all learn before they go on.

Each step of a sweep runs as `team.in_step(action)`. It ends with one collective in which every process says whether its own
action failed, and all raise the same error if any did. So every process takes part in the same sequence of collectives,
whatever happens in one of them, and also in the next sweep after an error was caught. With one process nothing is added.
"""

import builtins
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxreg._sweep.store import SweepMismatchError, as_bytes
from jaxreg._sweep.watching import LeaveAtOnce, Watch

REPORT_BYTES = 8192
MESSAGE_CHARACTERS = 1200
"""So much of a message is passed on that the report holds it also where JSON writes six bytes a character."""

T = TypeVar("T")


class Team:
    """The processes of one sweep.

    Args:
        watch: waits for collectives, so that a second Ctrl-C still ends the sweep.
    """

    def __init__(self, watch: Watch):
        self.watch = watch
        self.several = jax.process_count() > 1

    def in_step(self, action: Callable[[], T]) -> T:
        """Runs an action in every process; returns what it returned here, once it has ended well in all of them.

        Raises:
            BaseException: the first error, with the same type and message in every process.
        """
        return self.share_outcome(action)[0]

    def from_first_process(self, action: Callable[[], Any]) -> Any:
        """Runs an action in the first process alone; returns its value, which JSON can hold, in every process."""
        _, values = self.share_outcome(action if jax.process_index() == 0 else lambda: None, report=lambda value: value)
        return values[0]

    def require_same(self, text: str) -> None:
        """Raises a ValueError in every process where they were given different sweeps."""
        _, values = self.share_outcome(lambda: text, report=lambda value: value)
        if len(set(values)) > 1:
            raise ValueError(
                "sweep: the processes were given different sweeps (another fit, data, hyperparameters or options); "
                "run the same script in each"
            )

    def share_outcome(self, action: Callable[[], T], report: Callable[[T], Any] = lambda _: None) -> tuple[Any, list[Any]]:
        """Runs an action and shares its outcome: its value, and every process's report of it."""
        if not self.several:
            alone = action()
            return alone, [report(alone)]
        value: Any = None
        failure: BaseException | None = None
        try:
            value = action()
        except LeaveAtOnce:
            raise
        except BaseException as error:
            failure = error
        own = {"error": described(failure)} if failure is not None else {"value": report(value)}
        reports = [json.loads(bytes(row).rstrip(b"\0")) for row in self.gather(padded(own))]
        errors = [(number, found["error"]) for number, found in enumerate(reports) if "error" in found]
        if errors:
            number, found = min(errors, key=lambda pair: (pair[1]["type"] == "KeyboardInterrupt", pair[0]))
            if failure is not None and number == jax.process_index():
                raise failure
            raise rebuilt(number, found)
        return value, [found["value"] for found in reports]

    def gather(self, content: np.ndarray) -> np.ndarray:
        """The bytes of every process, (processes, bytes); all must give equally many."""
        return self.watch.wait(lambda: np.asarray(multihost_utils.process_allgather(content)), computing=False)

    def exchange(self, leaves: list[np.ndarray], places: np.ndarray, counts: list[int]) -> list[np.ndarray]:
        """The rows of all processes in order.

        Args:
            leaves: this process's rows, leaf by leaf. places: where they belong. counts: rows of each process.
        """
        if not self.several:
            return [leaf[np.argsort(places)] for leaf in leaves]
        most = max(counts)
        every = self.rows_of_all([places.astype(np.int64)], most, counts)[0]
        order = np.argsort(every)
        return [leaf[order] for leaf in self.rows_of_all(leaves, most, counts)]

    def rows_of_all(self, leaves: list[np.ndarray], most: int, counts: list[int]) -> list[np.ndarray]:
        """Each process's rows one after another; sent as bytes, which no setting of JAX converts."""
        found = []
        for leaf in leaves:
            sent = np.zeros((most, *leaf.shape[1:]), leaf.dtype)
            sent[: len(leaf)] = leaf
            rows = self.gather(as_bytes(sent))
            parts = [np.frombuffer(row.tobytes(), leaf.dtype).reshape(sent.shape) for row in rows]
            found.append(np.concatenate([part[:count] for part, count in zip(parts, counts, strict=True)]))
        return found

    def broadcast_from_first_process(self, leaves: list[np.ndarray]) -> list[np.ndarray]:
        """The first process's arrays in every process, which must have arrays of the same shapes."""
        if not self.several:
            return leaves
        return [
            np.frombuffer(self.gather(as_bytes(leaf))[0].tobytes(), leaf.dtype).reshape(leaf.shape).copy() for leaf in leaves
        ]


def padded(report: dict[str, Any]) -> np.ndarray:
    """A report as bytes of one fixed length."""
    content = json.dumps(report).encode()
    assert len(content) <= REPORT_BYTES, report
    return np.frombuffer(content.ljust(REPORT_BYTES, b"\0"), np.uint8)


def described(error: BaseException) -> dict[str, Any]:
    """An error as JSON can hold it."""
    kind = next(base.__name__ for base in type(error).__mro__ if base is SweepMismatchError or known(base.__name__) is base)
    fields: dict[str, Any] = {"type": kind, "name": type(error).__name__, "message": str(error)[:MESSAGE_CHARACTERS]}
    if isinstance(error, OSError) and error.errno is not None:
        filename = None if error.filename is None else str(error.filename)[:200]
        fields |= {"errno": error.errno, "strerror": str(error.strerror)[: MESSAGE_CHARACTERS - 200], "filename": filename}
        del fields["message"]
    return fields


def known(name: str) -> Any:
    """The exception of that name which every process has."""
    return SweepMismatchError if name == "SweepMismatchError" else getattr(builtins, name, None)


def rebuilt(process: int, fields: dict[str, Any]) -> BaseException:
    """Another process's error, with its type where Python or jaxreg defines it."""
    if "errno" in fields:
        return OSError(fields["errno"], fields["strerror"], fields["filename"])
    if fields["type"] == fields["name"]:
        try:
            return known(fields["type"])(fields["message"])
        except TypeError:
            pass
    return RuntimeError(f"{fields['name']} in process {process}: {fields['message']}")
