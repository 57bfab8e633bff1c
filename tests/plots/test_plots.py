import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from fullfield import plots
from fullfield.plots.style import BLUE, SETTINGS


@pytest.fixture
def random():
    return np.random.default_rng(0)


LABELS = ("a", r"\sigma_8", "w_0")
BOUNDS = ((0.0, np.inf), (-np.inf, np.inf), (-1.0, 1.0))


@pytest.fixture
def draws(random):
    return np.abs(random.normal(size=(2000, 3))) * (1.0, 2.0, 0.2)


def test_corner_marks_the_truth_and_stays_inside_hard_bounds(draws):
    truth = np.array([0.5, 9.0, 0.1])
    figure = plots.corner(draws, LABELS, BOUNDS, truth=truth, others={"prior": draws[:500] * 1.5})
    panels = np.reshape(figure.axes, (3, 3))
    assert [panel.get_visible() for panel in panels.flat] == [row >= column for row in range(3) for column in range(3)]
    for row, column in zip(*np.tril_indices(3), strict=True):
        low, high = panels[row, column].get_xlim()
        assert low <= truth[column] <= high
        assert low >= BOUNDS[column][0]
        assert high <= BOUNDS[column][1]
    marker = next(line for line in panels[2, 1].lines if line.get_marker() == "+")
    assert (marker.get_xdata()[0], marker.get_ydata()[0]) == (truth[1], truth[2])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["posterior", "prior", "truth"]


def test_corner_draws_three_other_posteriors_in_lines_of_their_own(draws):
    others = {name: draws[:500] * factor for name, factor in (("a", 0.8), ("b", 0.9), ("c", 1.1))}
    figure = plots.corner(draws, LABELS, BOUNDS, others=others)
    lines = np.reshape(figure.axes, (3, 3))[0, 0].lines
    assert len({line.get_color() for line in lines}) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["posterior", "a", "b", "c"]


def test_corner_contours_hold_what_they_say(random):
    draws = random.normal(size=(50_000, 2)) * (1.0, 3.0)
    figure = plots.corner(draws, LABELS[:2], ((-np.inf, np.inf),) * 2)
    panel = np.reshape(figure.axes, (2, 2))[1, 0]
    lines = panel.collections[-1].get_paths()
    # Around a Gaussian, the contour of mass m has radius sqrt(-2 ln(1 - m)) in units of the standard deviations.
    for path, mass in zip(lines, (0.95, 0.68), strict=True):
        radius = np.hypot(path.vertices[:, 0], path.vertices[:, 1] / 3.0)
        assert np.mean(radius) == pytest.approx(np.sqrt(-2 * np.log(1 - mass)), rel=0.04)


def test_a_flat_density_makes_no_noise(random, capsys, caplog):
    plots.corner(random.uniform(size=(20_000, 2)), LABELS[:2], ((0.0, 1.0), (0.0, 1.0)))
    assert capsys.readouterr().out == ""
    assert not caplog.records


def test_maps_share_one_colour_scale_and_masked_pixels_do_not_matter(random):
    maps = random.normal(size=(3, 8, 8)) * np.array([1, 2, 3])[:, None, None]
    maps[1, :2] = np.nan
    figure = plots.map_row(maps, ("one", "two", "three"), side=5.0)
    scales = {panel.images[0].get_clim() for panel in figure.axes[:3]}
    assert len(scales) == 1
    assert np.all(np.isfinite(next(iter(scales))))
    assert figure.axes[0].images[0].get_extent() == [0.0, 5.0, 0.0, 5.0]


def test_loss_curves_show_the_plateau_and_the_kept_epoch():
    held_out = [50.0, *np.linspace(2.0, 1.0, 40), *np.linspace(1.01, 1.5, 19)]
    panel = plots.loss_curves({"posterior": (held_out, held_out)}).axes[0]
    assert panel.get_ylim()[1] < 3.0
    kept = next(line for line in panel.lines if line.get_label() == "kept")
    assert kept.get_xdata()[0] == 41


def test_coverage_and_rank_curves_draw_their_bands():
    levels = np.linspace(0, 1, 11)
    figure = plots.coverage_curve(levels, levels**2, levels**2 - 0.1, levels**2 + 0.1, title="TARP")
    difference = figure.axes[1].lines[-1].get_ydata()
    np.testing.assert_allclose(difference, levels**2 - levels)
    band = np.stack([-0.1 * np.ones(11), 0.1 * np.ones(11)])
    figure = plots.rank_curves(levels, np.zeros((8, 11)), band, [f"p_{i}" for i in range(8)])
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines[1:]}
    assert len(looks) == 8


