# The HTML report: every headline table of the preset; the full one holds every table and figure it can make.


rule write_report:
    input:
        fragments=table_files(headline_tables(), ".fragment.html"),
    output:
        report(report_path(), caption="report/report.rst", category="Report"),
    log:
        LAYOUT.log("report"),
    benchmark:
        LAYOUT.benchmark("report")
    conda:
        "../environment.yml"
    threads: threads_of("write_report")
    resources:
        gpu=resource("write_report", "gpu"),
        mem_mb=resource("write_report", "mem_mb"),
        runtime=resource("write_report", "runtime"),
    params:
        code=code("write_report", pages=True),
        title="Seedbed: the papers' tables, reported and measured",
        preset=dict(
            preset=PRESET.name, about=PRESET.about, comparable=PRESET.comparable
        ),
        parameters=run_parameters(),
    message:
        "Report: {output}"
    script:
        "../workflow_scripts/write_report.py"


use rule write_report as write_full_report with:
    input:
        fragments=built_sections(),
    output:
        report(
            report_path("full_report"), caption="report/report.rst", category="Report"
        ),
    log:
        LAYOUT.log("full_report"),
    benchmark:
        LAYOUT.benchmark("full_report")
