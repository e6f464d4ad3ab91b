// Hash table and strings: SIZE generated words are counted in an open-addressing table, looked up, sorted and
// joined. Byte loops, data-dependent branches, pointers all over the heap.
#include "bench.h"

struct entry {
  const char *word;
  u64 hash;
  u32 count, length;
};

static u64 hashOf(const char *s, u32 n) {
  u64 h = 0xcbf29ce484222325UL;
  for (u32 i = 0; i < n; i++) h = (h ^ (u8)s[i]) * 0x100000001b3UL;
  return h ^ h >> 29;
}

static struct entry *find(struct entry *t, u64 mask, const char *s, u32 n) {
  u64 h = hashOf(s, n);
  u64 i = h & mask;
  while (t[i].word && (t[i].hash != h || t[i].length != n || memcmp(t[i].word, s, n))) i = (i + 1) & mask;
  t[i].hash = h;
  return &t[i];
}

static int before(const struct entry *a, const struct entry *b) {
  if (a->count != b->count) return a->count > b->count;
  return strcmp(a->word, b->word) < 0;
}

static void sort(struct entry **v, long n, struct entry **scratch) {
  if (n < 2) return;
  long half = n / 2, i = 0, j = half, k = 0;
  sort(v, half, scratch);
  sort(v + half, n - half, scratch);
  while (i < half && j < n) scratch[k++] = before(v[j], v[i]) ? v[j++] : v[i++];
  while (i < half) scratch[k++] = v[i++];
  while (j < n) scratch[k++] = v[j++];
  memcpy(v, scratch, n * sizeof *v);
}

static const char *const syllables[16] = {"ka", "to", "mi", "ren", "sol", "u",  "xi",  "ba",
                                          "dor", "e",  "lin", "gru", "pha", "st", "qui", "on"};

u64 work(long size) {
  u64 slots = 1;
  while (slots < (u64)size) slots *= 2;
  usize textSize = (usize)size * 24, tableSize = slots * sizeof(struct entry), listSize = slots * sizeof(void *);
  char *text = take(textSize), *p = text;
  struct entry *table = take(tableSize);
  struct entry **list = take(listSize * 2);
  u64 seed = 7;
  for (long i = 0; i < size; i++) {
    u64 r = nextRandom(&seed) >> 20;
    // Skewed, so that words repeat.
    int parts = 2 + (int)(r & 3);
    char *start = p;
    for (int j = 0; j < parts; j++) {
      r = nextRandom(&seed) >> 24;
      const char *s = syllables[(r & 15) & (r >> 4 & 15)];
      while (*s) *p++ = *s++;
    }
    *p++ = 0;
    struct entry *e = find(table, slots - 1, start, (u32)(p - 1 - start));
    if (!e->word) e->word = start, e->length = (u32)(p - 1 - start);
    e->count++;
  }
  long n = 0;
  for (u64 i = 0; i < slots; i++)
    if (table[i].word) list[n++] = &table[i];
  sort(list, n, list + slots);
  u64 sum = (u64)n;
  for (long i = 0; i < n; i++) {
    char joined[128];
    strcpy(joined, list[i]->word);
    strcat(joined, "-");
    strcat(joined, list[(i * 7) % n]->word);
    sum = sum * 31 + hashOf(joined, (u32)strlen(joined)) + list[i]->count;
  }
  give(text, textSize);
  give(table, tableSize);
  give(list, listSize * 2);
  return sum;
}
BENCH("strings", 400000)
