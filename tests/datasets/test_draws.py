import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.datasets import stream_draws


def chunk(number, pixels=4):
    random = np.random.default_rng(number)
    return random.normal(size=(3, 2)), random.normal(size=(3, pixels, pixels, 1)).astype(np.float32)


def test_draws_are_written_chunk_by_chunk(tmp_path):
    group = stream_draws(tmp_path / "draws", chunk, 4)
    np.testing.assert_array_equal(group["theta"][:], np.concatenate([chunk(i)[0] for i in range(4)]))
    np.testing.assert_array_equal(group["maps"][:], np.concatenate([chunk(i)[1] for i in range(4)]))


def test_interrupted_draws_go_on_where_they_stopped(tmp_path):
    seen = []

    def interrupted(number):
        seen.append(number)
        if number == 2 and seen.count(2) == 1:
            raise KeyboardInterrupt
        return chunk(number)

    with pytest.raises(KeyboardInterrupt):
        stream_draws(tmp_path / "draws", interrupted, 4)
    group = stream_draws(tmp_path / "draws", interrupted, 4)
    assert seen == [0, 1, 2, 2, 3]
    np.testing.assert_array_equal(group["maps"][:], np.concatenate([chunk(i)[1] for i in range(4)]))


def test_a_folder_of_other_draws_is_refused(tmp_path):
    stream_draws(tmp_path / "draws", chunk, 2)
    with pytest.raises(ConfigurationError, match="shape"):
        stream_draws(tmp_path / "draws", lambda number: chunk(number, pixels=8), 3)
