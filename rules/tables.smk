# Tables: the paper's numbers and the measured ones, from the metrics files of every row and seed.

TABLE = LAYOUT.table("{paper}", "{table}")


rule make_table:
    input:
        unpack(PIPELINE.page_inputs.make_table),
    output:
        csv=f"{TABLE}.csv",
        markdown=f"{TABLE}.md",
        metrics=f"{TABLE}.json",
        latex=f"{TABLE}.tex",
    log:
        LAYOUT.log(TABLE),
    benchmark:
        LAYOUT.benchmark(TABLE)
    conda:
        "../environment.yml"
    threads: threads_of("make_table")
    resources:
        **resources_of("make_table"),
    params:
        **PIPELINE.page_parameters.make_table(),
    message:
        "Table {wildcards.table} of {wildcards.paper}"
    script:
        "../workflow_scripts/make_table.py"


rule render_table:
    input:
        unpack(PIPELINE.page_inputs.render_table),
    output:
        page=report(
            f"{TABLE}.html",
            caption="report/table.rst",
            category="Tables",
            labels={"paper": "{paper}", "table": "{table}"},
        ),
        fragment=f"{TABLE}.fragment.html",
        gallery=report(
            f"{TABLE}.png",
            caption="report/gallery.rst",
            category="Galleries",
            labels={"paper": "{paper}", "table": "{table}"},
        ),
    log:
        LAYOUT.log(f"{TABLE}.page"),
    benchmark:
        LAYOUT.benchmark(f"{TABLE}.page")
    conda:
        "../environment.yml"
    threads: threads_of("render_table")
    resources:
        **resources_of("render_table"),
    params:
        **PIPELINE.page_parameters.render_table(),
    message:
        "Page of table {wildcards.table} of {wildcards.paper}"
    script:
        "../workflow_scripts/render_table.py"