def test_scale_curves_tell_draws_from_means_and_bins_apart(random):
    ell = np.geomspace(100, 3000, 6)
    transfer, correlation = random.uniform(size=(2, 2, 2, 3, 6))
    z2 = np.stack([1 + 0.05 * random.normal(size=(3, 6)), np.full((3, 6), 0.02)])
    figure = plots.scale_curves(ell, transfer, correlation, z2)
    upper, middle, lower = figure.axes
    looks = {(line.get_color(), line.get_linestyle()) for line in upper.lines[:6]}
    assert len(looks) == 6
    np.testing.assert_allclose(upper.lines[4].get_ydata(), transfer[1, 0, 1])
    np.testing.assert_allclose(middle.lines[2].get_ydata(), correlation[0, 0, 2])
    np.testing.assert_allclose(lower.lines[1].get_ydata(), z2[0, 1])
    edges = lower.collections[1].get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == pytest.approx((z2[0, 1].min() - 0.02, z2[0, 1].max() + 0.02))
    assert [text.get_text() for text in middle.get_legend().get_texts()][:2] == ["draws", "posterior mean"]


def test_spectra_stand_in_the_lower_triangle(random):
    ell = np.geomspace(100, 3000, 6)
    figure = plots.spectra_triangle(ell, np.ones((6, 6)), random.uniform(size=(30, 6, 6)), 3)
    panels = np.reshape(figure.axes, (3, 3))
    names = {(row, column): panels[row, column].texts[0].get_text() for row, column in zip(*np.tril_indices(3), strict=True)}
    assert names[(2, 1)] == "2$\\times$3"
    np.testing.assert_allclose(panels[2, 1].lines[-1].get_ydata(), 1e5 * ell * (ell + 1) / (2 * np.pi))


def test_the_look_never_leaks(tmp_path, random):
    before = dict(matplotlib.rcParams)
    figure = plots.spectra_triangle(np.geomspace(100, 3000, 9), np.ones((1, 9)), random.uniform(size=(40, 1, 9)), 1)
    plots.save_figure(figure, tmp_path / "one.png")
    plots.save_figure(plots.data_vector(np.arange(5.0)), tmp_path / "two.png")
    assert dict(matplotlib.rcParams) == before
    assert before["font.family"] != [SETTINGS["font.family"]]
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert to_hex(figure.axes[0].lines[0].get_color()) == BLUE.lower()


def test_accuracy_stands_where_it_was_measured():
    curves = {
        "simulations": {"npe": ([100.0, 1000.0], [0.8, 0.6], [0.01, 0.02])},
        "gradients": {"nuts": ([10.0], [0.7], [None])},
    }
    left, right = plots.accuracy_curves(curves, goal=0.6).axes
    assert left.get_xlabel() == "simulations"
    (npe,), (nuts,) = ([bars.lines[0] for bars in panel.containers] for panel in (left, right))
    assert (list(npe.get_ydata()), list(nuts.get_xdata())) == ([0.8, 0.6], [10])

    rows = {"npe": {"slcp": (0.9, 0.02), "sir": (0.7, None)}, "nle": {"sir": (0.6, None)}}
    (panel,) = plots.accuracy_rows(rows, published={"sir": 0.65, "unknown": 0.5}, bars={"slcp": 0.8}).axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["slcp", "sir"]
    assert [list(bars.lines[0].get_xdata()) for bars in panel.containers] == [[0.9, 0.7], [0.6]]
    diamonds = next(line for line in panel.lines if line.get_label() == "published")
    np.testing.assert_allclose(diamonds.get_data(), ([0.65], [1]))


@pytest.mark.parametrize("p", [1, 2, 3, 5])
def test_legend_lies_on_no_panel(p):
    draws = np.random.default_rng(0).normal(size=(500, p))
    figure = plots.corner(
        draws, [f"a_{i}" for i in range(p)], [(-np.inf, np.inf)] * p, name="a posterior with a long name", truth=np.zeros(p),
        others={"another of them": draws + 0.5},
    )  # fmt: skip
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(panel.get_window_extent()) for panel in figure.axes if panel.get_visible())


def test_stochasticity_stands_against_what_was_asked_for(random):
    asked, ell = np.array([0.4, 0.7, 1.0]), np.geomspace(100, 2000, 5)
    found = {name: asked[:, None] + 0.01 * random.normal(size=(3, 5)) for name in ("exact", "published")}
    left, right = plots.stochasticity_curves(asked, ell, found).axes
    np.testing.assert_allclose(left.lines[2].get_ydata(), found["published"].mean(1))
    np.testing.assert_allclose(right.lines[4].get_ydata(), found["published"][1])
    assert right.lines[4].get_linestyle() != right.lines[1].get_linestyle()
    assert right.lines[4].get_color() == right.lines[1].get_color()
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["exact", "published"]
