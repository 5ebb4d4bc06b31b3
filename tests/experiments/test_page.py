"""The page and the gallery: one file from the results that exist, which loads nothing and names the
missing studies.
"""

import io
import json
import re

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from rich.console import Console

from experiments import studies
from experiments.figures.network import network_row
from experiments.report import command, gallery, page, player
from experiments.report.settings import Report
from experiments.results import store
from experiments.results.load import read
from experiments.settings import SettingError
from experiments.studies.l1_l2.drawing import stages
from experiments.studies.l1_l2.settings import Drawing

REGISTRY = studies.load()


@pytest.fixture(scope="module")
def contents(results):
    return read(results, REGISTRY)


@pytest.fixture(scope="module")
def built(contents):
    return page.build(contents)


def words(text):
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script)\b.*?</\1>", " ", text, flags=re.S))


def test_the_player_goes_from_no_zeros_to_only_zeros(played):
    assert played.sizes["strength"] == 4
    first = played.isel(strength=0)
    assert first["strength"] == 0
    np.testing.assert_array_equal(
        first["first"].sel(penalty="L1"), first["first"].sel(penalty="L2")
    )
    zeros = (played["first"] == 0).sum(("input", "hidden"))
    assert zeros.sel(penalty="L1").values.tolist() == sorted(
        zeros.sel(penalty="L1").values.tolist()
    )
    assert zeros.sel(penalty="L1").values[[0, -1]].tolist() == [0, 39]
    assert (zeros.sel(penalty="L2") == 0).all()
    norms = np.square(played["first"]).sum(("input", "hidden")).sel(penalty="L2").values
    assert (np.diff(norms) < 0).all()


def test_the_figures_show_networks_of_the_player(played):
    drawn = stages(played)
    assert drawn["stage"].values.tolist() == ["before", "L1", "L2"]
    assert drawn["strength"].values.tolist() == [0, 1e-3, 1e-1]
    for stage, penalty, strength in (("before", "L2", 0), ("L1", "L1", 1e-3), ("L2", "L2", 1e-1)):
        np.testing.assert_array_equal(
            drawn["first"].sel(stage=stage), played["first"].sel(penalty=penalty, strength=strength)
        )


@pytest.mark.parametrize("penalty", ["L1", "L2"])
def test_frames_show_the_zeros_apart_and_share_their_axes(played, penalty):
    frames = [player.frame(played, penalty, index) for index in range(4)]
    limits = [
        [(axes.get_xlim(), axes.get_ylim(), axes.get_position().bounds) for axes in frame.axes]
        for frame in frames
    ]
    assert all(frame == limits[0] for frame in limits)
    for index, frame in enumerate(frames):
        weights = player.weights_of(played.sel(penalty=penalty).isel(strength=index))
        graph, bins, exact, accuracy = frame.axes
        assert len(graph.lines) == (weights != 0).sum()
        tops = [bar.get_y() + bar.get_height() for bar in bins.patches]
        assert sum(top for top in tops if top > 0.5) == (weights != 0).sum()
        assert exact.get_xticklabels()[0].get_text() == f"{(weights == 0).sum()} of {weights.size}"
        assert f"{(weights == 0).sum()} of {weights.size} weights exactly 0" in player.description(
            played, penalty, index
        )
        assert len(accuracy.lines) == 5


def test_a_diverged_frame_says_so(played):
    broken = played.copy(deep=True)
    broken["first"].loc[{"penalty": "L1"}] = np.nan
    assert "diverged" in player.description(broken, "L1", 1)
    player.frame(broken, "L1", 1)


def test_everything_is_on_the_page(built):
    text = words(built)
    for expected in (
        "Title of zeros",
        "As people say.",
        "it grows",
        "growth over seeds",
        "supported",
        "1.5 % [0.3, 2.7]",
        "12.5 s",
        "Figure L1_1",
        "Title of images (fashion-mnist)",
    ):
        assert expected in text, expected
    assert "Title of a claim of one&#x27;s own" in text
    assert "half-written" not in text
    assert "in a quick folder" not in text
    assert built.count("<img") == 2 + 5 + 2
    frames = json.loads(re.search(r'id="frames">(.*?)</script>', built, re.S)[1])
    assert [frame["strength"] for frame in frames] == ["λ = 0", "λ = 0.001", "λ = 0.1", "λ = 3"]
    assert len({frame[penalty]["image"] for frame in frames for penalty in ("L1", "L2")}) == 8


