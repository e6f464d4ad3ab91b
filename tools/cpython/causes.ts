/** Why tests that pass in the oracle do not pass here, as far as it has been found out. */

interface Cause {
  /** Names of tests, or of the class or module in which all of them have this cause. */
  readonly tests: readonly string[];
  readonly cause: string;
}

export const CAUSES: readonly Cause[] = [
  {
    tests: ["test.test_fcntl.TestFcntl.test_fcntl_64_bit"],
    cause:
      "skipped: fcntl(F_NOTIFY) is EINVAL. A directory that sends signals (dnotify) is not there; inotify is",
  },
  {
    tests: ["test.test_posix.NamespacesTests.test_unshare_setns"],
    cause: "skipped: no /proc/self/ns. There is one namespace of each kind",
  },
  {
    tests: ["test.test_asyncio.test_ssl.TestSSL.test_create_connection_ssl_1"],
    cause:
      "too slow: 25 connections shake hands at once, and interpreted cryptography took longer than the 120 s that the test allows",
  },
];
