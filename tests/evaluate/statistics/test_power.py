"""Power by simulation and by scipy's noncentral t; limits of agreement by their definition and by coverage."""

import numpy as np
import pytest
from scipy import stats

from jaxssl.evaluate.statistics import agreement, paired_test, smallest_detectable, studentised


@pytest.mark.parametrize("n", [2, 5, 30, 500])
@pytest.mark.parametrize(("level", "power"), [(0.05, 0.8), (0.01, 0.95)])
def test_the_smallest_detectable_effect_has_the_power_asked_for_by_scipys_noncentral_t(n, level, power):
    effect = smallest_detectable(1, n, level, power)
    critical = stats.t.ppf(1 - level / 2, n - 1)
    assert stats.nct.sf(critical, n - 1, effect * np.sqrt(n)) == pytest.approx(power, abs=1e-5)


def test_it_is_the_published_number_and_scales_with_the_spread():
    # 34 pairs find half a standard deviation with 80% power: a figure of every table of sample sizes.
    assert smallest_detectable(1, 34) < 0.5 < smallest_detectable(1, 33)
    assert smallest_detectable(0.03, 20) == pytest.approx(0.03 * smallest_detectable(1, 20))
    assert smallest_detectable(1, 1) == np.inf


@pytest.mark.parametrize("n", [10, 40])
def test_the_paired_test_finds_it_four_times_out_of_five(n):
    rng, effect = np.random.default_rng(n), smallest_detectable(0.05, n)
    found = [paired_test(rng.normal(effect, 0.05, n), resamples=1024) <= 0.05 for _ in range(1_500)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.035)


def test_agreement_by_its_definitions():
    rng = np.random.default_rng(0)
    true = rng.uniform(80, 200, 25)
    measured = true + rng.normal(3, 8, 25)
    errors = measured - true
    found = agreement(measured, true)
    assert found.n == 25
    assert found.bias.value == pytest.approx(errors.mean())
    assert found.mae.value == pytest.approx(np.abs(errors).mean())
    assert found.bias.interval == studentised(errors)
    assert found.mae.interval == studentised(np.abs(errors))
    spread = stats.norm.ppf(0.975) * errors.std(ddof=1)
    assert found.lower_limit.value == pytest.approx(errors.mean() - spread)
    assert found.upper_limit.value == pytest.approx(errors.mean() + spread)
    turned = agreement(true, measured)
    np.testing.assert_allclose(turned.upper_limit.interval, [-end for end in found.lower_limit.interval[::-1]])
    for limit in (found.lower_limit, found.upper_limit):
        assert limit.interval.low < limit.value < limit.interval.high


def test_the_interval_of_a_limit_holds_the_true_limit_in_95_of_100_even_of_few_subjects():
    rng, upper, lower = np.random.default_rng(1), [], []
    for errors in rng.normal(2, 5, (400, 8)):
        found = agreement(errors, np.zeros(8))
        upper.append(found.upper_limit.interval.low <= 2 + 5 * stats.norm.ppf(0.975) <= found.upper_limit.interval.high)
        lower.append(found.lower_limit.interval.low <= 2 - 5 * stats.norm.ppf(0.975) <= found.lower_limit.interval.high)
    assert np.mean(upper) == pytest.approx(0.95, abs=0.034)
    assert np.mean(lower) == pytest.approx(0.95, abs=0.034)


def test_one_subject_has_a_bias_and_nothing_else():
    found = agreement(np.array([5.0]), np.array([3.0]))
    assert (found.bias.value, found.mae.value) == (2, 2)
    assert np.isnan([*found.bias.interval, found.lower_limit.value, *found.upper_limit.interval]).all()
    with pytest.raises(ValueError, match="missing"):
        agreement(np.array([5.0, np.nan]), np.array([3.0, 2.0]))
