"""The search for settings: what is searched, the study, its trials, and what they showed."""
