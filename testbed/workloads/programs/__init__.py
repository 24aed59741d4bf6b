"""The programs that workloads run."""
