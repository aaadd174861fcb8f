"""`snakemake params`: an entry once all is merged, and where its values are from."""

import pytest
from snakemake_runs import run

pytestmark = pytest.mark.workflow


def test_an_entry_is_shown_with_the_origin_of_each_value(tmp_path):
    asked = ["--config", "of=models.exvit_dis", "models__exvit__train__epochs=3"]
    shown = run(tmp_path, *asked, "--", "params")
    assert shown.returncode == 0, shown.stdout[-3000:]
    lines = {line.split(":")[0]: line.split("  # ")[-1].strip() for line in shown.stdout.splitlines() if "  # " in line}
    assert lines["models.exvit_dis.train.epochs"] == "like exvit: command line"
    assert lines["models.exvit_dis.options.head"] == "common"
    assert lines["models.exvit_dis.architecture"] == "like exvit: presets.demo"


def test_a_misspelt_entry_is_named(tmp_path):
    failed = run(tmp_path, "--config", "of=models.exvit_di", "--", "params")
    assert failed.returncode != 0
    assert "models.exvit_di: Unknown key of models 'exvit_di'. Did you mean 'exvit_div'?" in failed.stdout
    assert "Traceback" not in failed.stdout
