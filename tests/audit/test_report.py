"""The report is one file that fetches nothing and runs nothing of the user's."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dit_clean.audit import audit_table, report, write_report
from dit_clean.audit.report import table_payload
from tests.audit.conftest import (
    make_audit_data,
    make_doubtful_data,
    make_target_data,
)

EVIL = '</script><script>window.evil=1</script><img src=x onerror="window.evil=1">'


class Page(HTMLParser):
    """What a page holds: tags with their attributes, and the data of the table."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self._inside = [], {}, None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = dict(attributes).get("id") if tag == "script" else None

    def handle_data(self, data):
        if self._inside:
            self.text[self._inside] = self.text.get(self._inside, "") + data

    @property
    def table(self):
        return json.loads(self.text["table-data"])


def render(data, tmp_path, **options):
    path = write_report(data, tmp_path / "audit.html", **options)
    return path.read_text("utf-8")


def make_evil_data(n=60):
    """Return an audit whose labels, columns and index hold HTML."""
    X = pd.DataFrame({EVIL: [EVIL] * n}, index=[f"{EVIL}{i}" for i in range(n)])
    return make_audit_data(n, classes=(EVIL, "a&b", "<b>bold</b>"), X=X)


@pytest.mark.parametrize("make", [make_audit_data, make_target_data])
def test_report_fetches_nothing(tmp_path, make):
    html = render(make(), tmp_path)
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png"))
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert "default-src 'none'" in html


def test_report_shows_rows_settings_and_seed(data, tmp_path):
    html = render(data, tmp_path, title="Audit of pets")
    table = Page(html).table
    names = [column["name"] for column in table["columns"]]
    values = dict(zip(names, table["values"], strict=True))
    assert values["row"] == data.most_suspicious.tolist()
    assert values["index"] == (data.most_suspicious + 1000).tolist()
    assert values["city"] == data.X["city"].iloc[data.most_suspicious].tolist()
    assert "<title>Audit of pets</title>" in html
    assert "Seed: 7." in html
    assert "Learning rate: 0.4." in html
    assert "12 of 60 samples (20.0%) are flagged" in html


def test_user_data_are_escaped(tmp_path):
    data = make_evil_data()
    html = render(data, tmp_path, title=EVIL, samples=[EVIL] * 60)
    page = Page(html)
    assert EVIL not in html
    assert [a for t, a in page.tags if t == "script"] == [
        {"type": "application/json", "id": "table-data"},
        {},
    ]
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert EVIL in page.table["labels"]


def test_missing_values_and_long_texts_are_shortened():
    X = pd.DataFrame({"a": [np.nan] * 60, "b": ["word " * 200] * 60})
    table = table_payload(make_audit_data(X=X), None, None, 60)
    assert table["values"][-2] == [None] * 60
    assert len(table["values"][-1][0]) == 300


def test_columns_without_room_are_counted(tmp_path):
    X = pd.DataFrame(np.zeros((60, 11)), columns=[f"column {i}" for i in range(11)])
    data = make_audit_data(X=X)
    assert table_payload(data, None, None, 60)["n_hidden"] == 3
    assert table_payload(data, ["column 9"], None, 60)["n_hidden"] == 0
    assert "3 more columns of the data are not shown" in render(data, tmp_path)
    narrow = replace(data, X=X.iloc[:, :9])
    assert "1 more column of the data is not shown" in render(narrow, tmp_path)


def test_only_the_most_suspicious_rows_are_kept(data):
    table = table_payload(data, None, None, 10)
    assert table["values"][0] == data.most_suspicious[:10].tolist()
    assert table["n_left_out"] == 50


def test_images_are_embedded(tmp_path):
    data = make_audit_data(X=np.random.RandomState(0).rand(60, 3, 8, 8))
    images = [a["src"] for t, a in Page(render(data, tmp_path)).tags if t == "img"]
    assert len(images) == 12
    assert all(src.startswith("data:image/png;base64,") for src in images)


