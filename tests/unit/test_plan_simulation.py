"""Schedules worked out by hand, and what holds for any."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedbed.errors import UserError
from seedbed.plan.forecasts.simulation import Durations, gpu_use, length, longest_chain, recorded_seconds, simulate
from seedbed.plan.jobs import PlannedJob, Room, read_plan, write_plan

HEADER = "s\th:m:s\tmax_rss\n"


def job(number, waits_for=(), threads=1, gpu=0, rule="work", minutes=1, benchmark="none.tsv", needed=True):
    return PlannedJob(number, rule, f"out{number}", needed, None, tuple(waits_for), threads, gpu, minutes, benchmark)


def starts(slots):
    return {slot.job.id: slot.start for slot in slots}


def test_two_shards_then_their_merge():
    jobs = [job(0), job(1), job(2, [0, 1])]
    assert starts(simulate(jobs, {0: 5, 1: 3, 2: 2}, cores=2, gpus=0)) == {0: 0, 1: 0, 2: 5}
    assert length(simulate(jobs, {0: 5, 1: 3, 2: 2}, cores=1, gpus=0)) == 10


def test_gpus_are_shared_out_and_a_small_job_slips_past_a_large_one():
    jobs = [job(0, gpu=3), job(1, gpu=4), job(2, gpu=1), job(3)]
    slots = simulate(jobs, {0: 4, 1: 2, 2: 1, 3: 1}, cores=8, gpus=4)
    assert starts(slots) == {0: 0, 2: 0, 3: 0, 1: 4}
    assert gpu_use(slots, 4, until=4) == pytest.approx((3 * 4 + 1) / 16)
    assert gpu_use(slots, 4, until=6) == pytest.approx((3 * 4 + 1 + 4 * 2) / 24)


def test_a_job_larger_than_the_machine_takes_all_of_it():
    slots = simulate([job(0, threads=8, gpu=2), job(1)], {0: 2, 1: 1}, cores=4, gpus=0)
    assert starts(slots) == {0: 0, 1: 2}


def test_jobs_that_are_done_are_not_waited_for():
    assert starts(simulate([job(7, [3])], {7: 1}, cores=1, gpus=0)) == {7: 0}


def test_a_circle_is_an_error():
    with pytest.raises(ValueError, match="circle"):
        simulate([job(0), job(1, [2]), job(2, [1])], {0: 1, 1: 1, 2: 1}, cores=1, gpus=0)


def test_durations_come_from_the_job_then_its_rule_then_its_declaration(tmp_path):
    (tmp_path / "a.tsv").write_text(HEADER + "4.0\t0:00:04\t1\n6.0\t0:00:06\t1\n")
    (tmp_path / "b.tsv").write_text(HEADER + "9.0\t0:00:09\t1\n")
    jobs = [job(0, benchmark=f"{tmp_path}/a.tsv"), job(1, benchmark=f"{tmp_path}/b.tsv"), job(2), job(3, rule="other")]
    jobs.append(job(4, rule="all", benchmark=None))
    durations = Durations(jobs)
    assert [durations.seconds(each) for each in jobs] == [5, 9, 7, 60, 0]
    assert [durations.measured(each) for each in jobs] == [True, True, True, False, False]


def test_records_correct_the_forecasts_of_their_rule(tmp_path):
    (tmp_path / "a.tsv").write_text(HEADER + "30.0\t0:00:30\t1\n")
    recorded = replace(job(0, benchmark=f"{tmp_path}/a.tsv"), seconds=10.0)
    jobs = [recorded, replace(job(1), seconds=20.0), job(2), replace(job(3, rule="other"), seconds=7.0)]
    durations = Durations(jobs)
    assert [durations.seconds(each) for each in jobs] == [30, 60, 30, 7]  # three times as long; the mean; the forecast
    assert not any(durations.limited(each) for each in jobs) and durations.limited(job(4, rule="third"))


def test_the_longest_chain_needs_no_machine():
    jobs = [job(0), job(1), job(2, [0]), job(3, [1, 2])]
    assert longest_chain(jobs, {0: 5, 1: 9, 2: 3, 3: 1}) == 10
    assert longest_chain([], {}) == 0


@pytest.mark.parametrize("content", ["", HEADER, HEADER + "4.", "s\n-\n", "nothing\n1\n"])
def test_a_record_that_was_cut_off_is_none(tmp_path, content):
    (tmp_path / "a.tsv").write_text(content)
    found = recorded_seconds(tmp_path / "a.tsv")
    assert found is None or (content.endswith("4.") and found == 4)
    assert recorded_seconds(tmp_path / "missing.tsv") is None


def test_a_plan_survives_its_file(tmp_path):
    jobs = [replace(job(1, [0], 2, 1), wildcards={"seed": "0"}, room=(Room("shapes", "made", 3.0),)), job(0, [], 1, 0)]
    write_plan(tmp_path / "plan.json", jobs)
    assert read_plan(tmp_path / "plan.json") == jobs


def test_a_file_that_is_no_plan(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps([{"id": 1}]))
    with pytest.raises(UserError, match=r"plan\.json: is no plan"):
        read_plan(tmp_path / "plan.json")


@st.composite
def machines(draw):
    count = draw(st.integers(1, 12))
    jobs = []
    for number in range(count):
        waits = draw(st.sets(st.integers(0, number - 1))) if number else set()
        jobs.append(job(number, sorted(waits), draw(st.integers(1, 5)), draw(st.integers(0, 5))))
    seconds = {number: draw(st.integers(0, 9)) for number in range(count)}
    return jobs, seconds, draw(st.integers(1, 4)), draw(st.integers(0, 4))


@given(machines())
def test_nothing_runs_too_early_and_nothing_is_given_out_twice(machine):
    jobs, seconds, cores, gpus = machine
    slots = simulate(jobs, seconds, cores, gpus)
    ends = {slot.job.id: slot.end for slot in slots}
    assert len(ends) == len(slots) == len(jobs)
    for slot in slots:
        assert all(ends[other] <= slot.start for other in slot.job.waits_for)
        overlapping = [other.job for other in slots if other.start <= slot.start < other.end]
        assert sum(min(each.threads, cores) for each in overlapping) <= cores
        assert sum(min(each.gpu, gpus) for each in overlapping) <= gpus
    assert length(slots) <= sum(seconds.values())
