"""The influence questions that a fitted cleaner answers from its recorded runs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from dit_clean.audit.groups import group_table
from dit_clean.crossfit import Fold, predict_together
from dit_clean.data.inputs import checked_data, warn_of_other_order
from dit_clean.estimators.findings import Findings
from dit_clean.influence import SampleLosses, Steps, Window
from dit_clean.influence.queries import Query, SampleQuery
from dit_clean.influence.scores import History, check_history
from dit_clean.influence.windows import (
    GridLike,
    WindowLike,
    listed_windows,
    window_in_steps,
)
from dit_clean.tracking.exclusive import with_gradients
from dit_clean.tracking.rows import subset_rows

REPLAYED = ("influence_", "influence_timeline_")
"""Attributes that may have to replay epochs."""
QUERY_CHUNK = 32
"""Given samples per reverse pass in `influence_on`."""


class InfluenceQuestions:
    """Influence over any window, on any query, by sample or by group; no training."""

    _findings: Findings
    _trained_with: dict[str, Any]
    window_: Window
    history: Any
    verbose: int

    @property
    def influence_timeline_(self):
        """Influence of each sample over each epoch alone, (n_samples, n_epochs).

        A sample is taken as gone during the epoch only, whatever `history`. Epochs that
        the decisions did not need are replayed at the first access.
        """
        check_is_fitted(self, "_findings")
        epochs = range(self._findings.evidence.n_epochs)
        return self._findings.timeline(epochs, verbose=self.verbose)

    @property
    def influence_(self):
        """Influence of each sample over the window, (n_samples,).

        Measured at the first access: a reverse pass over each fold's run.
        """
        check_is_fitted(self, "_findings")
        return self.influence(history=self._decided_with["history"])

    def influence(self, window=None, query=None, history=None):
        """Return each sample's influence over a window of the recorded run.

        No training: one reverse pass over each fold's run, with the query at the
        window's end. Without a `query`, a window is measured once.

        Parameters
        ----------
        window : str, int, pair, Window or Steps, default=None
            Epochs, as the parameter `window`, or ``Steps(start, stop)``; None is the
            fitted window.
        query : callable, optional
            ``query(params, run)`` -> scalar tensor; by default what `influence_`
            measures. A query on samples takes them as the networks do: see `encode`.
        history : {"window", "full"}, optional
            By default the parameter `history`.

        Returns
        -------
        influence : ndarray of shape (n_samples,)
            Query without the sample minus query with it, averaged over the networks
            that train on the sample; (n_queries, n_samples) for a `query` of several
            values.

        Raises
        ------
        ValueError
            If the window is unknown or outside of training, or the query's result
            cannot be differentiated.
        TypeError
            If the query cannot be called or returns no tensor, or its samples are not
            as the default network takes them (see `encode`).
        FloatingPointError
            If influence grows beyond all numbers on its way back.
        """
        check_is_fitted(self, "_findings")
        window, history = self._window_of(window), self._history_of(history)
        if query is None:
            return self._findings.influence(window, history, verbose=self.verbose)
        make_query = self._query_maker(query)
        values = self._averaged([make_query], [window], history)[:, :, 0]
        return values[0] if len(values) == 1 else values

    def timeline(self, windows=None, query=None, history=None):
        """Return each sample's influence over each window of a grid.

        Parameters
        ----------
        windows : None, int or iterable of windows, default=None
            None is one window for each epoch; a number, so many windows of equally
            many steps; else a list of whatever `influence` takes as a window.
        query, history
            As in `influence`. The query is evaluated at each window's end.

        Returns
        -------
        timeline : ndarray of shape (n_samples, n_windows)
            With a leading axis n_queries for a `query` of several values.

        Raises
        ------
        ValueError, TypeError, FloatingPointError
            As `influence` does; or if there are no windows, or more than steps.

        Notes
        -----
        Cost: a reverse pass over each fold's run; see `influence_timeline` in
        `dit_clean.influence`.
        """
        check_is_fitted(self, "_findings")
        grid, history = self._grid_of(windows), self._history_of(history)
        values = self._averaged([self._query_maker(query)], grid, history)
        return values[-1] if query is None or len(values) == 1 else values

    def group_influence(self, groups="label", window=None, *, query=None, history=None):
        """Return a table of what leaving out whole groups of samples would change.

        The sums of the influence of each group's samples: true to first order, and the
        less so the larger the group. Needs pandas, of the extra `audit`.

        Parameters
        ----------
        groups : str, int, tuple or array-like of shape (n_samples,), default="label"
            "label" (the given labels), the name of a column of X, or one name per
            sample: an annotator, a source, a date. Where X has a column "label", give
            y or that column itself.
        window, query, history
            As in `influence`; a query of one value.

        Returns
        -------
        table : pandas DataFrame
            One row per group, the most harmful first. Columns: n_samples; influence
            (the sum, negative = harmful); mean_influence; harmful (share of its samples
            with negative influence); flagged (share); suspicion (mean).

        Raises
        ------
        ValueError
            If X has no column of the name, groups are not one entry for each sample or
            some are missing, or the query has several values.
        ImportError
            If pandas is not installed: names the extra.
        """

        def measure() -> np.ndarray:
            influence = self.influence(window, query, history)
            if influence.ndim > 1:
                raise ValueError(
                    f"The query has {len(influence)} values, and a table of groups "
                    "needs one. Ask for one after the other."
                )
            return influence

        return group_table(self.audit_data(), groups, measure)

    def influence_on(self, X, y=None, *, window=None, history=None):
        """Return each training sample's influence on the loss of given samples.

        Parameters
        ----------
        X : like the X given to fit, first axis n_queries
            Samples whose loss is the query.
        y : array-like of shape (n_queries,), optional
            Their labels or targets; by default the label that the networks predict.
        window, history
            As in `influence`.

        Returns
        -------
        influence : ndarray of shape (n_queries, n_samples)
            Negative = harmful: without the training sample the loss would be lower.
            `dit_clean.influence.top_samples` lists the strongest of each query.

        Raises
        ------
        ValueError, TypeError
            If X has other columns than in `fit`, y is of another length or has an
            unknown label, or the window is none.
        """
        if y is None:
            rows, runs = self.encode(X), self._findings.recorded.ready
            encoded = predict_together(runs, rows, self._findings.is_classifier)
        else:
            rows, encoded = self.encode(X, y)
        window, history = self._window_of(window), self._history_of(history)
        make_queries = [
            partial(_same_query, SampleLosses(subset_rows(rows, chunk), encoded[chunk]))
            for chunk in torch.arange(len(encoded)).split(QUERY_CHUNK)
        ]
        return self._averaged(make_queries, [window], history)[:, :, 0]

    @with_gradients()
    def encode(self, X, y=None):
        """Return samples as the networks take them, for a query of your own.

        Parameters
        ----------
        X : like the X given to fit, first axis n_queries
            Samples.
        y : array-like of shape (n_queries,), optional
            Their labels or targets.

        Returns
        -------
        rows : Tensor or csr_array, first axis n_queries
            Inputs; with the default network scaled, imputed and encoded.
        targets : Tensor, first axis n_queries
            Class indices, or scaled targets (n_queries, 1). Only if y is given.

        Raises
        ------
        ValueError, TypeError
            If X has other columns than in `fit`, or y is of another length or has an
            unknown label.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from dit_clean import InfluenceCleaner
        >>> from dit_clean.queries import MeanLoss
        >>> X, y = load_iris(return_X_y=True)
        >>> cleaner = InfluenceCleaner(random_state=0).fit(X, y)
        >>> query = MeanLoss(*cleaner.encode(X[::10], y[::10]))
        >>> cleaner.influence(query=query).shape
        (150,)
        """
        check_is_fitted(self, "_findings")
        warn_of_other_order(X, y)
        X = checked_data(self, X)
        rows = self._findings.data.encoded(X)
        if y is None:
            return rows
        targets = self._findings.data.targets.encode(y)
        check_consistent_length(X, targets)
        return rows, targets

    def __dir__(self):
        # scikit-learn's own reads every attribute, and its diagram all that is listed:
        # neither tab completion nor a notebook shall replay training or load runs.
        names = [name for name in object.__dir__(self) if name not in REPLAYED]
        return [name for name in names if name[0] == "_" or hasattr(self, name)]

    def _averaged(
        self,
        make_queries: Sequence[Callable[[Fold], Query]],
        windows: Sequence[Window | Steps] | int,
        history: History,
    ) -> np.ndarray:
        return self._findings.averaged(
            make_queries, windows, history, verbose=self.verbose
        )

    def _history_of(self, history: Any) -> History:
        return check_history(self.history if history is None else history)

    def _query_maker(self, query: Query | None) -> Callable[[Fold], Query]:
        """Return what gives each fold its query: the one given, or the default."""
        if query is None:
            return self._findings.data.for_networks.query
        self._check_query(query)
        return partial(_same_query, query)

    def _check_query(self, query: Query) -> None:
        """Raise if the default network cannot take a query's samples."""
        if self._trained_with["net"] is not None:
            return
        expected = type(self._findings.data.rows)
        for each in getattr(query, "queries", [query]):
            if isinstance(each, SampleQuery) and not isinstance(each.X, expected):
                name = type(each).__name__
                raise TypeError(
                    f"{name}: the default network takes samples scaled and encoded, as "
                    f"{expected.__name__}; got {type(each.X).__name__}. Use "
                    f"{name}(*cleaner.encode(X, y))."
                )

    def _grid_of(self, windows: GridLike) -> list[Window | Steps] | int:
        if windows is None:
            return [Window(e, e + 1) for e in range(self._findings.evidence.n_epochs)]
        if isinstance(windows, int | np.integer):
            return int(windows)
        return [self._window_of(window) for window in listed_windows(windows)]

    def _window_of(self, window: WindowLike) -> Window | Steps:
        if window is None:
            return self.window_
        if isinstance(window, Steps):
            runs = [result.run.trajectory for result in self._findings.recorded.ready]
            # Beyond the second-longest run some rows have no network that trained on
            # them: see CrossFit.train.
            window_in_steps(window, sorted(runs, key=len)[-2])
            return window
        return self._findings.epochs_of(window)


def _same_query(query: Query, fold: Fold) -> Query:
    """Return the one query of all folds."""
    return query
