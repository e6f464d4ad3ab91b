/**
 * Tasks and processes. A process is what has a pid, an address space and files; a task is a thread of one,
 * what a hart runs. A process group and a session are numbers that processes carry, as in POSIX; the record
 * "kernel" holds what exists once.
 *
 * Which lock guards what
 *   Kernel.tree        the process tree: parent, children, tasks, group, session, states that wait() sees,
 *                      the pid table, the free task numbers
 *   Process.signals    signal actions, pending sets, masks of the process's tasks, `attention`
 *   scheduler's lock   a task's run state, its place on the run queue, its waiters, its deadline
 *   the running hart   registers, and the fields under "of the request", which only the task's own system
 *                      call changes
 *
 * Invariants
 *   P1  Every process but the first has a live parent that lists it among its children.
 *   P2  A pid in the table leads to the process or task that carries it; every process and task is there.
 *   P3  A process lists exactly its tasks; a zombie lists none.
 *   P4  A task number (register file) belongs to exactly one live task or to the free stack.
 */

import {
  condition,
  defineRecord,
  i32,
  i64,
  link,
  list,
  lock,
  ref,
  type Ref,
  u32,
  words,
} from "../heap/record.ts";

/** Run states of a task. */
export const RUN = {
  /** Made, not started. */
  NEW: 0,
  /** On the run queue. */
  READY: 1,
  /** On a hart. */
  RUNNING: 2,
  /** Waiting for conditions, a deadline or a signal. */
  WAITING: 3,
  /** Stopped by a signal; only SIGCONT and SIGKILL end that. */
  STOPPED: 4,
  /** Ended; the record goes when its last reference does. */
  DEAD: 5,
} as const;

/** Life of a process as wait(2) sees it. */
export const LIFE = { ALIVE: 0, ZOMBIE: 1 } as const;

/** Bits of Task.attention: what a task must look at before it goes on in user mode. */
export const ATTENTION = {
  /** A signal may be deliverable. */
  SIGNAL: 1,
  /** The process is ending (exit_group, fatal signal, exec by another thread): this task must end. */
  EXIT: 2,
  /** The process is stopped. */
  STOP: 4,
  /** The mask saved by sigsuspend, ppoll or pselect has to be put back. */
  RESTORE_MASK: 8,
  /** The task begins: what it has to do itself in its own memory. */
  BEGIN: 16,
  /** What a call that is finished has left behind is to be cleared away (execve: the old address space). */
  LEFTOVERS: 32,
} as const;

export const Kernel = defineRecord("kernel", {
  tree: lock("process-tree"),
  /** Where the search for the next free pid begins. */
  /** Serial of the youngest process. */
  lastSerial: u32(),
  lastPid: u32(),
  processes: u32(),
  tasks: u32(),
  /** Word address of the stack of free task numbers, and its height. */
  freeTasksAt: u32(),
  freeTasks: u32(),
  taskMax: u32(),
  /** Nanoseconds of the monotonic clock at boot. */
  bootedAt: i64(),
  init: ref("process"),
  /** All processes. */
  all: list("process"),
  hostname: words(17),
  domainname: words(17),
  /** Signalled when a process has ended. */
  changed: condition(),
  /** Signalled when one that the host has started may be reaped. */
  hostChildChanged: condition(),
  /** Tasks that have noted that they wait for a record lock (record-wait.ts); guarded by the tree lock. */
  lockWaiters: list("task"),
  /** Guards which epoll watches which file (servers/event/epoll.ts). */
  watching: lock("epoll"),
  /** As whom the host looks at files: root, at the root of the machine. */
  hostContext: ref("fs-context"),
  hostCredentials: ref("credentials"),
});
export type Kernel = Ref<"kernel">;

