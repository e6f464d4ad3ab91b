// A bytecode VM: a loop around one switch runs a sieve and a nested loop written in its own stack code. The
// indirect jump of the switch is what every interpreter in the system (shell, Python, Lua) does.
#include "bench.h"

enum {
  PUSH, LOAD, STORE, ADD, SUB, MUL, MOD, LESS, EQUAL, JUMP, JUMP_ZERO, PEEK, POKE, DUP, DROP, XOR, HALT, OPS
};

struct vm {
  i64 stack[64], vars[8], *heap;
  u64 steps;
};

static void run(struct vm *m, const i64 *code) {
  i64 *sp = m->stack;
  const i64 *pc = code;
  for (;;) {
    m->steps++;
    switch (*pc++) {
      case PUSH: *sp++ = *pc++; break;
      case LOAD: *sp++ = m->vars[*pc++]; break;
      case STORE: m->vars[*pc++] = *--sp; break;
      case ADD: sp--, sp[-1] += sp[0]; break;
      case SUB: sp--, sp[-1] -= sp[0]; break;
      case MUL: sp--, sp[-1] = (i64)((u64)sp[-1] * (u64)sp[0]); break;
      case MOD: sp--, sp[-1] %= sp[0]; break;
      case LESS: sp--, sp[-1] = sp[-1] < sp[0]; break;
      case EQUAL: sp--, sp[-1] = sp[-1] == sp[0]; break;
      case XOR: sp--, sp[-1] ^= sp[0]; break;
      case JUMP: pc = code + *pc; break;
      case JUMP_ZERO: pc = *--sp ? pc + 1 : code + *pc; break;
      case PEEK: sp[-1] = m->heap[sp[-1]]; break;
      case POKE: sp -= 2, m->heap[sp[1]] = sp[0]; break;
      case DUP: *sp = sp[-1], sp++; break;
      case DROP: sp--; break;
      default: return;
    }
  }
}

/// A tiny assembler: labels are numbers, patched when the code is complete.
struct assembler {
  i64 code[128];
  int n, labels[8];
};
static void emit(struct assembler *a, i64 op) { a->code[a->n++] = op; }
static void emit2(struct assembler *a, i64 op, i64 x) { emit(a, op), emit(a, x); }
static void label(struct assembler *a, int l) { a->labels[l] = a->n; }
static void finish(struct assembler *a) {
  emit(a, HALT);
  for (int i = 0; i < a->n;) {
    i64 op = a->code[i++];
    if (op == JUMP || op == JUMP_ZERO) a->code[i] = a->labels[a->code[i]];
    if (op == PUSH || op == LOAD || op == STORE || op == JUMP || op == JUMP_ZERO) i++;
  }
}

enum { LIMIT, I, J, COUNT, HASH };

static void addTo(struct assembler *a, int var, int op, i64 x) { emit2(a, LOAD, var), emit2(a, op, x), emit(a, ADD), emit2(a, STORE, var); }

static void writeSieve(struct assembler *a) {
  enum { OUTER, INNER, NEXT, DONE, PRIME };
  emit2(a, PUSH, 2), emit2(a, STORE, I);
  label(a, OUTER);
  emit2(a, LOAD, I), emit2(a, LOAD, LIMIT), emit(a, LESS), emit2(a, JUMP_ZERO, DONE);
  emit2(a, LOAD, I), emit(a, PEEK), emit2(a, JUMP_ZERO, PRIME), emit2(a, JUMP, NEXT);
  label(a, PRIME);
  addTo(a, COUNT, PUSH, 1);
  emit2(a, LOAD, I), emit(a, DUP), emit(a, ADD), emit2(a, STORE, J);
  label(a, INNER);
  emit2(a, LOAD, J), emit2(a, LOAD, LIMIT), emit(a, LESS), emit2(a, JUMP_ZERO, NEXT);
  emit2(a, PUSH, 1), emit2(a, LOAD, J), emit(a, POKE);
  addTo(a, J, LOAD, I);
  emit2(a, JUMP, INNER);
  label(a, NEXT);
  addTo(a, I, PUSH, 1);
  emit2(a, JUMP, OUTER);
  label(a, DONE);
  finish(a);
}

static void writeLoops(struct assembler *a) {
  enum { OUTER, INNER, NEXT, DONE };
  emit2(a, PUSH, 0), emit2(a, STORE, I);
  label(a, OUTER);
  emit2(a, LOAD, I), emit2(a, LOAD, LIMIT), emit(a, LESS), emit2(a, JUMP_ZERO, DONE);
  emit2(a, PUSH, 0), emit2(a, STORE, J);
  label(a, INNER);
  emit2(a, LOAD, J), emit2(a, PUSH, 50), emit(a, LESS), emit2(a, JUMP_ZERO, NEXT);
  emit2(a, LOAD, HASH), emit2(a, PUSH, 0x100000001b3), emit(a, MUL);
  emit2(a, LOAD, I), emit2(a, LOAD, J), emit(a, MUL), emit2(a, PUSH, 1009), emit(a, MOD), emit(a, XOR);
  emit2(a, STORE, HASH);
  addTo(a, J, PUSH, 1);
  emit2(a, JUMP, INNER);
  label(a, NEXT);
  addTo(a, I, PUSH, 1);
  emit2(a, JUMP, OUTER);
  label(a, DONE);
  finish(a);
}

u64 work(long size) {
  struct vm m;
  struct assembler a;
  memset(&m, 0, sizeof m);
  usize bytes = (usize)size * 8;
  m.heap = take(bytes);
  m.vars[LIMIT] = size;
  a.n = 0;
  writeSieve(&a);
  run(&m, a.code);
  m.vars[LIMIT] = size / 10;
  a.n = 0;
  writeLoops(&a);
  run(&m, a.code);
  give(m.heap, bytes);
  return (u64)m.vars[HASH] ^ (u64)m.vars[COUNT] << 32 ^ m.steps;
}
BENCH("bytecode", 500000)
