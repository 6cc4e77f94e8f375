"""The report: one HTML file that holds everything and fetches nothing."""

import base64
import hashlib
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dit_clean.audit.data import AuditData, plain
from dit_clean.audit.displays import (
    StagesDisplay,
    SuspicionDisplay,
    TimelineDisplay,
    TrainingDisplay,
)
from dit_clean.audit.displays.labels import labels_display
from dit_clean.audit.extras import require
from dit_clean.audit.gallery import GalleryItem, gallery_items
from dit_clean.audit.samples import cells, column_names, is_text, own_columns
from dit_clean.audit.summary import summarize, with_most_flags
from dit_clean.audit.svg import SIZE, as_svg
from dit_clean.audit.table import audit_columns, named_apart
from dit_clean.audit.text import cut_end, number, visible_spaces
from dit_clean.audit.words import findings
from dit_clean.data.tables import is_frame, only_counts

REPORT_LIBRARIES = ("jinja2", "markupsafe", "matplotlib")
TEMPLATES = Path(__file__).parent / "templates"
MAX_COLUMNS = 8
MAX_CELL = 300
MAX_CLASSES = 30
N_GALLERY = 12
MAX_IMAGES, MAX_PIXELS = 200, 2**20
"""Of flagged images, and of their values: some 1 MB of the file."""
MAX_EXACT = 2**53
"""Whole numbers up to which a browser tells all apart."""
SUFFIXES = (".html", ".htm")
N_DIGITS = 6
"""Significant digits of floats in the table."""


def write_report(data: AuditData, path: Any, **options: Any) -> Path:
    """Write the report of an audit.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    path : str or path
        File to write.
    **options
        As in `AuditMixin.report`.

    Returns
    -------
    path : Path
        The file written.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    IsADirectoryError
        If the path is a folder.
    ValueError
        If the path ends like that of another kind of file.
    """
    path = Path(path)
    if path.suffix.lower() not in ("", *SUFFIXES):
        raise ValueError(
            f"{path.name!r} is to hold HTML, and must end in one of "
            f"{', '.join(SUFFIXES)}."
        )
    if path.is_dir():
        raise IsADirectoryError(
            f"{str(path)!r} is a folder. Give the file to write: "
            f"{str(path / 'audit.html')!r}."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(path.parent)!r} to write {path.name!r} into."
        )
    whole = render_report(data, **options).encode("utf-8", "replace")  # surrogates
    path.write_bytes(whole)
    return path


