"""The comparisons of rows, messages and queries; each module declares ``ROWS``."""

LAST = ("prices",)
"""The modules that come last: ten million rows leave no cache to what comes after them."""
