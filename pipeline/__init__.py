"""Image insights for a whole catalogue: manifest -> prepare -> fetch -> sink."""
