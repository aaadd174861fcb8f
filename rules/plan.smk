# From the tables to the files they need.


def table_of(paper, table):
    """The table that a target asks for."""
    if paper not in PAPERS:
        raise WorkflowError(unknown_name("paper", paper, PAPERS))
    return checked(PAPERS[paper].table, table)


def seeds_for(paper, target):
    """Seeds of a table or figure."""
    return PRESET.seeds_for(f"{paper}_{target}")


@cache
def cells_of(paper, table):
    """Every cell of a table, resolved for the preset."""
    return checked(
        table_cells, table_of(paper, table), PRESET, LAYOUT, seeds_for(paper, table)
    )


def measured(paper, table):
    """The cells that are measured; a clear message if the preset can make none."""
    cells = cells_of(paper, table)
    found = [cell for cell in cells if cell.sources]
    if not found:
        raise WorkflowError(
            f"{paper}_{table} is not built in preset '{PRESET.name}': it needs {', '.join(missing_names(cells))}. "
            "'snakemake help' lists what is built."
        )
    return found


def metrics_files(wildcards):
    """Metrics of every measured cell and seed."""
    cells = measured(wildcards.paper, wildcards.table)
    return list(dict.fromkeys(path for cell in cells for path in cell.sources))


def named_histories(wildcards):
    """Training histories behind the first seed of every measured cell: network -> path."""
    cells = measured(wildcards.paper, wildcards.table)
    seed = seeds_for(wildcards.paper, wildcards.table)[0]
    found = (histories(cell.measurement, PRESET, LAYOUT, seed) for cell in cells)
    return {name: path for named in found for name, path in named.items()}


def history_files(wildcards):
    """Their paths."""
    return list(named_histories(wildcards).values())


def checkpoint_files(wildcards):
    """Records of the published checkpoints behind a table."""
    cells = measured(wildcards.paper, wildcards.table)
    seed = seeds_for(wildcards.paper, wildcards.table)[0]
    found = (
        checkpoint_records(cell.measurement, PRESET, LAYOUT, seed) for cell in cells
    )
    return list(dict.fromkeys(path for records in found for path in records))


def submission_files(wildcards):
    """Archives for the evaluation server that a table asks for and the preset can make."""
    cells = cells_of(wildcards.paper, wildcards.table)
    return list(dict.fromkeys(cell.archive for cell in cells if cell.archive))


def required_submissions(paper, table):
    """The same; a clear message if there are none."""
    cells = [cell for cell in cells_of(paper, table) if cell.status != "cited"]
    found = list(dict.fromkeys(cell.archive for cell in cells if cell.archive))
    if not found:
        lacking = missing_names(
            cell for cell in cells if cell.column in submitted_columns(paper, table)
        )
        raise WorkflowError(f"{paper}_{table}_submission needs {', '.join(lacking)}.")
    return found


def submitted_columns(paper, table):
    """Columns of a table that only an evaluation server can fill."""
    return [
        column.id
        for column in table_of(paper, table).columns
        if column.pipeline.get("metric") == "submission"
    ]


def plain_cells(paper, table):
    """Every cell of a table as plain values."""
    return [asdict(cell) for cell in cells_of(paper, table)]


@cache
def footnotes_of(paper, table):
    """What each measured number stands for, in words."""
    return footnotes(
        table_of(paper, table), cells_of(paper, table), PRESET, seeds_for(paper, table)
    )


def row_parameters(cell):
    """The parameter sections behind a row, by name."""
    names = {
        key: getattr(cell.measurement, key)
        for key in ("model", "explainer", "refiner", "segmenter")
    }
    preset = preset_on(cell.measurement.dataset)
    sections = {
        f"{key}s.{name}": section(f"{key}s", name, preset)
        for key, name in names.items()
        if name
    }
    walked = getattr(PRESET.refiners.get(names["refiner"]), "network", None)
    if walked:
        sections[f"affinity_networks.{walked}"] = section(
            "affinity_networks", walked, preset
        )
    chain = {key: value for key, value in asdict(cell.measurement).items() if value}
    return {
        "pipeline": chain,
        "dataset": section("datasets", cell.measurement.dataset),
        **sections,
    }


def tracked_rows(wildcards):
    """What is logged of each measured row: parameters, metrics files by column, histories."""
    rows, seed = {}, seeds_for(wildcards.paper, wildcards.table)[0]
    for cell in measured(wildcards.paper, wildcards.table):
        row = rows.setdefault(
            cell.row,
            {"parameters": row_parameters(cell), "sources": {}, "histories": {}},
        )
        row["sources"][cell.column] = {
            "metric": cell.measurement.metric,
            "files": list(cell.sources),
        }
        row["histories"] |= histories(cell.measurement, PRESET, LAYOUT, seed)
    return rows
