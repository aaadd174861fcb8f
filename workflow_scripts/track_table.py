"""Log a table to MLflow: parent run the table, child runs its measured rows. Never fails for a server's sake."""

import csv
from pathlib import Path

from job import job
from seedbed.io.atomic import read_json
from seedbed.papers import Layout
from seedbed.report.curves import read_history_columns
from seedbed.tracking import default_uri, flatten, track


def metrics_of(sources):
    """Every seed's number by column, with the other numbers of its metrics file."""
    numbers = {}
    for column, source in sources.items():
        for number, path in enumerate(source["files"]):
            suffix = f".seed{number}" if len(source["files"]) > 1 else ""
            numbers[f"{column}{suffix}"] = read_json(path)[source["metric"]]
    return numbers


def datasets_of(row, files):
    """What a row was measured on: its data set and split, and the checksum that its metrics carry."""
    measured = row["parameters"]["pipeline"]
    found = {read_json(path).get("provenance", {}).get("data_sha256") for path in files} - {None}
    source = Path(Layout(snakemake.params.preset).card(measured["dataset"])).parent
    named = {"name": measured["dataset"], "split": measured.get("split", ""), "source": source.as_posix()}
    return [{**named, "sha256": digest} for digest in sorted(found)]


def child(name, row):
    """The run of one row."""
    histories = {}
    for network, path in row["histories"].items():
        for column, line in read_history_columns(path).items():
            histories[f"{network}.{column}"] = line
    files = [path for source in row["sources"].values() for path in source["files"]]
    return {
        "name": name,
        "parameters": flatten(row["parameters"]),
        "metrics": metrics_of(row["sources"]),
        "histories": histories,
        "tags": {"seedbed.row": name},
        "artifacts": list(dict.fromkeys(files)),
        "datasets": datasets_of(row, files),
    }


with job(snakemake):
    wildcards, inputs = snakemake.wildcards, snakemake.input
    with Path(inputs.csv).open(newline="", encoding="utf-8") as stream:
        measured = {
            f"{line['row']}.{line['column']}": float(line["measured"])
            for line in csv.DictReader(stream)
            if line["measured"]
        }
    payload = {
        "experiment": f"seedbed/{snakemake.params.preset}",
        "name": f"{wildcards.paper}_{wildcards.table}",
        "parameters": {"preset": snakemake.params.preset},
        "metrics": measured,
        "tags": {"seedbed.table": f"{wildcards.paper}_{wildcards.table}"},
        "artifacts": [inputs.csv, inputs.markdown, inputs.metrics, inputs.page, inputs.gallery],
        "children": [child(name, row) for name, row in snakemake.params.rows.items()],
    }
    track(Path(snakemake.output[0]), payload, default_uri(snakemake.params.results))
