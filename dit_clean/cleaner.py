"""`InfluenceCleaner`: finds, filters and weighs training samples that are wrong."""

from collections.abc import Iterable
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, check_memory, column_or_1d

from dit_clean.audit import AuditData, AuditMixin
from dit_clean.audit.data import library_versions
from dit_clean.audit.groups import group_table
from dit_clean.checks import (
    check_parameters,
    either,
    is_int,
    is_one_of,
    is_real,
    is_sizes,
)
from dit_clean.crossfit import (
    CrossFit,
    EpochInfluence,
    Fold,
    QueryMaker,
    average_influence,
    average_timeline,
    decision_epochs,
    gather_evidence,
    make_folds,
    predict_together,
)
from dit_clean.detection import (
    Decision,
    convergence_window,
    decide_labels,
    decide_targets,
    nearest_target_rows,
    replacement_rows,
    sample_weights,
)
from dit_clean.detection.margin import held_out_margin
from dit_clean.influence import SampleLosses, Steps, Window, resolve_window
from dit_clean.influence.queries import Query
from dit_clean.influence.scores import check_history
from dit_clean.influence.windows import GridLike, WindowLike, window_in_steps
from dit_clean.inputs import (
    as_floats,
    checked_data,
    checked_validation,
    checked_weight,
)
from dit_clean.memory import parse_bytes
from dit_clean.tables import TableEncoder, is_frame, select_rows
from dit_clean.targets import Targets, encode_targets
from dit_clean.tracking.networks import (
    OPTIMIZERS,
    check_net,
    check_outputs,
    make_default_net,
    warn_of_weights,
)
from dit_clean.tracking.rows import subset_rows

DEFAULT_LR = {"sgd": 0.1, "adam": 0.001, "adamw": 0.001}
REPLAYED = ("influence_", "influence_timeline_")
"""Attributes that may have to replay epochs."""
TRAINING_PARAMETERS = (
    "net",
    "cv",
    "max_epochs",
    "batch_size",
    "lr",
    "optimizer",
    "hidden_layer_sizes",
    "task",
)
QUERY_CHUNK = 32
"""Given samples per reverse pass in `influence_on`."""

PARAMETERS = {
    "scoring": is_one_of("combined", "influence", "margin"),
    "contamination": either(is_one_of("auto"), is_real(0, 0.5)),
    "cv": either(
        is_int(2),
        (
            lambda cv: not isinstance(cv, int | float | str | None),
            "a scikit-learn splitter",
        ),
    ),
    "max_epochs": is_int(1),
    "batch_size": is_int(1),
    "lr": either(is_one_of("auto"), is_real(0)),
    "optimizer": is_one_of(*OPTIMIZERS),
    "hidden_layer_sizes": is_sizes(),
    "history": is_one_of("window", "full"),
    "storage": is_one_of("auto", "all", "none"),
    "weighting": is_one_of("hard", "soft", "hard-balanced", "soft-balanced"),
    "task": is_one_of("auto", "classification", "regression"),
}


