"""What can be wrong with a store, looked for in one pass over its records."""

from jaxssl.data.check.findings import Findings, Kind
from jaxssl.data.check.whole import check_store

__all__ = ["Findings", "Kind", "check_store"]
