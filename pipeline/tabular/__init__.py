"""Tables as manifests and catalogues have them: one reader for both, from a file's bytes to the fields of each line."""
