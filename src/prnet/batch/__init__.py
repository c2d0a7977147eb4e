"""Folders too large for one process: inputs → shards → a Parquet data set, by Ray Data."""
