"""What is published: the wheel, the source distribution, and their description."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {str(path.relative_to(ROOT)) for path in (ROOT / "jaxreg").rglob("*.py")} | {
    "jaxreg/py.typed"
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return folder


def test_the_wheel_holds_the_library_alone(built):
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == MODULES


def test_the_source_distribution_holds_the_library_without_tests(built):
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in names if name.startswith("jaxreg/")} == MODULES
    assert not {name for name in names if name.startswith(("tests", "experiments"))}


def test_the_description_has_no_picture_and_no_link_into_the_checkout(built):
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    metadata, _, description = archive.read(name).decode().partition("\n\n")
    assert "Project-URL" not in metadata
    assert "## Quick start" in description
    assert "![" not in description
    # Links of Markdown; code such as f(x)[0](y) stands in blocks.
    prose = re.sub(r"```.*?```", "", description, flags=re.DOTALL)
    assert [
        link for link in re.findall(r"\]\(([^)]*)\)", prose) if not link.startswith("https://")
    ] == []
