"""The error tree: every failure a caller may want to catch, and nothing of a vendor's.

BenchmarkError
 +-- InputError            what the user gave is wrong: exit status 2
 |    +-- ModelError       weights or model files that are damaged or of another architecture
 |    +-- DatasetError     a data set folder, its labels or its images do not fit
 |    +-- PackageError     a package is too large, damaged or unsafe to unpack
 +-- HostError             this host cannot do what was asked (lock held, no port, no memory, no CPU)
 +-- PlatformError         the platform (local or cloud) refused or broke
 +-- RunError              a run was started and did not come to a result
 +-- BudgetError           a bound of the experiment's budget is reached
 +-- CutOffError           one of our own processes was ended from outside: the same again may well succeed

A message says where, what, and what to do next, in one line.
"""


class BenchmarkError(Exception):
    """Base of all errors of this project; `str()` is one line fit for a user."""

    exit_status = 1


class InputError(BenchmarkError):
    """What the user gave is wrong."""

    exit_status = 2


class ModelError(InputError):
    """Weights or model files are damaged, missing or of another architecture."""


class DatasetError(InputError):
    """A data set's folder, labels or images do not fit together."""


class PackageError(InputError):
    """A package is too large, damaged or unsafe to unpack."""


class HostError(BenchmarkError):
    """The host cannot do what was asked."""


class PlatformError(BenchmarkError):
    """The platform refused or broke."""


class RunError(BenchmarkError):
    """A run was started and did not come to a result."""


class BudgetError(BenchmarkError):
    """A bound of the experiment's budget is reached: nothing more is asked."""


class CutOffError(BenchmarkError):
    """One of our own processes was ended from outside, which says nothing of what was measured: try it again."""
