"""Text in pictures: recognised in processes of their own, put into reading order, searched for addresses, and kept."""
