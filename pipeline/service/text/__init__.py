"""Text in pictures: recognised in worker processes, put into reading order, searched for addresses, and stored."""
