"""The data behind the figures, held against their definitions, and the drawings' geometry."""

import math
import random
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.engine.figures import plots
from rbflex_evo.engine.graph_drawing.diagram import draw_architecture
from rbflex_evo.engine.graph_drawing.lanes import lanes
from rbflex_evo.engine.graph_drawing.layout import lay_out
from rbflex_evo.engine.graph_drawing.shapes import Box, two_lines
from rbflex_evo.spaces import Drawing

scores = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=60).map(np.array)


@given(scores)
def test_the_best_so_far_is_the_maximum_of_all_scores_until_then(values):
    steps = plots.best_so_far(values)
    for x, y in zip(steps.x, steps.y, strict=True):
        assert y == np.nanmax(values[: int(x)])


@given(scores)
def test_the_best_so_far_steps_wherever_it_rises_and_reaches_the_last_evaluation(values):
    steps = plots.best_so_far(values)
    if np.all(np.isnan(values)):
        assert len(steps.x) == 0
        return
    assert steps.x[-1] == len(values)
    assert np.all(np.diff(steps.x) > 0)
    bests = [np.nanmax(values[:n]) for n in range(int(steps.x[0]), len(values) + 1)]
    assert [steps.y[np.searchsorted(steps.x, n, side="right") - 1] for n in range(int(steps.x[0]), len(values) + 1)] == bests


@given(scores, st.randoms(use_true_random=False))
def test_the_leader_is_the_earliest_candidate_with_the_best_score(values, source: random.Random):
    accuracies = np.array([source.random() for _ in values])
    steps = plots.follow_leader(values, accuracies)
    for x, y in zip(steps.x, steps.y, strict=True):
        assert y == accuracies[np.nanargmax(values[: int(x)])]


def test_the_accuracy_of_the_leader_may_fall():
    steps = plots.follow_leader(np.array([1.0, 2.0, 1.5]), np.array([90.0, 80.0, 95.0]))
    assert steps.x.tolist() == [1, 2, 3]
    assert steps.y.tolist() == [90, 80, 80]


def test_a_cloud_leaves_out_candidates_without_score_or_accuracy():
    points = plots.cloud(np.array([1.0, math.nan, 3.0, 4.0]), np.array([10.0, 20.0, math.nan, 40.0]))
    assert points.scores.tolist() == [1, 4]
    assert points.accuracies.tolist() == [10, 40]
    assert points.tau == 1


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=15), st.data())
def test_kendall_is_the_literal_tau_b(first, data):
    second = data.draw(st.lists(st.integers(-5, 5), min_size=len(first), max_size=len(first)))
    pairs = [(i, j) for i in range(len(first)) for j in range(i)]
    signs = [(np.sign(first[i] - first[j]), np.sign(second[i] - second[j])) for i, j in pairs]
    scale = math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
    tau = plots.kendall(np.array(first, dtype=float), np.array(second, dtype=float))
    if scale == 0:
        assert tau is None
    else:
        assert tau == pytest.approx(sum(a * b for a, b in signs) / scale)


def test_kendall_of_many_points_is_that_of_all_pairs(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 20, 300).astype(float), rng.random(300)
    by_pairs = plots.kendall(first, second)
    monkeypatch.setattr(plots, "FEW", 10)
    assert plots.kendall(first, second) == pytest.approx(by_pairs)


def test_kendall_of_fewer_than_two_pairs_is_undefined():
    assert plots.kendall(np.empty(0), np.empty(0)) is None
    assert plots.kendall(np.array([1.0]), np.array([1.0])) is None


@given(st.lists(st.floats(0, 1e5), min_size=2, max_size=200).map(sorted))
def test_rates_add_up_to_all_evaluations(seconds):
    speed = plots.rates(np.array(seconds))
    if speed is None:
        assert max(seconds) - min(seconds) < 1e-6
        return
    assert float(speed.rates @ np.diff(speed.edges)) == pytest.approx(len(seconds))
    assert speed.edges[[0, -1]].tolist() == [seconds[0], seconds[-1]]


def test_rates_of_evaluations_that_came_at_once_are_undefined():
    assert plots.rates(np.array([3.0, 3.0, 3.0])) is None
    assert plots.rates(np.empty(0)) is None


def test_failures_are_counted_up_to_each_evaluation():
    assert plots.failures_so_far([False, True, False, True]).y.tolist() == [0, 1, 1, 2]


@given(st.lists(st.floats(0, 100), min_size=2, max_size=20, unique=True).map(sorted))
def test_stretching_accuracies_keeps_their_order_and_can_be_undone(accuracies):
    stretched = plots.stretch(np.array(accuracies))
    assert np.all(np.diff(stretched) >= 0)
    assert plots.unstretch(stretched) == pytest.approx(accuracies, abs=1e-9)


@given(st.floats(0, 89), st.floats(90, 100))
def test_ticks_lie_in_range_and_apart(low, high):
    ticks = plots.accuracy_ticks(low, high)
    assert all(low <= tick <= high for tick in ticks)
    reach = float(plots.stretch(np.array(high)) - plots.stretch(np.array(low)))
    assert np.all(np.diff(plots.stretch(np.array(ticks))) >= 0.09 * reach)


