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
