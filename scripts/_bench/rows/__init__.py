"""The comparisons of rows, messages and queries; each module declares ``ROWS``."""
