"""The testbed: a real control plane and a real cgroup v2 node as ordinary processes on a bare Debian machine.

Standard library only, so that it runs before anything else is installed. `python -m testbed --help` lists its commands.
"""
