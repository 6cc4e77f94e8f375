"""What a fitted cleaner shows in a notebook, above scikit-learn's own diagram."""

from html import escape

from dit_clean.audit.data import AuditData
from dit_clean.audit.summary import by_class, with_most_flags
from dit_clean.audit.text import visible_spaces
from dit_clean.audit.words import caution, expected_wrong, is_or_are

MAX_CLASSES = 6
STYLE = (
    "font:14px/1.45 system-ui,sans-serif;margin:0 0 .6em;padding:.6em .9em;"
    "border-left:4px solid #e07b22;max-width:44em"
)


def summary_html(data: AuditData) -> str:
    """Return a short summary as an HTML element with its style inside.

    It takes color and background from the page, so that it reads in light and dark.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    """
    n_flagged = int(data.flagged.sum())
    start, stop = data.window
    what = "labels" if data.is_classifier else "targets"
    head = (
        f"<b>{n_flagged:,} of {data.n_samples:,} samples {is_or_are(n_flagged)} "
        f"flagged</b> "
        f"({n_flagged / data.n_samples:.1%}); {_trust(data)}estimated fraction of "
        f"wrong {what}: {data.contamination:.1%}."
    )
    how = (
        f"Rows are flagged at a suspicion of {data.threshold:.2f} or more, judged from "
        f"epochs {start + 1} to {stop} of {data.n_epochs}."
    )
    calls = "<code>.audit()</code> table, <code>.report('audit.html')</code> to look at"
    lines = [f"{how} {_classes(data)}", escape(caution(data)), calls]
    body = "<br>".join([head, *(f"<small>{line}</small>" for line in lines if line)])
    return f'<div style="{STYLE}">{body}</div>'


def _trust(data: AuditData) -> str:
    return f"{expected_wrong(data)}; " if data.flagged.any() else ""


def _classes(data: AuditData) -> str:
    flagged = [row for row in by_class(data) if row["n_flagged"]]
    named = [
        f"{escape(str(visible_spaces(row['label'])))}: {row['n_flagged']:,}"
        for row in with_most_flags(flagged, MAX_CLASSES)
    ]
    more = [f"{len(flagged) - MAX_CLASSES} more classes"] * (len(flagged) > MAX_CLASSES)
    return f"By given label: {', '.join(named + more)}." if named else ""
