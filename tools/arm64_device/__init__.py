"""An emulated arm64 machine, built from Debian's and PyPI's packages, reached over SSH."""
