import json

import jax
import numpy as np
import pytest

from fullfield.diagnostics import Budget, calibrate, Report


def run(sample, key, **arguments):
    return calibrate(
        sample.truths,
        sample.draws,
        names=sample.names,
        estimates=sample.estimates,
        log_probs=sample.log_probs,
        key=key,
        **arguments,
    )


def test_exact_posterior_passes_and_reports_everything(world, key):
    found = run(world.sample(500, 200, 40), key, quantities={"log_likelihood": world.sample(500, 200, 40).log_likelihood})
    assert found.report.verdict == "pass"
    parts = {number.name.split("/")[0] for number in found.report.numbers}
    assert parts == {"sbc", "coverage", "tarp", "mira"}
    assert Report.from_dict(json.loads(json.dumps(found.report.to_dict()))).to_dict() == found.report.to_dict()


@pytest.mark.parametrize("fault", [{"width": 1.3}, {"width": 0.75}, {"shift": 0.4}, {"prior": True}])
def test_faulty_posterior_fails(world, key, fault):
    assert run(world.sample(500, 200, 41, **fault), key).report.verdict == "fail"


def test_without_estimates_the_prior_passes(world, key):
    sample = world.sample(500, 200, 42, prior=True)
    found = calibrate(sample.truths, sample.draws, names=sample.names, key=key)
    assert found.report.verdict == "pass"


def test_suite_keeps_its_false_alarm_budget(world):
    # 100 exact posteriors, 10 % may fail and 30 % may warn or fail: std 0.030 and 0.046, 4 of which are the tolerance;
    # Bonferroni only lowers the rates. Without any alarm the tests would be asleep.
    verdicts = []
    for seed in range(100):
        sample = world.sample(60, 40, 2000 + seed)
        verdicts.append(run(sample, jax.random.key(seed), budget=Budget(fail=0.1, warn=0.3)).report.verdict)
    failed, passed = np.mean([v == "fail" for v in verdicts]), np.mean([v == "pass" for v in verdicts])
    assert 0.0 < failed < 0.1 + 4 * 0.030
    assert 1 - passed < 0.3 + 4 * 0.046