class InfluenceCleaner(
    AuditMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator
):
    """Find the training samples that are wrong by watching a network learn.

    `cv` networks are trained under tracking, each on all folds but one. For every
    sample three things are read off while they learn: how well networks that train on
    it agree with its label, how well networks that never saw it agree, and how its
    presence moves the predictions for the held-out rows of its class and of its
    rivals (Dynamic Influence Tracker [1]_). No clean data are needed.

    Parameters
    ----------
    net : NeuralNetClassifier, NeuralNetRegressor or None, default=None
        Network to train, cloned and never touched. None builds a multilayer
        perceptron; its inputs are scaled, categories encoded and missing values of
        data frames imputed inside.
    window : str, int or pair, default="convergence"
        Epochs whose evidence counts: "convergence" (found from the held-out curve),
        "full", "early", "middle", "late", k (the last k epochs), or (start, stop) in
        epochs (ints) or fractions of training (floats).
    scoring : {"combined", "influence", "margin"}, default="combined"
        Evidence that suspicion rests on: all, influence alone, or margins alone.
    contamination : "auto" or float in (0, 0.5], default="auto"
        Fraction of samples to flag; "auto" estimates it.
    cv : int or splitter, default=3
        Folds; each sample must be held out exactly once. An int gives shuffled folds,
        stratified by label.
    max_epochs, batch_size, lr, optimizer, hidden_layer_sizes
        Training of the default network; a given `net` brings its own. Optimizers:
        "sgd", "adam", "adamw". ``lr="auto"`` is 0.1 for "sgd" and 0.001 for the others.
    history : {"window", "full"}, default="window"
        Whether `influence` takes a sample as gone during the window only, or from the
        first step on.
    storage : {"auto", "all", "none"}, default="auto"
        States kept for later questions (`influence`, `influence_on`): those at the
        start of each epoch, all, or none. States that were not kept are replayed
        exactly.
    max_memory : str or int, default="1GiB"
        Bound on the states kept by each fold, in bytes or as "512MiB".
    device : str, default="auto"
        Torch device; "auto" takes the given net's, and for the default network a GPU
        where there is one.
    n_jobs : int or None, default=None
        Folds trained at the same time. Does not change a bit of the results.
    memory : str, joblib.Memory or None, default=None
        Where to keep tracked runs. A fit on the same data with the same network,
        folds and (integer) `random_state` then takes its run from there, so that a
        search over `window`, `scoring` and `contamination` trains once.
    weighting : {"hard", "soft", "hard-balanced", "soft-balanced"}, default="hard"
        `sample_weight_`: 1 - suspicion, with 0 for flagged samples ("hard") or not
        ("soft"); "balanced" lets each class keep its share of the total.
    task : {"auto", "classification", "regression"}, default="auto"
        What y is. "auto" goes by the net, else by y: floats with many distinct values
        are a regression target, all else are labels.
    random_state : int, RandomState instance or None, default=None
        Seed of folds, initialization, shuffling and dropout.
    verbose : int, default=0
        1 shows progress.

    Attributes
    ----------
    suspicion_ : ndarray of shape (n_samples,)
        In [0, 1], higher = more likely wrong.
    keep_mask_ : ndarray of bool, shape (n_samples,)
        True = kept.
    sample_indices_ : ndarray of int, shape (n_kept,)
        Rows that are kept.
    sample_weight_ : ndarray of shape (n_samples,)
        Weights in [0, 1] to train with.
    suggested_label_ : ndarray of shape (n_samples,)
        Most likely label (for regression: the held-out prediction).
    threshold_ : float
        Suspicion from which on a sample is flagged.
    contamination_ : float
        Estimated fraction of wrong samples.
    influence_ : ndarray of shape (n_samples,)
        Influence over the window on the bounded error of the held-out rows (with
        X_val: on their loss). Negative = harmful.
    influence_timeline_ : ndarray of shape (n_samples, n_epochs)
        The same epoch by epoch.
    window_ : Window
        Epochs that the window stands for.
    classes_ : ndarray of shape (n_classes,)
        Labels (classification only).
    history_ : dict of str to ndarray of shape (n_epochs,)
        "held_out" and "in_sample": mean probability of the given label (regression:
        minus the median absolute residual, scaled).
    fit_seconds_ : dict of str to float
        "training" and "influence", summed over folds.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    .. [1] "Dynamic Influence Tracker: Measuring Time-Varying Sample Influence During
       Training", arXiv 2502.10793.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from dit_clean import InfluenceCleaner
    >>> X, y = load_iris(return_X_y=True)
    >>> y[0] = 2  # a wrong label
    >>> cleaner = InfluenceCleaner(random_state=0).fit(X, y)
    >>> int(cleaner.suspicion_.argmax())
    0
    >>> X_clean, y_clean = cleaner.filter(X, y)
    """

    def __init__(
        self,
        net=None,
        *,
        window="convergence",
        scoring="combined",
        contamination="auto",
        cv=3,
        max_epochs=30,
        batch_size=64,
        lr="auto",
        optimizer="sgd",
        hidden_layer_sizes=(100,),
        history="window",
        storage="auto",
        max_memory="1GiB",
        device="auto",
        n_jobs=None,
        memory=None,
        weighting="hard",
        task="auto",
        random_state=None,
        verbose=0,
    ):
        self.net = net
        self.window = window
        self.scoring = scoring
        self.contamination = contamination
        self.cv = cv
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.hidden_layer_sizes = hidden_layer_sizes
        self.history = history
        self.storage = storage
        self.max_memory = max_memory
        self.device = device
        self.n_jobs = n_jobs
        self.memory = memory
        self.weighting = weighting
        self.task = task
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None, *, X_val=None, y_val=None, sample_weight=None):
        """Train under tracking and decide which samples are wrong.

        Parameters
        ----------
        X : array, data frame, CSR matrix or N-d array, first axis n_samples
            Training inputs.
        y : array-like of shape (n_samples,)
            Labels of any kind, or float targets.
        X_val, y_val : like X and y, optional
            Clean validation samples; influence is then measured on their loss too.
        sample_weight : array-like of shape (n_samples,), optional
            Factor of each sample's loss in training.

        Returns
        -------
        self : InfluenceCleaner

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data cannot be used: says why and what to do.
        FloatingPointError
            If training diverges.
        """
        check_parameters(self, PARAMETERS)
        if self.net is not None:
            check_net(self.net)
            warn_of_weights(self.net)
        resolve_window(self.window, self._n_epochs())
        X, y = checked_data(self, X, y)
        targets = encode_targets(y, self.net, self.task)
        weight = checked_weight(sample_weight, len(y))
        folds = make_folds(self.cv, targets, self.random_state)
        encoder = TableEncoder(scale=self.net is None)
        rows = as_floats(encoder.fit_transform(X))
        validation = None
        if X_val is not None or y_val is not None:
            validation = checked_validation(self, X_val, y_val, encoder, targets)
        make_query = QueryMaker(rows, targets, validation)
        net = self._make_net(rows.shape[1], targets)
        if self.net is not None:
            check_outputs(net, rows, targets.n_outputs)
        plan = CrossFit(
            net=net,
            make_query=make_query,
            is_classifier=targets.is_classifier,
            storage=self.storage,
            max_bytes=parse_bytes(self.max_memory),
            n_threads=max(1, torch.get_num_threads() // len(folds)),
        )
        results = plan.run(
            rows,
            targets.encoded,
            folds,
            sample_weight=weight,
            memory=None if self.memory is None else check_memory(self.memory),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        evidence = gather_evidence(results, targets)
        influence = EpochInfluence(
            results, make_query, each_label=targets.is_classifier
        )
        window, decision = self._decide(evidence, influence, targets)
        # Only now: an interrupted or refused fit leaves the earlier one as it was.
        self._encoder, self._targets, self._make_query = encoder, targets, make_query
        self._X, self._results = X, results
        self._evidence, self._influence = evidence, influence
        self._training = self._training_parameters()
        self.history_ = evidence.curves()
        seconds = [result.seconds for result in results]
        self.fit_seconds_ = {
            part: sum(s[part] for s in seconds) for part in ("training", "influence")
        }
        self.__dict__.pop("classes_", None)
        if targets.is_classifier:
            self.classes_ = targets.classes
        return self._set_decision(window, decision)

    def rescore(self):
        """Decide again after `set_params`, from the recorded run: no training.

        For `window`, `scoring` and `contamination`.

        Returns
        -------
        self : InfluenceCleaner

        Raises
        ------
        ValueError
            If a parameter of training has been changed since `fit`: names it.
        """
        check_is_fitted(self, "_evidence")
        check_parameters(self, PARAMETERS)
        now = self._training_parameters()
        changed = [name for name in now if now[name] is not self._training[name]]
        changed = [name for name in changed if now[name] != self._training[name]]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} changed since fit, and rescore() does not train "
                "again. Call fit(X, y)."
            )
        return self._set_decision(
            *self._decide(self._evidence, self._influence, self._targets)
        )

    def _training_parameters(self) -> dict[str, Any]:
        """Return the parameters that a recorded run depends on."""
        return {name: getattr(self, name) for name in TRAINING_PARAMETERS}

    def _decide(
        self, evidence: Any, influence: EpochInfluence, targets: Targets
    ) -> tuple[Window, Decision]:
        window = resolve_window(
            self.window, evidence.n_epochs, convergence=_convergence_of(evidence)
        )
        make_decision = decide_labels if targets.is_classifier else decide_targets
        decision = make_decision(
            evidence,
            influence.at(decision_epochs(window, evidence.n_epochs)),
            window.slice,
            scoring=self.scoring,
            contamination=self.contamination,
        )
        return window, decision

    def _set_decision(self, window: Window, decision: Decision) -> Self:
        targets, self.window_ = self._targets, window
        self.suspicion_, self.threshold_ = decision.suspicion, decision.threshold
        self.keep_mask_ = ~decision.flagged
        self.sample_indices_ = np.flatnonzero(self.keep_mask_)
        keeps_shares = self.weighting.endswith("balanced") and targets.is_classifier
        self.sample_weight_ = sample_weights(
            decision.suspicion,
            decision.flagged,
            targets.codes if keeps_shares else None,
            soft=self.weighting.startswith("soft"),
        )
        self.contamination_ = decision.contamination
        self.suggested_label_ = np.where(
            decision.flagged, targets.decode(decision.suggestion), targets.given
        )
        return self

    @property
    def influence_timeline_(self):
        """Influence of each sample over each epoch, (n_samples, n_epochs).

        Epochs that the decisions did not need are replayed at the first access.
        """
        check_is_fitted(self, "_evidence")
        return self._timeline(range(self._evidence.n_epochs))

    @property
    def influence_(self):
        """Influence of each sample over the window, (n_samples,)."""
        return self.influence()

    def influence(self, window=None, query=None, history=None):
        """Return each sample's influence over a window of the recorded run.

        No training: one reverse pass over each fold's run, with the query at the
        window's end.

        Parameters
        ----------
        window : str, int, pair, Window or Steps, default=None
            Epochs, as the parameter `window`, or ``Steps(start, stop)``; None is the
            fitted window.
        query : callable, optional
            ``query(params, run)`` -> scalar tensor; by default what `influence_`
            measures.
        history : {"window", "full"}, optional
            By default the parameter `history`.

        Returns
        -------
        influence : ndarray of shape (n_samples,)
            Query without the sample minus query with it, averaged over the networks
            that train on the sample; (n_queries, n_samples) for a `query` of several
            values.
        """
        check_is_fitted(self, "_evidence")
        window = self._window_of(window)
        history = check_history(self.history if history is None else history)
        if query is not None:
            make_query = partial(_same_query, query)
            values = average_influence(self._results, make_query, window, history)
            return values[0] if len(values) == 1 else values
        if history == "window" and isinstance(window, Window) and len(window) == 1:
            return self._timeline([window.start])[:, 0]
        return average_influence(self._results, self._make_query, window, history)[-1]

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

        Notes
        -----
        Cost: a reverse pass over each fold's run; see `influence_timeline` in
        `dit_clean.influence`.
        """
        check_is_fitted(self, "_evidence")
        history = check_history(self.history if history is None else history)
        grid = self._grid_of(windows)
        make_query = self._make_query if query is None else partial(_same_query, query)
        values = average_timeline(self._results, make_query, grid, history)
        return values[-1] if query is None or len(values) == 1 else values

    def group_influence(self, groups="label", window=None, *, query=None, history=None):
        """Return a table of what leaving out whole groups of samples would change.

        The sums of the influence of each group's samples: exact to first order.

        Parameters
        ----------
        groups : str or array-like of shape (n_samples,), default="label"
            "label", the name of a column of X, or one name per sample: an annotator, a
            source, a date.
        window, query, history
            As in `influence`; a query of one value.

        Returns
        -------
        table : pandas DataFrame
            One row per group, the most harmful first. Columns: n_samples; influence
            (the sum, negative = harmful); mean_influence; harmful (share of its samples
            with negative influence); flagged (share); suspicion (mean).
        """
        influence = self.influence(window, query, history)
        if influence.ndim > 1:
            raise ValueError(
                f"The query has {len(influence)} values, and a table of groups needs "
                "one. Ask for one after the other."
            )
        return group_table(self.audit_data(), groups, influence)

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
        """
        check_is_fitted(self, "_evidence")
        X = checked_data(self, X, reset=False)
        rows = as_floats(self._encoder.transform(X))
        if y is None:
            is_classifier = self._targets.is_classifier
            encoded = predict_together(self._results, rows, is_classifier)
        else:
            encoded = self._targets.encode(column_or_1d(y))
        check_consistent_length(X, encoded)
        window = self._window_of(window)
        history = check_history(self.history if history is None else history)
        queries = [
            SampleLosses(subset_rows(rows, chunk), encoded[chunk])
            for chunk in torch.arange(len(encoded)).split(QUERY_CHUNK)
        ]
        parts = [
            average_influence(self._results, partial(_same_query, q), window, history)
            for q in queries
        ]
        return np.concatenate(parts)

    def audit_data(self) -> AuditData:
        """Return what table, summary, pictures and report are drawn from.

        Returns
        -------
        data : AuditData
            Labels, decisions and evidence in the row order of X, and the settings.
        """
        check_is_fitted(self, "_evidence")
        targets, X = self._targets, self._X
        return AuditData(
            X=X,
            labels=targets.given,
            suggested=self.suggested_label_,
            suspicion=self.suspicion_,
            flagged=~self.keep_mask_,
            weight=self.sample_weight_,
            read_influence=self.influence,
            read_timeline=lambda: self.influence_timeline_,
            margin=targets.scale * held_out_margin(self._evidence, self.window_.slice),
            window=(self.window_.start, self.window_.stop),
            curves=self.history_,
            threshold=self.threshold_,
            contamination=self.contamination_,
            classes=targets.classes,
            index=X.index if hasattr(X, "iloc") else None,
            parameters=self.get_params(deep=False),
            versions=library_versions(),
            seconds=self.fit_seconds_,
        )

    def fit_transform(self, X, y=None, **fit_params):
        """Fit, and return X with every flagged row replaced by a kept one.

        The result stays aligned with y, so that the cleaner works as a step of a plain
        scikit-learn pipeline: each flagged row gives way to a kept row with the same
        label (for regression: the nearest target), spread evenly over the kept rows.

        Parameters
        ----------
        X, y, **fit_params
            As in `fit`.

        Returns
        -------
        X_clean : same container as X
        """
        self.fit(X, y, **fit_params)
        stand_in = (
            replacement_rows if self._targets.is_classifier else nearest_target_rows
        )
        X = X if is_frame(X) else checked_data(self, X, reset=False)
        X_clean = select_rows(X, stand_in(self.keep_mask_, self._targets.codes))
        # pandas aligns by index: y must still meet its own row.
        return X_clean.set_axis(X.index) if hasattr(X, "iloc") else X_clean

    def transform(self, X):
        """Return new data unchanged: rows to predict on are never dropped.

        Parameters
        ----------
        X : array, data frame or CSR matrix
            Like the X given to fit.

        Returns
        -------
        X : same container
            As given, checked.
        """
        check_is_fitted(self, "_evidence")
        return checked_data(self, X, reset=False)

    def fit_predict(self, X, y=None, **fit_params):
        """Fit, and return +1 for kept and -1 for flagged rows.

        Parameters
        ----------
        X, y, **fit_params
            As in `fit`.

        Returns
        -------
        is_inlier : ndarray of int, shape (n_samples,)
        """
        self.fit(X, y, **fit_params)
        return np.where(self.keep_mask_, 1, -1)

    def filter(self, *arrays):
        """Return the kept rows of arrays that are aligned with the fitted data.

        Parameters
        ----------
        *arrays : array, data frame, series, sparse matrix or list
            Each with n_samples rows.

        Returns
        -------
        kept : tuple, or the one array
            Same containers, the rows of `sample_indices_`.

        Raises
        ------
        ValueError
            If an array has another number of rows.
        """
        check_is_fitted(self, "_evidence")
        for array in arrays:
            check_consistent_length(array, self.keep_mask_)
        kept = tuple(select_rows(array, self.sample_indices_) for array in arrays)
        return kept[0] if len(kept) == 1 else kept

    def __dir__(self):
        # scikit-learn's own reads every attribute, and its diagram all that is listed:
        # neither tab completion nor a notebook shall replay training.
        names = [name for name in object.__dir__(self) if name not in REPLAYED]
        return [name for name in names if hasattr(self, name)]

    def __sklearn_tags__(self):
        """Return the tags: sparse input, a required target, no NaN in arrays."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags

    def _make_net(self, n_features: int, targets: Targets) -> Any:
        device = self.device
        if device == "auto" and self.net is not None:
            device = self.net.device
        elif device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.net is not None:
            return clone(self.net).set_params(device=device, verbose=0)
        lr = DEFAULT_LR[self.optimizer] if self.lr == "auto" else self.lr
        return make_default_net(
            n_features,
            targets.n_outputs,
            is_classifier=targets.is_classifier,
            hidden_layer_sizes=self.hidden_layer_sizes,
            optimizer=self.optimizer,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            lr=lr,
            device=device,
        )

    def _timeline(self, epochs: Iterable[int]) -> np.ndarray:
        """Return influence as labeled on the last query, (n_samples, n_epochs)."""
        values = self._influence.at(epochs)[-1]
        if not self._targets.is_classifier:
            return values
        return values[np.arange(len(values)), :, self._targets.codes]

    def _n_epochs(self) -> int:
        return self.max_epochs if self.net is None else self.net.max_epochs

    def _grid_of(self, windows: GridLike) -> list[Window | Steps] | int:
        if windows is None:
            return [Window(e, e + 1) for e in range(self._evidence.n_epochs)]
        if isinstance(windows, int | np.integer):
            return int(windows)
        grid = [self._window_of(window) for window in windows]
        if not grid:
            raise ValueError("windows is empty. Give one window at least, or None.")
        return grid

    def _window_of(self, window: WindowLike) -> Window | Steps:
        if window is None:
            return self.window_
        if isinstance(window, Steps):
            runs = [result.run.trajectory for result in self._results]
            window_in_steps(window, max(runs, key=len))
            return window
        return resolve_window(
            window, self._evidence.n_epochs, convergence=_convergence_of(self._evidence)
        )


def _convergence_of(evidence: Any) -> Window:
    return Window(*convergence_window(evidence.held_out_loss()))


def _same_query(query: Query, fold: Fold) -> Query:
    """Return the one query of all folds."""
    return query
