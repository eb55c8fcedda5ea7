"""Downloads of pictures: from which addresses, how often, how large, and by what redirects."""