export const Process = defineRecord("process", {
  pid: u32(),
  parent: ref("process"),
  siblings: link(),
  children: list("process"),
  allLinks: link(),
  /** Rises along Kernel.all: how a walk over all processes goes on after a commit. */
  serial: u32(),
  /** Changed with both the tree lock and the signals lock held, so either is enough to read it. */
  tasks: list("task"),
  taskCount: u32(),
  group: u32(),
  session: u32(),
  life: u32(),
  /** 1 when the end has been settled: children adopted, parent told. Only then may it be reaped. */
  settled: u32(),
  /** Real user id, for those who ask after its end. */
  uid: u32(),
  /** Status word for wait(2), once the process is a zombie. */
  exitStatus: u32(),
  /** Signal sent to the parent at the end (SIGCHLD, or what clone asked for). */
  exitSignal: u32(),
  /** Stop or continue that wait(2) has not reported yet: 0, or the status word. */
  unreportedStop: u32(),
  unreportedContinue: u32(),
  /** Set while the process is stopped by a signal: its number. Its tasks learn of it as of the end (process.ts). */
  stoppedBy: u32(),
  /** 1 after SIGCONT ended a stop, until the parent has been told. */
  continued: u32(),
  /** Set when the process must end: its status word | 0x10000. */
  ending: u32(),
  /** Changes of children that wait(2) looks for. */
  childChanged: condition(),
  /** Signalled when the process has executed another program or ended: vfork's parent waits for it. */
  released: condition(),
  space: ref("address-space"),
  handlers: ref("signal-handlers"),
  limits: ref("limits"),
  /** Controlling terminal, if any; guarded by the tree lock. */
  terminal: u32(),
  hasExecuted: u32(),
  signals: lock("signal"),
  /** Process-directed pending signals: two words of bits, bit n−1 for signal n. */
  pending: words(2),
  /** Details of process-directed pending signals 1–31: code, pid, uid, status for each. */
  details: words(31 * 4),
  /** Process-directed pending real-time signals, and others that carry a value, oldest first. */
  queue: list("queued-signal"),
  /** alarm and setitimer(ITIMER_REAL): a kernel task that sleeps until then (real-timer.ts). */
  realTimer: ref("task"),
  realAt: i64(),
  realInterval: i64(),
  /** setitimer(ITIMER_VIRTUAL, ITIMER_PROF): time on harts until they expire, 0: not armed (cpu-timers.ts). */
  virtualLeft: i64(),
  virtualInterval: i64(),
  profileLeft: i64(),
  profileInterval: i64(),
  startedAt: i64(),
  /** User time in taken transfers is not known; nanoseconds on a hart, for times(2) and getrusage(2). */
  userTime: i64(),
  systemTime: i64(),
  childrenUserTime: i64(),
  childrenSystemTime: i64(),
  /** Of tasks that have ended; the rest, the tasks count themselves. */
  minorFaults: u32(),
  voluntarySwitches: u32(),
  involuntarySwitches: u32(),
  /** Pages. */
  maxResident: u32(),
  /** Of children that have been waited for, and of theirs. */
  childrenMinorFaults: u32(),
  childrenVoluntarySwitches: u32(),
  childrenInvoluntarySwitches: u32(),
  childrenMaxResident: u32(),
  /** The program: file (for /proc/self/exe), and where argv and envp lie in the space. */
  executable: ref("file"),
  argumentsStart: i64(),
  argumentsEnd: i64(),
  environmentStart: i64(),
  environmentEnd: i64(),
  dumpable: u32(),
  /** Nice value, −20 to 19. It is kept and shown; the scheduler gives every task the same turn. */
  nice: i32(),
  noNewPrivileges: u32(),
  parentDeathSignal: u32(),
  childSubreaper: u32(),
  /** comm of its last task, once it is a zombie. */
  name: words(4),
  /** A host process handle that waits for this process's end, if the host started it. */
  hostHandle: u32(),
  /** Process-directed pending signals 1–31 whose details lie in `details`; the others are in the queue. */
  plain: u32(),
  /** POSIX timers (posix-timer.ts), the id of the next, and how many are armed that go by time on harts. */
  timers: list("timer"),
  /** Signalled with every signal that the process or one of its tasks is sent: signal files wait for it. */
  arrived: condition(),
  /** Files that stand for the process (servers/event/pid-file.ts), if there are; guarded by the tree lock. */
  pidFile: ref("pid-file"),
  nextTimer: u32(),
  cpuTimers: u32(),
  /** The task for whose execve all others end, until it is alone. */
  executing: ref("task"),
});
export type Process = Ref<"process">;

