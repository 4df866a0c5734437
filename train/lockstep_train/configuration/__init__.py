"""What a person may choose about the network and its training: every setting and bound."""
