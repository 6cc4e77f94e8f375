"""The report in a real browser: sorting, filtering, reviewing, export."""

import numpy as np
import pandas as pd
import pytest

from dit_clean.audit import corrected_labels, write_report
from tests.audit.browser import Browser, find_chromium
from tests.audit.conftest import make_audit_data, make_target_data
from tests.audit.test_report import EVIL, make_evil_data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium and its driver"),
]
ROWS = "return [...document.querySelectorAll('#rows tr')].map(r => +r.dataset.row)"
SET = """const c = document.querySelector(arguments[0]); c.value = arguments[1];
c.dispatchEvent(new Event('input', {bubbles: true}));
c.dispatchEvent(new Event('change', {bubbles: true}));"""
TEXT = "return document.querySelector(arguments[0]).textContent"
HIDDEN = "return document.querySelector(arguments[0]).hidden"
TIMES = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
LONG = "a name of a column that goes on and on, for it was made by a machine of ours"
N_ROWS = 25
TEXTS = "words of a text that somebody has written without ever coming to an end " * 5


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "browser") as browser:
        yield browser


@pytest.fixture
def page(browser, data, tmp_path):
    browser.open(write_report(data, tmp_path / "audit.html"))
    yield browser
    assert browser.log() == []


def test_flagged_rows_come_first_and_columns_sort(page, data):
    flagged = data.most_suspicious[data.flagged[data.most_suspicious]]
    assert page.run(ROWS) == flagged.tolist()
    page.click("th[data-name=row] button")
    assert page.run(ROWS) == sorted(flagged)
    page.click("th[data-name=row] button")
    assert page.run(ROWS) == sorted(flagged, reverse=True)
    page.click("th[data-name=influence] button")
    order = flagged[np.argsort(data.influence[flagged])]
    assert page.run(ROWS) == order.tolist()
    sorted_by = "return document.querySelector('th[aria-sort=ascending]').dataset.name"
    assert page.run(sorted_by) == "influence"


def test_filters_combine(page, data):
    page.run(SET, "#which", "")
    page.run(SET, "#given", "dog")
    page.run(SET, "#search", "CITY 3")
    wanted = (data.labels == "dog") & (data.X["city"] == "city 3").to_numpy()
    assert sorted(page.run(ROWS)) == np.flatnonzero(wanted).tolist()
    page.run(SET, "#search", "nowhere")
    assert page.run(ROWS) == []


def test_a_search_says_how_many_other_rows_match(page, data):
    kept = int(np.flatnonzero(~data.flagged)[0])
    page.run(SET, "#search", str(data.X.index[kept]))
    assert page.run(TEXT, "#range") == "no flagged row matches; 1 in all rows"
    page.click("#show-all")
    assert page.run(ROWS) == [kept]
    assert page.run(HIDDEN, "#show-all")
    assert page.run(TEXT, "#export") == "Export 1 row shown as CSV"
    page.run(SET, "#search", "nowhere")
    assert page.run(TEXT, "#range") == "no row matches"
    assert page.run(HIDDEN, "#show-all")


def test_a_page_without_verdicts_may_be_left(page):
    leave = """const e = new Event("beforeunload", {cancelable: true});
    window.dispatchEvent(e); return !e.defaultPrevented"""
    verdict = "#rows tr:nth-child(1) td:nth-child(2) select"
    page.run(SET, verdict, "wrong")
    assert page.run(TEXT, "#reviewed") == "1 row reviewed, not exported yet"
    assert not page.run(leave)
    page.run(SET, verdict, "")
    assert page.run(leave)


def test_a_long_label_leaves_the_column_of_verdicts_narrow(browser, tmp_path):
    data = make_audit_data(classes=("cat", f"a {'very ' * 12}long label"))
    browser.open(write_report(data, tmp_path / "audit.html"))
    browser.run(SET, "#rows tr:nth-child(1) td:nth-child(2) select", "wrong")
    width = "return document.querySelector('#rows .correction').offsetWidth"
    assert browser.run(width) <= 128


def test_pages_turn(page):
    page.run(SET, "#which", "")
    first = page.run(ROWS)
    page.click("#forward")
    second = page.run(ROWS)
    assert len(first) == len(second) == N_ROWS
    assert not set(first) & set(second)
    page.click("#back")
    assert page.run(ROWS) == first


def test_selected_rows_are_exported_as_csv(page, data):
    shown = page.run(ROWS)
    page.click("#rows tr:nth-child(2) input")
    page.click("#rows tr:nth-child(4) input")
    page.click("#export")
    table = pd.read_csv(page.downloaded("selected-rows.csv"))
    assert table["row"].tolist() == sorted([shown[1], shown[3]])
    assert table["label"].tolist() == data.labels[table["row"]].tolist()
    assert table["city"].tolist() == data.X["city"].iloc[table["row"]].tolist()
    assert np.allclose(table["suspicion"], data.suspicion[table["row"]], atol=1e-5)


