# Figures as the papers arrange them: galleries of pictures, maps and masks, and bars and curves drawn from metrics.

FIGURE = LAYOUT.figure("{paper}", "{figure}")


rule draw_figure:
    input:
        indices=figure_indices,
        files=figure_files,
    output:
        picture=report(
            f"{FIGURE}.png",
            caption="report/figure.rst",
            category="Figures",
            labels={"paper": "{paper}", "figure": "{figure}"},
        ),
        page=f"{FIGURE}.html",
        fragment=f"{FIGURE}.fragment.html",
    log:
        LAYOUT.log(FIGURE),
    benchmark:
        LAYOUT.benchmark(FIGURE)
    wildcard_constraints:
        paper=paper_of_figures(drawn_from_numbers=False),
    conda:
        "../environment.yml"
    threads: threads_of("draw_figure")
    resources:
        gpu=resource("draw_figure", "gpu"),
        mem_mb=resource("draw_figure", "mem_mb"),
        runtime=resource("draw_figure", "runtime"),
    params:
        code=lambda wildcards: code(
            "draw_figure",
            *modules.panel_modules(
                panel
                for group in figure_groups(wildcards)
                for panel in group["panels"]
            ),
            pages=True,
        ),
        paper=lambda wildcards: PAPERS[wildcards.paper].head(),
        figure=plain_figure,
        title=figure_title,
        groups=figure_groups,
        notes=notes_of_figure,
        preset=dict(
            preset=PRESET.name, about=PRESET.about, comparable=PRESET.comparable
        ),
    message:
        "Figure {wildcards.figure} of {wildcards.paper}"
    script:
        "../workflow_scripts/draw_figure.py"


rule draw_chart:
    input:
        metrics=chart_metrics,
    output:
        picture=report(
            f"{FIGURE}.png",
            caption="report/figure.rst",
            category="Figures",
            labels={"paper": "{paper}", "figure": "{figure}"},
        ),
        drawing=f"{FIGURE}.svg",
        numbers=f"{FIGURE}.csv",
        page=f"{FIGURE}.html",
        fragment=f"{FIGURE}.fragment.html",
    log:
        LAYOUT.log(FIGURE),
    benchmark:
        LAYOUT.benchmark(FIGURE)
    wildcard_constraints:
        paper=paper_of_figures(drawn_from_numbers=True),
    conda:
        "../environment.yml"
    threads: threads_of("draw_chart")
    resources:
        gpu=resource("draw_chart", "gpu"),
        mem_mb=resource("draw_chart", "mem_mb"),
        runtime=resource("draw_chart", "runtime"),
    params:
        code=code("draw_chart", pages=True),
        paper=lambda wildcards: PAPERS[wildcards.paper].head(),
        figure=plain_figure,
        title=figure_title,
        series=chart_series,
        notes=notes_of_figure,
        preset=dict(
            preset=PRESET.name, about=PRESET.about, comparable=PRESET.comparable
        ),
    message:
        "Figure {wildcards.figure} of {wildcards.paper}"
    script:
        "../workflow_scripts/draw_chart.py"
