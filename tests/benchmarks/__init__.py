"""What `make bench` measures: each figure beside a named peer or a limit of the same run (docs/benchmarks.md)."""
