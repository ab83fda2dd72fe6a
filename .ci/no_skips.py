"""Fail if a test was skipped although MMM_SHARED says that everything it needs is there, or if none ran.

Tests of a full disk may be skipped: they need the right to mount a small one.

python .ci/no_skips.py runs/tests.xml      (written by pytest --junitxml)
"""

import os
import sys
import xml.etree.ElementTree as ElementTree

ALLOWED = "a small disk needs the right to mount one"  # the fixture small_disk


def verdict(report: str, shared: str | None) -> str:
    """Why this JUnit report is not good enough, "" if it is; expected failures count as skipped."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    skipped = [case for case in cases if case.find("skipped") is not None]
    if len(cases) == len(skipped):
        return f"no test ran: {report} lists {len(cases)}, {len(skipped)} of them skipped"
    faults = [case for case in skipped if ALLOWED not in case.find("skipped").get("message", "")]
    if shared and faults:
        names = "".join(
            f"\n  {case.get('classname')}::{case.get('name')}: {case.find('skipped').get('message')}"
            for case in faults
        )
        return f"{len(faults)} of {len(cases)} tests were skipped although MMM_SHARED is {shared}:{names}"
    print(f"ci: {len(cases)} tests, {len(skipped)} skipped, MMM_SHARED {shared or 'not set'}")
    return ""


if __name__ == "__main__":
    sys.exit(verdict(sys.argv[1], os.environ.get("MMM_SHARED")) or 0)