export const Task = defineRecord("task", {
  /** Hot fields first: they share cache lines. */
  attention: u32(),
  run: u32(),
  /** Physical address ÷ 4 of the register file. */
  registers: u32(),
  process: ref("process"),
  space: ref("address-space"),
  files: ref("file-table"),
  fs: ref("fs-context"),
  credentials: ref("credentials"),
  /** Blocked signals. */
  mask: words(2),
  /** Task-directed pending signals. */
  pending: words(2),
  tid: u32(),
  /** Index of the register file. */
  number: u32(),
  taskLinks: link(),
  /** Scheduling. */
  queueLinks: link(),
  hart: i32(),
  /** Waiters that this task has registered. */
  waiters: list("waiter"),
  /** When the wait ends by itself, monotonic ns; 0: never. Position in the timer heap + 1; 0: not there. */
  wakeAt: i64(),
  timerIndex: u32(),
  /** The wait may be ended by signals (1) or only by fatal ones (0). */
  interruptible: u32(),
  queue: list("queued-signal"),
  /** Of the request: state of a system call that waits over several attempts. */
  deadline: i64(),
  savedMask: words(2),
  /** Signals that the task waits for in sigtimedwait although it blocks them. */
  sigwait: words(2),
  futexWaiter: ref("futex-waiter"),
  /** While it wakes or moves futex waiters in steps: the last rounds of its two buckets that it touches (futex.ts). */
  futexRounds: words(2),
  /** Where a system call that is a series of transactions goes on; 0 at its beginning. */
  progress: i64(),
  progressDetail: i64(),
  /** What an execve under way has made, or has left to be cleared away (linux/exec-record.ts). */
  exec: ref("exec"),
  /** Harts that have died of this task by themselves, one after the other, and its pc then (low word). */
  attempts: u32(),
  attemptsAt: i32(),
  /** 1 once the ending task gives mutexes away for which others wait (futex-owner.ts). */
  mutexesReleased: u32(),
  /**
   * While the task waits for a record lock: the owner of the lock in its way, the condition it waits for, and that
   * condition's counter, without which the owner may be another by now. Guarded by the tree lock (record-wait.ts).
   */
  lockBlocker: u32(),
  lockCondition: u32(),
  lockCounter: i32(),
  /** 1 while it is on Kernel.lockWaiters: since it noted a wait, until a search finds that over. */
  lockListed: u32(),
  lockLinks: link(),
  /** 1 while the task waits inside a system call, whose ecall is at its pc: a signal then interrupts it. */
  inCall: u32(),
  /** Task that a clone under way is building; its resources go with this task if that ends. */
  child: ref("task"),
  /** Pid of the vfork child that this task waits for, 0 if none. */
  vforkPid: u32(),
  /** Exit status if the task ends by itself. */
  exitCode: u32(),
  /** Address at which a new task stores its tid before it begins; 0: none. */
  setTid: i64(),
  /** Alternate signal stack. */
  stackBase: i64(),
  stackSize: i64(),
  stackFlags: u32(),
  clearTid: i64(),
  robustList: i64(),
  robustLength: u32(),
  /** How far the list has been followed at the task's end: the next entry, and how many there were. */
  robustNext: i64(),
  robustSeen: u32(),
  name: words(4),
  /** Nanoseconds of the monotonic clock when the task last came onto a hart; time it has run. */
  since: i64(),
  runTime: i64(),
  /** Taken control transfers of its next turn (turn.ts); 0: of its first. */
  turnBudget: u32(),
  switches: u32(),
  /** Times that its turn has ended before it waited. */
  preemptions: u32(),
  /** Page faults that have been resolved for it. */
  minorFaults: u32(),
  /** Pages that spaces which it has left had at most. */
  maxResident: u32(),
  /** A host call that this task carries out, if it is one of the kernel's own (host-call.ts). */
  hostCall: ref("host-call"),
  /** Of an alarm (alarm.ts): whose, a value of ALARM; else 0. */
  isTimer: u32(),
  personality: u32(),
  /** Harts on which it may run, by bits, as sched_setaffinity was told; 0: all. Guarded by the tree lock. */
  affinity: u32(),
  /** Of an alarm: the record that it belongs to, 0 if that has given it up. */
  alarmOwner: u32(),
});
export type Task = Ref<"task">;

export const SignalHandlers = defineRecord("signal-handlers", {
  lock: lock("signal-handlers"),
  references: i32(),
  /** For each signal 1–64, SIGACTION_WORDS words: handler (2), flags (2), mask (2). */
  actions: words(64 * 6),
});
export type SignalHandlers = Ref<"signal-handlers">;

export const QueuedSignal = defineRecord("queued-signal", {
  links: link(),
  signal: u32(),
  code: i32(),
  errno: i32(),
  pid: u32(),
  uid: u32(),
  status: i32(),
  address: i64(),
  /** si_value or si_utime/si_stime: two raw words. */
  value: words(2),
  /** Of a POSIX timer's signal: the timer's id + 1, and its setting (Timer.setting) then; else 0. */
  timer: u32(),
  setting: u32(),
  /** What the user was charged with (account.ts). */
  account: u32(),
});
export type QueuedSignal = Ref<"queued-signal">;

