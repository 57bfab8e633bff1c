"""Which simulations compressors and posteriors of the comparison of summaries are taught by."""

import numpy as np

from fullfield.recipes.summaries_measure import shares


def test_posteriors_of_many_statistics_see_no_simulation_that_their_compressor_has_seen():
    theta, rows = np.arange(10.0)[:, None], np.arange(20.0).reshape(10, 2)
    (seen, _), (unseen, kept) = shares("statistics", theta, rows)
    assert not set(seen[:, 0]) & set(unseen[:, 0])
    assert len(seen) + len(unseen) == 10
    np.testing.assert_array_equal(kept[:, 0], 2 * unseen[:, 0])
    (seen, _), (unseen, _) = shares("reconstruction", theta, rows)
    np.testing.assert_array_equal(seen, unseen)
