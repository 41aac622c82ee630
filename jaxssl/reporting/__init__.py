"""One self-contained HTML page about one run or many: tables, curves and pictures, made from run folders alone."""

from jaxssl.reporting.page import write_report

__all__ = ["write_report"]