def test_a_figure_becomes_a_png_and_inline_svg_in_the_colours_of_the_page(tmp_path):
    figure = plots.draw_best(plots.best_so_far(np.array([1.0, 3.0, 2.0])), "naswot", found=(2.0, 3.0))
    svg = plots.save(figure, tmp_path / "anytime.png", 'best "naswot" <so far>')
    assert (tmp_path / "anytime.png").read_bytes().startswith(b"\x89PNG")
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == 'best "naswot" <so far>'
    assert "width" not in root.attrib
    assert "var(--blue)" in svg and plots.BLUE not in svg
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert ids and all(name.startswith("anytime-") for name in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]*)', svg)) <= set(ids)


def test_names_are_drawn_as_they_are_without_formulas_or_markup(tmp_path):
    name = "$\\frac{<b>$ & more"
    svg = plots.save(plots.draw_best(plots.best_so_far(np.array([1.0])), name), tmp_path / "a.png", name)
    texts = ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert f"Best {name} so far" in texts


def test_many_points_are_drawn_as_one_image(tmp_path):
    count = plots.RASTER_ABOVE + 1
    points = plots.cloud(np.arange(count, dtype=float), np.linspace(10, 95, count))
    assert len(plots.save(plots.draw_cloud(points, "naswot", "cifar10"), tmp_path / "a.png", "cloud")) < 300_000


def test_drawing_leaves_the_global_settings_of_matplotlib_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    steps = plots.best_so_far(np.array([1.0, 2.0]))
    for figure in (
        plots.draw_accuracies(steps, steps, "naswot", "cifar10"),
        plots.draw_failures(plots.failures_so_far([True])),
        plots.draw_rates(plots.Rates(np.array([0.0, 1.0]), np.array([2.0]), 2.0)),
    ):
        plots.save(figure, tmp_path / "a.png", "a")
    assert dict(matplotlib.rcParams) == before


def _boxes_touch(boxes: list[Box]) -> bool:
    return any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


@st.composite
def drawings(draw):
    count = draw(st.integers(2, 8))
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=16))
    labels = st.sampled_from(["", "none", "nor_conv_3x3", "skip_connect", "a rather long operation"])
    return Drawing(tuple(f"node {i}" for i in range(count)), tuple((i, j, draw(labels), draw(st.booleans())) for i, j in edges))


@given(drawings())
def test_no_label_covers_another_one_or_a_node(drawing):
    layout = lay_out(drawing)
    assert len(layout.routes) == len(drawing.edges)
    assert not _boxes_touch([*layout.nodes, *layout.texts, *(route.label for route in layout.routes if route.label)])


@given(drawings())
def test_every_route_ends_on_the_borders_of_its_nodes(drawing):
    layout = lay_out(drawing)
    ends = sorted((edge[0], edge[1]) for edge in drawing.edges)
    joined = []
    for route in layout.routes:
        boxes = [_box_at(layout.nodes, point) for point in (route.points[0], route.points[-1])]
        joined.append(tuple(layout.shown[box] for box in boxes))
    assert sorted(joined) == ends


def _box_at(nodes, point):
    x, y = point
    within = [abs(x - b.x) <= b.width / 2 + 1e-6 and abs(y - b.y) <= b.height / 2 + 1e-6 for b in nodes]
    assert sum(within) == 1
    return within.index(True)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)).map(lambda edge: (edge[0], sum(edge))), max_size=20))
def test_edges_of_one_lane_share_no_stretch(spans):
    given_lanes = lanes(spans)
    for i, (start, end) in enumerate(spans):
        for j in range(i):
            if given_lanes[i] == given_lanes[j]:
                assert max(start, spans[j][0]) >= min(end, spans[j][1])


def test_a_nats_cell_fits_one_line_with_arcs_on_both_sides():
    edges = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert lanes(edges) == [(0, 0), (1, 1), (0, 0), (1, 2), (-1, 1), (0, 0)]


def test_a_long_chain_is_folded_into_rows():
    nodes = tuple(f"layer {i}" for i in range(20))
    layout = lay_out(Drawing(nodes, tuple((i, i + 1, "", True) for i in range(19))))
    left, bottom, right, top = layout.extent
    assert right - left < 450 and top - bottom < 450
    assert len({box.y for box in layout.nodes}) > 1
    assert not _boxes_touch(list(layout.nodes))


@pytest.mark.parametrize("edge", [(1, 0, "", True), (0, 0, "", True), (0, 2, "", True), (-1, 1, "", True)])
def test_an_edge_that_runs_nowhere_is_refused(edge):
    with pytest.raises(ValueError, match=r"from a node to a later one of 0\.\.1"):
        lay_out(Drawing(("input", "output"), (edge,)))


def test_dead_edges_are_drawn_dashed(tmp_path):
    def svg(live):
        return plots.save(draw_architecture(Drawing(("a", "b"), ((0, 1, "none", live),))), tmp_path / "a.png", "a")

    assert "stroke-dasharray" in svg(False)
    assert "stroke-dasharray" not in svg(True)


def test_long_labels_break_near_their_middle():
    assert two_lines("nor_conv_3x3") == "nor_conv\n3x3"
    assert two_lines("none") == "none"
    assert two_lines("unbreakableoperation") == "unbreakableoperation"
