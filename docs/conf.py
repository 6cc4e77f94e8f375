"""Sphinx settings. `make docs` builds with warnings as errors and no network."""

import os
import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

project = "dit_clean"
author = "dit_clean developers"
copyright = author
release = installed_version("dit_clean")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "notebook_page",
]
exclude_patterns = ["_build"]
default_role = "literal"
templates_path = ["_templates"]

autosummary_generate = True
autodoc_default_options = {
    "members": True,
    # scikit-learn's own text, with links into its user guide.
    "exclude-members": ", ".join(
        f"set_{what}"
        for what in (
            "fit_request",
            "fit_resample_request",
            "output",
            "partial_fit_request",
            "predict_request",
            "score_request",
            "transform_request",
        )
    ),
}
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {"index": [], "benchmarks": []}
html_title = f"{project} {release}"

# Gallery: every examples/plot_*.py is run, and one that fails ends the build; the
# other files there are left out.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"(^|[/\\])plot_",
    "ignore_pattern": r"(^|[/\\])(?!plot_)[^/\\]*\.py$",
    "abort_on_example_error": True,
    "parallel": 2,
    "download_all_examples": False,
    "show_memory": False,
    "within_subsection_order": "FileNameSortKey",
    "show_signature": False,
    "write_computation_times": False,
}

# Links into other projects' pages need a network: `DOCS_INTERSPHINX=1 make docs`.
if os.environ.get("DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "numpy": ("https://numpy.org/doc/stable/", None),
        "python": ("https://docs.python.org/3/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
        "skorch": ("https://skorch.readthedocs.io/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }


def plain(app, what, name, obj, options, lines):
    """Take scikit-learn's links and formulas out of inherited docstrings.

    Its user guide is not ours, and MathJax needs a network.
    """
    for pattern, text in (
        (r":ref:`([^<`]+?)\s*<[^>]+>`", r"\1"),
        (r"\\frac\{(\w+)\}\{(\w+)\}", r"\1/\2"),
        (r":math:`([^`]+)`", r"``\1``"),
    ):
        lines[:] = [re.sub(pattern, text, line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", plain, priority=400)
