"""The demonstration: receipts become rows, typed events and alerts."""
