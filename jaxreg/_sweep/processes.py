"""Keeps several processes of `jax.distributed` in step: an error in one of them is raised in all.

Each step of a sweep runs as `team.in_step(action)`. It ends with one collective in which every
process reports whether its action failed, and all raise the same error if any did. So all processes
take part in the same sequence of collectives, whatever happens in one of them, also in the next
sweep after an error was caught. A single process needs no collectives.
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
"""Messages are cut to this length, so that the report has room for them even if JSON needs six
bytes per character.
"""

T = TypeVar("T")


class Team:
    """The processes of one sweep.

    Args:
        watch: waits for collectives, so that a second Ctrl-C can end the sweep meanwhile.
    """

    def __init__(self, watch: Watch):
        self.watch = watch
        self.several = jax.process_count() > 1

    def in_step(self, action: Callable[[], T]) -> T:
        """Runs an action in every process and returns its value here, once it has succeeded in all
        of them.

        Raises:
            BaseException: the first error, with the same type and message in every process.
        """
        return self.share_outcome(action)[0]

    def from_first_process(self, action: Callable[[], Any]) -> Any:
        """Runs an action in the first process only and returns its value, which JSON can represent,
        in every process.
        """
        _, values = self.share_outcome(
            action if jax.process_index() == 0 else lambda: None, report=lambda value: value
        )
        return values[0]

    def require_same(self, text: str) -> None:
        """Raises a ValueError in every process if they were given different sweeps."""
        _, values = self.share_outcome(lambda: text, report=lambda value: value)
        if len(set(values)) > 1:
            raise ValueError(
                "sweep: the processes were given different sweeps (another fit, data, "
                "hyperparameters or options); "
                "run the same script in each"
            )

    def share_outcome(
        self, action: Callable[[], T], report: Callable[[T], Any] = lambda _: None
    ) -> tuple[Any, list[Any]]:
        """Runs an action in every process; returns its value here and the reports of all processes
        on their values.
        """
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
        errors = [
            (number, found["error"]) for number, found in enumerate(reports) if "error" in found
        ]
        if errors:
            number, found = min(
                errors, key=lambda pair: (pair[1]["type"] == "KeyboardInterrupt", pair[0])
            )
            if failure is not None and number == jax.process_index():
                raise failure
            raise rebuilt(number, found)
        return value, [found["value"] for found in reports]

    def gather(self, content: np.ndarray) -> np.ndarray:
        """Gathers bytes from every process, equally many from each: (processes, bytes)."""
        return self.watch.wait(
            lambda: np.asarray(multihost_utils.process_allgather(content)), computing=False
        )

    def exchange(
        self, leaves: list[np.ndarray], places: np.ndarray, counts: list[int]
    ) -> list[np.ndarray]:
        """Gathers the rows of all processes in order.

        Args:
            leaves: the rows of this process, for each leaf.
            places: the positions of these rows.
            counts: the number of rows of each process.
        """
        if not self.several:
            return [leaf[np.argsort(places)] for leaf in leaves]
        most = max(counts)
        every = self.rows_of_all([places.astype(np.int64)], most, counts)[0]
        order = np.argsort(every)
        return [leaf[order] for leaf in self.rows_of_all(leaves, most, counts)]

    def rows_of_all(
        self, leaves: list[np.ndarray], most: int, counts: list[int]
    ) -> list[np.ndarray]:
        """Concatenates the rows of all processes; they are sent as bytes, which no setting of JAX
        converts.
        """
        found = []
        for leaf in leaves:
            sent = np.zeros((most, *leaf.shape[1:]), leaf.dtype)
            sent[: len(leaf)] = leaf
            rows = self.gather(as_bytes(sent))
            parts = [np.frombuffer(row.tobytes(), leaf.dtype).reshape(sent.shape) for row in rows]
            found.append(
                np.concatenate([part[:count] for part, count in zip(parts, counts, strict=True)])
            )
        return found

    def broadcast_from_first_process(self, leaves: list[np.ndarray]) -> list[np.ndarray]:
        """Returns the arrays of the first process in every process; all must have arrays of the
        same shapes.
        """
        if not self.several:
            return leaves
        return [
            np.frombuffer(self.gather(as_bytes(leaf))[0].tobytes(), leaf.dtype)
            .reshape(leaf.shape)
            .copy()
            for leaf in leaves
        ]


def padded(report: dict[str, Any]) -> np.ndarray:
    """Encodes a report as a fixed number of bytes."""
    content = json.dumps(report).encode()
    assert len(content) <= REPORT_BYTES, report
    return np.frombuffer(content.ljust(REPORT_BYTES, b"\0"), np.uint8)


def described(error: BaseException) -> dict[str, Any]:
    """Converts an error to what JSON can represent."""
    kind = next(
        base.__name__
        for base in type(error).__mro__
        if base is SweepMismatchError or known(base.__name__) is base
    )
    fields: dict[str, Any] = {
        "type": kind,
        "name": type(error).__name__,
        "message": str(error)[:MESSAGE_CHARACTERS],
    }
    if isinstance(error, OSError) and error.errno is not None:
        filename = None if error.filename is None else str(error.filename)[:200]
        fields |= {
            "errno": error.errno,
            "strerror": str(error.strerror)[: MESSAGE_CHARACTERS - 200],
            "filename": filename,
        }
        del fields["message"]
    return fields


def known(name: str) -> Any:
    """Returns the exception of that name, if it is built in or jaxreg's own."""
    return SweepMismatchError if name == "SweepMismatchError" else getattr(builtins, name, None)


def rebuilt(process: int, fields: dict[str, Any]) -> BaseException:
    """Recreates an error of another process, with its type if that is built in or jaxreg's own."""
    if "errno" in fields:
        return OSError(fields["errno"], fields["strerror"], fields["filename"])
    if fields["type"] == fields["name"]:
        try:
            return known(fields["type"])(fields["message"])
        except TypeError:
            pass
    return RuntimeError(f"{fields['name']} in process {process}: {fields['message']}")
