"""Pure functions and frozen values: money, dates, ids, product codes, sizes, receipt words."""
