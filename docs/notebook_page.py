"""The audit notebook as a page: its cells, and the outputs that are stored in it."""

import json
from html import escape
from pathlib import Path

FENCE = "````"


def setup(app):
    """Have the page written before sphinx looks for pages."""
    app.connect("builder-inited", write_page)


def write_page(app):
    """Write examples/audit.ipynb as generated/audit.md; nothing is run."""
    folder = Path(app.srcdir)
    notebook = json.loads((folder.parent / "examples" / "audit.ipynb").read_text())
    page = folder / "generated" / "audit.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n\n".join(map(_cell, notebook["cells"])) + "\n")


def _cell(cell: dict) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    outputs = [_output(output["data"], source) for output in cell["outputs"]]
    return "\n\n".join([_fenced("python", source), *outputs])


def _output(data: dict, source: str) -> str:
    """Return the richest kind of an output: HTML, a picture, or text.

    A picture is named by the last line of the cell that has drawn it.
    """
    if "text/html" in data:
        html = "".join(data["text/html"])
        return _fenced("{raw} html", f'<div class="notebook-output">{html}</div>')
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        name = escape("Drawn by " + source.splitlines()[-1].rstrip(";"))
        html = f'<img src="data:image/png;base64,{picture}" alt="{name}">'
        return _fenced("{raw} html", f'<div class="notebook-output">{html}</div>')
    return _fenced("text", "".join(data["text/plain"]))


def _fenced(kind: str, text: str) -> str:
    return f"{FENCE}{kind}\n{text}\n{FENCE}"
