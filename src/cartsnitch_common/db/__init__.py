"""Rows: models, engines and migrations. Knows no protobuf and no Redis."""
