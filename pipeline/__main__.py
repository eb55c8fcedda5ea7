"""`python -m pipeline` is `image-insights`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
