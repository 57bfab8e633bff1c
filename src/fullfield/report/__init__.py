"""The report of a run: its record in JSON, its page in HTML, its tables in Markdown."""

from fullfield.report.environment import hardware, peak_memory_gb, revision, versions
from fullfield.report.page import Interval, Picture, write_page
from fullfield.report.schema import Cost, NumberRecord, read_report, RunReport, Verdict, write_report
from fullfield.report.table import fill_tables, format_bar, format_value, markdown_table, number_cells, number_titles


__all__ = [
    "Cost",
    "Interval",
    "NumberRecord",
    "Picture",
    "RunReport",
    "Verdict",
    "fill_tables",
    "format_bar",
    "format_value",
    "hardware",
    "markdown_table",
    "number_cells",
    "number_titles",
    "peak_memory_gb",
    "read_report",
    "revision",
    "versions",
    "write_page",
    "write_report",
]
