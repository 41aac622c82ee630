"""What a comparison of so many patients can find at all, computed before its test set is opened."""

import numpy as np
from scipy.special import nctdtrinc, stdtrit


def smallest_detectable(sd: float, n: int, level: float = 0.05, power: float = 0.8) -> float:
    """Mean difference δ that a two-sided paired t-test of `n` patients finds, with its sign, with probability `power`.

    P(T > t) = power for noncentral T of n - 1 degrees of freedom and noncentrality δ sqrt(n) / sd, where t is the
    critical value at `level`. Before the test set is opened, `sd` is that of the differences between the same
    initialisations in validation patients; afterwards that of the test. Of k comparisons corrected together the
    hardest is judged at level / k. Infinite below two patients.

    Half a standard deviation takes 34 patients:

    >>> round(smallest_detectable(sd=1.0, n=34), 2)
    0.5
    """
    if n < 2:
        return float("inf")
    critical = stdtrit(n - 1, 1 - level / 2)
    return float(nctdtrinc(n - 1, 1 - power, critical) * sd / np.sqrt(n))
