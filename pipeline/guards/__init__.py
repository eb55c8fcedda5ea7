"""What both sides of the wire check in files that strangers made, before a decoder or a terminal sees them."""
