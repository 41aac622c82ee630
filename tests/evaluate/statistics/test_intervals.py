"""Intervals against scipy on the same resamples, closed forms, laws, and their coverage in a short simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxssl.evaluate.statistics import FEWEST, Interval, auroc_interval, bca, bca_of, over_seeds, studentised, within

FAILING = 0.1
TRUE_MEAN = (1 - FAILING) * 18 / 21 + FAILING / 2


def dice(rng, n):
    """Dice of n patients, some of whom fail."""
    return np.where(rng.random(n) < FAILING, rng.beta(6, 6, n), rng.beta(18, 3, n))


def holds(interval, truth):
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize("n", [5, 12, 40])
def test_bca_equals_that_of_scipy_on_the_same_resamples(n):
    values = dice(np.random.default_rng(n), n)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=999, rng=np.random.default_rng(0))
    without_one = np.array([np.delete(values, i).mean() for i in range(n)])
    ours = bca_of(values.mean(), theirs.bootstrap_distribution, without_one)
    np.testing.assert_allclose(ours, theirs.confidence_interval, rtol=1e-12)


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_bca_draws_resamples_of_its_own_that_say_what_scipys_say(level):
    values = dice(np.random.default_rng(0), 25)
    ours = bca(lambda rows: np.median(values[rows]), np.arange(25), level, resamples=4_000)
    theirs = stats.bootstrap(
        (values,), np.median, method="BCa", confidence_level=level, n_resamples=4_000, rng=np.random.default_rng(1)
    )
    np.testing.assert_allclose(ours, theirs.confidence_interval, atol=0.01)


def test_a_measure_that_no_resample_exceeds_still_has_an_interval():
    values = dice(np.random.default_rng(0), 30)
    low, high = bca(lambda rows: values[rows].mean() - len(np.unique(rows)), np.arange(30))
    assert -30 < low <= high < 0


def test_images_of_a_patient_are_drawn_together():
    """Five copies of each patient's image bring nothing new, and the interval stays that of the patients."""
    values = dice(np.random.default_rng(1), 20)
    images, patients = np.repeat(values, 5), np.repeat([f"p{i}" for i in range(20)], 5)
    alone = bca(lambda rows: values[rows].mean(), np.arange(20))
    several = bca(lambda rows: images[rows].mean(), patients)
    as_if_patients = bca(lambda rows: images[rows].mean(), np.arange(100))
    assert np.ptp(several) == pytest.approx(np.ptp(alone), rel=0.1)
    assert np.ptp(as_if_patients) < 0.6 * np.ptp(alone)


def test_resamples_without_a_class_are_left_out_and_a_perfect_auroc_has_no_resampled_interval():
    truth, scores = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.4, 0.2, 0.6, 0.5, 0.9])

    def auroc(rows):
        ill = truth[rows] == 1
        wins = scores[rows][ill][:, None] > scores[rows][~ill]
        return wins.mean() if wins.size else np.nan

    drawn = [auroc(rows) for rows in np.random.default_rng(0).integers(0, 6, (500, 6))]
    without_one = [auroc(np.delete(np.arange(6), row)) for row in range(6)]
    defined = np.array([value for value in drawn if not np.isnan(value)])
    assert 400 < len(defined) < 500
    ours = bca(auroc, np.arange(6), resamples=500)
    assert ours == bca_of(auroc(np.arange(6)), defined, np.array(without_one))
    assert ours.low < auroc(np.arange(6)) < ours.high
    scores = truth + 0.1
    assert np.isnan(bca(auroc, np.arange(6), resamples=200)).all()
    assert np.isnan(bca(auroc, np.zeros(6), resamples=200)).all()


@pytest.mark.parametrize("auroc", [0.0, 0.3, 0.5, 0.93, 1.0])
def test_every_auroc_within_the_score_interval_and_no_other_is_at_most_z_standard_errors_away(auroc):
    low, high = auroc_interval(auroc, 12, 30)
    a = np.linspace(0, 1, 100_001)[1:-1]
    variance = a * (1 - a) / 360 * (1 + 20 * ((1 - a) / (2 - a) + a / (1 + a)))
    inside = a[np.abs(a - auroc) <= stats.norm.ppf(0.975) * np.sqrt(variance)]
    np.testing.assert_allclose([low, high], [inside[0], inside[-1]], atol=2e-5)
    np.testing.assert_allclose(auroc_interval(1 - auroc, 12, 30), [1 - high, 1 - low], atol=1e-8)


def test_the_studentised_interval_is_that_of_scipys_studentised_bootstrap_of_weighted_means():
    """The same quantity by other means: scipy draws counts in place of beta weights, which agree where n is large."""
    values = dice(np.random.default_rng(2), 400)
    rng, mean = np.random.default_rng(3), values.mean()
    drawn = values[rng.integers(0, 400, (5_000, 400))]
    low, high = np.quantile((drawn.mean(axis=1) - mean) / stats.sem(drawn, axis=1, ddof=0), [0.025, 0.975])
    error = stats.sem(values, ddof=0)
    np.testing.assert_allclose(studentised(values), [mean - high * error, mean - low * error], atol=4e-4)


def test_the_studentised_interval_of_many_normal_scores_is_students():
    values = np.random.default_rng(4).normal(5, 2, 500)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    np.testing.assert_allclose(studentised(values, level=0.9, resamples=4_000), theirs, atol=0.02)


