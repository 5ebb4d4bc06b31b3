"""Settings of the page."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Report:
    """One page from what is on disk, whole in itself: the player, figures, claims with their verdicts, and baselines."""

    results: Path = Path("results")
    """Folder that holds the results of the other commands; what is missing in it is named on the page."""
    out: Path | None = None
    """The page; by default report.html in the folder of the results."""
    gallery: Path | None = None
    """Folder for a gallery: every figure as a light PNG, with its command, its seconds and the numbers to expect."""
    quick: bool = False
    """Make the page of the quick results, those in `results`/quick."""

    @property
    def root(self) -> Path:
        """The folder of the results that are shown."""
        return self.results / "quick" if self.quick else self.results

    @property
    def page(self) -> Path:
        """Where the page is written."""
        return self.out or self.root / "report.html"


@dataclasses.dataclass(frozen=True)
class Readme:
    """The tables in README.md and experiments/README.md, written from the results on disk."""

    results: Path = Path("results")
    """Folder that holds the results of the other commands. Where a result is missing, its tables keep the numbers that
    experiments/gallery/numbers.json already has."""
    clone: Path = Path(".")
    """Folder of the clone whose documents and numbers.json are written."""
    check: bool = False
    """Write nothing and read no results; exit with status 1 if a table differs from what numbers.json says."""
