"""Descriptors on Linux, handles on Windows: the one module that asks where it runs."""

import sys

if sys.platform == "win32":
    from ._windows import (
        IN_TREE as IN_TREE,
        SONAME as SONAME,
        Reader as Reader,
        Writer as Writer,
        close as close,
        connect as connect,
        lent as lent,
        never_wait as never_wait,
        open_file as open_file,
        poll as poll,
        watch as watch,
    )
else:
    from ._unix import (
        IN_TREE as IN_TREE,
        SONAME as SONAME,
        Reader as Reader,
        Writer as Writer,
        close as close,
        connect as connect,
        lent as lent,
        never_wait as never_wait,
        open_file as open_file,
        poll as poll,
        watch as watch,
    )
