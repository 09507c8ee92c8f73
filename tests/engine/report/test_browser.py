"""The report as a real browser shows it; skipped where no Chromium is installed."""

import re
from pathlib import Path

import numpy as np
import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.report.report import write_report
from tests.support.browser import BROWSER, browse
from tests.support.correlated import config
from tests.support.replay import write_comparison
from tests.support.runs import CELLS, evaluations, write_run

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return write_report(write_run(tmp_path_factory.mktemp("browser") / "run", evaluations()))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser compares")
    assert run(["compare", str(write_comparison(folder))]) == 0
    return folder / "runs" / "toy-compare" / "comparison.html"


def test_the_page_runs_without_an_error_and_offers_to_copy_the_notation(page, tmp_path):
    dom = browse(page, tmp_path, "--dump-dom").stdout
    shown = re.search(r'<code id="notation">(.*?)</code>', dom)
    assert shown and shown[1].replace("<wbr>", "") == CELLS[0]
    # The script takes the attribute away; it is there in the file.
    assert '<button type="button" data-copy="notation">Copy</button>' in dom
    assert 'data-copy="notation" hidden' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_painted_in_the_colours_of_the_scheme(page, tmp_path, width, scheme):
    assert_painted(page, tmp_path, width, scheme)


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_is_painted_in_the_colours_of_the_scheme(comparison, tmp_path, width, scheme):
    assert_painted(comparison, tmp_path, width, scheme)


def test_a_comparison_colours_the_wins_and_lays_out_every_figure(comparison, tmp_path):
    dom = browse(comparison, tmp_path, "--dump-dom").stdout
    blue, orange = (dom.count(f"color-mix(in srgb, var(--{hue})") for hue in ("blue", "orange"))
    assert blue > 0 and blue + orange == 6
    assert dom.count("<svg") == 6


def assert_painted(page, tmp_path, width, scheme):
    from matplotlib.image import imread

    picture = tmp_path / "page.png"
    wanted = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    browse(page, tmp_path / "profile", wanted, f"--window-size={width},1600", f"--screenshot={picture}")
    pixels = imread(picture)[..., :3]
    assert pixels.shape == (1600, width, 3)
    brightness = np.median(pixels)
    assert brightness < 0.3 if scheme == "dark" else brightness > 0.8
    # Something is drawn below the headline: the page is neither blank nor one block.
    assert pixels[300:].std() > 0.02
    # Nothing sticks out to the side: the margin is the page's colour from top to bottom, but for shadows.
    assert np.ptp(pixels[:, -4:].reshape(-1, 3), axis=0).max() < 0.03


def test_the_page_of_a_correlation_fits_a_phone_and_runs_without_an_error(tmp_path):
    from matplotlib.image import imread

    from rbflex_evo.engine.correlation.correlate import correlate

    folder = correlate(config(tmp_path, sample={"size": 40}, correlate={"resamples": 5}), quiet=True).folder
    browse(folder / "correlate.html", tmp_path / "profile", "--window-size=500,1600", f"--screenshot={tmp_path / 'page.png'}")
    pixels = imread(tmp_path / "page.png")[..., :3]
    assert pixels[300:].std() > 0.02
    assert np.ptp(pixels[:, -4:].reshape(-1, 3), axis=0).max() < 0.03
