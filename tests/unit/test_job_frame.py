"""What every workflow script shares, started as a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow_scripts"
PROGRAM = """
import os, signal, sys, time, types
sys.path.insert(0, {scripts!r})
alone = True  # no Snakemake has started it
snakemake = types.SimpleNamespace(rule="explain", log=["explain.log"], resources={{}}, wildcards={{}}, params={{}})
from job import job
from seedbed.errors import UserError
with job(snakemake):
    {body}
"""


# Where a shell started the tests in the background, they have inherited that interrupts are ignored.
INTERRUPTED = (
    "signal.signal(signal.SIGINT, signal.default_int_handler); os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
)


@pytest.mark.parametrize(
    ("body", "code", "said", "logged"),
    [
        (INTERRUPTED, 130, "Rule explain: interrupted.", "KeyboardInterrupt"),
        ("raise UserError('mend it')", 1, "Error in rule explain: mend it", "mend it"),
    ],
)
def test_what_a_user_does_or_can_mend_shows_no_traceback(tmp_path, body, code, said, logged):
    program = PROGRAM.format(scripts=str(SCRIPTS), body=body)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code
    assert done.stderr.strip() == said
    assert logged in (tmp_path / "explain.log").read_text()


def test_a_fault_of_the_program_shows_its_traceback_and_names_the_log(tmp_path):
    program = PROGRAM.format(scripts=str(SCRIPTS), body="1 / 0")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1 and "Error in rule explain; the log is" in done.stderr
    assert "ZeroDivisionError" in done.stderr and "ZeroDivisionError" in (tmp_path / "explain.log").read_text()
