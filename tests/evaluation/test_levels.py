"""What a study is said to be is the same here as in predict."""

from dataclasses import replace

from tests.studies.test_calibrated import CALIBRATED
from tinycnn.evaluation import levels, records
from tinycnn.studies.names import parse_mura


def test_thresholds_by_body_part_count_as_in_predict():
    name = parse_mura("XR_HAND/patient00001/study1_positive")
    record = records.Record("a", "a", name, (("v", 0.35),), ())
    assert levels.verdict(record, CALIBRATED) == (True, 0.35)  # its own is 0.3
    assert levels.view_verdicts(record, CALIBRATED) == [(True, 0.35)]
    wrist = replace(record, name=replace(name, body_part="XR_WRIST"))
    assert levels.verdict(wrist, CALIBRATED) == (False, 0.35)  # that of all is 0.4
    found = levels.all_cases([record], CALIBRATED)
    said = [bool(found[rule, "all"].said[0]) for rule in ("mean", "any")]
    assert said == [True, False]  # calibrated with the mean: any has the plain threshold
    largest = replace(CALIBRATED, rule="max")
    found = levels.all_cases([record], largest)
    assert [bool(found[rule, "all"].said[0]) for rule in levels.RULES] == [False, True, True]