def test_a_review_made_in_the_page_comes_back_as_labels(page, data):
    rows = page.run(ROWS)
    page.run(SET, "#rows tr:nth-child(1) td:nth-child(2) select", "wrong")
    page.run(SET, "#rows tr:nth-child(2) td:nth-child(2) select", "right")
    page.run(SET, "#rows tr:nth-child(3) td:nth-child(2) select", "wrong")
    other = next(c for c in data.classes if c != data.labels[rows[2]])
    page.run(SET, "#rows tr:nth-child(3) .correction", other)
    page.click("#export-review")
    labels = corrected_labels(data, page.downloaded("review.csv"))
    expected = data.labels.copy()
    expected[rows[0]], expected[rows[2]] = data.suggested[rows[0]], other
    assert np.array_equal(labels, expected)


@pytest.mark.parametrize("make", [make_audit_data, make_target_data])
def test_a_review_is_exported_once_wrong_rows_have_a_right_label(
    browser, tmp_path, make
):
    data = make()
    browser.open(write_report(data, tmp_path / "audit.html"))
    browser.run(SET, "#which", "kept")
    browser.click("#forward")
    row = browser.run(ROWS)[3]
    browser.run(SET, "#rows tr:nth-child(4) td:nth-child(2) select", "wrong")
    browser.run(SET, "#which", "flagged")
    browser.click("#export-review")
    kind = "label" if data.is_classifier else "target"
    message = f"1 row is marked wrong without a right {kind}"
    assert browser.run(TEXT, "#reviewed") == message
    focused = "const a = document.activeElement; return a.getAttribute('aria-label')"
    assert browser.run(focused) == f"right {kind} of row {row}"
    assert not list(browser.downloads.iterdir())
    other = next(c for c in np.unique(data.labels) if c != data.labels[row])
    browser.run(SET, f"#rows tr[data-row='{row}'] .correction", str(other))
    browser.click("#export-review")
    labels = corrected_labels(data, browser.downloaded("review.csv"))
    assert np.flatnonzero(labels != data.labels).tolist() == [row]
    assert labels[row] == other


def test_verdicts_are_given_in_the_table_or_below_a_picture(page, data):
    rows = page.run(ROWS)
    card = f".item[data-row='{rows[0]}'] .verdict"
    page.run(SET, f"{card} select", "wrong")
    other = next(c for c in data.classes if c not in (data.labels[rows[0]], "cat"))
    page.run(SET, f"{card} .correction", other)
    value = "return document.querySelector(arguments[0]).value"
    assert page.run(value, "#rows tr:nth-child(1) td:nth-child(2) select") == "wrong"
    assert page.run(value, "#rows tr:nth-child(1) .correction") == other
    page.run(SET, "#rows tr:nth-child(2) td:nth-child(2) select", "right")
    assert page.run(value, f".item[data-row='{rows[1]}'] .verdict select") == "right"
    page.click("#export-review")
    labels = corrected_labels(data, page.downloaded("review.csv"))
    assert np.flatnonzero(labels != data.labels).tolist() == [rows[0]]
    assert labels[rows[0]] == other


def test_cells_are_no_formulas_in_a_spreadsheet(browser, tmp_path):
    classes = ("=1+1", "-5", "@home", "- no -", "+x")
    texts = ["=HYPERLINK()", "-1.5", "plain", "+49 30 1234", "-"] * 12
    data = make_audit_data(classes=classes, X=pd.DataFrame({"text": texts}))
    browser.open(write_report(data, tmp_path / "audit.html"))
    browser.run(SET, "#which", "")
    browser.click("#export")
    table = pd.read_csv(browser.downloaded("rows.csv"), dtype=str)
    assert set(table["label"]) == {"'=1+1", "-5", "'@home", "'- no -", "'+x"}
    assert set(table["text"]) == {
        "'=HYPERLINK()",
        "-1.5",
        "plain",
        "'+49 30 1234",
        "'-",
    }
    rows = browser.run(ROWS)[:10]
    for n in range(1, 11):
        browser.run(SET, f"#rows tr:nth-child({n}) td:nth-child(2) select", "wrong")
    browser.click("#export-review")
    review = browser.downloaded("review.csv")
    labels = corrected_labels(data, review)
    assert np.array_equal(labels[rows], data.suggested[rows])


