"""The auditing methods of a fitted cleaner."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_html_repr

from dit_clean.audit import displays
from dit_clean.audit.data import AuditData
from dit_clean.audit.displays.base import Display
from dit_clean.audit.displays.labels import labels_display
from dit_clean.audit.notebook import summary_html
from dit_clean.audit.report import write_report
from dit_clean.audit.review import corrected_labels
from dit_clean.audit.summary import summarize
from dit_clean.audit.table import audit_table


class AuditMixin:
    """Table, summary, pictures, report and review of an estimator with `audit_data`.

    Pictures, report and table need the extra `audit`.
    """

    def audit_data(self) -> AuditData:
        """Return what the audit is drawn from."""
        raise NotImplementedError

    def audit(
        self,
        sort: str | None = None,
        flagged: bool | None = None,
        columns: Any = None,
    ) -> Any:
        """Return a table with one row per sample.

        Parameters
        ----------
        sort : str, optional
            Column to sort by, the rows most worth a look first: the highest suspicion,
            the lowest of any other column. By default the order of X.
        flagged : bool, optional
            Only flagged (True) or only kept (False) rows.
        columns : list of str, mapping or data frame, optional
            Own columns to add: names of columns of X (x0, x1, ... for arrays), or
            columns kept elsewhere, as in ``{"text": texts}``.

        Returns
        -------
        table : pandas DataFrame, or polars DataFrame if X was one
            The index of X is kept. Columns:

            - row : row number in X;
            - label, suggested_label : as given, and the most probable other one of
              flagged samples;
            - suspicion : in [0, 1], higher = more likely wrong;
            - influence : over the window, negative = harmful;
            - margin : probability of the given label minus that of its strongest
              rival, by networks that never saw the sample (regression: minus the
              absolute residual);
            - flagged, weight : the decision, and weights to train with;
            - pattern : stable, early, late or fluctuating; see
              `dit_clean.influence.influence_patterns`.

        Raises
        ------
        ValueError, TypeError
            If `sort` or a column is unknown, or one kept elsewhere has another length.
        ImportError
            If pandas, or polars where X was a frame of it, is not installed.

        Notes
        -----
        The first one after `fit` may take as long as that: patterns need the influence
        of every epoch, and `fit` measures six. It is kept for the next.
        ``cleaner.set_params(verbose=1)`` shows progress, also after `fit`.
        `suspicion_`, `keep_mask_` and `suggested_label_` need none of this.
        """
        return audit_table(
            self.audit_data(), sort=sort, flagged=flagged, columns=columns
        )

    def summary(self) -> dict[str, Any]:
        """Return counts, estimates, curves and settings as one dict, ready for JSON.

        Returns
        -------
        summary : dict
            See `dit_clean.audit.summary.summarize` for its keys.
        """
        return summarize(self.audit_data())

    def report(
        self,
        path: Any,
        *,
        title: str = "Label audit",
        columns: Any = None,
        samples: Any = None,
        max_rows: int = 10_000,
    ) -> Path:
        """Write everything into one HTML file that needs no network.

        Parameters
        ----------
        path : str or path
            File to write.
        title : str, default="Label audit"
            Heading.
        columns : list of str, mapping or data frame, optional
            Own columns to show, as in `audit`; by default the first ones of X.
        samples : list of str or array, optional
            Texts or images to show for each row, if X does not hold them.
        max_rows : int, default=10000
            Rows of the table, the most suspicious ones.

        Returns
        -------
        path : Path
            The file written.

        Raises
        ------
        ValueError, TypeError
            If the path is not one of an HTML file, a column is unknown, or columns or
            samples have another length.
        ImportError
            If what the extra `audit` brings is not installed.
        """
        return write_report(
            self.audit_data(),
            path,
            title=title,
            columns=columns,
            samples=samples,
            max_rows=max_rows,
        )

    def apply_review(self, review: Any, *, unreviewed: str = "given") -> np.ndarray:
        """Return the labels after a person has looked at them.

        Parameters
        ----------
        review : data frame or path of a CSV file
            Rows of `audit()`, or the file that the report exports, with a column
            `verdict`: "right" keeps the given label, "wrong" takes `corrected_label`
            where it is filled in, else the `suggested_label` of its own row, which the
            reviewer has seen, and without such a column what this cleaner suggests;
            empty = not reviewed.
        unreviewed : {"given", "suggested"}, default="given"
            Labels of the rows that nobody has reviewed; "suggested" is what this
            cleaner suggests.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            In the order of X.

        Raises
        ------
        ValueError, TypeError
            If the review is none, is of other data, or has a row, verdict or label
            that cannot be meant: names the row.
        """
        return corrected_labels(self.audit_data(), review, unreviewed=unreviewed)

    def plot_suspicion(self, ax: Any = None) -> displays.SuspicionDisplay:
        """Draw the histogram of suspicion with the threshold."""
        return displays.SuspicionDisplay.from_cleaner(self, ax=ax)

    def plot_timeline(self, ax: Any = None, **options: Any) -> displays.TimelineDisplay:
        """Draw influence over training.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default on a new figure.
        **options
            - rows : array-like of int or bool; samples to show, by default the most
              suspicious flagged ones and, for a third of the picture, kept ones;
            - n_rows : int, default=60; how many of them.

        Returns
        -------
        display : TimelineDisplay
            Drawn; `figure_` and `ax_` hold the picture.
        """
        return displays.TimelineDisplay.from_cleaner(self, ax=ax, **options)

    def plot_stages(self, ax: Any = None) -> displays.StagesDisplay:
        """Draw how far stages of training agree on who harms."""
        return displays.StagesDisplay.from_cleaner(self, ax=ax)

    def plot_labels(self, ax: Any = None) -> Display:
        """Draw given against suggested labels (regression: targets)."""
        return labels_display(self.audit_data()).plot(ax)

    def plot_training(self, ax: Any = None) -> displays.TrainingDisplay:
        """Draw the training curve with the window shaded."""
        return displays.TrainingDisplay.from_cleaner(self, ax=ax)

    def plot_gallery(self, ax: Any = None, **options: Any) -> displays.GalleryDisplay:
        """Draw the most suspicious samples: images, texts or rows of a table.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, optional
            One for each sample, or one whose place all share; by default on a new
            figure.
        **options
            - samples : list of str, array, data frame or sparse matrix; what to show
              for each row, if that is not X: the texts behind a bag of words, the
              images behind a table of features;
            - n_items : int, default=12; how many;
            - rows : array-like of int or bool; which ones, by default the most
              suspicious.

        Returns
        -------
        display : GalleryDisplay
            Drawn; `figure_` and `ax_` hold the picture.
        """
        return displays.GalleryDisplay.from_cleaner(self, ax=ax, **options)

    @property
    def _repr_html_(self) -> Any:
        """HTML for notebooks, unless scikit-learn is set to plain text."""
        if get_config()["display"] != "diagram":
            raise AttributeError("_repr_html_ needs the display setting 'diagram'.")
        return self._html

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return what notebooks show."""
        bundle = {"text/plain": repr(self)}
        if get_config()["display"] == "diagram":
            bundle["text/html"] = self._html()
        return bundle

    def _html(self) -> str:
        """Return the summary, if fitted, above scikit-learn's own diagram."""
        try:
            summary = summary_html(self.audit_data())
        except NotFittedError:
            summary = ""
        return summary + estimator_html_repr(self)
