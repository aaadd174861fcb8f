# Tables: the paper's numbers and the measured ones, from the metrics files of every row and seed.

TABLE = LAYOUT.table("{paper}", "{table}")


rule make_table:
    input:
        metrics=metrics_files,
        checkpoints=checkpoint_files,
    output:
        csv=f"{TABLE}.csv",
        markdown=f"{TABLE}.md",
        metrics=f"{TABLE}.json",
    log:
        LAYOUT.log(TABLE),
    benchmark:
        LAYOUT.benchmark(TABLE)
    conda:
        "../environment.yml"
    threads: threads_of("make_table")
    resources:
        gpu=resource("make_table", "gpu"),
        mem_mb=resource("make_table", "mem_mb"),
        runtime=resource("make_table", "runtime"),
    params:
        code=code("make_table"),
        table=lambda wildcards: table_of(wildcards.paper, wildcards.table).plain(),
        cells=lambda wildcards: plain_cells(wildcards.paper, wildcards.table),
        footnotes=lambda wildcards: footnotes_of(wildcards.paper, wildcards.table),
    message:
        "Table {wildcards.table} of {wildcards.paper}"
    script:
        "../workflow_scripts/make_table.py"


rule render_table:
    input:
        metrics=metrics_files,
        histories=history_files,
        checkpoints=checkpoint_files,
        archives=submission_files,
        index=gallery_index,
        shards=lambda wildcards: panel_files(gallery_panels(wildcards)),
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
        gpu=resource("render_table", "gpu"),
        mem_mb=resource("render_table", "mem_mb"),
        runtime=resource("render_table", "runtime"),
    params:
        code=lambda wildcards: code(
            "render_table",
            *modules.panel_modules(gallery_panels(wildcards)),
            pages=True,
        ),
        paper=lambda wildcards: PAPERS[wildcards.paper].head(),
        table=lambda wildcards: table_of(wildcards.paper, wildcards.table).plain(),
        cells=lambda wildcards: plain_cells(wildcards.paper, wildcards.table),
        footnotes=lambda wildcards: footnotes_of(wildcards.paper, wildcards.table),
        panels=gallery_panels,
        histories=named_histories,
        pictures=gallery_pictures,
        preset=dict(
            preset=PRESET.name, about=PRESET.about, comparable=PRESET.comparable
        ),
    message:
        "Page of table {wildcards.table} of {wildcards.paper}"
    script:
        "../workflow_scripts/render_table.py"
