/**
 * The layout that translated code and the kernel share inside the guest memory (one shared WebAssembly
 * memory): register files, page tables and hart blocks. Translated code reads and writes these bytes without
 * asking anyone; the kernel changes them only inside transactions (rule R6).
 *
 * "Physical address" (pa) means a byte offset into that memory, "virtual address" (va) what a guest sees.
 *
 * ## Virtual addresses
 *
 * A va is usable below 2^38, as with Sv39 on Linux. Page size 4096.
 *
 *     va  37        24 23        12 11         0
 *        +------------+------------+------------+
 *        | root index | leaf index |   offset   |
 *        |  14 bits   |  12 bits   |  12 bits   |
 *        +------------+------------+------------+
 *
 * ## Root table: 65,536 bytes
 *
 * 2^14 words; each is the pa of a leaf. A range with nothing mapped points to the shared empty leaf, so the
 * walk needs no test for "absent".
 *
 * ## Leaf table: 49,152 bytes, three arrays of 4096 words
 *
 *     +0      read entry    of each page
 *     +16384  write entry   of each page
 *     +32768  page word     of each page
 *
 * A read or write entry that allows the access is (pa of the frame − va of the page) mod 2^32, so its low 12
 * bits are 0 and the access goes to (entry + va) mod 2^32. An entry that forbids it has ENTRY_INVALID in its
 * low 12 bits. One test covers permission, alignment and the range of the address:
 *
 *     ((entry & 0xFFF) | (va & (VA_HIGH_BITS | size − 1))) != 0   →  slow path
 *
 * A page word is the kernel's own record of the page: the frame's pa in bits 31..12, flags below (PAGE_*).
 * Translated code reads it for one thing only, instruction fetch: the fetch is allowed if PAGE_FETCH is set.
 *
 * ## Register file: 1024 bytes for each task
 *
 * Offsets REG_* below. x0's slot is scratch: it may hold anything at any time, and readers take 0.
 * Single-precision values are NaN-boxed in the 64-bit f slots.
 *
 * ## Hart block: 4096 bytes for each hart
 *
 * HART_INTERRUPT: a word that any thread sets to INTERRUPTED to make the hart leave translated code at the
 * next taken control transfer. The others belong to the region translator (docs/design/translator.md).
 */

/** Bytes in a page and in a frame. */
export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;

/** A va is usable if it is below this bound (Sv39: 2^38). */
export const VA_BITS = 38;
export const VA_LIMIT: number = 2 ** VA_BITS;

export const ROOT_INDEX_BITS = 14;
export const LEAF_INDEX_BITS = 12;
export const ROOT_ENTRIES: number = 1 << ROOT_INDEX_BITS;
export const LEAF_ENTRIES: number = 1 << LEAF_INDEX_BITS;
/** Bytes of a root table. */
export const ROOT_BYTES: number = ROOT_ENTRIES * 4;
/** Bytes of each of a leaf's three arrays. */
export const LEAF_ARRAY_BYTES: number = LEAF_ENTRIES * 4;
/** Bytes of a leaf table. */
export const LEAF_BYTES: number = LEAF_ARRAY_BYTES * 3;
/** Offsets of the arrays in a leaf. */
export const LEAF_READ = 0;
export const LEAF_WRITE: number = LEAF_ARRAY_BYTES;
export const LEAF_PAGE: number = LEAF_ARRAY_BYTES * 2;

/** A read or write entry that forbids the access. */
export const ENTRY_INVALID = 0xfff;
/** Page word flag: the page is present and instructions may be fetched from it. */
export const PAGE_FETCH = 1;

