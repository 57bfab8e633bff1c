"""One file per result that the package reproduces or job that it offers."""
