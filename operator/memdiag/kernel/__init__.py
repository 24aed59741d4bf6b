"""Read the kernel: cgroup v2 files, cgroup paths, OOM reports. Parsers are pure, readers take their root path."""
