"""What a study found, as figures, settings, tables and a picture."""
