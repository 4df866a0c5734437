"""Tables scored offline, and how answers stand in columns."""