/** Resource limits: for each of Linux's 16, soft and hard as raw 64-bit pairs. */
export const Limits = defineRecord("limits", {
  references: i32(),
  lock: lock("task"),
  values: words(16 * 4),
});
export type Limits = Ref<"limits">;

export const Waiter = defineRecord("waiter", {
  /** The task that waits, or the entry of an epoll that is told of every signal and stays registered. */
  task: ref("task"),
  entry: ref("poll-entry"),
  /** Condition that the task or entry is registered for. */
  condition: u32(),
  conditionLinks: link(),
  /** On the task's or the entry's list. */
  taskLinks: link(),
});
export type Waiter = Ref<"waiter">;

export const FutexWaiter = defineRecord("futex-waiter", {
  links: link(),
  task: ref("task"),
  /** Key: the frame or the space, and the address inside. */
  keyObject: i32(),
  keyOffset: i64(),
  bitset: u32(),
  /** Who owns the mutex that it waits for (futex-owner.ts), 0 for any other wait. */
  ownerTid: u32(),
  woken: u32(),
  bucket: u32(),
  /** In which round of its bucket it joined the list (futex.ts). */
  round: i32(),
  /** Signalled when it is woken. */
  condition: condition(),
});
export type FutexWaiter = Ref<"futex-waiter">;

/** A POSIX timer. Guarded by the signals lock of its process; see posix-timer.ts. */
export const Timer = defineRecord("timer", {
  process: ref("process"),
  links: link(),
  id: u32(),
  /** What it goes by, a value of TIMER_BASE, and whose time on harts. */
  base: u32(),
  clockTid: u32(),
  /** The clock's number, as the program gave it (a clockid_t of Linux). */
  clock: i32(),
  /** struct sigevent: how to notify, which signal, which thread, with what value. */
  notify: u32(),
  signal: u32(),
  tid: u32(),
  value: words(2),
  /** When it expires next (of a clock of time on harts: by that clock), 0: disarmed; and its interval. ns. */
  at: i64(),
  interval: i64(),
  /** Goes up each time the timer is set: a signal of an earlier setting does not arm it again. */
  setting: u32(),
  /** 1 while its signal is pending: it is armed again when that is taken. */
  pending: u32(),
  /** Expirations since the last signal was queued that nobody was told of; and of the last one that was taken. */
  missed: i64(),
  overrun: u32(),
  alarm: ref("task"),
  account: u32(),
});
export type Timer = Ref<"timer">;

/** An epoll: see servers/event/epoll.ts. */
export const Eventpoll = defineRecord("eventpoll", {
  /** Entries whose files may be ready, in the order in which they became so; guarded by the scheduler's lock. */
  ready: list("poll-entry"),
  /** Signalled when an entry joins that list; its counter is guarded by the scheduler's lock. */
  readable: condition(),
  /** All entries, and the number of the last round of answers; guarded by Kernel.watching. */
  entries: list("poll-entry"),
  round: u32(),
  /** The open file that it is, without a reference; none while that is being made. */
  file: ref("file"),
});
export type Eventpoll = Ref<"eventpoll">;

/** A file that an epoll watches. */
export const PollEntry = defineRecord("poll-entry", {
  poll: ref("eventpoll"),
  /** Without a reference: it goes with the file. */
  file: ref("file"),
  descriptor: u32(),
  /** What is asked, as epoll_ctl has it, and what is told with it. */
  events: u32(),
  data: words(2),
  links: link(),
  fileLinks: link(),
  /** Guarded by the scheduler's lock: the place on the list of ready entries, and 1 while it is there. */
  readyLinks: link(),
  queued: u32(),
  /** The round of answers in which it was told last. */
  round: u32(),
  /** Its registrations with the conditions of the file; guarded by the scheduler's lock. */
  waiters: list("waiter"),
});
export type PollEntry = Ref<"poll-entry">;

/** Bits of PollEntry.events that are no poll events (EPOLL* of Linux). */
export const WATCH = {
  EXCLUSIVE: 0x1000_0000,
  WAKEUP: 0x2000_0000,
  ONESHOT: 0x4000_0000,
  EDGE: 0x8000_0000 | 0,
  PRIVATE: 0xf000_0000 | 0,
} as const;
