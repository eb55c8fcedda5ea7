"""When the next request of a key may leave, for one process or for many."""
