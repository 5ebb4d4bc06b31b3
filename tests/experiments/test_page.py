"""The page: made of whatever is there, whole in itself, and honest about what is not."""

import dataclasses
import io
import json
import re

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from rich.console import Console

from experiments import contents, gallery, page, records
from experiments.commands import report
from experiments.config import Drawing, SettingError
from experiments.figures import player
from experiments.studies import drawing


@pytest.fixture(scope="module")
def built(results):
    return page.build(contents.read(results))


def words(text):
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script)\b.*?</\1>", " ", text, flags=re.S))


def test_play_goes_from_nothing_to_everything_gone(played):
    assert played.sizes["strength"] == 4
    first = played.isel(strength=0)
    assert first["strength"] == 0
    np.testing.assert_array_equal(first["first"].sel(penalty="L1"), first["first"].sel(penalty="L2"))
    zeros = (played["first"] == 0).sum(("input", "hidden"))
    assert zeros.sel(penalty="L1").values.tolist() == sorted(zeros.sel(penalty="L1").values.tolist())
    assert zeros.sel(penalty="L1").values[[0, -1]].tolist() == [0, 39]
    assert (zeros.sel(penalty="L2") == 0).all()
    norms = np.square(played["first"]).sum(("input", "hidden")).sel(penalty="L2").values
    assert (np.diff(norms) < 0).all()


def test_a_network_of_the_player_is_the_drawn_one_at_the_same_strength(played, small):
    drawn = drawing.draw(dataclasses.replace(small, l1=1e-3, l2=1e-1))
    for penalty, strength in (("L1", 1e-3), ("L2", 1e-1)):
        one = played.sel(penalty=penalty, strength=strength)
        for name in ("first", "second", "test_accuracy"):
            np.testing.assert_allclose(one[name], drawn[name].sel(stage=penalty), atol=1e-5)


@pytest.mark.parametrize("penalty", ["L1", "L2"])
def test_frames_show_the_zeros_apart_and_share_their_axes(played, penalty):
    frames = [player.frame(played, penalty, at) for at in range(4)]
    limits = [[(axes.get_xlim(), axes.get_ylim(), axes.get_position().bounds) for axes in one.axes] for one in frames]
    assert all(one == limits[0] for one in limits)
    for at, one in enumerate(frames):
        weights = player.weights_of(played.sel(penalty=penalty).isel(strength=at))
        graph, bins, exact, accuracy = one.axes
        assert len(graph.lines) == (weights != 0).sum()
        tops = [bar.get_y() + bar.get_height() for bar in bins.patches]
        assert sum(top for top in tops if top > 0.5) == (weights != 0).sum()
        assert exact.get_xticklabels()[0].get_text() == f"{(weights == 0).sum()} of {weights.size}"
        assert f"{(weights == 0).sum()} of {weights.size} weights exactly 0" in player.told(played, penalty, at)
        assert len(accuracy.lines) == 5


def test_a_diverged_frame_says_so(played):
    broken = played.copy(deep=True)
    broken["first"].loc[{"penalty": "L1"}] = np.nan
    assert "diverged" in player.told(broken, "L1", 1)
    player.frame(broken, "L1", 1)


def test_everything_is_on_the_page(built):
    text = words(built)
    for said in (
        "Title of zeros",
        "As people say.",
        "it grows",
        "growth over seeds",
        "supported",
        "1.5 % [0.3, 2.7]",
        "12.5 s",
    ):
        assert said in text, said
    assert "Title of a claim of one&#x27;s own" in text
    assert "half-written" not in text
    assert built.count("<img") == 5 + 5 + 2
    frames = json.loads(re.search(r'id="frames">(.*?)</script>', built, re.S)[1])
    assert [frame["strength"] for frame in frames] == ["λ = 0", "λ = 0.001", "λ = 0.1", "λ = 3"]
    assert len({frame[penalty]["image"] for frame in frames for penalty in ("L1", "L2")}) == 8


def test_a_claim_with_many_tests_is_folded_below_their_count():
    one = {"statement": "It grows.", "numbers": "1", "verdict": "supported"}
    few, many = page.tests([one] * 4), page.tests([one] * 6 + [{**one, "verdict": "contradicted"}])
    assert "<details open><summary>4 of 4 tests support it, 0 contradict it" in few
    assert "<details><summary>6 of 7 tests support it, 1 contradict it" in many
    assert many.count("It grows: <b>1</b>") == 7