def test_the_page_opens_with_what_was_measured(built):
    order = re.findall(r'<section id="(\w+)"', built)
    assert order == ["player", "figures", "claims", "evidence", "missing", "provenance"]
    assert "<details open" not in built


def test_the_tests_of_a_claim_are_folded_below_their_count():
    finding = {"statement": "It grows.", "numbers": "1", "verdict": "supported"}
    few, many = (
        page.list_tests([finding] * 4),
        page.list_tests([finding] * 6 + [{**finding, "verdict": "contradicted"}]),
    )
    assert "<details><summary>4 of 4 tests support it, 0 contradict it" in few
    assert "<details><summary>6 of 7 tests support it, 1 contradict it" in many
    assert many.count("It grows: <b>1</b>") == 7


def test_a_quick_run_is_marked_wherever_it_is_shown(built, contents, tmp_path):
    assert "Some of these results come from a small version" in built
    decay = re.search(r"<tr><th[^>]*><b><a [^>]*>&lt;script.*?</tr>", built, re.S)[0]
    assert '<span class="quick">quick run</span>' in decay
    zeros = re.search(r"<tr><th[^>]*><b><a [^>]*>Title of zeros.*?</tr>", built, re.S)[0]
    assert "quick run" not in zeros
    gallery.build(contents, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert [
        line
        for line in text.splitlines()
        if line.startswith("## ") and "(quick run, not final)" in line
    ] == ["## <script>alert(1)</script>: supported (quick run, not final)"]


def test_a_missing_study_is_one_line_with_its_command(built, contents):
    text = re.sub(r"\s+", " ", words(built))
    assert "How stable L1 is: not measured yet. python -m experiments stability" in text
    assert text.count("not measured yet") == 5
    assert [study.name for study in contents.missing] == [
        "relevance",
        "stability",
        "bias",
        "path",
        "published",
    ]
    assert (
        str(contents.missing[1]) == "stability, not measured yet: python -m experiments stability"
    )


def test_a_page_of_the_main_job_alone_is_whole(tmp_path, played, save_study):
    save_study(tmp_path / "l1-l2", figures=("L1_1",), command="python -m experiments")
    store.save_dataset(played, tmp_path / "l1-l2" / "wine.nc", {})
    text = page.build(read(tmp_path, REGISTRY))
    assert re.findall(r'<section id="(\w+)"', text) == [
        "player",
        "figures",
        "missing",
        "provenance",
    ]
    assert text.count("not measured yet") == len(REGISTRY) - 1


def test_the_command_writes_the_page_and_names_what_is_missing(results, tmp_path, built):
    printed = io.StringIO()
    command.run(Report(results, tmp_path / "new" / "page.html"), Console(file=printed, width=300))
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == built
    assert "open it in a browser" in printed.getvalue()
    assert (
        "missing: stability, not measured yet: python -m experiments stability"
        in printed.getvalue()
    )


def test_quick_results_have_a_page_of_their_own(results, tmp_path):
    printed = io.StringIO()
    command.run(
        Report(results, tmp_path / "page.html", quick=True), Console(file=printed, width=300)
    )
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Title of in a quick folder" in text
    assert "Title of zeros" not in text


def test_an_empty_folder_holds_nothing_to_show(tmp_path):
    contents = read(tmp_path, REGISTRY)
    assert contents.empty
    assert len(contents.missing) == len(REGISTRY)
    page.build(contents)


def test_nothing_is_loaded_from_anywhere(built):
    style = re.search(r"<style>(.*?)</style>", built, re.S)[1]
    assert "url(" not in style and "@import" not in style
    for name, value in re.findall(r'\b(src|href|srcset|action|data)="([^"]*)"', built):
        assert value.startswith(("data:", "#")), f"{name}={value[:60]}"
    assert "http" not in re.sub(r"data:image/[^\"]*", "", built).replace("http-equiv", "")
    assert "default-src 'none'" in built


def test_text_from_results_is_escaped(built):
    assert "<script>alert" not in built
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in built
    assert "a &quot;b&quot; &amp; c" in built


def test_every_link_has_its_place_and_every_id_is_one(built):
    ids = re.findall(r'\bid="([^"]*)"', built)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', built)) <= set(ids)
    assert built.count("<h1") == 1
    assert all(re.findall(r'<img[^>]* alt="([^"]+)"', built))
    assert len(re.findall(r"<img[^>]* alt=", built)) == built.count("<img")


BROKEN = {
    "cut off": '{"title": "x", "findi',
    "a list": "[1, 2]",
    "a number": "3",
    "no findings": '{"title": "x"}',
    "findings that are none": '{"title": "x", "findings": 7}',
    "a name alone": '{"name": "norm"}',
    "no text": b"\xff\xfe\x00",
    "empty": "",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_study_is_named_and_breaks_nothing(tmp_path, save_study, kind):
    save_study(tmp_path / "strength", ["zeros"])
    wrong = tmp_path / "stability" / "study.json"
    wrong.parent.mkdir()
    text = BROKEN[kind]
    wrong.write_bytes(text if isinstance(text, bytes) else text.encode())
    contents = read(tmp_path, REGISTRY)
    lines = [str(study) for study in contents.missing]
    assert "stability, on disk, but cannot be read: python -m experiments stability" in lines
    assert "Title of zeros" in page.build(contents)
    assert gallery.build(contents, tmp_path / "gallery") == ["zeros"]


def test_odd_values_in_a_study_are_shown_as_text(tmp_path):
    odd = {
        "name": "zeros",
        "title": 5,
        "findings": ["x", {"statement": None, "verdict": "maybe", "numbers": float("nan")}],
    }
    outside = {"name": "../../secret", "title": "no", "findings": []}
    saved = {"claims": [odd, "y", 3, outside], "figures": [], "devices": "me", "seconds": "long"}
    (tmp_path / "strength").mkdir(parents=True)
    (tmp_path / "strength" / "study.json").write_text(json.dumps(saved))
    text = words(page.build(read(tmp_path, REGISTRY)))
    assert "maybe" in text
    assert "secret" not in text


def test_broken_pictures_and_datasets_count_as_missing(tmp_path, played, save_study):
    main = tmp_path / "l1-l2"
    save_study(main, figures=("L1_1",))
    (main / "L1_1.svg").write_text("<?xml version='1.0'?><svg>cut")
    (main / "L1_1.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (main / "wine.nc").write_text("no netCDF")
    contents = read(tmp_path, REGISTRY)
    assert contents.player is None
    assert "The figure is on disk, but cannot be read." in page.build(contents)
    assert gallery.build(contents, tmp_path / "gallery") == []
    for incomplete in (
        played.drop_vars("first"),
        played.isel(penalty=[0]),
        played.isel(strength=slice(1, None)),
        xr.Dataset(),
    ):
        store.save_dataset(incomplete, main / "wine.nc", {})
        assert read(tmp_path, REGISTRY).player is None


def test_lines_in_the_player_are_as_wide_as_in_the_figures(played):
    shown = network_row(stages(played), ("before", "L1"))
    frames = [player.frame(played, "L1", index) for index in (0, 1)]
    for in_figure, in_player in zip(shown.axes, [frame.axes[0] for frame in frames], strict=True):
        widths = [[line.get_linewidth() for line in axes.lines] for axes in (in_figure, in_player)]
        np.testing.assert_allclose(*widths, rtol=1e-6)


def test_player_strengths_are_checked():
    for wrong in ((), (0.0, 1.0), (1.0, 1.0)):
        with pytest.raises(SettingError, match="strengths: expected increasing positive strengths"):
            Drawing(strengths=wrong)
    with pytest.raises(SettingError, match="drawing.l1: expected one of drawing.strengths"):
        Drawing(strengths=(1e-2, 1.0), l1=0.5)


def test_a_gallery_holds_each_figure_with_its_command_and_numbers(contents, tmp_path):
    names = gallery.build(contents, tmp_path / "gallery")
    assert names == [
        "L1_1",
        "L2_1",
        "zeros",
        "norm",
        "a claim of one's own",
        "decay",
        "images-fashion-mnist",
    ]
    for name in names:
        with Image.open(tmp_path / "gallery" / f"{name}.png") as picture:
            assert picture.mode == "P"
            assert picture.size == (400, 300)
    text = (tmp_path / "gallery" / "README.md").read_text()
    assert "`python -m experiments strength`: 12.5 s on 1 cpu device." in text
    assert "- supported: it grows 1.5 % [0.3, 2.7]" in text
    assert "- 1 of 2" in text