@settings(max_examples=25, deadline=None)
@given(st.integers(FEWEST, 12), st.integers(1, 4), st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 99))
def test_the_studentised_interval_moves_and_turns_with_the_scores(n, repeats, scale, shift, seed):
    scores = np.random.default_rng(seed).normal(size=(n, repeats))
    low, high = studentised(scores, resamples=200)
    assert low < high
    moved = studentised(scale * scores + shift, resamples=200)
    np.testing.assert_allclose(moved, [scale * low + shift, scale * high + shift], rtol=1e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(studentised(-scores, resamples=200), [-high, -low], rtol=1e-6, atol=1e-9)


def test_a_skewed_sample_has_a_skewed_interval():
    values = np.array([0.9, 0.88, 0.91, 0.87, 0.9, 0.92, 0.89, 0.35, 0.9, 0.86])
    low, high = studentised(values)
    assert values.mean() - low > 2 * (high - values.mean())


def test_two_trainings_tell_nothing_of_others():
    scores = np.random.default_rng(3).normal(0.8, 0.05, (12, 3))
    two = studentised(scores[:, :2])
    assert two == studentised(scores[:, :2].mean(axis=1))
    assert studentised(scores) != studentised(scores.mean(axis=1))


def test_an_interval_ends_where_its_scale_does():
    assert within(Interval(-0.2, 0.7), 0, 1) == (0.0, 0.7)
    assert np.isnan(within(Interval(np.nan, np.nan), 0, 1)).all()


def test_no_spread_or_no_second_patient_gives_no_interval_and_a_missing_score_is_refused():
    for scores in ([], [0.8], [0.7, 0.8, 0.9, 0.8], [0.7] * 6, [[0.7, 0.7]] * 6):
        assert np.isnan(studentised(np.array(scores))).all()
    assert np.isnan(auroc_interval(np.nan, 3, 4)).all()
    assert np.isnan(auroc_interval(0.5, 0, 4)).all()
    with pytest.raises(ValueError, match="missing"):
        studentised(np.array([0.8, np.nan, 0.9]))


def test_seeds_are_averaged_within_their_label_subset():
    scores = np.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(over_seeds(scores, "abcabc"), [[1.5, 2.5, 3.5], [7.5, 8.5, 9.5]])
    np.testing.assert_array_equal(over_seeds(scores, [0] * 6), [[2.5], [8.5]])


def test_seeds_of_one_subset_do_not_narrow_the_interval_like_new_subsets():
    """Copies of each training bring nothing, as seeds within a subset; taken as subsets they would."""
    rng = np.random.default_rng(5)
    by_subset = dice(rng, 40)[:, None] + [-0.1, 0, 0.1]
    copies = np.repeat(by_subset, 4, axis=1)
    within = studentised(over_seeds(copies, np.repeat([0, 1, 2], 4).tolist()))
    np.testing.assert_allclose(within, studentised(by_subset))
    assert np.ptp(studentised(copies)) < 0.8 * np.ptp(within)


def test_trainings_that_differ_widen_the_interval_and_those_that_do_not_leave_it():
    values = dice(np.random.default_rng(6), 40)
    alone = studentised(values)
    np.testing.assert_allclose(studentised(np.stack([values] * 3, axis=1)), alone)
    assert np.ptp(studentised(values[:, None] + [-0.05, 0, 0.05])) > 1.3 * np.ptp(alone)


def test_the_studentised_interval_holds_the_mean_dice_of_50_patients_in_93_to_97_of_100():
    """1,500 simulations: the standard error of the share is .6 points."""
    rng = np.random.default_rng(7)
    found = np.mean([holds(studentised(dice(rng, 50), resamples=500), TRUE_MEAN) for _ in range(1_500)])
    assert 0.93 <= found <= 0.97


def test_the_interval_over_patients_and_three_trainings_holds_the_mean_where_that_over_patients_does_not():
    """600 simulations, standard error one point."""
    rng, held, alone = np.random.default_rng(8), [], []
    for _ in range(600):
        scores = dice(rng, 30)[:, None] + rng.normal(0, 0.03, 3) + rng.normal(0, 0.03, (30, 3))
        held.append(holds(studentised(scores, resamples=500), TRUE_MEAN))
        alone.append(holds(studentised(scores.mean(axis=1), resamples=500), TRUE_MEAN))
    assert 0.91 <= np.mean(held) <= 0.97
    assert np.mean(alone) < 0.9


def test_the_score_interval_of_the_auroc_of_20_patients_holds_it():
    rng, held = np.random.default_rng(9), []
    distance = np.sqrt(2) * stats.norm.ppf(0.9)
    for _ in range(1_000):
        ill = np.arange(20) < 8
        scores = rng.normal(size=20) + distance * ill
        auroc = float(np.mean(scores[ill][:, None] > scores[~ill]))
        held.append(holds(auroc_interval(auroc, 8, 12), 0.9))
    assert 0.93 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(("patients", "known"), [(FEWEST - 1, False), (FEWEST, True)])
def test_of_fewer_than_five_patients_no_measure_has_an_interval(patients, known):
    values = np.random.default_rng(0).normal(size=patients)
    found = (
        studentised(values),
        bca(lambda rows: float(np.median(values[rows])), np.arange(patients)),
        auroc_interval(0.5, 2, patients - 2),
    )
    assert [bool(np.isfinite(each.low)) for each in found] == [known] * 3
