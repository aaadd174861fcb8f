# Figures: galleries of pictures, maps and masks as the papers arrange them.

FIGURE = LAYOUT.figure("{paper}", "{figure}")


rule draw_figure:
    input:
        indices=figure_indices,
        files=figure_files,
        code=code("draw_figure", "seedbed.explain"),
        templates=templates(),
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
    conda:
        "../environment.yml"
    threads: threads_of("draw_figure")
    resources:
        gpu=resource("draw_figure", "gpu"),
        mem_mb=resource("draw_figure", "mem_mb"),
        runtime=resource("draw_figure", "runtime"),
    params:
        paper=lambda wildcards: PAPERS[wildcards.paper].head(),
        figure=lambda wildcards: PAPERS[wildcards.paper].figure(wildcards.figure).plain(),
        groups=figure_groups,
        preset=dict(preset=PRESET.name, about=PRESET.about, comparable=PRESET.comparable),
    message:
        "Figure {wildcards.figure} of {wildcards.paper}"
    script:
        "../workflow_scripts/draw_figure.py"
