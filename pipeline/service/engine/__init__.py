"""The index of a catalogue and the findings it gives about a picture: no HTTP, no wire format."""
