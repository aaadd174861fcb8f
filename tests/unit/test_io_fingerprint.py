"""What unfinished work belongs to: neither paths, nor versions, nor the machine; and how differences are named."""

import pytest

from seedbed.io.fingerprint import (
    changed,
    circumstances,
    differences,
    fingerprint,
    short_hash,
    spell,
    spelled_change,
    with_changes,
)
from seedbed.io.provenance import provenance

RECORD = provenance({"lr": 0.1, "state": "results/a/resume.pt", "code": "c1"}, data="d", seed=3, device="A100")


def test_device_libraries_paths_and_this_project_s_version_do_not_enter():
    moved = {**RECORD["parameters"], "state": "elsewhere/resume.pt"}
    other = {**RECORD, "device": "H100", "libraries": {"torch": "9"}, "parameters": moved}
    other["code"] = {**RECORD["code"], "seedbed": "9.9"}
    assert fingerprint(RECORD, weights="w") == fingerprint(other, weights="w")
    assert circumstances(other) == {"device": "H100", "libraries": {"torch": "9"}}


@pytest.mark.parametrize(
    "change",
    [
        {"data_sha256": "e"},
        {"seed": 4},
        {"code": {"seedbed": RECORD["code"]["seedbed"], "sha256": "other"}},
        {"parameters": {**RECORD["parameters"], "lr": 0.2}},
    ],
)
def test_what_changes_a_result_enters(change):
    assert fingerprint({**RECORD, **change}) != fingerprint(RECORD)
    assert fingerprint(RECORD, weights="a") != fingerprint(RECORD, weights="b")


def test_parameters_may_be_chosen():
    assert fingerprint(RECORD, {"a": 1})["parameters"] == {"a": 1}
    assert fingerprint(RECORD)["parameters"] == {"lr": 0.1}


def test_differences_are_named_with_both_values():
    before = {"a": 1, "b": {"c": [1, 2], "d": None, "e": "x"}, "same": (1, 2)}
    now = {"a": 2, "b": {"c": [1, 3], "e": "x", "f": "y" * 64}, "same": [1, 2]}
    found = differences(before, now)
    assert found == [("a", 1, 2), ("b.c", [1, 2], [1, 3]), ("b.f", None, "y" * 64)]
    assert spell(found) == (
        f'a: 1 before, 2 now; b.c: [1, 2] before, [1, 3] now; b.f: nothing before, "{"y" * 15}..yyy" now'
    )
    assert differences({"a": 1}, {"a": 1}) == []


def test_many_differences_are_counted():
    text = spell([(f"k{number}", 0, 1) for number in range(9)])
    assert text.count("before") == 6
    assert text.endswith("; and 3 more")


def test_the_short_hash_stands_for_the_values():
    assert short_hash({"a": 1, "b": (1, 2)}) == short_hash({"b": [1, 2], "a": 1})
    assert short_hash({"a": 1}) != short_hash({"a": 2})
    assert len(short_hash({})) == 12


def test_circumstances_are_noted_where_they_change():
    first = changed([], {"device": "A100"}, 0)
    assert changed(first, {"device": "A100"}, 5) == first == [{"from": 0, "device": "A100"}]
    both = changed(first, {"device": "H100"}, 5)
    assert both == [{"from": 0, "device": "A100"}, {"from": 5, "device": "H100"}]
    assert spelled_change(both) == 'device: "A100" before, "H100" now'
    assert with_changes(RECORD, first) == RECORD
    assert with_changes(RECORD, both) == {**RECORD, "computed_on": both}


def test_precision_of_a_rule_enters_beside_a_networks_own_parameters():
    rounded = {**RECORD, "parameters": {**RECORD["parameters"], "precision": "tf32"}}
    assert fingerprint(rounded, {"network": 1})["parameters"] == {"network": 1, "precision": "tf32"}
    assert fingerprint(RECORD, {"network": 1})["parameters"] == {"network": 1}
