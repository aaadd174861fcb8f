# MLflow: one record a table, written after it and never in its way.


rule track_table:
    input:
        csv=f"{TABLE}.csv",
        markdown=f"{TABLE}.md",
        metrics=f"{TABLE}.json",
        page=f"{TABLE}.html",
        gallery=f"{TABLE}.png",
        sources=metrics_files,
        histories=history_files,
    output:
        LAYOUT.tracking("{paper}", "{table}"),
    log:
        LAYOUT.log("tracking/{paper}/{table}"),
    benchmark:
        LAYOUT.benchmark("tracking/{paper}/{table}")
    conda:
        "../environment.yml"
    threads: threads_of("track_table")
    resources:
        gpu=resource("track_table", "gpu"),
        mem_mb=resource("track_table", "mem_mb"),
        runtime=resource("track_table", "runtime"),
    params:
        code=code("track_table"),
        rows=tracked_rows,
        preset=PRESET.name,
        results=lambda wildcards, output: str(Path(output[0]).parents[3]),
    message:
        "Logging table {wildcards.table} of {wildcards.paper} to MLflow"
    script:
        "../workflow_scripts/track_table.py"


localrules:
    track_table,
