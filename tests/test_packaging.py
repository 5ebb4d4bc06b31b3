"""What is published: the wheel, the source distribution, and their description."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_distributions_hold_the_library_and_a_description_without_links_into_the_checkout(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "jaxreg").rglob("*.py")}
    (source,), (wheel,) = tmp_path.glob("*.tar.gz"), tmp_path.glob("*.whl")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in names if name.startswith("jaxreg/")} == modules | {"jaxreg/py.typed"}
    assert not {name for name in names if name.startswith(("tests", "experiments"))}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        _, _, description = archive.read(metadata).decode().partition("\n\n")
    assert names == modules | {"jaxreg/py.typed"}
    # No picture and no link into the checkout; code such as f(x)[0](y) stands in blocks.
    prose = re.sub(r"```.*?```", "", description, flags=re.DOTALL)
    assert "## " in prose and "![" not in description
    assert not [
        link for link in re.findall(r"\]\(([^)]*)\)", prose) if not link.startswith("https://")
    ]
