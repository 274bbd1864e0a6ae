"""What grows with the data and what stays flat; see docs/scale.md."""
