"""`InfluenceCleaner`: finds, filters and weighs training samples that are wrong."""

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from dit_clean.audit import AuditData, AuditMixin
from dit_clean.checks import check_parameters
from dit_clean.crossfit import (
    CrossFit,
    EpochInfluence,
    Fold,
    Measurements,
    RecordedRuns,
    TrainingData,
    kept,
    make_folds,
    run_until_learned,
)
from dit_clean.crossfit.prototype import (
    check_can_be_sent,
    check_no_sampler,
    how_to_train_more,
    make_prototype,
    network_dtype,
    warn_of_unread,
)
from dit_clean.data.given_labels import (
    warn_of_label_among,
    warn_of_like_labels,
    warn_of_row_numbers,
)
from dit_clean.data.inputs import (
    checked_data,
    checked_groups,
    checked_validation,
    relative_weight,
    warn_of_other_order,
    warn_of_unread_validation,
)
from dit_clean.data.tables import TableEncoder
from dit_clean.data.targets import encode_targets
from dit_clean.data.texts import warn_of_categories, warn_of_many_columns
from dit_clean.detection import (
    held_out_signal,
    warn_of_no_signal,
    warn_of_unfinished_training,
)
from dit_clean.estimators.copied_rows import warn_of_copied_rows
from dit_clean.estimators.failed_fits import unchanged_on_failure
from dit_clean.estimators.findings import Findings
from dit_clean.estimators.parameters import PARAMETERS
from dit_clean.estimators.questions import InfluenceQuestions
from dit_clean.estimators.rescoring import Rescoring
from dit_clean.estimators.selection import RowSelection
from dit_clean.influence import resolve_window
from dit_clean.influence.batch_norm import warn_of_buffers
from dit_clean.memory import as_memory, parse_bytes, warn_of_no_seed
from dit_clean.tracking.exclusive import TorchSettings, with_gradients
from dit_clean.tracking.given_net import (
    check_outputs,
    warn_of_sorted_labels,
    warn_of_unseen,
    warn_of_weights,
)
from dit_clean.tracking.networks import check_net
from dit_clean.versions import library_versions


