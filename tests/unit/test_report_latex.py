"""LaTeX: every number in its place, and no text that LaTeX would read as a command."""

import math
from dataclasses import replace

from report_samples import EVIL, METRICS, cells, table

from seedbed.report.filled_tables import fill_table
from seedbed.report.latex import escape, to_latex

EXPECTED = r"""% \usepackage{booktabs}
\begin{table}
  \centering
  \caption{Seeds}
  \begin{tabular}{lrrrr}
    \toprule
    & \multicolumn{2}{c}{mIoU (\%)} & \multicolumn{2}{c}{FP (fraction)} \\
    \cmidrule(lr){2-3} \cmidrule(lr){4-5}
    Method & paper & measured & paper & measured \\
    \midrule
    Theirs & 61.70 & -- & -- & -- \\
    Ours & 66.25 & 66.00 $\pm$ 2.83 & 0.20 & 0.25 \\
    Big & 70.00 & -- & -- & -- \\
    \bottomrule
  \end{tabular}
\end{table}
"""


def test_a_table_by_hand():
    assert to_latex(table(), fill_table(table(), cells(), METRICS.__getitem__)) == EXPECTED


def test_text_is_escaped():
    assert (
        escape(EVIL) == r"\textless{}script\textgreater{}alert("
        '"x")'
        r"\textless{}/script\textgreater{} \& \textbar{} \$a\_b\$"
    )
    assert escape("a\\b{c}~50%^") == r"a\textbackslash{}b\{c\}\textasciitilde{}50\%\textasciicircum{}"


def test_an_undefined_number_is_named():
    values = fill_table(table(), cells(), METRICS.__getitem__)
    values[2] = replace(values[2], mean=math.nan, std=None)
    assert "66.25 & undefined" in to_latex(table(), values)
