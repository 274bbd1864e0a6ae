"""The comparisons of events: published, consumed, relayed; each module declares ``ROWS``."""
