"""Tables of records for other tools: which columns there are, what they say, and a writer for each format."""