def test_labels_that_differ_in_white_space_alone_survive_the_page(browser, tmp_path):
    data = make_audit_data(classes=("ham", "spam", "spam "))
    browser.open(write_report(data, tmp_path / "audit.html"))
    browser.run(SET, "#which", "")
    browser.run(SET, "#given", "spam ")
    assert {data.labels[row] for row in browser.run(ROWS)} == {"spam "}
    assert browser.run(TEXT, "#rows td.label") == "spam␣"
    row = browser.run(ROWS)[0]
    for correction in ("spam", "ham"):
        browser.run(SET, "#rows tr:nth-child(1) td:nth-child(2) select", "wrong")
        browser.run(SET, "#rows tr:nth-child(1) .correction", correction)
    browser.run(SET, "#given", "ham")
    other = browser.run(ROWS)[0]
    browser.run(SET, "#rows tr:nth-child(1) td:nth-child(2) select", "wrong")
    browser.run(SET, "#rows tr:nth-child(1) .correction", "spam ")
    browser.click("#export-review")
    labels = corrected_labels(data, browser.downloaded("review.csv"))
    assert np.flatnonzero(labels != data.labels).tolist() == sorted([row, other])
    assert (labels[row], labels[other]) == ("ham", "spam ")


def test_long_names_leave_small_screens_as_narrow_as_they_are(browser, tmp_path):
    classes = [f"A very long class name of category {i} (its rest)" for i in range(26)]
    data = make_audit_data(400, classes=classes)
    browser.resize(390, 900)
    browser.open(write_report(data, tmp_path / "audit.html"))
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    # Below, the text of pictures would shrink with them.
    picture = "return document.querySelector('.picture svg').clientWidth"
    assert browser.run(picture) >= 480
    line = "return document.querySelector(arguments[0]).offsetHeight"
    assert browser.run(line, "#range") < 30 > browser.run(line, "#back") - 10


def make_wide_data():
    """Return an audit with long names of columns, and long texts in them."""
    X = pd.DataFrame({f"{LONG} {i}": [f"{i} {TEXTS}"] * 60 for i in range(6)})
    return make_audit_data(X=X.assign(**{"x" * 90: "y" * 300}, count=2**50))


def test_a_printed_page_shows_all_of_the_table(browser, tmp_path):
    browser.open(write_report(make_wide_data(), tmp_path / "audit.html"))
    browser.resize(720, 900)
    browser.show_as_printed()
    style = (
        "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    )
    assert browser.run(style, ".scroll", "overflow") == "visible"
    # Chromium repeats headers on further pages, but not the buttons in them.
    assert browser.run(style, "thead button", "display") == "contents"
    head = "return document.querySelector('.scroll thead').offsetHeight"
    assert browser.run(head) < 200  # nor headers of more than a quarter of the page
    assert browser.run(style, "#rows tr", "breakInside") == "avoid"
    wide = "return document.querySelector('.scroll').scrollWidth"
    assert browser.run(wide) <= 950  # by a third Chromium shrinks a page that is wider


def test_long_texts_leave_headers_narrow_and_rows_low(browser, tmp_path):
    browser.open(write_report(make_wide_data(), tmp_path / "audit.html"))
    widths = "return [...document.querySelectorAll('th.own')].map(h => h.offsetWidth)"
    assert max(browser.run(widths)) <= 400
    height = "return document.querySelector('#rows tr').offsetHeight"
    low = browser.run(height)
    assert low < 120
    browser.run("document.querySelector('#rows .clamp').focus()")
    assert browser.run(height) > low


def test_regression_speaks_of_targets(browser, tmp_path):
    browser.open(write_report(make_target_data(), tmp_path / "audit.html"))
    heads = (
        "return [...document.querySelectorAll('#head button')].map(b => b.textContent)"
    )
    shown = browser.run(heads)
    assert {"target", "suggested target"} <= set(shown)
    assert not [name for name in shown if "label" in name]
    browser.click("#export")
    table = pd.read_csv(browser.downloaded("rows.csv"))
    assert {"label", "suggested_label"} <= set(table)


def test_html_in_the_data_stays_text(browser, tmp_path):
    data = make_evil_data()
    path = write_report(data, tmp_path / "evil.html", samples=[EVIL] * 60)
    browser.open(path)
    assert browser.run("return window.evil") is None
    assert browser.run("return document.querySelectorAll('img').length") == 0
    cells = "return document.querySelector('#rows td.label').textContent"
    assert browser.run(cells) in data.classes.tolist()
    browser.click("#export")
    table = pd.read_csv(browser.downloaded("rows.csv"))
    assert EVIL in table["label"].tolist()
    assert browser.log() == []


def test_ten_thousand_rows_open_within_a_second(browser, tmp_path):
    generator = np.random.RandomState(0)
    X = pd.DataFrame(generator.rand(10_000, 8)).add_prefix("x")
    data = make_audit_data(10_000, X=X.assign(text="some words to read " * 5))
    path = write_report(data, tmp_path / "audit.html")
    times = []
    for _ in range(3):
        browser.open(path)
        times.append(browser.run(TIMES))
    assert min(times) < 1000
    assert len(browser.run(ROWS)) == N_ROWS
