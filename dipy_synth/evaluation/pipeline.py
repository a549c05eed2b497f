"""Evaluation of a synthetic cohort against a real one: all metrics and findings."""

import logging

import numpy as np

from dipy_synth import __version__
from dipy_synth.evaluation.adherence import compare_ageing, follow_conditions
from dipy_synth.evaluation.cohort_checks import (
    check_cohorts,
    check_predictor,
    find_identical,
)
from dipy_synth.evaluation.downstream import compare_downstream, find_tasks
from dipy_synth.evaluation.evaluation import Evaluation
from dipy_synth.evaluation.extractors import (
    Extractor,
    in_parts,
    of_noise,
    voxel_pca,
    voxels_in,
)
from dipy_synth.evaluation.findings import find_all
from dipy_synth.evaluation.label_volumes import compare_labels
from dipy_synth.evaluation.texture_comparison import compare_texture
from dipy_synth.metrics.comparison import CLASS_METRICS, METRICS, Metric, compare
from dipy_synth.metrics.distribution import fid
from dipy_synth.metrics.diversity import similarity_within
from dipy_synth.metrics.fingerprint import Fingerprint
from dipy_synth.metrics.memorization import FeatureSearch, VoxelSearch, audit_copies
from dipy_synth.metrics.novelty import authenticity
from dipy_synth.metrics.parcellation import compare_regions
from dipy_synth.metrics.verdicts import check_brains, fit_acceptance_ranges
from dipy_synth.utils.parallel import named
from dipy_synth.utils.random import random_stream

_BLOCK = 6.0  # mm, block size of the search for copies
_PER_COMPONENT = 4  # volumes per component on either side, for FID
logger = logging.getLogger("dipy")


def evaluate(
    real,
    synthetic,
    *,
    train=None,
    noise=None,
    extractor=None,
    classes=None,
    predictor=None,
    tissues=True,
    downstream=False,
    repeats=100,
    pairs=100,
    seed=0,
    each=map,
):
    """Evaluate a synthetic cohort: anatomy, distribution, copies and conditions.

    Parameters
    ----------
    real : Volumes
        Held-out real volumes. Acceptance ranges are fitted to them.
    synthetic : Volumes
        The volumes to evaluate, on the same grid; rows are their requested conditions.
    train : Volumes, optional
        Training volumes of the evaluated model. Without them there is no search for
        copies, and components and regressions are fitted on half of `real`.
    noise : Volumes, optional
        Volumes that the model decodes from pure noise: a second ceiling.
    extractor : callable, optional
        Volumes (n, I, J, K) -> features (n, d); the predictor by default, or principal
        components of coarse voxels. Metrics are of the first 16 principal components
        of its features, on training volumes.
    classes : callable, optional
        Volumes -> class probabilities (n, classes), for the Inception Score.
    predictor : CovariatePredictor, optional
        A network that returns features when called, and predicts conditions by
        ``predict``; its ``config`` has "weights_sha256" and, where it is for one grid,
        "grid".
    tissues : bool, optional
        Segment tissues: 2 s more for each volume at 2 mm.
    downstream : bool, optional
        Train predictors with and without the synthetic volumes, see
        `dipy_synth.evaluation.downstream.compare_downstream`.
    repeats : int, optional
        Number of draws of floors, ceilings and intervals.
    pairs : int, optional
        Number of pairs compared by MS-SSIM, in each cohort.
    seed : int, optional
        Random seed.
    each : callable, optional
        Map for slow functions, see `dipy_synth.metrics.verdicts.fit_acceptance_ranges`.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If cohorts are too small, on different grids, or real and training volumes are
        not disjoint.
    """
    notes = check_cohorts(real, synthetic, train, noise)
    if downstream:
        find_tasks(real, synthetic, train)
    identical = () if train is None else find_identical(synthetic, train)
    if predictor is not None:
        check_predictor(predictor, real)
    fit, compared, words = _to_fit_on(real, train, seed)
    notes += words
    extractor = extractor or predictor or voxel_pca(fit.volumes, grid=fit.grid)
    identity = None
    if extractor is predictor:
        identity = "predictor", predictor.config["weights_sha256"]
    features = Extractor.fit(
        extractor, fit.volumes, fitted_on=fit.name, identity=identity
    )
    logger.info("features: %s", features.name)
    known = None if train is None else features.fitted
    distribution, words = _distribution(
        features, compared, synthetic, noise, classes, known, repeats=repeats, seed=seed
    )
    notes += words
    logger.info("texture: %d volumes, and blotches and noise", len(real))
    texture = compare_texture(real, synthetic, repeats=repeats, seed=seed, each=each)
    logger.info("not noise: anatomy of %d volumes", len(real) + len(synthetic))
    ranges = fit_acceptance_ranges(
        real.volumes,
        grid=real.grid,
        tissues=tissues,
        each=named(each, "anatomy, real"),
    )
    each_made = named(each, "anatomy, synthetic")
    verdicts = tuple(check_brains(synthetic.volumes, ranges, each=each_made))
    logger.info("diversity: MS-SSIM within each cohort")
    diversity = {
        side: similarity_within(
            cohort.volumes,
            pairs=pairs,
            seed=seed,
            each=named(each, f"diversity, {side}", unit="pair"),
        )
        for side, cohort in (("real", real), ("synthetic", synthetic))
    }
    copies = {}
    if train is not None:
        logger.info("copies: nearest of %d training volumes", len(train))
        copies = _audits(real, synthetic, train, seed)
    logger.info("as asked")
    followed, words = follow_conditions(
        synthetic, compared, fit, predictor=predictor, seed=seed
    )
    notes += words
    rows, ageing, regions = [verdict.metrics for verdict in verdicts], None, ()
    if tissues:
        grown, others = ([r["ventricles_ml"] for r in x] for x in (rows, ranges.real))
        ageing = compare_ageing(synthetic, grown, real, others, seed=seed)
        regions = compare_regions(ranges.real, rows, seed=seed)
    used = compare_downstream(real, synthetic, train, seed=seed) if downstream else ()
    parts = {
        "distribution": distribution,
        "texture": texture,
        "ranges": ranges,
        "verdicts": verdicts,
        "diversity": diversity,
        "copies": copies,
        "identical": identical,
        "asked": followed,
        "ageing": ageing,
        "downstream": used,
    }
    about = {
        "version": __version__,
        "real": real.to_config(),
        "synthetic": synthetic.to_config(),
        "train": train and train.to_config(),
        "noise": noise and noise.to_config(),
        "extractor": features.to_config(),
        "reader": "predictor"
        if predictor is not None
        else f"ridge regression, {fit.name}",
        "seed": seed,
        "notes": list(notes),
    }
    findings = find_all(**parts, notes=words)
    labels = compare_labels(real, synthetic, seed=seed)
    sizes = {"regions": regions, "labels": labels}
    return Evaluation(about=about, **parts, **sizes, findings=findings)


