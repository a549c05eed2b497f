"""Findings: the results of an evaluation in words, one per question."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import fisher_exact

from dipy_synth.evaluation.adherence import NOT_EVALUATED
from dipy_synth.evaluation.downstream import in_words
from dipy_synth.metrics.memorization import FOUND
from dipy_synth.metrics.verdicts import count_reasons

ALPHA = 0.05
# Least number of volumes on either side, half of a cohort, for "not distinguishable";
# and the largest normalised metric (0 real, 1 ceiling) of similar cohorts.
LEAST_ALIKE, MOST_APART = 10, 0.25
COMPATIBLE = 0.25  # tolerance of a slope, as a fraction of the real one
NOT_SHOWN = "not shown"
LESS = 0.9  # largest error of a followed number, relative to that of shuffled values


@dataclass(frozen=True)
class Finding:
    """The answer to one question.

    Parameters
    ----------
    question : str
        The question: "not noise", "alike", "diverse", "not copied", "as asked",
        "of use".
    good : bool or None
        Whether the result is shown to be good, or bad; None where neither is shown.
    words : str
        The answer, with its numbers.
    """

    question: str
    good: bool | None
    words: str

    def __str__(self):
        return f"{self.question}: {self.words}"


def find_all(
    *,
    distribution,
    texture,
    ranges,
    verdicts,
    diversity,
    copies,
    asked,
    ageing,
    identical=(),
    downstream=(),
    notes=(),
):
    """Return all findings, from the parts of an `Evaluation`: tuple of Finding.

    `notes` are those of `dipy_synth.evaluation.adherence.follow_conditions`.
    """
    return (
        not_noise(verdicts, ranges),
        alike(next(iter(distribution.values())), next(iter(texture.values()))),
        diverse(**diversity),
        not_copied(copies, identical),
        as_asked(asked, ageing, notes),
        *([of_use(downstream)] if downstream else []),
    )


def of_use(downstream):
    """Find whether predictors learned more with the synthetic volumes: Finding."""
    good = _any_of([found.helped for found in downstream])
    return Finding("of use", good, ". ".join(map(in_words, downstream)))


def not_noise(verdicts, ranges):
    """Count the synthetic volumes that pass as brains, beside the real ones.

    The answer is good when at least half pass, and not significantly fewer than of the
    left-out real ones (Fisher's exact test).
    """
    passed, n = sum(v.passed for v in verdicts), len(verdicts)
    real, m = sum(ranges.left_out), len(ranges.left_out)
    table = [[passed, n - passed], [real, m - real]]
    chance = fisher_exact(table, alternative="less").pvalue
    counts = [*count_reasons(v.reasons for v in verdicts).items()][:3]
    reasons = ", ".join(f"{name} ({count})" for name, count in counts)
    return Finding(
        "not noise",
        bool(2 * passed >= n and chance >= ALPHA),
        f"{passed} of {n} pass as brains; of real brains, by the ranges of the "
        f"others, {real} of {m} do"
        + (f". Most often fails: {reasons}" if reasons else ""),
    )


def alike(distribution, texture):
    """Assess whether the cohort is distinguishable from real brains: Finding.

    It must be similar by both: features of whole volumes, with noise as the ceiling of
    metrics, and texture of the cortex, with blotches as the ceiling.
    """
    answers = (_by_features(distribution), _by_texture(texture))
    good = [answer.good for answer in answers]
    words = "; ".join(f"by {answer.question}, {answer.words}" for answer in answers)
    return Finding("alike", _all_of(good), words)


def _all_of(good):
    """Combine answers: no if one is no, yes if all are yes, else unknown."""
    return False if False in good else (None if None in good or not good else True)


def _any_of(good):
    """Combine tests of one answer: no if one is no, yes if one is yes, else None."""
    return False if False in good else (True if True in good else None)


def _by_features(metrics):
    """Locate the cohort between real against real and noise, by MMD.

    Its kernel is bounded, so that noise is not infinitely far, and few volumes suffice.
    """
    name, found = "features", {metric.name: metric for metric in metrics}
    answer = _between(name, found["mmd"], "normalised MMD", "noise")
    recall = found["recall"]
    if answer.good is None or not np.isfinite(recall.value):
        return answer
    words = (
        f"{answer.words}, and {recall.value:.0%} of real brains are within their reach "
        f"(recall; of other real brains {recall.floor:.0%})"
    )
    return Finding(name, answer.good, words)


def _by_texture(metrics):
    """Locate the cohort between real against real and blotches, by texture."""
    name, found = "the texture of the cortex", {m.name: m for m in metrics}
    metric, words = found["texture_of_cortex"], "normalised Fréchet distance"
    answer = _between(name, metric, words, "brains of blotches")
    brains, block = found["auc_of_brains"], found["auc_of_blocks"]
    if not np.isfinite(brains.value):
        return answer
    words = (
        f"{answer.words}, and a classifier's AUC is {brains.value:.2f} by a brain, "
        f"{block.value:.2f} by a block of 16 mm (0.5 is by chance)"
    )
    return Finding(name, answer.good, words)


def _between(name, metric, words, ceiling):
    """Describe a metric between real against real and its ceiling."""
    low, high = metric.normalized_interval
    if not np.isfinite(metric.normalized):
        return Finding(name, None, "; ".join(metric.warnings))
    good, answer = True, "not distinguishable from real brains"
    few = metric.n < LEAST_ALIKE  # too few for reliable intervals
    if low > (MOST_APART if few else 0):
        good, answer = False, "distinguishable from real brains"
    elif few:
        good = None
        answer = (
            f"{NOT_SHOWN}, {metric.n} volumes on either side are too few (expected "
            f"{LEAST_ALIKE}, so {2 * LEAST_ALIKE} in each cohort)"
        )
    elif high > MOST_APART:
        good, answer = None, f"{NOT_SHOWN}, the interval is too wide"
    return Finding(
        name,
        good,
        f"{answer}: {words} {metric.normalized:.2f} ({low:.2f} to {high:.2f}), where "
        f"real against real is 0 and {ceiling} 1",
    )


def diverse(*, real, synthetic):
    """Assess whether volumes are more similar to each other than real brains are."""
    apart = synthetic.mean - real.mean
    reach = 1.96 * np.hypot(synthetic.error, real.error)
    good, words = True, "as diverse as real brains"
    if apart + reach > MOST_APART * (1 - real.mean):
        good, words = None, f"{NOT_SHOWN}, too few pairs"
    if apart > reach:
        good, words = False, "more similar to each other than real brains are"
    elif apart < -reach:
        good, words = None, "less similar to each other than real brains are"
    values = f"MS-SSIM of pairs {synthetic.mean:.3f}, of real ones {real.mean:.3f}"
    return Finding("diverse", good, f"{words}: {values} (± {reach:.3f})")


def not_copied(copies, identical=()):
    """Assess whether samples are copies of training brains: Finding.

    `copies` are audits by name, none without training volumes; `identical` are volumes
    equal to training volumes, value by value, and which.
    """
    if not copies:
        return Finding("not copied", None, "not evaluated, without training volumes")
    level = ALPHA / len(copies)  # Bonferroni
    parts = [_copied(name, audit, level) for name, audit in copies.items()]
    answer = _any_of([finding.good for finding in parts])
    words = "; ".join(f"{f.question}: {f.words}" for f in parts)
    if identical:
        n = len(next(iter(copies.values())).flagged)
        answer = False
        words = (
            f"{len(identical)} of {n} are training volumes, value by value (the first "
            f"is {identical[0][0]}); {words}"
        )
    return Finding("not copied", answer, words)


def _copied(name, audit, level):
    """Describe an audit; a void one may still show copies, but not their absence."""
    missed = [kind for kind, share in audit.found.items() if share < FOUND]
    n, flags, copies = len(audit.flagged), audit.flagged.sum(), audit.copies.sum()
    words = (
        f"{copies} of {n} are as near to a training brain as copies are; {flags} are "
        f"nearer than the {1 - audit.expected:.0%} quantile of held-out brains "
        f"(p {audit.p_value:.2g})"
    )
    if audit.void:
        nearer = audit.copies & (
            audit.samples.similarity > audit.held_out.similarity.max()
        )
        good = False if nearer.any() and audit.p_value < level else None
        void = f"void, planted copies ({', '.join(missed)}) were not found"
        words = f"{void}; still, {words}" if good is False else void
        return Finding(f"by {name}", good, words)
    return Finding(f"by {name}", bool(copies == 0 and audit.p_value >= level), words)


def as_asked(asked, ageing, notes=()):
    """Assess whether conditions are followed.

    A condition is followed if that is shown, by its prediction or, for age, by the
    ventricles: an effect different from 0, and compatible with that in real brains. It
    is not followed if the effect is shown to differ from that in real brains. The
    answer is yes only if all conditions are followed, and none is excluded by a note
    because cohorts use other categories, or it cannot be predicted.
    """
    left = [note for note in notes if NOT_EVALUATED in note]
    if not asked and ageing is None:
        why = "; ".join(left) or f"{NOT_EVALUATED}: no condition was requested"
        return Finding("as asked", None, why)
    level = ALPHA / (1 if ageing is None else 2)  # Bonferroni: two tests of the age
    parts = [_followed(one, level if one.column == "age" else ALPHA) for one in asked]
    ways = {finding.question: [finding.good] for finding in parts}
    words = [finding.words for finding in parts]
    if ageing is not None:
        finding = _ventricles(ageing, level)
        ways.setdefault("age", []).append(finding.good)
        words.append(finding.words)
    words += left
    ways |= {note: [None] for note in left}
    answer = _all_of([_any_of(good) for good in ways.values()])
    return Finding("as asked", answer, "; ".join(words))


def _ventricles(ageing, level):
    """Assess whether ventricles grow with age as in real brains."""
    words = (
        f"ventricles grow by {ageing.slope:.3f} mL a year "
        f"({_range(ageing.interval, '.3f')}), in real brains by "
        f"{ageing.real_slope:.3f} ({_range(ageing.real_interval, '.3f')})"
    )
    if ageing.real_p_value > ALPHA:
        return Finding("ventricles", None, words)
    if not ageing.agrees:
        return Finding("ventricles", False, f"{words}: different growth")
    if ageing.p_value > level:
        return Finding("ventricles", None, f"{words}: {NOT_SHOWN}")
    return Finding("ventricles", True, words)


def _followed(one, level):
    """Assess whether one condition is followed; None where that is not shown."""
    found, real = one.synthetic, one.real
    number = found.kind == "number"
    if number:
        words = (
            f"{one.column} r {found.r:.2f} (shuffled {found.control_r:.2f}, p "
            f"{found.p_value:.2g}), off by {found.mae:.1f} (shuffled "
            f"{found.control_mae:.1f})"
        )
        other = "" if real is None else f"r {real.r:.2f}, off by {real.mae:.1f}"
    else:
        words = (
            f"{one.column} right in {found.accuracy:.0%} "
            f"(shuffled {found.control_accuracy:.0%}, p {found.p_value:.2g})"
        )
        other = "" if real is None else f"{real.accuracy:.0%}"
    words += f"; on real brains {other}" if other else ""
    if real is None or real.p_value > ALPHA:
        blind = "" if real is None else ", too little to evaluate by"
        return Finding(one.column, None, f"{words}{blind}: {NOT_SHOWN}")
    answer = _number(found, real, level) if number else _category(found, real, level)
    words += {True: "", False: ": not followed", None: f": {NOT_SHOWN}"}[answer]
    return Finding(one.column, answer, words)


def _number(found, real, level):
    """Assess whether a number is followed as in real brains: bool, or None."""
    apart = abs(found.slope - real.slope) - COMPATIBLE * abs(real.slope)
    reach = 1.96 * np.hypot(found.slope_error, real.slope_error)
    if apart > reach:  # False for NaN
        return False
    if found.p_value > level:
        return None
    if found.mae < LESS * found.control_mae:
        return True
    # Noise can correlate, too, on another level than brains do.
    offset, error = found.offset(real)
    return False if abs(offset) > 1.96 * error else None


def _category(found, real, level):
    """Assess whether a category is followed as in real brains: bool, or None."""
    right = [round(one.accuracy * one.n) for one in (found, real)]
    table = [[k, one.n - k] for k, one in zip(right, (found, real))]
    if fisher_exact(table, alternative="less").pvalue <= ALPHA:
        return False
    return True if found.p_value <= level else None


def _range(pair, form):
    return " to ".join(format(value, form) for value in pair)
