"""Settings of the page."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Report:
    """Writes one HTML page from the results on disk: the player, figures, claims and their
    verdicts. Nothing is trained.
    """

    results: Path = Path("results")
    """Folder with the results of the other commands. The page lists the studies that have none."""
    out: Path | None = None
    """File to write, by default report.html in the folder of the results."""
    gallery: Path | None = None
    """Folder for a gallery: every figure as a small PNG, with its command, its duration and the
    numbers to expect.
    """
    quick: bool = False
    """Use the quick results, which are in the folder quick of `results`."""

    @property
    def root(self) -> Path:
        """The folder of the results that are shown."""
        return self.results / "quick" if self.quick else self.results

    @property
    def page(self) -> Path:
        """The file that the page is written to."""
        return self.out or self.root / "report.html"


@dataclasses.dataclass(frozen=True)
class Readme:
    """The tables in README.md and experiments/README.md, written from the results on disk."""

    results: Path = Path("results")
    """Folder that holds the results of the other commands. Where a result is missing, its tables
    keep the numbers that experiments/gallery/numbers.json already has.
    """
    clone: Path = Path(".")
    """Folder of the clone whose documents and numbers.json are written."""
    check: bool = False
    """Write nothing and read no results; exit with status 1 if a table differs from what
    numbers.json says.
    """
