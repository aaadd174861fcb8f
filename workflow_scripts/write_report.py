"""All finished sections on one page, with the run's parameters and versions."""

from pathlib import Path

from job import job
from seedbed.io.atomic import write_text
from seedbed.io.provenance import library_versions
from seedbed.report.page import read_fragment, render_page

with job(snakemake):
    fragments = [read_fragment(Path(path)) for path in snakemake.input.fragments]
    run = {"libraries": library_versions(), "parameters": snakemake.params.parameters}
    write_text(snakemake.output[0], render_page(snakemake.params.title, fragments, run=run, **snakemake.params.preset))
