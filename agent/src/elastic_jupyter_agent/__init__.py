"""What runs inside a kernel's process. Start reading in ``__main__``.

Standard library only, as long as it is not asked for more. It never prints, never raises into a
user's cell, and never holds up the kernel's start or end: a kernel without it works, too.
"""
