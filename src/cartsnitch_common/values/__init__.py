"""Pure functions and frozen values: money, dates, ids, sizes."""
