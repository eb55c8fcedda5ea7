"""The index of a catalogue, and what its pictures tell of another picture: no HTTP, no wire format."""
