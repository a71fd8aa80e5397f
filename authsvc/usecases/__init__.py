"""One verb a file: gather what is needed, ask the domain, hand back values."""
