"""Tables in files: the reader of text that training and scoring share, and those of scoring."""
