"""Draw a figure of bars or curves from the metrics of its panels, beside what the paper prints."""

from functools import cache

from job import job
from seedbed.io.atomic import read_json, write_bytes, write_text
from seedbed.papers.figures import Series
from seedbed.papers.tables import Figure
from seedbed.report.charts import chart_rows, draw_chart, read_series, to_csv
from seedbed.report.page import render_figure, render_page
from seedbed.report.plots import figure_bars, figure_plots

with job(snakemake):
    params, output, read = snakemake.params, snakemake.output, cache(read_json)
    drawn = read_series([Series.from_plain(series) for series in params.series], read)
    comparable = params.preset["comparable"]
    rows, image = chart_rows(drawn), draw_chart(drawn, "png")
    fragment = render_figure(
        params.paper,
        Figure.model_validate(params.figure),
        image,
        params.notes,
        comparable=comparable,
        files=[output.document, output.drawing, output.image, output.numbers],
        plots=figure_plots(drawn, comparable=comparable),
        bars=figure_bars(drawn),
        numbers=rows,
        provenance={path: read(path)["provenance"] for path in snakemake.input.metrics},
    )
    write_bytes(output.image, image)
    write_bytes(output.drawing, draw_chart(drawn, "svg"))
    write_bytes(output.document, draw_chart(drawn, "pdf"))
    write_text(output.numbers, to_csv(rows))
    write_text(output.fragment, fragment.html)
    write_text(output.page, render_page(params.title, [fragment], **params.preset))
