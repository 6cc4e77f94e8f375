"""What a fitted cleaner shows in a notebook, above scikit-learn's own diagram."""

from html import escape
from typing import Any

from dit_clean.audit.data import AuditData

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
    head = (
        f"<b>{n_flagged:,} of {data.n_samples:,} samples look wrong</b> "
        f"({n_flagged / data.n_samples:.1%}); estimated fraction of wrong "
        f"{'labels' if data.is_classifier else 'targets'}: {data.contamination:.1%}."
    )
    how = (
        f"Flagged from a suspicion of {data.threshold:.2f} on, read off epochs "
        f"{start + 1} to {stop} of {data.n_epochs}."
    )
    calls = "<code>.audit()</code> table, <code>.report('audit.html')</code> to look at"
    body = f"{head}<br><small>{how} {_classes(data)}</small><br><small>{calls}</small>"
    return f'<div style="{STYLE}">{body}</div>'


def _classes(data: AuditData) -> str:
    if data.classes is None:
        return ""
    counts: list[tuple[int, Any]] = [
        (int(data.flagged[data.labels == label].sum()), label) for label in data.classes
    ]
    flagged = sorted((c for c in counts if c[0]), key=lambda c: -c[0])
    named = [f"{escape(str(label))}: {n:,}" for n, label in flagged[:MAX_CLASSES]]
    more = [f"{len(flagged) - MAX_CLASSES} more classes"] * (len(flagged) > MAX_CLASSES)
    return f"By given label: {', '.join(named + more)}." if named else ""
