"""Runs one module of CPython's regression tests and notes the verdict of each test when it is known.

    python3 run-module.py RESULTS TEST_SECONDS SLOWNESS MODULE [PATTERN...]

A supervisor starts the test program (regrtest, as `python3 -m test` runs it) in a session of its own. If a test
does not end in time, the supervisor lets Python print where its threads are, kills the session, and starts the
test program again for the tests that have not been run; likewise if a test takes the program with it. So
each test has a verdict, whatever another one does.

RESULTS/verdicts.jsonl has an object on each line: {"start": TEST}, then {"test": TEST, "verdict": …, "seconds": …,
"detail": …}; {"end": STATUS} is the last. SLOWNESS multiplies the time that tests wait for something to happen.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import time

POLL_SECONDS = 1
DETAIL_CHARACTERS = 6000
# What tests replace by mocks is kept here, since verdicts are noted while a test's mocks may still stand.
_open, _write, _close, _getpid, _clock = os.open, os.write, os.close, os.getpid, time.monotonic
_flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT


def note(results, **entry):
    # The file is opened for each line: a test may count or close the descriptors of its process.
    fd = _open(results + "/verdicts.jsonl", _flags, 0o644)
    try:
        _write(fd, (json.dumps(entry) + "\n").encode())
    finally:
        _close(fd)


def read_entries(results):
    try:
        with open(results + "/verdicts.jsonl", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []


def finished(entries):
    return {entry["test"] for entry in entries if "test" in entry}


def make_recorder(base, results):
    """The result class of regrtest, with a line in the file for each test."""
    pid = _getpid()

    class Recorder(base):
        _noted = None

        def startTest(self, test):
            super().startTest(test)
            self._noted = ["passed", ""]
            self._since = _clock()
            if _getpid() == pid:
                note(results, start=test.id())

        def stopTest(self, test):
            super().stopTest(test)
            verdict, detail = self._noted or ["passed", ""]
            self._noted = None
            # A child that a test forked and that came back here has nothing to say.
            if _getpid() == pid:
                seconds = round(_clock() - self._since, 3)
                note(results, test=test.id(), verdict=verdict, seconds=seconds, detail=detail)

        def _say(self, test, verdict, detail):
            detail = detail[-DETAIL_CHARACTERS:]
            if self._noted is None:
                # The fixtures of a class or a module, which are no test.
                if _getpid() == pid:
                    note(results, fixture=str(test), verdict=verdict, detail=detail)
            elif verdict == "failed":
                self._noted = [verdict, detail + self._noted[1]]
            elif self._noted[0] == "passed":
                self._noted = [verdict, detail]

        def addError(self, test, err):
            self._say(test, "failed", self._exc_info_to_string(err, test))
            super().addError(test, err)

        def addFailure(self, test, err):
            self._say(test, "failed", self._exc_info_to_string(err, test))
            super().addFailure(test, err)

        def addSubTest(self, test, subtest, err):
            if err is not None:
                self._say(test, "failed", str(subtest) + "\n" + self._exc_info_to_string(err, test))
            super().addSubTest(test, subtest, err)

        def addSkip(self, test, reason):
            self._say(test, "skipped", reason)
            super().addSkip(test, reason)

        def addUnexpectedSuccess(self, test):
            self._say(test, "failed", "unexpected success")
            super().addUnexpectedSuccess(test)

    return Recorder


def run_tests(results, slowness, module, patterns):
    """The test program: what `python3 -m test` does, with verdicts noted."""
    from test import support
    from test.libregrtest import testresult

    testresult.RegressionTestResult = make_recorder(testresult.RegressionTestResult, results)
    for name in "LOOPBACK_TIMEOUT", "SHORT_TIMEOUT", "LONG_TIMEOUT":
        setattr(support, name, getattr(support, name) * slowness)
    ignored = results + "/finished.txt"
    with open(ignored, "w", encoding="utf-8") as file:
        file.writelines(test + "\n" for test in sorted(finished(read_entries(results))))
    matches = [word for pattern in patterns for word in ("--match", pattern)]
    sys.argv = ["test", "-v", "--dont-add-python-opts", *matches, "--ignorefile", ignored, module]
    runpy.run_module("test", run_name="__main__", alter_sys=True)


def watch(program, results, test_seconds):
    """Waits for the test program; true if it had to be ended because a test did not end."""
    size, since = -1, time.monotonic()
    while program.poll() is None:
        time.sleep(POLL_SECONDS)
        try:
            now = os.stat(results + "/verdicts.jsonl").st_size
        except FileNotFoundError:
            now = 0
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > test_seconds:
            # regrtest has made this signal print the stacks of all threads.
            program.send_signal(signal.SIGUSR1)
            time.sleep(10)
            return True
    return False


def supervise(results, test_seconds, slowness, module, patterns):
    while True:
        before = read_entries(results)
        command = [sys.executable, "-u", "-W", "default", "-bb", "-E", __file__, "tests", results, slowness, module]
        program = subprocess.Popen(command + patterns, stdin=subprocess.DEVNULL, start_new_session=True)
        hung = watch(program, results, float(test_seconds))
        try:
            os.killpg(program.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        status = program.wait()
        entries = read_entries(results)
        last = entries[-1] if len(entries) > len(before) else {}
        if "start" in last:
            detail = f"no end after {test_seconds} s" if hung else f"took the program with it: status {status}"
            note(results, test=last["start"], verdict="failed", detail=detail)
        elif not last or not (hung or status < 0):
            note(results, end="hung" if hung else status)
            return


if __name__ == "__main__":
    if sys.argv[1] == "tests":
        run_tests(sys.argv[2], float(sys.argv[3]), sys.argv[4], sys.argv[5:])
    else:
        supervise(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
