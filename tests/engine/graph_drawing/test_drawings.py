"""The pictures of architectures: every registered space's is consistent, and nothing in it covers anything else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from rbflex_evo.engine.graph_drawing.diagram import draw_architecture
from rbflex_evo.engine.graph_drawing.layout import LEGEND, lay_out
from rbflex_evo.spaces import SPACES, Drawing, Panel, create_space
from rbflex_evo.spaces.encodings.dag import carrying


def samples(name: str, count: int = 5) -> list[Drawing]:
    space = create_space(name)
    rng = np.random.Generator(np.random.PCG64(0))
    return [space.drawing(space.encoding.sample(rng)) for _ in range(count)]


def written(figure: Figure) -> list[Text]:
    (axes,) = figure.axes
    return [text for text in axes.texts if text.get_text()]


@pytest.mark.parametrize("name", SPACES.names())
def test_no_two_texts_of_a_drawing_overlap_as_they_are_really_drawn(name: str) -> None:
    for drawing in samples(name):
        figure = draw_architecture(drawing)
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in written(figure)]
        assert len(boxes) >= len(drawing.nodes)
        for (one, first), (other, second) in itertools.combinations(boxes, 2):
            assert not first.overlaps(second), f"{one!r} and {other!r} overlap"
        for text, box in boxes:
            assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, f"{text!r} leaves the picture"
            assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, f"{text!r} leaves the picture"


@pytest.mark.parametrize("name", SPACES.names())
def test_every_text_fits_the_room_that_the_layout_gave_it(name: str) -> None:
    for drawing in samples(name):
        layout, figure = lay_out(drawing), draw_architecture(drawing)
        renderer = FigureCanvasAgg(figure).get_renderer()
        room = {(box.text, round(box.x, 3)): box for box in [*layout.nodes, *(r.label for r in layout.routes if r.label)]}
        held = [(text, room.get((text.get_text(), round(text.get_position()[0], 3)))) for text in written(figure)]
        assert sum(box is not None for _, box in held) == len(held) - len(layout.texts)
        for text, box in held:
            assert box is None or text.get_window_extent(renderer).width * 72 / figure.dpi <= box.width


@pytest.mark.parametrize("name", SPACES.names())
def test_a_drawing_shows_every_node_and_edge_and_fits_a_page(name: str) -> None:
    for drawing in samples(name):
        layout = lay_out(drawing)
        assert set(layout.shown) == set(range(len(drawing.nodes)))
        assert [box.text for box in layout.nodes] == [drawing.nodes[node] for node in layout.shown]
        assert sorted(route.live for route in layout.routes) == sorted(live for *_, live in drawing.edges)
        left, bottom, right, top = layout.extent
        assert right - left < 1100 and top - bottom < 800


@pytest.mark.parametrize("name", SPACES.names())
def test_a_live_edge_continues_to_an_end_of_its_panel(name: str) -> None:
    for drawing in samples(name):
        first = 0
        for panel in drawing.panels or (Panel("", len(drawing.nodes)),):
            nodes = range(first, first + panel.nodes)
            live = [(start, end) for start, end, _, alive in drawing.edges if alive and start in nodes]
            assert all(carrying(live, nodes[: panel.inputs], nodes[-1]))
            first += panel.nodes


def test_an_edge_carries_something_if_it_is_on_a_path_from_an_input_to_the_output() -> None:
    edges = [(0, 2), (1, 3), (2, 3), (3, 4), (2, 5), (4, 6), (3, 6)]
    # 0 is the input and 6 the output; 1 comes from nothing and 5 reaches nothing.
    assert carrying(edges, {0}, 6) == [True, False, True, True, False, True, True]
    assert carrying(edges, {0, 1}, 6) == [True, True, True, True, False, True, True]
    assert not any(carrying([(0, 1), (2, 3)], {0}, 3))


def test_two_cells_stand_below_each_other_under_their_names() -> None:
    (drawing,) = samples("darts", 1)
    layout = lay_out(drawing)
    normal, reduction = layout.nodes[:7], layout.nodes[7:]
    assert len({box.y for box in normal}) == len({box.y for box in reduction}) == 1
    assert normal[0].y > reduction[0].y and normal[0].x - normal[0].width / 2 == reduction[0].x - reduction[0].width / 2
    assert [text.text for text in layout.texts] == ["normal cell", "reduction cell"]
    assert layout.texts[0].y > normal[0].y > layout.texts[1].y > reduction[0].y


def test_a_long_line_goes_on_in_the_next_row_with_the_node_that_ended_the_last_one() -> None:
    space = create_space("toy", genes=30)
    layout = lay_out(space.drawing((2,) * 30))
    heights = sorted({box.y for box in layout.nodes}, reverse=True)
    rows = [[node for node, box in zip(layout.shown, layout.nodes, strict=True) if box.y == y] for y in heights]
    assert len(rows) > 1 and all(row[-1] == following[0] for row, following in itertools.pairwise(rows))
    assert [node for row in rows for node in row[row is not rows[0] :]] == list(range(17))


def test_a_line_without_a_place_to_cut_stays_in_one_row() -> None:
    nodes = tuple(f"a node with a long name {i}" for i in range(12))
    edges = (*((i, i + 1, "", True) for i in range(11)), (0, 11, "", True))
    assert len({box.y for box in lay_out(Drawing(nodes, edges)).nodes}) == 1


def test_the_legend_of_dashes_stands_where_there_are_any() -> None:
    def texts(live: bool) -> list[str]:
        return [text.get_text() for text in written(draw_architecture(Drawing(("a", "b"), ((0, 1, "", live),))))]

    assert LEGEND in texts(False) and LEGEND not in texts(True)


def test_a_cell_whose_node_reads_nothing_shows_that_what_reads_it_gets_nothing() -> None:
    space = create_space("nds_darts")
    nothing, skip = space.operations.index("none"), space.operations.index("skip_connect")
    cell = (((0, nothing), (1, nothing)), ((2, skip), (0, skip)), ((2, nothing), (3, skip)), ((0, skip), (1, skip)))
    drawing = space.drawing(space.encoding.genotype(cell, cell, (0, 0)))
    dead = {(start, end, label) for start, end, label, live in drawing.edges if not live and end < 7}
    assert dead == {(0, 2, "none"), (1, 2, "none"), (2, 3, "skip_connect"), (2, 4, "none"), (2, 6, "")}


@pytest.mark.parametrize(
    ("panels", "problem"),
    [((Panel("one", 2),), "share out the nodes"), ((Panel("one", 2), Panel("two", 2)), "an edge stays in its panel")],
)
def test_panels_that_do_not_fit_are_refused(panels: tuple[Panel, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        lay_out(Drawing(("a", "b", "c", "d"), ((1, 2, "", True),), "", panels))
