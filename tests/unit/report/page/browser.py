"""Which browser the page is tried in, and what is skipped without one."""

import os
import shutil

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = os.environ.get("SERVERLESS_MLPERF_BROWSER") == "required"
"""Set where the browser was installed for the tests: then a missing one is an error and no reason to skip."""
needs_browser = pytest.mark.skipif(
    BROWSER is None and not REQUIRED, reason="needs Chromium (Debian's package chromium)"
)
