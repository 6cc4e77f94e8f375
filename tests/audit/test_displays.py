"""Every picture draws, whatever the labels look like."""

from dataclasses import replace
from itertools import combinations, pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dit_clean.audit import (
    GalleryDisplay,
    LabelsDisplay,
    StagesDisplay,
    SuspicionDisplay,
    TargetsDisplay,
    TimelineDisplay,
    TrainingDisplay,
)
from dit_clean.audit.gallery import as_image, gallery_items
from dit_clean.audit.names import short_names
from dit_clean.audit.svg import as_svg
from tests.audit.conftest import make_audit_data, make_target_data

DISPLAYS = [LabelsDisplay, StagesDisplay, SuspicionDisplay, TimelineDisplay]
DISPLAYS += [TrainingDisplay, GalleryDisplay]


def draw(display):
    display.figure_.canvas.draw()
    return display


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("Display", DISPLAYS)
def test_display_draws_in_light_and_dark(data, Display, style):
    with plt.style.context(style):
        display = draw(Display.from_data(data).plot())
    assert display.figure_ is not None


@pytest.mark.parametrize("Display", DISPLAYS[:-1])
def test_display_draws_on_given_axes(data, Display):
    figure, ax = plt.subplots()
    display = Display.from_data(data).plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is figure


def test_dollars_in_labels_are_no_formulas():
    data = make_audit_data(classes=("$x_{", "cost in $ and $", "\\frac{$"))
    draw(LabelsDisplay.from_data(data).plot())
    draw(GalleryDisplay.from_data(data, samples=["a $broken{ formula$"] * 60).plot())


@pytest.mark.parametrize("classes", [("benign", "malignant"), tuple(range(12))])
def test_names_beside_the_matrix_stay_inside_the_picture(classes):
    display = draw(LabelsDisplay.from_data(make_audit_data(classes=classes)).plot())
    assert display.ax_.yaxis.label.get_window_extent().x0 > -2


def test_many_classes_are_cut_to_the_busiest():
    data = make_audit_data(300, classes=[f"class {i:02}" for i in range(30)])
    ax = draw(LabelsDisplay.from_data(data).plot()).ax_
    assert len(ax.get_yticklabels()) == 20
    assert ax.get_yticklabels()[-1].get_text() == "other classes"
    assert "the 11 other classes" in ax.get_xlabel()


def test_rows_of_the_matrix_show_their_changes_or_where_they_went():
    n = 60
    counts = np.diag(np.full(n, 20))
    changed = 1 + np.random.RandomState(0).permutation(n)
    counts[np.arange(n), (np.arange(n) + 1) % n] += changed
    ax = LabelsDisplay(list(range(n)), counts).plot().ax_
    drawn = ax.images[0].get_array()
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    for name, row in zip(names[:-1], drawn[:-1], strict=True):
        assert row.sum() == changed[int(name)]
    assert drawn[-1, -1] == 0
    assert f"{drawn.sum():,} of {changed.sum():,} changes drawn" in ax.get_xlabel()
    busiest = np.argsort(-changed)[:19]
    at_once = counts[np.ix_(busiest, busiest)]
    assert drawn[:-1, :-1].sum() > at_once.sum() - np.trace(at_once)


LONG = "A very long class name of the {}-th product category (incl. accessories)"
ALIKE = [
    [LONG.format(k) for k in range(26)],
    ["spam", "spam ", " spam"],
    [f"a {i} {'long ' * 9} and {j} {'long ' * 9} name" for i in "xy" for j in "pq"],
]


@pytest.mark.parametrize("classes", ALIKE)
def test_names_that_are_cut_differ(classes):
    data = make_audit_data(300, classes=classes)
    ax = draw(LabelsDisplay.from_data(data).plot()).ax_
    for ticks in (ax.get_xticklabels(), ax.get_yticklabels()):
        names = [tick.get_text() for tick in ticks]
        assert len(set(names)) == len(names) == min(len(classes), 20)
        assert max(map(len, names)) <= 18
    items = gallery_items(data, rows=np.arange(len(classes)))
    shown = {place.get_title() for place in GalleryDisplay(items).plot().ax_}
    labels = {title.splitlines()[1].split(" (kept)")[0] for title in shown if title}
    assert len({label.split(" → ")[0] for label in labels}) == len(classes)


