"""The questions that services share: each backed by an index, answered with rows.

One module a subject. A ``select_...`` builds the statement, which can be composed
further; the function beside it runs the statement and returns rows, as the database has
them now; see ``anew``.
"""
