"""`python -m pipeline` is `image-insights`."""

if __name__ == "__main__":  # the service's worker processes load this module, too, and need none of the rest
    from pipeline.entry import main

    main()