def test_all_flagged_images_are_embedded_as_far_as_there_is_room(tmp_path, monkeypatch):
    data = make_audit_data(X=np.random.RandomState(0).rand(60, 1, 8, 8))
    data = replace(data, flagged=np.arange(60) < 30)

    def n_images():
        return [t for t, _ in Page(render(data, tmp_path)).tags].count("img")

    assert n_images() == 30
    monkeypatch.setattr(report, "MAX_PIXELS", 20 * 64)
    assert n_images() == 20
    table = replace(data, X=np.zeros((60, 4)))
    assert render(table, tmp_path).count('class="item') == 12


def test_images_beyond_the_first_are_folded_up(tmp_path):
    data = make_audit_data(X=np.random.RandomState(0).rand(60, 1, 8, 8))
    assert "more</summary>" not in render(data, tmp_path)
    html = render(replace(data, flagged=np.arange(60) < 30), tmp_path)
    assert "<summary>18 more</summary>" in html
    assert html.split("more</summary>")[0].count('class="item') == 12


def test_a_report_without_flags_leaves_nothing_to_do(data, tmp_path):
    data = replace(data, flagged=np.zeros(60, bool), suggested=data.labels)
    html = render(data, tmp_path)
    assert "No row is flagged; there is nothing to do." in html
    for text in ("flagged rows below", "cleaner decide", "suspicion at which"):
        assert text not in html
        assert text in render(make_audit_data(), tmp_path)


def test_parts_of_the_page_have_names_and_can_be_reached_by_key(tmp_path):
    data = make_audit_data(X=np.random.RandomState(0).rand(60, 1, 8, 8))
    html = render(data, tmp_path)
    tags = Page(html).tags
    assert [tag for tag, _ in tags].count("main") == 1
    assert "<th></th>" not in html
    boxes = [a for _, a in tags if a.get("class") in ("scroll", "picture")]
    assert len(boxes) == 7
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)
    assert '<p tabindex="0">' in render(data, tmp_path, samples=["text"] * 60)
    first = data.most_suspicious[0]
    image = next(attributes for tag, attributes in tags if tag == "img")
    assert image["alt"] == f"sample of row {first}, label {data.labels[first]}"


def test_long_values_below_a_picture_are_clamped(data, tmp_path):
    html = render(data, tmp_path, samples=pd.DataFrame({"a": ["word " * 50] * 60}))
    assert html.count('<div class="clamp" tabindex="0"') == 12
    assert 'class="clamp"' not in render(data, tmp_path)


def test_report_says_which_library_is_missing(data, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"pip install 'dit-clean\[audit\]'"):
        render(data, tmp_path)


def test_report_refuses_before_anything_is_replayed(data, tmp_path):
    def replay():
        raise AssertionError("training was replayed")

    data = replace(data, read_influence=replay, read_timeline=replay)
    with pytest.raises(ValueError, match="samples holds 2 rows"):
        render(data, tmp_path, samples=["a", "b"])
    with pytest.raises(ValueError, match="max_rows=0 leaves no row"):
        render(data, tmp_path, max_rows=0)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        write_report(data, tmp_path / "none" / "audit.html")
    with pytest.raises(ValueError, match=r"'audit\.pdf' is to hold HTML.*\.html"):
        write_report(data, tmp_path / "audit.pdf")
    with pytest.raises(IsADirectoryError, match=r"is a folder\. Give the file"):
        write_report(data, tmp_path)
    with pytest.raises(ValueError, match="X has no column 'town'"):
        render(data, tmp_path, columns=["town"])


def test_columns_named_like_those_of_a_review_are_renamed(data):
    columns = {"verdict": np.arange(data.n_samples), "corrected_label": data.labels}
    shown = [
        column["name"] for column in table_payload(data, columns, None, 10)["columns"]
    ]
    assert shown[-2:] == ["verdict (X)", "corrected_label (X)"]
    assert list(audit_table(data, columns=columns))[-2:] == shown[-2:]


