"""What Snakemake shows of a run of Seedbed: one progress display on a terminal, a line a job elsewhere.

Snakemake finds plugins by the name of their package, so this one is a package of its own, beside the library, which
imports no Snakemake; profiles/default asks for it. What it leaves out stands in the complete log below .snakemake/log;
warnings and errors are always shown.
"""

import atexit
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from logging import WARNING, LogRecord
from typing import TYPE_CHECKING

from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

if TYPE_CHECKING:  # every start of Snakemake imports every plugin, of other projects too: it must cost nothing
    from seedbed.io.footer import Footer
    from seedbed.plan.run_state import RunPlan, RunState

SHOWN = ("auto", "progress", "lines", "all")
_DETAILS = {
    *(LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED, LogEvent.PROGRESS, LogEvent.SHELLCMD),
    *(LogEvent.RESOURCES_INFO, LogEvent.WORKFLOW_STARTED, LogEvent.GROUP_INFO),
}
"""Events that the display and the lines tell in their own words, or leave to the log."""
_HEAD = {LogEvent.RESOURCES_INFO, LogEvent.WORKFLOW_STARTED}
_CHATTER = ("Select jobs to execute", "Using shell", "Conda environments: ignored", "Singularity containers: ignored")


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    show: str = field(
        default="auto",
        metadata={
            "help": "What to show of a run: 'progress' (a display at the bottom of the terminal), 'lines' (a line for "
            "each job that has ended), 'all' (what Snakemake shows by itself), or 'auto': 'all' with --verbose or "
            "--quiet and in dry runs, else 'progress' on a terminal and 'lines' elsewhere.",
            "choices": SHOWN,
        },
    )


class LogHandler(LogHandlerBase):
    """See the module."""

    writes_to_stream, writes_to_file, has_filter, has_formatter, needs_rulegraph = True, False, False, False, False

    def __post_init__(self) -> None:
        common = self.common_settings
        self._stream = sys.stdout if common.stdout else sys.stderr
        self._plain = ColorizingTextHandler(nocolor=common.nocolor, stream=self._stream)
        self._shown = self._chosen()
        self._state: RunState | None = None
        self._footer: Footer | None = None
        self._over = threading.Event()
        self._guard = threading.RLock()  # of the clock's thread, Snakemake's and that of its messages
        atexit.register(self.close)

    def _chosen(self) -> str:
        common, asked = self.common_settings, getattr(self.settings, "show", "auto")
        if asked != "auto":
            return asked
        if common.dryrun or common.verbose or common.debug_dag or common.quiet:
            return "all"
        terminal = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        return "progress" if terminal else "lines"

    # -- what rules/engine.smk tells before the first job

    def begin(self, plan: "RunPlan") -> None:
        """Take the plan of the run, and start the display if there is one."""
        from seedbed.io.footer import Footer
        from seedbed.plan.run_state import RunState

        if self._shown == "all" or not plan.jobs:
            return
        with self._guard:
            state = RunState(plan, time.monotonic())
            if not state.total:
                return
            self._state = state
            if self._shown == "progress":
                footer = Footer(self._stream.fileno())
                if footer.fits(lambda width: state.lines(width, time.monotonic())):
                    self._footer = footer
                    threading.Thread(target=self._tick, daemon=True).start()
                else:
                    self._shown = "lines"

    def _tick(self) -> None:
        """Draw twice a second, so that the clock runs on while no job ends."""
        while not self._over.wait(0.5):
            with self._guard:
                self._draw()

    def _draw(self) -> None:
        state = self._state
        if self._footer is None or state is None or self._over.is_set():
            return
        try:
            self._footer.show(lambda width: state.lines(width, time.monotonic()))
        except OSError:  # the terminal is gone; the run is not
            self._footer = None

    # -- what Snakemake tells

    def emit(self, record: LogRecord) -> None:
        """Show a record, or what follows from it."""
        if self._shown == "all":
            self._print(record)
            return
        event = getattr(record, "event", None)
        with self._guard:
            ended = self._follow(event, record)
            if ended and self._shown == "lines" and self._state is not None:
                self._say(f"{self._state.summary(time.monotonic())}: {ended}")
            if record.levelno >= WARNING or self._worth_showing(event, record):
                self._print(record)
            self._draw()

    def _follow(self, event: str | None, record: LogRecord) -> str | None:
        """Keep count; returns what a job did that has just ended."""
        if self._state is None:
            return None
        if event == LogEvent.JOB_INFO:
            message = getattr(record, "rule_msg", None) or record.__dict__["rule_name"]
            outputs = [str(path) for path in record.__dict__["output"] or ()]
            self._state.start(record.__dict__["jobid"], outputs, message, time.monotonic())
        elif event == LogEvent.JOB_FINISHED:
            return self._state.finish(record.__dict__["job_id"], time.monotonic())
        elif event == LogEvent.JOB_ERROR:
            self._state.fail(record.__dict__["jobid"])
        return None

    def _worth_showing(self, event: str | None, record: LogRecord) -> bool:
        if str(record.msg).startswith(_CHATTER):
            return False
        if event == LogEvent.RUN_INFO:  # how many jobs of each rule there are
            return self._shown == "lines"
        # Before the first job, and where there is no plan to count by, Snakemake's own words tell what happens.
        return event not in (_HEAD if self._state is None else _DETAILS)

    def _print(self, record: LogRecord) -> None:
        """As Snakemake would."""
        self._plain.setFormatter(self.formatter)
        self._plain.emit(record)

    def _say(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Take the display away, and leave how far the run came."""
        with self._guard:
            if not self._over.is_set():
                self._over.set()
                if self._footer is not None and self._state is not None:
                    self._footer.remove()
                    self._say(self._state.result(time.monotonic()))
        atexit.unregister(self.close)
        super().close()