def test_long_names_show_where_they_differ():
    assert short_names([LONG.format(k) for k in (1, 12)], 14) == [
        "A ve…1-th pro…",
        "A ve…12-th pr…",
    ]


def test_names_are_told_apart_from_classes_that_are_not_drawn():
    names = [f"Department of class number {i} ({'x' * (i % 25)})" for i in range(30)]
    counts = np.zeros((30, 30), dtype=int)
    counts[np.arange(19), np.arange(1, 20)] = 1
    drawn = LabelsDisplay(names, counts).plot().ax_.get_yticklabels()[:-1]
    every = short_names(names, 14)
    assert {tick.get_text() for tick in drawn} < set(every)
    assert short_names(names[:20], 14) != every[:20]


def test_names_of_columns_that_are_cut_differ(data):
    X = np.zeros((60, 9))
    samples = pd.DataFrame(X, columns=[LONG.format(k) for k in range(9)])
    place = GalleryDisplay.from_data(data, samples=samples, n_items=1).plot().ax_[0]
    lines = place.texts[0].get_text().splitlines()[:-1]
    assert len(set(lines)) == len(lines) == 8


def test_no_flags_and_one_epoch_draw():
    data = make_audit_data(n_epochs=1)
    data = replace(data, flagged=np.zeros(60, bool), suggested=data.labels)
    for Display in DISPLAYS:
        draw(Display.from_data(data).plot())


def test_regression_draws_targets():
    draw(TargetsDisplay.from_data(make_target_data()).plot())
    with pytest.raises(ValueError, match="TargetsDisplay"):
        LabelsDisplay.from_data(make_target_data())


def test_timeline_shows_flagged_and_kept_rows_in_groups(data):
    display = TimelineDisplay.from_data(data, n_rows=20)
    kinds = [group.split(",")[0] for group in display.groups]
    assert kinds == ["flagged"] * 12 + ["kept"] * 8
    chosen = TimelineDisplay.from_data(data, rows=[3, 4])
    assert sorted(chosen.timeline.sum(1)) == sorted(data.timeline[[3, 4]].sum(1))


@pytest.mark.parametrize(
    ("samples", "kind"),
    [
        (np.zeros((60, 8, 8)), "image"),
        (np.zeros((60, 3, 8, 8)), "image"),
        (["text"] * 60, "text"),
        (np.zeros((60, 9)), "fields"),
        (sparse.csr_array(np.eye(60)), "fields"),
    ],
)
def test_gallery_shows_each_kind_of_sample_as_what_it_is(data, samples, kind):
    items = gallery_items(data, samples=samples, n_items=5)
    assert [item.row for item in items] == data.most_suspicious[:5].tolist()
    filled = {"image": items[0].image, "text": items[0].text}
    filled["fields"] = items[0].fields or None
    assert [name for name, value in filled.items() if value is not None] == [kind]
    draw(GalleryDisplay(items).plot())


def test_sparse_rows_show_what_is_not_zero_first(data):
    X = sparse.lil_array((60, 1000))
    X[:, 5], X[:, 700], X[:, 900] = 1, -3, 2
    item, *_ = gallery_items(data, samples=X.tocsr(), n_items=1)
    assert item.fields[:3] == (("x700", -3), ("x900", 2), ("x5", 1))
    assert len(item.fields) == 8
    assert item.n_more == 992


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_gallery_is_drawn_in_the_place_of_one_axes(data, layout):
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 8), layout=layout)
    display = draw(GalleryDisplay.from_data(data, n_items=7).plot(left))
    places = [place for place in display.ax_ if place.get_visible()]
    assert [bool(place.texts) for place in places] == [True] * 7
    assert display.figure_ is figure
    boxes = [place.get_tightbbox() for place in places]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert max(box.x1 for box in boxes) < right.get_window_extent().x0
    (alone,) = GalleryDisplay.from_data(data, n_items=1).plot(right).ax_
    assert alone is right