/** Bytes of a register file. */
export const REGISTER_FILE_BYTES = 1024;
/** x0 … x31, 8 bytes each. */
export const REG_X = 0;
/** f0 … f31, 8 bytes each, singles NaN-boxed. */
export const REG_F = 256;
/** Program counter, 8 bytes. Exact whenever translated code has called or returned to the kernel. */
export const REG_PC = 512;
/** Accrued exception flags (fflags), a word: NX 1, UF 2, OF 4, DZ 8, NV 16. */
export const REG_FFLAGS = 520;
/** Dynamic rounding mode (frm), a word: 0 RNE, 1 RTZ, 2 RDN, 3 RUP, 4 RMM. */
export const REG_FRM = 524;
/** Reservation of LR: va of the reserved word, or −1 when there is none; 8 bytes. */
export const REG_RESERVATION = 528;
/** The value that LR saw there, 8 bytes; a 32-bit value is sign-extended. */
export const REG_RESERVED_VALUE = 536;
/** pa of the root table of the task's address space, a word. */
export const REG_ROOT = 544;
/**
 * Taken control transfers left until the task must leave (a word, signed). Every taken branch, jal and jalr
 * takes one in every tier; at 0 the code leaves with the target in REG_PC. The kernel sets it.
 */
export const REG_BUDGET = 548;
/** What a fault or trap concerned: 8 bytes, a va, or the instruction word of an illegal instruction. */
export const REG_TRAP_VALUE = 552;
/** A 64-bit result that an imported function hands back (CSR reads). */
export const REG_SCRATCH = 560;
/** Bytes from here to the end of the register file belong to the kernel. */
export const REG_KERNEL = 576;

/** Bytes of a hart block, and the offset of its interrupt word. */
export const HART_BLOCK_BYTES = 4096;
export const HART_INTERRUPT = 0;
/** The largest budget, so that one comparison with the budget says whether to leave. */
export const INTERRUPTED = 0x7fffffff;
/** What the tags of the jump cache's valid entries have in bits 62..38, 8 bytes. */
export const HART_CODE_TAG = 8;
/** pa of the hart's jump cache, a word. */
export const HART_JUMP_CACHE = 16;
/** Number of indirect jumps that tier 0 has noted, a word. */
export const HART_JUMPS_NOTED = 20;
/** What the runs below are: RUNS_*, a word. The kernel makes KEPT ones VOID. */
export const HART_RUNS = 24;
/** They hold for the address space that the hart runs. */
export const RUNS_KEPT = 1;
/** Something may have been taken away, or the space is another one. */
export const RUNS_VOID = 2;
/** Pages to each side that the next search for a run looks at, at most; a word. */
export const HART_REACH = 28;
/** Searches for a run; a word. */
export const HART_SEARCHES = 32;
/** Accesses that were not in the run of their slot; a word. */
export const HART_MISSES = 36;
/** Which slots hold a run: bit n is slot n, 8 bytes for those with write entries and 8 for the others. */
export const HART_SLOTS_USED = 40;
/**
 * Runs: pages that follow each other and have one entry, in which regions have accessed something. 24 bytes each:
 * where it starts, 8 bytes; how many places in it have room for the widest access, 8 bytes, 0 if there is no run (no
 * address is below that, whatever a guest makes up); its entry, a word. Write entries come first, then as many read
 * entries.
 *
 * A slot holds the run of some accesses; the list, those that were found last.
 */
export const HART_SLOTS = 256;
export const RUN_SLOTS = 64;
export const RUN_BYTES = 24;
export const HART_LIST: number = HART_SLOTS + 2 * RUN_SLOTS * RUN_BYTES;
export const RUN_LIST = 8;
export const RUN_START = 0;
export const RUN_BOUND = 8;
export const RUN_ENTRY = 16;
/** The widest access. */
export const RUN_GUARD = 8;

/** Why translated code came back to the kernel. */
export const EXIT = {
  /** An imported function (system call, fault) asked to leave; the register file holds the exact state. */
  LEFT: 0,
  /** The budget is used up. */
  BUDGET: 1,
  /** The hart's interrupt word is set. */
  INTERRUPT: 2,
  /** Illegal instruction at REG_PC, its word in REG_TRAP_VALUE. */
  ILLEGAL: 3,
  /** ebreak at REG_PC. */
  BREAKPOINT: 4,
  /** fence.i has been executed, REG_PC is behind it; only from code that runs regions. */
  FENCE: 5,
} as const;
export type ExitReason = (typeof EXIT)[keyof typeof EXIT];

/** What an access wanted, in the `kind` argument of the fault import. */
export const ACCESS = { READ: 0, WRITE: 1, FETCH: 2 } as const;
export type AccessKind = (typeof ACCESS)[keyof typeof ACCESS];
