"""Three services of the contract, served from the database as a real service would.

They are what ``cartsnitch_common.rpc`` is tried with, and an example to read.
"""
