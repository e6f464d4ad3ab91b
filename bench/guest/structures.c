// Linked list, matrix and state machine: reversing and merging lists, an integer matrix product, and a scanner
// of numbers driven by a switch. SIZE scales all three.
#include "bench.h"

struct node {
  struct node *next;
  i64 value;
};

static struct node *merge(struct node *a, struct node *b) {
  struct node head, *tail = &head;
  while (a && b) {
    struct node **least = a->value <= b->value ? &a : &b;
    tail->next = *least;
    tail = *least;
    *least = (*least)->next;
  }
  tail->next = a ? a : b;
  return head.next;
}

static struct node *sortList(struct node *l) {
  if (!l || !l->next) return l;
  struct node *slow = l, *fast = l->next;
  while (fast && fast->next) slow = slow->next, fast = fast->next->next;
  struct node *half = slow->next;
  slow->next = NULL;
  return merge(sortList(l), sortList(half));
}

static u64 lists(long n) {
  struct node *nodes = take(n * sizeof *nodes), *l = NULL;
  u64 seed = 3, sum = 0;
  for (long i = 0; i < n; i++) {
    nodes[i].value = (i64)(nextRandom(&seed) >> 40);
    nodes[i].next = l;
    l = &nodes[i];
  }
  l = sortList(l);
  struct node *r = NULL;
  while (l) {
    struct node *next = l->next;
    l->next = r;
    r = l;
    l = next;
  }
  for (long i = 0; r; r = r->next, i++) sum = sum * 33 + (u64)r->value + (u64)i;
  give(nodes, n * sizeof *nodes);
  return sum;
}

static u64 matrices(long n) {
  usize bytes = (usize)n * n * sizeof(i64);
  i64 *a = take(bytes), *b = take(bytes), *c = take(bytes);
  u64 seed = 5, sum = 0;
  for (long i = 0; i < n * n; i++) a[i] = (i64)(nextRandom(&seed) >> 48) - 32768, b[i] = (i64)(nextRandom(&seed) >> 48);
  for (long i = 0; i < n; i++)
    for (long j = 0; j < n; j++) {
      i64 s = 0;
      for (long k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j];
      c[i * n + j] = s;
    }
  for (long i = 0; i < n * n; i++) sum = (sum ^ (u64)c[i]) * 0x100000001b3UL;
  give(a, bytes);
  give(b, bytes);
  give(c, bytes);
  return sum;
}

enum { START, SIGN, INT, DOT, FRACTION, EXP, EXP_SIGN, EXP_DIGITS, BAD, STATES };

static u64 machine(long n) {
  static const char alphabet[16] = "0123456789.e-+ \n";
  u8 *text = take(n);
  u64 seed = 11, counts[STATES] = {0}, sum = 0;
  for (long i = 0; i < n; i++) text[i] = (u8)alphabet[nextRandom(&seed) >> 60];
  int state = START;
  for (long i = 0; i < n; i++) {
    u8 c = text[i];
    int digit = c >= '0' && c <= '9';
    if (c == ' ' || c == '\n') {
      counts[state]++;
      state = START;
      continue;
    }
    switch (state) {
      case START: state = digit ? INT : c == '-' || c == '+' ? SIGN : c == '.' ? DOT : BAD; break;
      case SIGN: state = digit ? INT : c == '.' ? DOT : BAD; break;
      case INT: state = digit ? INT : c == '.' ? FRACTION : c == 'e' ? EXP : BAD; break;
      case DOT: state = digit ? FRACTION : BAD; break;
      case FRACTION: state = digit ? FRACTION : c == 'e' ? EXP : BAD; break;
      case EXP: state = digit ? EXP_DIGITS : c == '-' || c == '+' ? EXP_SIGN : BAD; break;
      case EXP_SIGN: state = digit ? EXP_DIGITS : BAD; break;
      case EXP_DIGITS: state = digit ? EXP_DIGITS : BAD; break;
      default: break;
    }
  }
  for (int i = 0; i < STATES; i++) sum = sum * 1000003 + counts[i];
  give(text, n);
  return sum;
}

u64 work(long size) { return lists(size * 2000) ^ matrices(size * 2) ^ machine(size * 100000); }
BENCH("structures", 100)
