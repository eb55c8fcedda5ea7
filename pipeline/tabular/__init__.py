"""Reading tables line by line, for manifests and for the catalogue of the embedded service."""