def test_own_columns_of_one_name_are_all_shown(data):
    n = data.n_samples
    columns = {
        "index": np.arange(n),
        "text": -np.arange(n),
        "label": 2 * np.arange(n),
        "label (X)": 3 * np.arange(n),
    }
    payload = table_payload(data, columns, ["some text"] * n, 10)
    own = {
        column["name"]: values
        for column, values in zip(payload["columns"], payload["values"], strict=True)
        if column["own"]
    }
    rows = data.most_suspicious[:10]
    assert {name: values[0] for name, values in own.items()} == {
        "index": data.index[rows[0]],
        "text": "some text",
        "index (X)": rows[0],
        "text (X)": -rows[0],
        "label (X)": 2 * rows[0],
        "label (X) (X)": 3 * rows[0],
    }
    table = audit_table(data, columns=columns)
    assert np.array_equal(table["label (X) (X)"], columns["label (X)"])


@pytest.mark.parametrize("make", [pa.array, lambda values: pa.chunked_array([values])])
def test_columns_of_arrow_are_plain_values(data, make):
    numbers = range(data.n_samples)
    payload = table_payload(data, {"n": make(numbers)}, None, 3)
    assert payload["columns"][-1]["numeric"]
    assert payload["values"][-1] == data.most_suspicious[:3].tolist()


def test_large_whole_numbers_are_texts_for_browsers(data):
    labels = 2**60 + np.arange(data.n_samples)
    large = replace(data, labels=labels, suggested=labels, classes=labels)
    payload = table_payload(large, None, None, 3)
    assert payload["labels"][:2] == [str(2**60), str(2**60 + 1)]


def test_texts_that_are_no_unicode_lose_no_earlier_report(data, tmp_path):
    path = write_report(data, tmp_path / "audit.html")
    before = path.stat().st_size
    write_report(data, path, samples=["\ud83d"] * data.n_samples)
    assert path.stat().st_size > before / 2
    assert [file.name for file in tmp_path.iterdir()] == ["audit.html"]


def test_report_is_written_to_where_a_link_leads(data, tmp_path):
    target, link = tmp_path / "target.html", tmp_path / "link.html"
    target.write_text("earlier")
    link.symlink_to(target)
    write_report(data, link)
    assert link.is_symlink()
    assert target.read_text().startswith("<!doctype html>")


def test_words_fit_the_task(data, tmp_path):
    html = render(make_target_data(), tmp_path)
    assert "If flags gather in one range of targets, one period" in html
    assert 'placeholder="text, target or row"' in html
    assert "If flags gather in one label, one period" in render(data, tmp_path)


def test_spaces_that_nobody_would_see_are_marked(tmp_path):
    data = make_audit_data(classes=("ham", "spam", "spam "))
    html = render(data, tmp_path)
    assert "<h3>spam → spam␣</h3>" in html
    assert "<tr><td>spam␣</td>" in html
    assert Page(html).table["labels"] == ["ham", "spam", "spam "]


@pytest.mark.parametrize("n_classes", [3, 13])
def test_the_matrix_is_explained_with_and_without_numbers(tmp_path, n_classes):
    html = render(make_audit_data(130, classes=range(n_classes)), tmp_path)
    assert "Cells off the diagonal count the samples" in html
    assert "Numbers off the diagonal" not in html


def test_relabeling_is_not_advised_where_flags_are_more_likely_right(data, tmp_path):
    relabel = "take <code>cleaner.suggested_label_</code> as the new labels"
    assert relabel in render(data, tmp_path)
    html = render(make_doubtful_data(), tmp_path)
    assert relabel not in html
    assert "Do not let the cleaner decide here." in html
    assert "flagged (20.0%), 4 of them expected to be wrong" in html
