"""A table for a paper: LaTeX with the rules of the package ``booktabs``."""

from collections.abc import Sequence

from seedbed.papers.plan import CITED
from seedbed.papers.tables import Table
from seedbed.report.filled_tables import Value, decimals

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "→": r"$\rightarrow$",
    "±": r"$\pm$",
}


def to_latex(table: Table, values: Sequence[Value]) -> str:
    """The table as a ``table`` environment: under each quantity the paper's number and the measured one.

    A number of several seeds has its standard deviation; what is cited or not run is a dash under "measured".
    """
    by_cell = {(value.cell.row, value.cell.column): value for value in values}
    count = len(table.columns)
    groups = " & ".join(
        rf"\multicolumn{{2}}{{c}}{{{escape(column.title)} ({escape(column.unit)})}}" for column in table.columns
    )
    rules = " ".join(rf"\cmidrule(lr){{{2 * k + 2}-{2 * k + 3}}}" for k in range(count))
    rows = [
        " & ".join([escape(row.label), *(_cells(by_cell[row.id, c.id], decimals(table, c.id)) for c in table.columns)])
        for row in table.rows
    ]
    body = "".join(f"    {row} \\\\\n" for row in rows)
    return (
        "% \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n"
        f"  \\caption{{{escape(table.title)}}}\n"
        f"  \\begin{{tabular}}{{l{'rr' * count}}}\n    \\toprule\n"
        f"    & {groups} \\\\\n    {rules}\n    Method{' & paper & measured' * count} \\\\\n    \\midrule\n"
        f"{body}    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n"
    )


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _cells(value: Value, places: int) -> str:
    reported = value.cell.reported
    paper = "--" if reported is None else f"{reported:.{places}f}"
    return f"{paper} & {_measured(value, places)}"


def _measured(value: Value, places: int) -> str:
    if value.cell.status == CITED or value.mean is None:
        return "--"
    if value.mean != value.mean:
        return "undefined"
    spread = "" if value.std is None else rf" $\pm$ {value.std:.{places}f}"
    return f"{value.mean:.{places}f}{spread}"
