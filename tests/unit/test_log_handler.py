"""The plugin for Snakemake's log: what it shows, and that it hides no error."""

import io
import os
import subprocess
import sys

import pytest
from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.tests import MockOutputSettings, TestLogHandlerBase

from seedbed.plan.jobs import PlannedJob
from seedbed.plan.run_state import RunPlan
from snakemake_logger_plugin_seedbed import LogHandler, LogHandlerSettings

JOB = PlannedJob(0, "explain", "out", True, None, (), 1, 0, 5, "none.tsv")
PLAN = RunPlan([JOB], {"explain": "heatmaps"}, {}, 2, 0)
DETAILS = {
    **{"threads": 1, "input": ["in"], "log": [], "benchmark": None, "wildcards": {}, "reason": "Missing output"},
    **{"shellcmd": "", "priority": 0, "resources": {}, "local": False, "is_checkpoint": False, "indent": False},
    **{"conda_env": None, "aux": {}},
}


class TestAgainstTheInterface(TestLogHandlerBase):
    """What Snakemake's interface asks of every plugin."""

    __test__ = True

    def get_log_handler_cls(self):
        return LogHandler

    def get_log_handler_settings(self):
        return LogHandlerSettings(show="lines")

    def _create_handler(self):
        return ready(super()._create_handler())


def ready(handler):
    """A handler with the filter and the format that Snakemake gives it."""
    handler.addFilter(DefaultFilter(None, False, False, False, False))
    handler.setFormatter(DefaultFormatter())
    return handler


@pytest.fixture
def handler(monkeypatch):
    """Makes a handler without a terminal, and the text that it writes."""

    def make(show="auto", **common):
        text = io.StringIO()
        monkeypatch.setattr(sys, "stderr", text)
        settings = MockOutputSettings()
        vars(settings).update(common)
        monkeypatch.setattr(sys, "stdout", text)
        return ready(LogHandler(settings, LogHandlerSettings(show=show))), text

    return make


def told(handler, event, msg=None, level=20, **more):
    record = TestLogHandlerBase._create_event_record(None, event, msg, level=level, **more)
    handler.handle(record)


def run_one(handler):
    told(handler, LogEvent.JOB_INFO, **DETAILS, jobid=3, rule_name="explain", rule_msg="Explaining", output=["out"])
    told(handler, None, "Select jobs to execute...")
    told(handler, LogEvent.JOB_FINISHED, "Finished jobid: 3", job_id=3)
    told(handler, LogEvent.PROGRESS, done=1, total=2)


def test_a_line_a_job_where_there_is_no_terminal(handler):
    shown, text = handler()
    told(shown, LogEvent.RUN_INFO, "Job stats:")
    shown.begin(PLAN)
    run_one(shown)
    assert text.getvalue().splitlines() == ["Job stats:", "1 of 1 jobs done, about 0 s left: Explaining"]


def test_errors_warnings_and_notices_are_shown(handler):
    shown, text = handler()
    shown.begin(PLAN)
    told(shown, None, "Trying to restart job 3.")
    told(shown, None, "Careful", level=30)
    told(shown, LogEvent.ERROR, "WorkflowError: broken", level=40, exception="x")
    failed = {**DETAILS, "log": ["explain.log"]}
    told(
        *(shown, LogEvent.JOB_ERROR, "failed", 40),
        **{**failed, "jobid": 3, "rule_name": "explain", "rule_msg": "Explaining", "output": ["out"]},
    )
    said = text.getvalue()
    for expected in ("Trying to restart job 3.", "Careful", "WorkflowError: broken", "Error in rule explain:"):
        assert expected in said
    assert "explain.log (check log file(s) for error details)" in said


def test_a_terminal_without_room_has_lines(monkeypatch):
    reader, writer = os.openpty()  # 0 x 0, as some programs give
    with os.fdopen(writer, "w", buffering=1) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        shown = ready(LogHandler(MockOutputSettings(), LogHandlerSettings()))
        shown.begin(PLAN)
        run_one(shown)
        shown.close()
        assert os.read(reader, 65536).decode().strip() == "1 of 1 jobs done, about 0 s left: Explaining"
    os.close(reader)


def test_what_is_to_be_quiet_is_snakemakes_affair(handler):
    shown, text = handler(quiet=["progress"])
    shown.begin(PLAN)
    run_one(shown)
    assert "Job 3: Explaining" in text.getvalue() and "jobs done" not in text.getvalue()


@pytest.mark.parametrize("asked", [{"show": "all"}, {"verbose": True}, {"dryrun": True}, {"debug_dag": True}])
def test_all_is_what_snakemake_shows(handler, asked):
    shown, text = handler(**asked)
    shown.begin(PLAN)
    run_one(shown)
    said = text.getvalue()
    assert "Job 3: Explaining\nReason: Missing output" in said and "1 of 2 steps (50%) done" in said
    assert "jobs done" not in said


def test_without_a_plan_snakemake_speaks_for_itself(handler):
    """``snakemake help`` and other targets that do no work that is counted."""
    shown, text = handler()
    shown.begin(RunPlan([PlannedJob(0, "help", "help", True, None, (), 1, 0, 0, None)], {}, {}, 2, 0))
    run_one(shown)
    assert "Job 3: Explaining" in text.getvalue()


def test_a_display_on_a_terminal_is_taken_away_at_the_end(monkeypatch):
    reader, writer = os.openpty()
    with os.fdopen(writer, "w", buffering=1) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr("seedbed.io.footer.os.get_terminal_size", lambda stream: os.terminal_size((80, 24)))
        shown = ready(LogHandler(MockOutputSettings(), LogHandlerSettings()))
        told(shown, LogEvent.RUN_INFO, "Job stats:")
        shown.begin(PLAN)
        run_one(shown)
        told(shown, LogEvent.ERROR, "WorkflowError: broken", level=40, exception="x")
        shown.close()
        shown.close()
        said = os.read(reader, 65536).decode()
    os.close(reader)
    assert "1 of 1 jobs done" in said and "heatmaps\u00a01/1" in said and "WorkflowError: broken" in said
    assert "Job stats" not in said and said.count("\x1b[r") == 1
    assert said.rstrip().endswith("1 of 1 jobs done, in 0 s")


def test_a_dumb_terminal_has_lines(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    text = Terminal()
    monkeypatch.setattr(sys, "stderr", text)
    monkeypatch.setenv("TERM", "dumb")
    shown = ready(LogHandler(MockOutputSettings(), LogHandlerSettings()))
    shown.begin(PLAN)
    run_one(shown)
    assert text.getvalue() == "1 of 1 jobs done, about 0 s left: Explaining\n"


def test_snakemake_starts_without_the_library():
    """Snakemake imports every plugin that it finds, in any project, and in each of its jobs."""
    program = "import sys, snakemake_logger_plugin_seedbed; print([name for name in sys.modules if 'seedbed.' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"