def render_report(
    data: AuditData,
    *,
    title: str = "Label audit",
    columns: Any = None,
    samples: Any = None,
    max_rows: int = 10_000,
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    title, columns, samples, max_rows
        As in `AuditMixin.report`.

    Raises
    ------
    ValueError
        If `columns` or `samples` do not fit the data, or `max_rows` is below 1.
    """
    if max_rows < 1:
        raise ValueError(f"max_rows={max_rows} leaves no row to show. Give 1 or more.")
    jinja2 = require("jinja2", "The report")
    markup = require("markupsafe", "The report").Markup
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["spaced"] = visible_spaces
    gallery = _gallery(data, samples)
    table = table_payload(data, columns, samples, max_rows)
    summary = summarize(data)
    script = (TEMPLATES / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.jinja").render(
        title=title,
        summary=summary,
        classes=with_most_flags(summary["classes"], MAX_CLASSES),
        findings=findings(data, summary),
        doubtful=data.is_doubtful,
        table=table,
        pictures={k: markup(v) for k, v in _pictures(data, summary).items()},
        gallery=gallery,
        n_open=N_GALLERY,
        created=f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        css=markup((TEMPLATES / "report.css").read_text("utf-8")),
        script=markup(script),
        script_hash=digest,
    )


def table_payload(
    data: AuditData, columns: Any, samples: Any, max_rows: int
) -> dict[str, Any]:
    """Return the table of the report: columns of plain values, most suspicious first.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    columns, samples, max_rows
        As in `AuditMixin.report`.

    Returns
    -------
    payload : dict
        ``columns`` [{name, own, numeric}], ``values`` one list for each column,
        ``labels``, ``n_left_out`` (rows) and ``n_hidden`` (columns).
    """
    rows = data.most_suspicious[:max_rows]
    given = list(_own_columns(data, columns, samples))  # before influence is read
    parts = audit_columns(data)
    parts.pop("weight")
    own = named_apart(given, parts)
    found = parts | own
    lists = [_values(column, rows) for column in found.values()]
    return {
        "columns": [
            {"name": name, "own": name in own, "numeric": _is_numeric(values)}
            for name, values in zip(found, lists, strict=True)
        ],
        "values": lists,
        "labels": (
            None
            if data.classes is None
            else [_short(plain(label)) for label in data.classes]
        ),
        "n_left_out": data.n_samples - len(rows),
        "n_hidden": _n_hidden(data, columns),
    }


def _n_hidden(data: AuditData, columns: Any) -> int:
    """Return how many columns of a data frame there was no room for."""
    if columns is not None or not is_frame(data.X):
        return 0
    return max(0, data.X.shape[1] - MAX_COLUMNS)


def _own_columns(
    data: AuditData, columns: Any, samples: Any
) -> Iterator[tuple[str, Any]]:
    """Yield the user's own columns: index, texts, and those asked for."""
    index = data.index
    if index is not None and not only_counts(index):
        yield str(index.name or "index"), index
    if samples is not None and is_text(samples):
        yield "text", samples
    if columns is None and is_frame(data.X):
        columns = column_names(data.X)[:MAX_COLUMNS]
    yield from own_columns(data.X, columns, data.n_samples).items()


def _values(column: Any, rows: np.ndarray) -> list[Any]:
    """Return the shown rows of a column as JSON knows them, long values shortened."""
    values = cells(column)
    return [_short(plain(values[row])) for row in rows]


def _short(value: Any) -> Any:
    if isinstance(value, float) and not value.is_integer():
        return float(f"{value:.{N_DIGITS}g}")
    if isinstance(value, int) and abs(value) > MAX_EXACT:
        return str(value)
    if isinstance(value, str):
        return cut_end(value, MAX_CELL)
    return value


def _is_numeric(values: list[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(
        isinstance(value, int | float) and not isinstance(value, bool)
        for value in known
    )


def _pictures(data: AuditData, summary: dict[str, Any]) -> dict[str, str]:
    """Return every picture as inline SVG."""
    displays = {
        "suspicion": SuspicionDisplay.from_data(data),
        "training": TrainingDisplay.from_data(data),
        "labels": labels_display(data),
        "timeline": TimelineDisplay.from_data(data),
        "stages": StagesDisplay.from_data(data),
    }
    n_classes = min(len(summary["classes"]), MAX_CLASSES)
    sizes = {"labels": (SIZE[0], max(SIZE[1], 1.6 + 0.3 * n_classes))}
    return {
        name: as_svg(display, name, sizes.get(name, SIZE))
        for name, display in displays.items()
    }


def _gallery(data: AuditData, samples: Any) -> list[dict[str, Any]]:
    """Return the most suspicious samples, images as data addresses.

    All flagged images are shown, as far as there is room, because the table does not
    show images.
    """
    n_items = max(N_GALLERY, min(MAX_IMAGES, int(data.flagged.sum())))
    items = gallery_items(data, samples=samples, n_items=n_items)
    image = items[0].image
    room = 0 if image is None else MAX_PIXELS // image.size
    return [
        {
            "row": item.row,
            "given": number(plain(item.given)),
            "suggested": number(plain(item.suggested)),
            "flagged": item.flagged,
            "suspicion": item.suspicion,
            "image": None if item.image is None else _data_address(item),
            "text": item.text,
            "fields": [(name, number(plain(value))) for name, value in item.fields],
            "n_more": item.n_more,
        }
        for item in items[: max(N_GALLERY, room)]
    ]


def _data_address(item: GalleryItem) -> str:
    images = require("matplotlib.image", "The report")
    buffer = io.BytesIO()
    images.imsave(buffer, item.image, format="png", cmap="gray", vmin=0, vmax=255)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
