"""All finished sections on one page, with the run's parameters and versions."""

from pathlib import Path

from markupsafe import Markup

from job import job
from seedbed.io.atomic import write_text
from seedbed.io.provenance import library_versions
from seedbed.report.page import Fragment, render_page

with job(snakemake):
    names = [Path(path) for path in snakemake.input.fragments]
    # Fragments are our own output, escaped when they were rendered.
    fragments = [
        Fragment(f"{path.parent.name}_{path.name.removesuffix('.fragment.html')}", Markup(path.read_text()))
        for path in names
    ]
    run = {"libraries": library_versions(), "parameters": snakemake.params.parameters}
    write_text(snakemake.output[0], render_page(snakemake.params.title, fragments, run=run, **snakemake.params.preset))