def _to_fit_on(real, train, seed):
    """Return volumes to fit on, those of `real` to compare with, and a note."""
    if train is not None:
        return train, real, ()
    order = random_stream("evaluation: halves", seed=seed).permutation(len(real))
    half = len(real) // 2
    note = (
        f"without training volumes, components and predictors are fitted on {half} of "
        f"the real volumes; features are compared with the other {len(real) - half}"
    )
    halves = (np.sort(order[:half]), np.sort(order[half:]))
    names = (f"{half} of {real.name}", real.name)
    return *(real.take(h, name=n) for h, n in zip(halves, names)), (note,)


def _distribution(features, real, synthetic, noise, classes, known, *, repeats, seed):
    """Compute the metrics of distribution by kind of noise, and a note on FID.

    `known` are the features of training volumes, or None.
    """
    a, b = features(real.volumes), features(synthetic.volumes)
    n = min(len(a), len(b)) // 2
    ceilings = {"voxel noise": of_noise(features, real.volumes, seed=seed)}
    if noise is not None:
        ceilings["decoded noise"] = features(noise.volumes)
        n = min(n, len(noise) // 2)
    first = int(np.clip(n // _PER_COMPONENT, 1, a.shape[1]))
    metrics = METRICS | {
        "fid": Metric(lambda x, y: fid(x[:, :first], y[:, :first]), bounds=(0, np.inf))
    }
    if known is not None:
        metrics["authenticity"] = Metric(
            lambda _, y: authenticity(known, y), bounds=(0, 1), two_sided=True
        )
    options = {"repeats": repeats, "seed": seed}
    found = {
        name: tuple(compare(a, b, other, metrics=metrics, **options))
        for name, other in ceilings.items()
    }
    if classes is not None:
        sides = [in_parts(classes, v) for v in (real.volumes, synthetic.volumes)]
        ceilings = {"voxel noise": of_noise(classes, real.volumes, seed=seed)}
        if noise is not None:
            ceilings["decoded noise"] = in_parts(classes, noise.volumes)
        for name, other in ceilings.items():
            found[name] += tuple(
                compare(*sides, other, metrics=CLASS_METRICS, **options)
            )
    note = (
        f"FID is of the first {first} of {a.shape[1]} components: {n} volumes on "
        "either side of its floor are too few for more"
    )
    return found, (note,) if first < a.shape[1] else ()


def _audits(real, synthetic, train, seed):
    """Search for copies by voxels and by fingerprints."""
    trio = (synthetic.volumes, train.volumes, real.volumes)
    fingerprint = Fingerprint(train.volumes, voxel_size=train.grid.voxel_size)
    searches = {
        "voxels": VoxelSearch(train.volumes, factor=voxels_in(_BLOCK, train.grid)),
        "fingerprints": FeatureSearch(train.volumes, fingerprint),
    }
    return {
        name: audit_copies(*trio, search=search, seed=seed)
        for name, search in searches.items()
    }
