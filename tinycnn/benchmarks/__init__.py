"""What ``tinycnn benchmark`` measures with: networks, clocks, and other engines for comparison.

Everything that is timed runs in a process of its own (`worker`), so that engines do not disturb one
another's threads and each one's peak memory is its own.
"""