def test_what_is_missing_says_what_makes_it(built, results):
    text = re.sub(r"\s+", " ", words(built))
    assert "stability – not measured Not measured yet. Made by python -m experiments claims stability ." in text
    assert "stability: not measured yet. Made by python -m experiments claims stability ." in text
    missing = contents.read(results).missing
    assert "claims/stability, not measured yet: python -m experiments claims stability" in missing
    assert not [line for line in missing if "figure" in line or "player" in line]


def test_the_command_writes_the_page_and_names_what_is_missing(results, tmp_path, built):
    heard = io.StringIO()
    report.run(["--results", str(results), "--out", str(tmp_path / "new" / "page.html")], Console(file=heard, width=300))
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == built
    assert "open it in a browser" in heard.getvalue()
    assert "missing: claims/stability, not measured yet: python -m experiments claims stability" in heard.getvalue()


def test_an_empty_folder_still_makes_a_page(tmp_path):
    found = contents.read(tmp_path)
    assert found.empty
    text = words(page.build(found))
    assert text.count("not measured yet") >= 5 + 1 + 9
    assert "python -m experiments baselines" in text


def test_nothing_is_loaded_from_anywhere(built):
    style = re.search(r"<style>(.*?)</style>", built, re.S)[1]
    assert "url(" not in style and "@import" not in style
    for name, value in re.findall(r'\b(src|href|srcset|action|data)="([^"]*)"', built):
        assert value.startswith(("data:", "#")), f"{name}={value[:60]}"
    assert "http" not in re.sub(r"data:image/[^\"]*", "", built).replace("http-equiv", "")
    assert "default-src 'none'" in built


def test_text_from_records_is_escaped(built):
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
def test_a_broken_claim_is_told_and_breaks_nothing(tmp_path, save_claim, kind):
    save_claim(tmp_path / "claims", "zeros")
    wrong = tmp_path / "claims" / "norm" / "claim.json"
    wrong.parent.mkdir()
    content = BROKEN[kind]
    wrong.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = contents.read(tmp_path)
    assert "claims/norm, on disk, but cannot be read: python -m experiments claims norm" in found.missing
    assert "Title of zeros" in page.build(found)
    (wrong.parent / "figure.png").write_bytes((tmp_path / "claims" / "zeros" / "figure.png").read_bytes())
    assert gallery.build(tmp_path, tmp_path / "gallery") == ["zeros"]
    records.write_table(tmp_path / "claims", ("zeros", "norm"), "python …")
    assert "it grows" in (tmp_path / "claims" / "claims.md").read_text()


def test_odd_values_in_a_claim_are_shown_as_text(tmp_path):
    said = {"title": 5, "findings": ["x", {"statement": None, "verdict": "maybe", "numbers": float("nan")}], "made_by": "me"}
    (tmp_path / "claims" / "zeros").mkdir(parents=True)
    (tmp_path / "claims" / "zeros" / "claim.json").write_text(json.dumps(said))
    text = words(page.build(contents.read(tmp_path)))
    assert "maybe" in text


def test_broken_pictures_and_records_count_as_missing(tmp_path, played):
    main = tmp_path / "l1-l2"
    main.mkdir()
    (main / "L1_1.svg").write_text("<?xml version='1.0'?><svg>cut")
    (main / "L1_1.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (main / "player.nc").write_text("no netCDF")
    (main / "records.json").write_text("[]")
    found = contents.read(tmp_path)
    assert found.empty
    assert "the player, on disk, but cannot be read: python -m experiments" in found.missing
    for less in (played.drop_vars("first"), played.isel(penalty=[0]), played.isel(strength=slice(1, None)), xr.Dataset()):
        records.save_dataset(less, main / "player.nc", {})
        assert contents.read(tmp_path).player is None
    page.build(contents.read(tmp_path))


def test_player_strengths_are_checked():
    for wrong in ((), (0.0, 1.0), (1.0, 1.0), (float("inf"),)):
        with pytest.raises(SettingError, match="drawing.player: expected positive strengths, none twice"):
            Drawing(player=wrong)


def test_a_gallery_holds_each_figure_with_its_command_and_numbers(results, tmp_path):
    names = gallery.build(results, tmp_path / "gallery")
    # The folder of the main job has no records of its networks here, so its figures have no numbers and stay away.
    assert names == ["zeros", "norm", "a claim of one's own", "baselines-decay", "images-fashion-mnist"]
    for name in names:
        with Image.open(tmp_path / "gallery" / f"{name}.png") as picture:
            assert picture.mode == "P"
            assert picture.size == (400, 300)
    text = (tmp_path / "gallery" / "README.md").read_text()
    assert "`python … zeros`: 12.5 s on 1 cpu device." in text
    assert "- supported: it grows 1.5 % [0.3, 2.7]" in text
