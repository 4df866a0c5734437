"""The files of an artifact: manifest with its columns, golden rows, and their folder."""
