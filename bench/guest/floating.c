// Floating point: the n-body problem and the spectral norm (double precision), and a small single-precision
// filter. Built without contraction into fused operations, so that every IEEE machine gives the same bits.
#include "bench.h"

struct body {
  double x, y, z, vx, vy, vz, mass;
};

#define PI 3.141592653589793
#define SOLAR (4 * PI * PI)
#define DAYS 365.24

static const struct body planets[5] = {
    {0, 0, 0, 0, 0, 0, SOLAR},
    {4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01, 1.66007664274403694e-03 * DAYS,
     7.69901118419740425e-03 * DAYS, -6.90460016972063023e-05 * DAYS, 9.54791938424326609e-04 * SOLAR},
    {8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01, -2.76742510726411899e-03 * DAYS,
     4.99852801234917238e-03 * DAYS, 2.30417297573763929e-05 * DAYS, 2.85885980666130812e-04 * SOLAR},
    {1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01, 2.96460137564761618e-03 * DAYS,
     2.37847173959480950e-03 * DAYS, -2.96589568540237556e-05 * DAYS, 4.36624404335156298e-05 * SOLAR},
    {1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01, 2.68067772490389322e-03 * DAYS,
     1.62824170038242295e-03 * DAYS, -9.51592254519715870e-05 * DAYS, 5.15138902046611451e-05 * SOLAR}};

static void advance(struct body *b, double dt) {
  for (int i = 0; i < 5; i++)
    for (int j = i + 1; j < 5; j++) {
      double dx = b[i].x - b[j].x, dy = b[i].y - b[j].y, dz = b[i].z - b[j].z;
      double d2 = dx * dx + dy * dy + dz * dz;
      double mag = dt / (d2 * __builtin_sqrt(d2));
      b[i].vx -= dx * b[j].mass * mag, b[i].vy -= dy * b[j].mass * mag, b[i].vz -= dz * b[j].mass * mag;
      b[j].vx += dx * b[i].mass * mag, b[j].vy += dy * b[i].mass * mag, b[j].vz += dz * b[i].mass * mag;
    }
  for (int i = 0; i < 5; i++) b[i].x += dt * b[i].vx, b[i].y += dt * b[i].vy, b[i].z += dt * b[i].vz;
}

static double energy(const struct body *b) {
  double e = 0;
  for (int i = 0; i < 5; i++) {
    e += 0.5 * b[i].mass * (b[i].vx * b[i].vx + b[i].vy * b[i].vy + b[i].vz * b[i].vz);
    for (int j = i + 1; j < 5; j++) {
      double dx = b[i].x - b[j].x, dy = b[i].y - b[j].y, dz = b[i].z - b[j].z;
      e -= b[i].mass * b[j].mass / __builtin_sqrt(dx * dx + dy * dy + dz * dz);
    }
  }
  return e;
}

static double element(long i, long j) { return 1.0 / (double)((i + j) * (i + j + 1) / 2 + i + 1); }

static void multiply(const double *v, double *out, long n, int transposed) {
  for (long i = 0; i < n; i++) {
    double s = 0;
    for (long j = 0; j < n; j++) s += (transposed ? element(j, i) : element(i, j)) * v[j];
    out[i] = s;
  }
}

static double spectral(long n) {
  double *u = take(3 * n * sizeof(double)), *v = u + n, *t = v + n;
  for (long i = 0; i < n; i++) u[i] = 1;
  for (int i = 0; i < 5; i++) {
    multiply(u, t, n, 0), multiply(t, v, n, 1);
    multiply(v, t, n, 0), multiply(t, u, n, 1);
  }
  double uv = 0, vv = 0;
  for (long i = 0; i < n; i++) uv += u[i] * v[i], vv += v[i] * v[i];
  give(u, 3 * n * sizeof(double));
  return __builtin_sqrt(uv / vv);
}

static float filter(long n) {
  float a = 0.5f, b = 0.25f, y1 = 0, y2 = 0, sum = 0;
  u64 seed = 9;
  for (long i = 0; i < n; i++) {
    float x = (float)(i64)(nextRandom(&seed) >> 40) * (1.0f / 16777216.0f) - 0.5f;
    float y = x - a * y1 + b * y2;
    y2 = y1, y1 = y;
    sum += y < 0 ? -y : y;
    if (sum > 1000.0f) sum *= 0.125f;
  }
  return sum;
}

static u64 bits(double d) {
  u64 u;
  __builtin_memcpy(&u, &d, 8);
  return u;
}

u64 work(long size) {
  struct body b[5];
  memcpy(b, planets, sizeof b);
  double before = energy(b);
  for (long i = 0; i < size * 1000; i++) advance(b, 0.01);
  return bits(before) ^ bits(energy(b)) * 3 ^ bits(spectral(size)) * 5 ^ bits((double)filter(size * 10000)) * 7;
}
BENCH("floating", 300)
