"""The paired test against scipy and by its rate of false positives, Holm by hand, effect sizes by scipy's nct."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxssl.evaluate.statistics import effect_size, holm, paired_test, swap_test


def differences(rng, n):
    """Dice of one initialisation less that of another that is no better: patients are hard for both."""
    fails = rng.random(n) < 0.1
    one, other = (np.where(fails, rng.beta(4, 4, n), rng.beta(18, 3, n)) for _ in range(2))
    return one - other


def t_statistic(x, axis):
    return x.mean(axis) / (x.std(axis, ddof=1) / np.sqrt(x.shape[axis]))


def by_scipy(found, statistic, resamples):
    return stats.permutation_test(
        (found,), statistic, permutation_type="samples", n_resamples=resamples, rng=np.random.default_rng(1)
    ).pvalue


@pytest.mark.parametrize("n", [3, 8, 12])
def test_few_patients_get_the_exact_p_of_scipy_for_the_mean_and_for_t(n):
    found = differences(np.random.default_rng(n), n) + 0.02
    assert paired_test(found) == pytest.approx(by_scipy(found, lambda x, axis: x.mean(axis), np.inf))
    assert paired_test(found) == pytest.approx(by_scipy(found, t_statistic, np.inf))


def test_many_patients_get_the_p_of_scipy_to_within_chance():
    found = differences(np.random.default_rng(0), 40) + 0.03
    theirs = by_scipy(found, t_statistic, 20_000)
    assert 0.05 < theirs < 0.5
    assert paired_test(found, resamples=20_000) == pytest.approx(theirs, abs=4 * np.sqrt(theirs / 20_000) + 1e-3)


def test_ties_and_few_patients_by_hand():
    assert paired_test(np.ones(5)) == 2 / 32
    assert paired_test(np.array([1.0, 1, 1, -1])) == 10 / 16
    assert paired_test(np.zeros(6)) == paired_test(np.ones(1)) == 1
    # .1 + .2 and .3 - 0 are the same sum but for rounding.
    assert paired_test(np.array([0.1, 0.2, -0.3, 0.1, 0.2])) == paired_test(np.array([1.0, 2, -3, 1, 2]))
    assert paired_test(np.full(50, 0.1), resamples=999) == 1 / 1000
    with pytest.raises(ValueError, match="missing"):
        paired_test(np.array([0.1, np.nan]))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 20), st.floats(0.01, 100), st.integers(0, 99))
def test_neither_the_side_nor_the_unit_of_the_differences_changes_p(n, scale, seed):
    found = differences(np.random.default_rng(seed), n)
    p = paired_test(found, resamples=1024)
    assert 0 < p <= 1
    assert paired_test(-scale * found, resamples=1024) == p


def false_positives(n, simulations, resamples, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [differences(rng, n) for _ in range(simulations)]
    ours = np.mean([paired_test(found, resamples) <= 0.05 for found in drawn])
    normal = np.mean([2 * stats.norm.sf(abs(t_statistic(found, 0))) <= 0.05 for found in drawn])
    return ours, normal


@pytest.mark.parametrize(("n", "resamples"), [(8, 256), (25, 1_000)])
def test_two_equally_good_initialisations_are_told_apart_in_about_5_of_100(n, resamples):
    """2,000 simulations, standard error half a point; a test that takes t for normal is caught at n = 8."""
    ours, normal = false_positives(n, 2_000, resamples)
    assert 0.035 <= ours <= 0.065
    assert n > 8 or normal > 0.065


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 20, 50, 100])
def test_false_positives_are_4_to_6_of_100_in_10_000_simulations(n):
    assert 0.04 <= false_positives(n, 10_000, 10_000)[0] <= 0.06


def test_outputs_swapped_patient_by_patient_give_the_paired_test_where_the_measure_is_a_mean():
    found = differences(np.random.default_rng(2), 9)
    assert swap_test(lambda swapped: np.where(swapped, -found, found).mean(), 9) == paired_test(found)


def test_aurocs_that_differ_by_chance_are_told_apart_in_about_5_of_100_and_a_better_one_is_found():
    rng, truth = np.random.default_rng(3), np.arange(24) < 12

    def auroc(scores):
        return np.mean(scores[truth][:, None] > scores[~truth])

    def p(gain):
        difficulty = rng.normal(size=24) + 0.8 * truth
        one, other = difficulty + gain * truth + rng.normal(size=24), difficulty + rng.normal(size=24)

        def measure(swapped):
            return auroc(np.where(swapped, other, one)) - auroc(np.where(swapped, one, other))

        return swap_test(measure, 24, resamples=99)

    assert 0.025 <= np.mean([p(0) <= 0.05 for _ in range(600)]) <= 0.075
    assert np.mean([p(2) <= 0.05 for _ in range(50)]) > 0.5


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.02, 0.5]), [1, 0.06, 1])
    np.testing.assert_allclose(holm([0.04]), [0.04])
    assert holm([]).shape == (0,)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=8), st.floats(0.01, 0.2))
def test_holm_rejects_what_his_step_down_rejects(p, level):
    rejected = set()
    for step, place in enumerate(np.argsort(p)):
        if p[place] * (len(p) - step) > level:
            break
        rejected.add(int(place))
    assert {place for place, adjusted in enumerate(holm(p)) if adjusted <= level} == rejected


def test_holm_keeps_the_rate_of_any_false_positive_among_five_tests():
    drawn = np.random.default_rng(4).random((4_000, 5))
    assert np.mean([holm(p).min() <= 0.05 for p in drawn]) == pytest.approx(1 - 0.99**5, abs=0.012)


def test_effect_sizes_have_the_published_correction_and_the_ends_that_scipys_noncentral_t_gives():
    found = np.random.default_rng(5).normal(0.5, 1, 12)
    ratio = found.mean() / found.std(ddof=1)
    value, (low, high) = effect_size(found)
    correction = 1 - 3 / (4 * 11 - 1)  # Hedges' approximation
    assert value == pytest.approx(correction * ratio, rel=1e-3)
    t, exact = np.sqrt(12) * ratio, value / ratio
    assert stats.nct.cdf(t, 11, np.sqrt(12) * low / exact) == pytest.approx(0.975, abs=1e-6)
    assert stats.nct.cdf(t, 11, np.sqrt(12) * high / exact) == pytest.approx(0.025, abs=1e-6)
    assert effect_size(-found).value == pytest.approx(-value)
    np.testing.assert_allclose(effect_size(-found).interval, (-high, -low), rtol=1e-5)


def test_the_effect_size_is_unbiased_where_the_plain_ratio_is_not_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(6)
    drawn = rng.normal(0.8, 1, (4_000, 6))
    found = [effect_size(sample) for sample in drawn]
    assert np.mean([size.value for size in found]) == pytest.approx(0.8, abs=0.03)
    assert np.mean(drawn.mean(1) / drawn.std(1, ddof=1)) > 0.9
    true = 0.8 * found[0].value / (drawn[0].mean() / drawn[0].std(ddof=1))
    held = np.mean([size.interval.low <= true <= size.interval.high for size in found])
    assert held == pytest.approx(0.95, abs=0.012)


def test_differences_that_are_all_alike_have_no_effect_size():
    for found in ([], [0.1], [0.1, 0.2], [0.1, 0.1, 0.1]):
        value, interval = effect_size(np.array(found))
        assert np.isnan([value, *interval]).all()
