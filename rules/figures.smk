# Figures as the papers arrange them: galleries of images, maps and masks, and bars and curves drawn from metrics.

FIGURE = LAYOUT.figure("{paper}", "{figure}")


rule draw_figure:
    input:
        unpack(PIPELINE.page_inputs.draw_figure),
    output:
        image=report(
            f"{FIGURE}.png",
            caption="report/figure.rst",
            category="Figures",
            labels={"paper": "{paper}", "figure": "{figure}"},
        ),
        document=f"{FIGURE}.pdf",
        page=f"{FIGURE}.html",
        fragment=f"{FIGURE}.fragment.html",
    log:
        LAYOUT.log(FIGURE),
    benchmark:
        LAYOUT.benchmark(FIGURE)
    wildcard_constraints:
        paper=PIPELINE.figures.of_kind(drawn_from_numbers=False),
    conda:
        "../environment.yml"
    threads: threads_of("draw_figure")
    resources:
        **resources_of("draw_figure"),
    params:
        **PIPELINE.page_parameters.draw_figure(),
    message:
        "Figure {wildcards.figure} of {wildcards.paper}"
    script:
        "../workflow_scripts/draw_figure.py"


rule draw_chart:
    input:
        unpack(PIPELINE.page_inputs.draw_chart),
    output:
        image=report(
            f"{FIGURE}.png",
            caption="report/figure.rst",
            category="Figures",
            labels={"paper": "{paper}", "figure": "{figure}"},
        ),
        drawing=f"{FIGURE}.svg",
        numbers=f"{FIGURE}.csv",
        document=f"{FIGURE}.pdf",
        page=f"{FIGURE}.html",
        fragment=f"{FIGURE}.fragment.html",
    log:
        LAYOUT.log(FIGURE),
    benchmark:
        LAYOUT.benchmark(FIGURE)
    wildcard_constraints:
        paper=PIPELINE.figures.of_kind(drawn_from_numbers=True),
    conda:
        "../environment.yml"
    threads: threads_of("draw_chart")
    resources:
        **resources_of("draw_chart"),
    params:
        **PIPELINE.page_parameters.draw_chart(),
    message:
        "Figure {wildcards.figure} of {wildcards.paper}"
    script:
        "../workflow_scripts/draw_chart.py"