def test_gallery_refuses_too_few_axes(data):
    _, axes = plt.subplots(1, 3)
    with pytest.raises(ValueError, match=r"ax holds 3 axes for 12 samples.*n_items=3"):
        GalleryDisplay.from_data(data).plot(axes)


@pytest.mark.parametrize(
    ("window", "n_lines", "label"),
    [((2, 5), 2, "dashed"), ((3, 6), 1, "dashed"), ((0, 6), 0, "all count")],
)
def test_timeline_names_the_window_that_it_shows(data, window, n_lines, label):
    ax = TimelineDisplay.from_data(replace(data, window=window)).plot().ax_
    assert sum(line.get_linestyle() == "--" for line in ax.lines) == n_lines
    assert label in ax.get_xlabel()


def test_gallery_refuses_samples_of_other_data(data):
    with pytest.raises(ValueError, match="samples holds 3 rows"):
        gallery_items(data, samples=["a", "b", "c"])


@pytest.mark.parametrize("samples", [3, [1] * 60, [["a"], ["b", "c"]] * 30])
def test_gallery_refuses_what_it_cannot_show(data, samples):
    with pytest.raises(TypeError, match="texts, images of one size or rows"):
        gallery_items(data, samples=samples)


def test_missing_texts_are_shown_as_empty(data):
    items = gallery_items(data, samples=[None, "text"] * 30, rows=[0, 1])
    assert [item.text for item in items] == ["", "text"]


@pytest.mark.parametrize("Display", [GalleryDisplay, TimelineDisplay])
@pytest.mark.parametrize("rows", [[60], [-1], 3, ["a"], [True]])
def test_rows_that_do_not_exist_are_refused(data, Display, rows):
    match = "(?i)row numbers|the mask of samples"
    with pytest.raises((TypeError, ValueError), match=match):
        Display.from_data(data, rows=rows)


def test_rows_may_be_a_mask(data):
    items = gallery_items(data, rows=data.flagged)
    assert [item.row for item in items] == np.flatnonzero(data.flagged).tolist()


def test_a_timeline_needs_a_row(data):
    with pytest.raises(ValueError, match="no row to draw"):
        TimelineDisplay.from_data(data, rows=[])


def test_names_of_thin_groups_do_not_overlap():
    groups = ["a"] * 50 + ["b", "c", "d", "e"]
    display = TimelineDisplay(np.ones((54, 3)), groups, (0, 3)).plot()
    names = draw(display).ax_.get_yticklabels()
    boxes = [name.get_window_extent() for name in names]
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))
    assert len(names) == 5


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 9), (8, 9)),
        ((1, 8, 9), (8, 9)),
        ((3, 8, 9), (8, 9, 3)),
        ((8, 9, 3), (8, 9, 3)),
        ((8, 9, 1), (8, 9)),
    ],
)
def test_images_come_out_with_channels_last(shape, expected):
    image = as_image(np.ones(shape), 0, 1)
    assert image.shape == expected
    assert image.dtype == np.uint8
    assert (image == 255).all()


def test_svg_takes_ink_from_the_page_and_nothing_from_elsewhere(data):
    svg = as_svg(LabelsDisplay.from_data(data), "labels")
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "font-family" not in svg
    assert "<metadata" not in svg
    assert as_svg(LabelsDisplay.from_data(data), "labels") == svg


def test_svg_escapes_labels():
    data = make_audit_data(classes=("<script>", "a&b", "</svg>"))
    svg = as_svg(LabelsDisplay.from_data(data), "labels")
    assert "<script" not in svg
    assert svg.count("</svg>") == 1
