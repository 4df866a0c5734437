"""Readers of tables: of text, for training and scoring; of Parquet, Arrow and npy, for scoring."""