class InfluenceCleaner(
    Rescoring,
    InfluenceQuestions,
    RowSelection,
    AuditMixin,
    BaseEstimator,
):
    """Find the training samples that are wrong by watching a network learn.

    `cv` networks are trained under tracking, each on all folds but one, and one more
    on all rows. For every sample three things are read off while they learn: how well
    networks that train on it agree with each label, how well networks that never saw it
    agree, and how it would move the predictions for held-out rows under each label
    (Dynamic Influence Tracker [1]_). No clean data are needed.

    Parameters
    ----------
    net : NeuralNetClassifier, NeuralNetRegressor or None, default=None
        Network to train, cloned and never touched. None builds a multilayer
        perceptron; its inputs are scaled, categories encoded and missing values of
        data frames imputed inside.
    window : str, int or pair, default="convergence"
        Epochs whose evidence counts: "convergence" (found from held-out samples),
        "full", "early", "middle", "late", k (the last k epochs), or (start, stop) in
        epochs (ints) or fractions of training (floats). Of nets that stop early: epochs
        that two folds have reached, which a window is cut off to.
    scoring : {"combined", "influence", "margin"}, default="combined"
        Evidence that suspicion rests on: all, influence alone, or margins alone.
    contamination : "auto" or float in (0, 0.5], default="auto"
        Fraction of samples to flag; "auto" estimates it. Fewer are flagged if several
        tie at the cut; the least suspicious tenth of each class is always kept.
    cv : int or splitter, default=3
        Folds; each sample must be held out exactly once. An int gives shuffled folds,
        stratified by label, that keep `groups` together if they are given to `fit`.
    max_epochs, batch_size, lr, optimizer, hidden_layer_sizes
        Training of the default network; a given `net` brings its own. Optimizers:
        "sgd", "adam", "adamw", "nadam", "radam", "adamax", "rmsprop", "adagrad" and
        "adadelta". ``lr="auto"`` is 0.1 for "sgd", 0.01 for "adagrad", 1 for
        "adadelta" and 0.001 for the others; networks whose held-out loss still falls
        when training ends, or which still explain more of the labels, are trained again
        with four times or twice the rate, if one that is tried on a fold explains more
        of the loss at its best epoch. Sizes: one, or a sequence of them.
    history : {"window", "full"}, default="window"
        Whether `influence` takes a sample as gone during the window only, or from the
        first step on. (Not about `history_`, the learning curves.)
    storage : {"auto", "all", "none"}, default="auto"
        States kept for later questions (`influence`, `influence_on`): those at the
        start of each epoch, all, or none. States that were not kept are replayed
        exactly.
    max_memory : str or int, default="1GiB"
        Bound on the states kept by each fold, in bytes or as "512MiB".
    device : str, default="auto"
        Torch device; "auto" takes the given net's, and for the default network a GPU
        where there is one, if the network is large enough to gain by it (2**18
        weights).
    n_jobs : int or None, default=None
        Networks trained at the same time. Results are bit-for-bit the same for every
        value.
    memory : str, joblib.Memory or None, default=None
        Where to keep tracked runs. A fit on the same data with the same network,
        folds and (integer) `random_state` then takes its run from there, so that a
        search over `window`, `scoring` and `contamination` trains once.
    weighting : {"hard", "soft", "hard-balanced", "soft-balanced"}, default="hard"
        `sample_weight_`: 1 - suspicion, with 0 for flagged samples ("hard") or not
        ("soft"); "balanced" lets each class keep its share of the total.
    task : {"auto", "classification", "regression"}, default="auto"
        What y is. "auto" goes by the net, else by y: floats that are no whole numbers,
        or many distinct ones that are, are a regression target, all else are labels.
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
        Of flagged samples the most probable other label (for regression: the held-out
        prediction), of all others the given one.
    threshold_ : float
        Suspicion from which on a sample is flagged, but for the tenth of each class
        that always stays.
    contamination_ : float
        Estimated fraction of wrong samples.
    noise_matrix_ : ndarray of shape (n_classes, n_classes)
        Estimated P(given label | true label), rows = true labels, both in the order of
        `classes_`; without the errors that are assumed where two classes meet
        (classification only).
    influence_ : ndarray of shape (n_samples,)
        Influence over the window on the bounded error of the held-out rows (with
        X_val: on their loss). Negative = harmful. Computed at first access, from what
        was recorded, and left out of ``dir()``.
    influence_timeline_ : ndarray of shape (n_samples, n_epochs)
        The same epoch by epoch, a sample being gone in each alone, whatever `history`.
        Also computed at first access and left out of ``dir()``.
    window_ : Window
        Epochs that the window stands for.
    lr_ : float
        Learning rate of the default network, see `lr` (without a `net` only).
    classes_ : ndarray of shape (n_classes,)
        Labels (classification only).
    history_ : dict of str to ndarray of shape (n_epochs,)
        Learning curves, unrelated to the parameter `history`: "held_out" and
        "in_sample", the mean probability of the given label (regression:
        minus the mean of damped absolute residuals, r / (1 + r / s) with s the
        interquartile range of the targets, scaled).
    fit_seconds_ : dict of str to float
        "training" and "influence", summed over networks.
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

    @with_gradients()
    @unchanged_on_failure
    def fit(
        self, X, y=None, *, X_val=None, y_val=None, sample_weight=None, groups=None
    ):
        """Train under tracking and decide which samples are wrong.

        Parameters
        ----------
        X : array, data frame, CSR matrix or N-d array, first axis n_samples
            Training inputs.
        y : array-like of shape (n_samples,)
            Labels of any kind, or float targets.
        X_val, y_val : like X and y, optional
            Clean validation samples: influence is then measured on their loss too, and
            their labels tell how far the networks can be believed. (Regression targets
            are judged by residuals: there they change influence alone.)
        sample_weight : array-like of shape (n_samples,), optional
            Factor of each sample's loss in training; only their ratios count. A low
            weight makes no label less suspicious.
        groups : array-like of shape (n_samples,), optional
            What rows belong together, such as the patient they were measured on: rows
            of one group are held out together, so that no network that has seen a
            group judges its labels.

        Returns
        -------
        self : InfluenceCleaner

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data cannot be used: says why and what to do.
        FloatingPointError
            If training diverges.

        Warns
        -----
        NoSignalWarning
            If held-out labels or targets are hardly predicted better than by chance.
        UnfinishedTrainingWarning
            If networks were still learning when training ended: the held-out loss was
            falling and more labels were predicted, or more of them was explained.
        LabelAmongInputsWarning, LikeLabelsWarning
            If a column of X tells y (the place of rows that are sorted by label does,
            too) or may have been written after it, or labels differ in case or blanks
            alone.
        CopiedRowsWarning
            If many rows are copies of others, and not of one group.
        NumbersAsTextWarning, DatesAsTextWarning, ManyTextsWarning
            If a column holds numbers or dates as text, or free text.
        RareCategoriesWarning
            If many rows hold categories too rare for a column of their own.
        ManyColumnsWarning
            If the default network gets more than 20,000 columns.
        UserWarning
            If implausibly many labels or targets look wrong; if flagged ones look like
            rare events or overlapping classes, or the long tail of right targets; if
            the networks predict targets too low or too high as a whole, or many targets
            are one value; if ``task="auto"`` takes many numbers for labels that do not
            count from 0 or 1, or few ones for targets; if parameters of the default
            network are set beside a net; if a net leaves rows out of its batches, or
            changes buffers that influence does not follow; if y, sample_weight or
            groups has the index labels of X in another order; or if `memory` is to keep
            runs whose seeds no later fit has.
        """
        check_parameters(self, PARAMETERS)
        self._check_training()
        data, folds = self._read(X, y, X_val, y_val, sample_weight, groups)
        measured, recorded, lr = self._trained(data, folds)
        warn_of_buffers(measured.unfollowed)
        warn_of_unseen(len(measured.unseen), len(data.targets.given))
        evidence = measured.evidence(data)
        by_epoch = EpochInfluence(measured.influence, recorded, self._n_epochs())
        judge_signal = partial(held_out_signal, evidence, data.groups)
        part = "signal", data.groups
        signal = kept(self.memory, recorded.key, part, judge_signal)
        has_signal = not warn_of_no_signal(signal)
        if has_signal:
            warn_of_unfinished_training(evidence, how_to_train_more(self))
        self._findings = Findings(data, recorded, evidence, by_epoch, has_signal)
        self._trained_with = self._training_parameters()
        self.history_, self.fit_seconds_ = evidence.curves(), measured.seconds
        for name in ("classes_", "lr_", "noise_matrix_"):
            self.__dict__.pop(name, None)
        if data.targets.is_classifier:
            self.classes_ = data.targets.classes
        if self.net is None:
            self.lr_ = lr
        return self._decide()

    def _check_training(self) -> None:
        """Raise, or warn, of what no data are needed to see."""
        warn_of_no_seed(self.memory, self.random_state, self.cv)
        if self.net is not None:
            check_net(self.net)
            check_no_sampler(self.net)
            warn_of_weights(self.net)
            warn_of_unread(self)
        resolve_window(self.window, self._n_epochs())

    def _read(
        self, X: Any, y: Any, X_val: Any, y_val: Any, sample_weight: Any, groups: Any
    ) -> tuple[TrainingData, list[Fold]]:
        """Return the data as networks take them, and the folds."""
        X, y = checked_data(self, X, y)
        targets = encode_targets(y, self.net, self.task)
        if targets.is_classifier:
            warn_of_like_labels(targets)
            if self.net is not None:
                warn_of_sorted_labels(self.net, targets.codes)
        warn_of_other_order(X, sample_weight, ("X", "sample_weight"))
        weight = relative_weight(sample_weight, len(y))
        warn_of_other_order(X, groups, ("X", "groups"))
        groups = checked_groups(groups, len(y))
        folds = make_folds(self.cv, targets, self.random_state, groups)
        encoder = TableEncoder("squashed" if self.net is None else None).fit(X)
        warn_of_label_among(X, targets)
        warn_of_row_numbers(X, targets)
        warn_of_categories(encoder, X)
        in_double = self.net is not None and network_dtype(self.net) == torch.float64
        validation = None
        if X_val is not None or y_val is not None:
            validation = checked_validation(
                self, X_val, y_val, encoder, targets, in_double=in_double
            )
            if not targets.is_classifier and self.scoring != "influence":
                warn_of_unread_validation(self.scoring)
        # The rows in the order that they were in, whatever the frame becomes.
        X = X.copy(deep=False) if hasattr(X, "iloc") else X
        data = TrainingData(
            X, encoder, targets, weight, validation, groups, in_double=in_double
        )
        if self.net is None:
            warn_of_many_columns(data.rows.shape[1])
        warn_of_copied_rows(data)
        return data, folds

    def _trained(
        self, data: TrainingData, folds: list[Fold]
    ) -> tuple[Measurements, RecordedRuns, float]:
        """Train the folds, or take what they have shown from `memory`.

        The learning rate comes last.
        """
        net = make_prototype(self, data.rows.shape[1], data.targets)
        if self.net is not None:
            check_can_be_sent(net, self.n_jobs)
            n_trained = [len(data.targets.given), *(len(fold.train) for fold in folds)]
            check_outputs(net, data.rows, data.targets.n_outputs, n_trained)
        settings = TorchSettings.now()
        n_threads = max(1, settings.n_threads // len(folds))
        plan = CrossFit(
            net=net,
            storage=self.storage,
            max_bytes=parse_bytes(self.max_memory),
            settings=replace(settings, n_threads=n_threads),
            memory=as_memory(self.memory),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        if self.net is None and self.lr == "auto":
            return run_until_learned(plan, data, folds)
        return *plan.run(data, folds), net.lr

    def _n_epochs(self) -> int:
        return self.max_epochs if self.net is None else self.net.max_epochs

    def audit_data(self) -> AuditData:
        """Return what table, summary, pictures and report are drawn from.

        Returns
        -------
        data : AuditData
            Labels, decisions and evidence in the row order of X, and the settings.
        """
        check_is_fitted(self, "_findings")
        targets, X = self._findings.data.targets, self._findings.data.X
        fitted = copy.copy(self)  # as it is now, whatever is fitted next
        return AuditData(
            X=X,
            labels=targets.given,
            suggested=self.suggested_label_,
            suspicion=self.suspicion_,
            flagged=~self.keep_mask_,
            weight=self.sample_weight_,
            read_influence=lambda: fitted.influence_,
            read_timeline=lambda: fitted.influence_timeline_,
            margin=targets.scale * self._findings.evidence.margin(self.window_.slice),
            window=(self.window_.start, self.window_.stop),
            curves=self.history_,
            threshold=self.threshold_,
            contamination=self.contamination_,
            classes=targets.classes,
            index=X.index if hasattr(X, "iloc") else None,
            parameters=self._decided_with,
            versions=library_versions(),
            seconds=self.fit_seconds_,
            lr=getattr(self, "lr_", None),
        )

    def __sklearn_tags__(self):
        """Return the tags: sparse input, a required target, no NaN in arrays."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.target_tags.required = True
        return tags
