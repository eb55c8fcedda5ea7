"""The wire: requests of the v7 protocol checked, answered from the engine's findings, refused, counted and kept."""
